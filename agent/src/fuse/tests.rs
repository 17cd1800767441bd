use super::*;
use skyferry_sqlite::SqliteFile;

const MANY: f64 = 0.5;

fn ledger() -> (tempfile::TempDir, Arc<dyn Ledger>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
    (dir, Arc::new(file.ledger()))
}

async fn delete(fuse: &Fuse, wanted: u64) -> u64 {
    let mut done = 0;
    for _ in 0..wanted {
        done += u64::from(fuse.allow_deletion().await.is_ok());
    }
    done
}

#[tokio::test]
async fn few_deletions_pass_however_large_their_share() {
    let fuse = Fuse::new(0.1, None);
    assert_eq!(delete(&fuse, 600).await, ALWAYS);
    let blown = fuse.blown().expect("and one more blows it");
    assert_eq!((blown.deletions, blown.ended), (ALWAYS + 1, ALWAYS + 1));
    (0..100_000).for_each(|_| fuse.count_ended());
    assert_eq!(delete(&fuse, 10).await, 0, "for good");
}

#[tokio::test]
async fn many_deletions_pass_among_many_others() {
    let fuse = Fuse::new(MANY, None);
    (0..10_000).for_each(|_| fuse.count_ended());
    assert_eq!(delete(&fuse, 9_000).await, 9_000);
    let all = Fuse::new(1.0, None);
    assert_eq!(delete(&all, 10_000).await, 10_000, "a share of 1 switches it off");
}

#[test]
fn what_is_longer_ago_than_the_window_does_not_count() {
    let mut counts = DeletionCounts::default();
    let mut reserved = 0;
    for minute in 0..60 {
        for _ in 0..9 {
            if reserved == 0 {
                reserved = counts.reserve(minute * 60, 0, 0.0);
            }
            assert!(reserved > 0, "nine a minute are ninety in a window, at minute {minute}");
            reserved -= 1;
        }
    }
    assert!(counts.slices.len() <= (WINDOW / SLICE) as usize + 1);
}

#[tokio::test]
async fn fault_b11_three_agents_and_ten_restarts_delete_no_more_than_one() {
    let (_dir, ledger) = ledger();
    let agent = || Fuse::new(MANY, Some(ledger.clone()));
    let mut fleet = [agent(), agent(), agent()];
    let mut deleted = 0;
    for round in 0..200 {
        let fuse = &fleet[round % 3];
        deleted += delete(fuse, 3).await;
        if round % 6 == 5 && round < 60 {
            fleet[round % 3] = agent();
        }
    }
    assert!((50..=ALWAYS).contains(&deleted), "{deleted}");
    assert_eq!(delete(&agent(), 10).await, 0);
    assert!(DeletionCounts::read(&*ledger).await.expect("read").is_some());
}

#[tokio::test]
async fn fault_b11_agents_that_run_on_delete_as_many_together_as_one() {
    let (_dir, ledger) = ledger();
    let fleet: Vec<Fuse> = (0..3).map(|_| Fuse::new(MANY, Some(ledger.clone()))).collect();
    let all = fleet.iter().map(|fuse| delete(fuse, 200));
    assert_eq!(futures_util::future::join_all(all).await.iter().sum::<u64>(), ALWAYS);
}

#[tokio::test]
async fn fault_b11_what_is_let_go_on_goes_on_in_every_agent() {
    let (_dir, ledger) = ledger();
    let mut fleet = [Fuse::new(MANY, Some(ledger.clone())), Fuse::new(MANY, Some(ledger.clone()))];
    assert_eq!(delete(&fleet[0], 600).await + delete(&fleet[1], 600).await, ALWAYS);
    let held = DeletionCounts::allow_all(&*ledger).await.expect("let go").expect("taken").expect("it was blown");
    assert_eq!(held.deletions, ALWAYS + 1);
    assert_eq!(DeletionCounts::read(&*ledger).await.expect("read"), None);
    assert_eq!(delete(&fleet[0], 1).await, 0, "it looks a few times a minute");
    for fuse in &mut fleet {
        fuse.look = Duration::ZERO;
        assert_eq!(delete(fuse, 600).await, 600);
        assert_eq!(fuse.blown(), None);
    }
    let reported = DeletionCounts::allow_all(&*ledger).await.expect("let go").expect("taken");
    assert_eq!(reported, None, "nothing was held back");
}

/// Counted by the requests that a ledger gets.
#[tokio::test]
async fn the_ledger_is_asked_for_few_of_many_deletions() {
    let (_dir, ledger) = ledger();
    let fuse = Fuse::new(MANY, Some(ledger.clone()));
    (0..10_000).for_each(|_| fuse.count_ended());
    let mut changes = 0;
    let mut before = None;
    for _ in 0..1_000 {
        fuse.allow_deletion().await.expect("allowed");
        let note = ledger.note(NOTE).await.expect("read");
        changes += usize::from(note != before);
        before = note;
    }
    assert!(changes <= 110, "{changes}");
}
