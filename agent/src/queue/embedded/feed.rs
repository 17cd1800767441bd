//! How a listing on the same machine feeds the queue: its messages and where it stands become durable together, so that
//! a killed run goes on where it was and nothing lies between what was listed and what was sent.

use std::time::Duration;

use super::{EmbeddedQueue, insert};
use crate::queue::QueueError;

const WRITE: &str = "INSERT INTO notes (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
const ERASE: &str = "DELETE FROM notes WHERE name = ?1";
const READ: &str = "SELECT value FROM notes WHERE name = ?1";
const EMPTY: &str = "DELETE FROM messages WHERE queue = ?1";
const UNBURY: &str = "DELETE FROM dead_letters WHERE queue = ?1";

/// A message of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fed {
    pub body: String,
    /// Something is at the destination already: the message counts as received before, so that its job looks first.
    pub seen: bool,
}

/// Something to remember beside the messages; without a value, to forget.
pub type Note = (&'static str, Option<Vec<u8>>);

impl EmbeddedQueue {
    /// Sends these and writes the notes, both or neither.
    pub async fn feed(&self, messages: Vec<Fed>, notes: Vec<Note>) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("SendMessage", move |db| {
            for Fed { body, seen } in &messages {
                insert(db, queue, body, Duration::ZERO, u32::from(*seen))?;
            }
            for (name, value) in &notes {
                match value {
                    Some(value) => db.execute(WRITE, (name, value))?,
                    None => db.execute(ERASE, (name,))?,
                };
            }
            Ok(())
        })
        .await
    }

    pub async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, QueueError> {
        Ok(self.run("ReadNote", move |db| db.rows(READ, (name,), |row| row.get(0))).await?.pop())
    }

    /// Forgets the messages and what was given up; the ledger stays.
    pub async fn empty(&self) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("PurgeQueue", move |db| db.execute(EMPTY, (queue,)).map(|_| ())).await?;
        self.forget_dead_letters().await
    }

    /// Of earlier runs: each run tells its own.
    pub async fn forget_dead_letters(&self) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("PurgeDeadLetters", move |db| db.execute(UNBURY, (queue,)).map(|_| ())).await
    }
}
