//! What the file itself promises: one process, nothing lost with it, errors that say what to do.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::queue::DeadLetterTable as _;
use crate::queue::SqliteQueue;
use skyferry_core::ledger::{Ledger, Subject, WriterEnd};
use skyferry_core::model::{Location, Writer};
use skyferry_core::queue::{Queue, QueueError, QueueTraits};

const HOUR: Duration = Duration::from_secs(3600);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().expect("a directory"))
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("state")
    }
    fn open(&self) -> SqliteFile {
        SqliteFile::open(&self.path()).expect("opened")
    }
}

async fn queue(file: &SqliteFile, name: &str, max_receives: Option<u32>) -> SqliteQueue {
    let traits = QueueTraits { visibility: HOUR, retention: HOUR, max_receives, dead_letters: Some("dead".into()) };
    file.queue(name, traits).await.expect("a queue")
}

fn subject() -> Subject {
    Subject { source: Location::new("b", "k"), destination: Location::new("d", "k"), primary: true }
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_file_is_in_use() {
    let place = Place::new();
    let _first = place.open();
    let error = SqliteFile::open(&place.path()).err().expect("refused");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test]
async fn a_new_process_finds_what_the_old_one_held_visible_and_its_writers_stopped() {
    let place = Place::new();
    let writer = Writer::random();
    {
        let file = place.open();
        let queue = queue(&file, "q", None).await;
        queue.send(&["a".into()]).await.expect("sent");
        assert_eq!(queue.receive(1, HOUR).await.expect("received").len(), 1);
        file.ledger().begin(&subject(), writer).await.expect("begun");
    }
    let file = place.open();
    let queue = queue(&file, "q", None).await;
    let message = queue.receive(1, Duration::ZERO).await.expect("received").remove(0);
    assert_eq!((&*message.body, message.received), ("a", 2), "a crash counts as a delivery");
    let begun = file.ledger().begin(&subject(), Writer::random()).await.expect("begun");
    assert_eq!((begun.earlier[0].writer, begun.earlier[0].stopped), (writer, true));
}

#[tokio::test]
async fn queues_of_one_file_do_not_mix() {
    let place = Place::new();
    let file = place.open();
    let (a, b) = (queue(&file, "a", None).await, queue(&file, "b", None).await);
    a.send(&["for a".into()]).await.expect("sent");
    assert!(b.receive(10, Duration::ZERO).await.expect("received").is_empty());
    assert!(b.depth().await.expect("told").is_empty());
    assert_eq!(a.receive(10, Duration::ZERO).await.expect("received").len(), 1);
}

#[tokio::test]
async fn a_message_received_too_often_becomes_a_dead_letter_and_can_be_redriven() {
    let place = Place::new();
    let file = place.open();
    let queue = queue(&file, "q", Some(2)).await;
    queue.send(&["bad".into()]).await.expect("sent");
    for received in 1..=2 {
        let message = queue.receive(1, HOUR).await.expect("received").remove(0);
        assert_eq!(message.received, received);
        queue.release(&message.receipt, Duration::ZERO).await.expect("released");
    }
    assert!(queue.receive(1, Duration::ZERO).await.expect("received").is_empty());
    assert!(queue.depth().await.expect("told").is_empty());
    let dead = queue.dead_letters(0, 10).await.expect("listed");
    assert_eq!((dead.len(), &*dead[0].body, &*dead[0].reason), (1, "bad", "received 2 times"));
    assert!(queue.redrive(dead[0].id).await.expect("redriven"));
    assert!(!queue.redrive(dead[0].id).await.expect("asked"), "only once");
    assert_eq!(queue.receive(1, HOUR).await.expect("received")[0].received, 1);
}

#[tokio::test]
async fn a_parked_body_is_listed_with_its_reason() {
    let place = Place::new();
    let file = place.open();
    let queue = queue(&file, "q", None).await;
    queue.park("body", "the key is too long").await.expect("parked");
    let dead = queue.dead_letters(0, 10).await.expect("listed");
    assert_eq!((&*dead[0].body, &*dead[0].reason), ("body", "the key is too long"));
    assert!(queue.dead_letters(dead[0].id, 10).await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_cancelled_receive_hides_no_message_and_counts_no_delivery() {
    let place = Place::new();
    let file = place.open();
    let queue = queue(&file, "q", None).await;
    for _ in 0..200 {
        queue.send(&["a".into()]).await.expect("sent");
        // Polled a few times or not at all, then dropped: before, while or after the thread answers.
        let receive = queue.receive(1, HOUR);
        let message = tokio::select! {
            biased;
            messages = receive => messages.expect("received").pop(),
            () = async { for _ in 0..rand::random_range(0..20) { tokio::task::yield_now().await } } => None,
        };
        let message = match message {
            Some(message) => message,
            None => queue.receive(1, Duration::from_secs(10)).await.expect("received").pop().expect("not hidden"),
        };
        assert_eq!(message.received, 1);
        queue.delete(&message.receipt).await.expect("deleted");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let place = Place::new();
    drop(place.open());
    Connection::open(place.path()).expect("opened").pragma_update(None, "user_version", 99).expect("set");
    let error = SqliteFile::open(&place.path()).err().expect("refused");
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_another_program_is_left_alone() {
    let place = Place::new();
    Connection::open(place.path()).expect("opened").execute_batch("CREATE TABLE theirs (x)").expect("made");
    assert!(matches!(SqliteFile::open(&place.path()), Err(OpenError::NotOurs { .. })));
    std::fs::write(place.path(), "not a database at all, but long enough to have a header of its own")
        .expect("written");
    assert!(matches!(SqliteFile::open(&place.path()), Err(OpenError::NotOurs { .. })));
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_as_such() {
    let place = Place::new();
    let answer = SqliteFile::open(&place.0.path().join("no/such/state"));
    assert!(matches!(answer, Err(OpenError::Unavailable { .. })));
}

#[tokio::test]
async fn a_full_disk_is_weather_and_nothing_of_the_group_happened() {
    let place = Place::new();
    let file = place.open();
    let queue = queue(&file, "q", None).await;
    queue.send(&["small".into()]).await.expect("sent");
    // As good as a full disk: no page may be added.
    let limit = file.call(|db| db.rows("PRAGMA max_page_count = 1", (), |row| row.get::<_, i64>(0)).map(Some));
    limit.await.expect("limited");
    let big: Vec<String> = (0..10).map(|_| "x".repeat(100_000)).collect();
    let error = queue.send(&big).await.expect_err("full");
    assert!(matches!(&error, QueueError::Unavailable { answer, .. } if answer.contains("full")), "{error}");
    assert_eq!(queue.depth().await.expect("told").visible, 1);
    file.call(|db| db.rows("PRAGMA max_page_count = 1000000", (), |row| row.get::<_, i64>(0)).map(Some))
        .await
        .expect("raised");
    queue.send(&big).await.expect("weather passes");
}

#[tokio::test]
async fn when_the_thread_dies_every_caller_is_told() {
    let place = Place::new();
    let file = place.open();
    let queue = queue(&file, "q", None).await;
    let waiting = queue.receive(1, HOUR);
    let killer = file.call(|_| -> rusqlite::Result<Option<()>> { panic!("on purpose") });
    let (waiting, killer) = tokio::join!(waiting, killer);
    assert!(killer.is_err());
    assert!(matches!(waiting, Err(QueueError::Unavailable { .. })), "{waiting:?}");
    assert!(matches!(queue.depth().await, Err(QueueError::Unavailable { .. })));
}

#[tokio::test]
async fn only_records_that_ended_long_ago_are_reaped() {
    let place = Place::new();
    let file = place.open();
    let ledger = file.ledger();
    for (key, ending) in [
        (
            "old",
            WriterEnd::Settled {
                outcome: skyferry_core::metrics::Outcome::Gone,
                reason: None,
                published: None,
                digests: None,
                grade: None,
            },
        ),
        ("parked", WriterEnd::Parked { reason: "because".into() }),
    ] {
        let subject = Subject { source: Location::new("b", key), ..subject() };
        let writer = Writer::random();
        ledger.begin(&subject, writer).await.expect("begun");
        ledger
            .finish(&subject, writer, &ending, skyferry_core::ledger::Leftover::Nothing, &[])
            .await
            .expect("finished");
    }
    ledger.begin(&subject(), Writer::random()).await.expect("begun");
    assert_eq!(ledger.delete_older_than(HOUR).await.expect("reaped"), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        ledger.delete_older_than(Duration::ZERO).await.expect("reaped"),
        1,
        "not the parked one, nor the open one"
    );
}

#[tokio::test]
async fn records_are_forgotten_after_thirty_days_and_looked_for_once_a_day() {
    let place = Place::new();
    let settled = WriterEnd::Settled {
        outcome: skyferry_core::metrics::Outcome::Gone,
        reason: None,
        published: None,
        digests: None,
        grade: None,
    };
    let days = |days: i64| days * 24 * 3600 * 1000;
    for (key, age) in [("young", days(29)), ("old", days(31))] {
        let file = place.open();
        let subject = Subject { source: Location::new("b", key), ..subject() };
        let writer = Writer::random();
        file.ledger().begin(&subject, writer).await.expect("begun");
        file.ledger()
            .finish(&subject, writer, &settled, skyferry_core::ledger::Leftover::Nothing, &[])
            .await
            .expect("finished");
        drop(file);
        let file = rusqlite::Connection::open(place.path()).expect("opened");
        let ended = (age, format!("b/{key}").into_bytes());
        file.execute("UPDATE records SET ended = ended - ?1 WHERE source = ?2", ended).expect("aged");
    }
    let file = place.open();
    assert_eq!(file.ledger().expire_records().await.expect("forgotten"), 1);
    let young = Subject { source: Location::new("b", "young"), ..subject() };
    assert!(file.ledger().lookup(&young).await.expect("looked up").is_some());
    assert_eq!(file.ledger().expire_records().await.expect("not again today"), 0);
}
