//! The dead letters of the embedded file, for operators. The file is one process's: nobody else can take one meanwhile, so
//! a letter in hand is no more than a place up to which they have been read.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;

use super::{EXHUME, SqliteQueue};
use skyferry_core::queue::{DeadLetter, DeadLetters, Depth, Queue as _, QueueError, Receipt};

pub struct SqliteDeadLetters {
    queue: SqliteQueue,
    /// The last one that was taken.
    read: AtomicI64,
}

impl SqliteDeadLetters {
    pub fn new(queue: SqliteQueue) -> SqliteDeadLetters {
        SqliteDeadLetters { queue, read: AtomicI64::new(0) }
    }
}

fn id(receipt: &Receipt) -> Option<i64> {
    receipt.0.parse().ok()
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    fn name(&self) -> &str {
        self.queue.name()
    }

    fn queue(&self) -> &str {
        self.queue.name()
    }

    fn max_receives(&self) -> Option<u32> {
        self.queue.traits.max_receives
    }

    async fn receive_letters(&self, max: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let letters = self.queue.dead_letters(self.read.load(Relaxed), max).await?;
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
            self.queue.redrive(id).await?;
        }
        Ok(())
    }

    async fn delete_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError> {
        let queue = self.queue.id;
        let ids: Vec<i64> = letters.iter().filter_map(|letter| id(&letter.receipt)).collect();
        let gone = self.queue.run("DeleteMessage", move |db| {
            ids.iter().try_for_each(|id| db.rows(EXHUME, (queue, *id), |_| Ok(())).map(drop))
        });
        gone.await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth { visible: self.queue.count_dead_letters().await?, ..Depth::default() })
    }
}
