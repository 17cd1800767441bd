//! `Book` is tested at chosen instants, the task against the embedded queue, which passes the queues' contract.

use super::*;
use skyferry_core::queue::{Message, QueueTraits};
use skyferry_sqlite::SqliteFile;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn insert(book: &mut Book, received: Instant) -> (u64, CancellationToken) {
    let job = CancellationToken::new();
    (book.insert(Receipt("r".into()), received, job.clone(), Arc::default()).0, job)
}

/// Ids to extend, and the number of jobs that were cancelled.
fn due(book: &mut Book, now: Instant) -> (Vec<u64>, usize) {
    let (mut extend, mut lost) = (Vec::new(), 0);
    for action in book.due(now) {
        match action {
            Action::Extend { id, .. } => extend.push(id),
            Action::Lost(job) => {
                job.cancel();
                lost += 1;
            }
        }
    }
    (extend, lost)
}

#[test]
fn a_lease_is_extended_after_a_third_of_its_visibility() {
    let (mut book, start) = (Book::new(HOUR), Instant::now());
    let (id, _) = insert(&mut book, start);
    assert_eq!(due(&mut book, start + 19 * MINUTE), (vec![], 0));
    assert_eq!(due(&mut book, start + 20 * MINUTE), (vec![id], 0));
    book.mark_extended(id, start + 20 * MINUTE);
    assert_eq!(due(&mut book, start + 39 * MINUTE), (vec![], 0));
    assert_eq!(due(&mut book, start + 40 * MINUTE), (vec![id], 0));
}

#[test]
fn a_failed_extension_is_tried_again_until_the_deadline_is_near_and_then_the_job_is_cancelled() {
    let (mut book, start) = (Book::new(HOUR), Instant::now());
    let (id, job) = insert(&mut book, start);
    let mut tries = 0;
    for minute in 0..50 {
        let (extend, lost) = due(&mut book, start + minute * MINUTE);
        assert_eq!(lost, 0, "minute {minute}");
        tries += extend.len();
    }
    assert_eq!(tries, 6);
    assert!(!job.is_cancelled() && book.is_held(id));
    assert_eq!(due(&mut book, start + 50 * MINUTE), (vec![], 1));
    assert!(job.is_cancelled() && !book.is_held(id));
}

#[test]
fn an_answer_that_comes_after_the_lease_was_given_up_does_not_revive_it() {
    let (mut book, start) = (Book::new(HOUR), Instant::now());
    let (id, _) = insert(&mut book, start);
    due(&mut book, start + 59 * MINUTE);
    book.mark_extended(id, start + 20 * MINUTE);
    assert!(!book.is_held(id));
    assert!(book.plan().is_none());
}

#[test]
fn jobs_that_end_early_leave_nothing_and_wake_nobody() {
    let (mut book, start) = (Book::new(HOUR), Instant::now());
    let mut woken = 0;
    for n in 0..10_000_u32 {
        let (id, earlier) = book.insert(
            Receipt("r".into()),
            start + n * Duration::from_millis(1),
            CancellationToken::new(),
            Arc::default(),
        );
        woken += usize::from(earlier);
        book.remove(id);
    }
    assert_eq!(woken, 1, "the first lease plans the wake-up, which is early enough for all later ones");
    assert!(book.leases.is_empty() && book.order.is_empty());
}

#[test]
fn a_lease_with_an_earlier_need_than_planned_wakes_the_task() {
    let (mut book, start) = (Book::new(HOUR), Instant::now());
    insert(&mut book, start + MINUTE);
    let (_, earlier) = book.insert(Receipt("r".into()), start, CancellationToken::new(), Arc::default());
    assert!(earlier);
}

/// A queue with one message, received; its visibility is as short as a busy machine allows.
async fn received(visibility: Duration) -> (tempfile::TempDir, Arc<dyn Queue>, Message) {
    let dir = tempfile::tempdir().expect("a directory");
    let traits = QueueTraits { visibility, retention: HOUR, max_receives: None, dead_letters: None };
    let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
    let queue: Arc<dyn Queue> = Arc::new(file.queue("q", traits).await.expect("a queue"));
    queue.send(&["body".into()]).await.expect("sent");
    let message = queue.receive(1, HOUR).await.expect("received").remove(0);
    (dir, queue, message)
}

#[tokio::test]
async fn a_held_message_stays_invisible_far_beyond_its_visibility() {
    let visibility = Duration::from_millis(1500);
    let (_dir, queue, message) = received(visibility).await;
    let job = CancellationToken::new();
    let lease = LeaseKeeper::new(queue.clone()).hold(&message.receipt, Instant::now(), job.clone());
    assert!(queue.receive(1, visibility * 2).await.expect("asked").is_empty());
    assert!(lease.is_held() && !job.is_cancelled());
    lease.end().await;
    queue.release(&message.receipt, Duration::ZERO).await.expect("released");
    assert_eq!(queue.receive(1, HOUR).await.expect("received").len(), 1);
}

#[tokio::test]
async fn a_job_whose_message_somebody_else_has_is_cancelled() {
    let visibility = Duration::from_millis(600);
    let (_dir, queue, message) = received(visibility).await;
    queue.delete(&message.receipt).await.expect("deleted");
    let job = CancellationToken::new();
    let lease = LeaseKeeper::new(queue).hold(&message.receipt, Instant::now(), job.clone());
    job.cancelled().await;
    assert!(!lease.is_held());
}

#[tokio::test]
async fn a_dropped_lease_lets_the_message_become_visible() {
    let visibility = Duration::from_millis(300);
    let (_dir, queue, message) = received(visibility).await;
    let keeper = LeaseKeeper::new(queue.clone());
    drop(keeper.hold(&message.receipt, Instant::now(), CancellationToken::new()));
    assert_eq!(queue.receive(1, HOUR).await.expect("received").len(), 1);
}
