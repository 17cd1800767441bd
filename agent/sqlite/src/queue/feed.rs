//! How a listing on the same machine feeds the queue: its messages and where it stands become durable together, so that
//! a killed run continues where it was and nothing lies between what was listed and what was sent.

use std::time::Duration;

use super::{SqliteQueue, insert};
use crate::note;
use skyferry_core::queue::QueueError;

const EMPTY: &str = "DELETE FROM messages WHERE queue = ?1";
const STUCK: &str = "SELECT count(*), ifnull(min(received), 0), ifnull(sum(leased), 0) FROM messages WHERE queue = ?1";
const UNBURY: &str = "DELETE FROM dead_letters WHERE queue = ?1";

/// A message of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMessage {
    pub body: String,
    /// Something is at the destination already: the message counts as received before, so that its job looks first.
    pub seen: bool,
}

/// Something to remember beside the messages; without a value, to forget.
pub type NoteUpdate = (&'static str, Option<Vec<u8>>);

impl SqliteQueue {
    /// Sends these and writes the notes, both or neither.
    pub async fn feed(&self, messages: Vec<ListedMessage>, notes: Vec<NoteUpdate>) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("SendMessage", move |db| {
            for ListedMessage { body, seen } in &messages {
                insert(db, queue, body, Duration::ZERO, u32::from(*seen))?;
            }
            for (name, value) in &notes {
                note::replace(db, name, value.as_deref())?;
            }
            Ok(())
        })
        .await
    }

    pub async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, QueueError> {
        self.run("ReadNote", move |db| note::read(db, name)).await
    }

    /// How many messages wait, if each of them has come back so often and none is being worked on.
    pub async fn count_stuck(&self, receives: u32) -> Result<Option<u64>, QueueError> {
        let queue = self.id;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows = self.run("GetQueueAttributes", move |db| db.rows(STUCK, (queue,), read)).await?;
        let (all, least, leased): (i64, u32, i64) = rows.into_iter().next().unwrap_or_default();
        Ok((all > 0 && least >= receives && leased == 0).then_some(all as u64))
    }

    /// Forgets the messages and what was given up; the ledger stays.
    pub async fn clear(&self) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("PurgeQueue", move |db| db.execute(EMPTY, (queue,)).map(|_| ())).await?;
        self.clear_dead_letters().await
    }

    /// Of earlier runs: each run tells its own.
    pub async fn clear_dead_letters(&self) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("PurgeDeadLetters", move |db| db.execute(UNBURY, (queue,)).map(|_| ())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteFile;
    use skyferry_core::queue::{Queue, QueueTraits};

    async fn queue(file: &SqliteFile) -> SqliteQueue {
        let second = Duration::from_secs(1);
        let traits = QueueTraits { visibility: second, retention: second, max_receives: None, dead_letters: None };
        file.queue("q", traits).await.expect("a queue")
    }

    fn fed(body: &str, seen: bool) -> ListedMessage {
        ListedMessage { body: body.into(), seen }
    }

    #[tokio::test]
    async fn messages_and_notes_outlive_the_process_together() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state");
        let file = SqliteFile::open(&path).expect("opened");
        let notes = vec![("position", Some(b"k\xff".to_vec()))];
        queue(&file).await.feed(vec![fed("a", false), fed("b", true)], notes).await.expect("fed");
        drop(file);
        let file = SqliteFile::open(&path).expect("opened again");
        let queue = queue(&file).await;
        assert_eq!(queue.note("position").await.expect("read").as_deref(), Some(&b"k\xff"[..]));
        let messages = queue.receive(10, Duration::ZERO).await.expect("received");
        let seen: Vec<_> = messages.iter().map(|message| (&*message.body, message.received)).collect();
        assert_eq!(seen, [("a", 1), ("b", 2)], "what was seen counts as received before");
        queue.feed(Vec::new(), vec![("position", None)]).await.expect("forgotten");
        assert_eq!(queue.note("position").await.expect("read"), None);
        queue.clear().await.expect("emptied");
        assert!(queue.depth().await.expect("asked").is_empty());
    }

    #[tokio::test]
    async fn a_queue_is_stuck_when_all_that_waits_has_come_back_too_often() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
        let queue = queue(&file).await;
        assert_eq!(queue.count_stuck(2).await.expect("asked"), None, "nothing waits");
        queue.feed(vec![fed("a", false)], Vec::new()).await.expect("fed");
        for expected in [None, Some(1)] {
            let message = queue.receive(1, Duration::ZERO).await.expect("received").remove(0);
            assert_eq!(queue.count_stuck(1).await.expect("asked"), None, "it is being worked on");
            queue.release(&message.receipt, Duration::ZERO).await.expect("released");
            assert_eq!(queue.count_stuck(2).await.expect("asked"), expected);
        }
    }
}
