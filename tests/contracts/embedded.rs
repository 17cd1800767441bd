//! The embedded queue and ledger as subjects: in the process that has the file open, and over its socket.

use std::sync::Arc;
use std::time::Duration;

use skyferry_core::queue::QueueTraits;
use skyferry_sqlite::SqliteFile;
use skyferry_sqlite::queue::SqliteDeadLetters;
use skyferry_sqlite::remote::RemoteFile;
use tokio::task::JoinSet;

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
    let letters = SqliteDeadLetters::new(Arc::new(file.queue("q", traits()).await.expect("a queue")));
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

/// Served for as long as what comes back is kept.
async fn remote() -> (Box<(tempfile::TempDir, JoinSet<()>)>, RemoteFile) {
    let (dir, file) = open();
    let path = dir.path().join("state");
    let mut served = JoinSet::new();
    served.spawn(file.listen(&path).expect("a socket").serve());
    let remote = RemoteFile::connect(&path).await.expect("connected");
    (Box::new((dir, served)), remote)
}

pub async fn remote_letters() -> letters::Subject {
    let (keep, file) = remote().await;
    let letters = SqliteDeadLetters::new(Arc::new(file.queue("q", traits())));
    letters::Subject { queue: Arc::new(file.queue("q", traits())), letters: Arc::new(letters), _keep: keep }
}

pub async fn remote_queue() -> queue::Subject {
    let (keep, file) = remote().await;
    let queue = Arc::new(file.queue("q", traits()));
    queue::Subject { queue, tick: TICK, patience: Duration::from_secs(10), can: queue::Can::ALL, _keep: keep }
}

pub async fn remote_ledger() -> ledger::Under {
    let (keep, file) = remote().await;
    ledger::Under { ledger: Arc::new(file.ledger()), slack: Duration::ZERO, _keep: keep }
}
