//! The dead letters of an embedded file, for operators. Nobody takes one away while they are read: a letter in progress is no
//! more than a place up to which they have been read. Two who settle the same letter at one time settle it once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;

use super::{DEAD, EXHUME, ParkedMessage, SqliteQueue, insert, time};
use skyferry_core::queue::{DeadLetter, DeadLetters, Depth, Queue, QueueError, Receipt};

const COUNT: &str = "SELECT count(*) FROM dead_letters WHERE queue = ?1";

/// A queue that can be asked for its dead letters by number: in this process, or in the one that has the file open.
#[async_trait]
pub trait DeadLetterTable: Queue {
    /// The dead letters after the one with this id (0: from the first), oldest first.
    async fn dead_letters(&self, after: i64, max: usize) -> Result<Vec<ParkedMessage>, QueueError>;

    /// Makes a dead letter a new message. `false`: it is no longer there.
    async fn redrive(&self, dead_letter: i64) -> Result<bool, QueueError>;

    /// Deletes them for good.
    async fn drop_letters(&self, dead_letters: Vec<i64>) -> Result<(), QueueError>;

    async fn count_letters(&self) -> Result<u64, QueueError>;
}

#[async_trait]
impl DeadLetterTable for SqliteQueue {
    async fn dead_letters(&self, after: i64, max: usize) -> Result<Vec<ParkedMessage>, QueueError> {
        let queue = self.id;
        self.run("ListDeadLetters", move |db| {
            db.rows(DEAD, (queue, after, max as i64), |row| {
                Ok(ParkedMessage { id: row.get(0)?, parked: time(row.get(1)?), reason: row.get(2)?, body: row.get(3)? })
            })
        })
        .await
    }

    async fn redrive(&self, dead_letter: i64) -> Result<bool, QueueError> {
        let queue = self.id;
        self.run("Redrive", move |db| {
            let bodies: Vec<String> = db.rows(EXHUME, (queue, dead_letter), |row| row.get(0))?;
            for body in &bodies {
                insert(db, queue, body, Duration::ZERO, 0)?;
            }
            Ok(!bodies.is_empty())
        })
        .await
    }

    async fn drop_letters(&self, dead_letters: Vec<i64>) -> Result<(), QueueError> {
        let queue = self.id;
        self.run("DeleteMessage", move |db| {
            dead_letters.iter().try_for_each(|id| db.rows(EXHUME, (queue, *id), |_| Ok(())).map(drop))
        })
        .await
    }

    async fn count_letters(&self) -> Result<u64, QueueError> {
        let queue = self.id;
        let rows = self.run("GetQueueAttributes", move |db| db.rows(COUNT, (queue,), |row| row.get::<_, i64>(0)));
        Ok(rows.await?.pop().unwrap_or_default() as u64)
    }
}

pub struct SqliteDeadLetters {
    table: Arc<dyn DeadLetterTable>,
    /// The last one that was taken.
    read: AtomicI64,
}

impl SqliteDeadLetters {
    pub fn new(table: Arc<dyn DeadLetterTable>) -> SqliteDeadLetters {
        SqliteDeadLetters { table, read: AtomicI64::new(0) }
    }
}

fn id(receipt: &Receipt) -> Option<i64> {
    receipt.0.parse().ok()
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    fn name(&self) -> &str {
        self.table.name()
    }

    fn queue(&self) -> &str {
        self.table.name()
    }

    fn max_receives(&self) -> Option<u32> {
        self.table.traits().max_receives
    }

    async fn receive_letters(&self, max: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let letters = self.table.dead_letters(self.read.load(Relaxed), max).await?;
        if let Some(last) = letters.last() {
            self.read.store(last.id, Relaxed);
        }
        let taken = letters.into_iter().map(|letter| DeadLetter {
            id: letter.id.to_string().into(),
            receipt: Receipt(letter.id.to_string().into()),
            body: letter.body.into(),
            reason: Some(letter.reason.into()),
            sent: letter.parked,
        });
        Ok(taken.collect())
    }

    async fn release_letters(&self, _: &[Receipt]) -> Result<(), QueueError> {
        self.read.store(0, Relaxed);
        Ok(())
    }

    async fn redrive_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError> {
        for id in letters.iter().filter_map(|letter| id(&letter.receipt)) {
            self.table.redrive(id).await?;
        }
        Ok(())
    }

    async fn delete_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError> {
        self.table.drop_letters(letters.iter().filter_map(|letter| id(&letter.receipt)).collect()).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth { visible: self.table.count_letters().await?, ..Depth::default() })
    }
}
