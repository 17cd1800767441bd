//! The embedded queue and ledger as subjects.

use std::sync::Arc;
use std::time::Duration;

use skyferry_core::queue::QueueTraits;
use skyferry_sqlite::SqliteFile;
use skyferry_sqlite::queue::SqliteDeadLetters;

use crate::{ledger, letters, queue};

fn open() -> (tempfile::TempDir, SqliteFile) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
    (dir, file)
}

const TICK: Duration = Duration::from_millis(200);

fn traits() -> QueueTraits {
    QueueTraits {
        visibility: TICK * 4,
        retention: Duration::from_secs(3600),
        max_receives: None,
        dead_letters: Some("dead".into()),
    }
}

pub async fn letters() -> letters::Subject {
    let (dir, file) = open();
    let letters = SqliteDeadLetters::new(file.queue("q", traits()).await.expect("a queue"));
    let queue = Arc::new(file.queue("q", traits()).await.expect("the same queue"));
    letters::Subject { queue, letters: Arc::new(letters), _keep: Box::new(dir) }
}

pub async fn queue() -> queue::Subject {
    let (dir, file) = open();
    let tick = TICK;
    let queue = Arc::new(file.queue("q", traits()).await.expect("a queue"));
    queue::Subject { queue, tick, patience: Duration::from_secs(10), can: queue::Can::ALL, _keep: Box::new(dir) }
}

pub async fn ledger() -> ledger::Under {
    let (dir, file) = open();
    ledger::Under { ledger: Arc::new(file.ledger()), slack: Duration::ZERO, _keep: Box::new(dir) }
}
