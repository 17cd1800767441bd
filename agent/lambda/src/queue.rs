//! A queue whose messages somebody else receives: Lambda hands a batch to each invocation, and deletes what it is not told to
//! keep. All that can change a message (extend, release, renew, park) goes to the queue itself; a deletion only takes the
//! message off the list of failures that the invocation answers with.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};
use tokio_util::sync::CancellationToken;

pub struct EventQueue {
    inner: Arc<dyn Queue>,
    batch: Mutex<Batch>,
}

/// What the invocation that runs was given.
#[derive(Default)]
struct Batch {
    /// No job has them yet.
    waiting: VecDeque<Message>,
    /// By receipt, what is not known to be done.
    open: HashMap<Receipt, Open>,
    /// No more is given out, and who waits for more is answered.
    over: CancellationToken,
}

struct Open {
    id: Arc<str>,
    /// It comes back when whoever worked on it wants it to.
    is_released: bool,
}

impl EventQueue {
    pub fn new(inner: Arc<dyn Queue>) -> EventQueue {
        EventQueue { inner, batch: Mutex::default() }
    }

    /// The next batch; nothing of it is given out once `over` is set.
    pub fn load(&self, messages: &[Message], over: CancellationToken) {
        let open = |message: &Message| (message.receipt.clone(), Open { id: message.id.clone(), is_released: false });
        let open = messages.iter().map(open).collect();
        *self.batch() = Batch { waiting: messages.to_vec().into(), open, over };
    }

    /// What no job has got. It stays among the failures.
    pub fn take_unclaimed(&self) -> Vec<Message> {
        std::mem::take(&mut self.batch().waiting).into()
    }

    /// The ids of what Lambda must keep.
    pub fn failures(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = self.batch().open.values().map(|open| open.id.clone()).collect();
        ids.sort();
        ids
    }

    /// Of these, what no job has given back either.
    pub fn abandoned(&self) -> Vec<Receipt> {
        let batch = self.batch();
        batch.open.iter().filter(|(_, open)| !open.is_released).map(|(receipt, _)| receipt.clone()).collect()
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, receipt: &Receipt) {
        self.batch().open.remove(receipt);
    }
}

#[async_trait]
impl Queue for EventQueue {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn traits(&self) -> QueueTraits {
        self.inner.traits()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let (messages, over) = {
            let mut batch = self.batch();
            let most = if batch.over.is_cancelled() { 0 } else { max.min(batch.waiting.len()) };
            (batch.waiting.drain(..most).collect::<Vec<_>>(), batch.over.clone())
        };
        if messages.is_empty() {
            let _ = tokio::time::timeout(wait, over.cancelled()).await;
        }
        Ok(messages)
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        self.inner.extend(receipt, visibility).await
    }

    /// It stays a failure; without the change of its visibility it would come back only when that ends, in hours.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.inner.release(receipt, delay).await?;
        if let Some(open) = self.batch().open.get_mut(receipt) {
            open.is_released = true;
        }
        Ok(())
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        self.inner.renew(message, body, delay).await?;
        self.done(&message.receipt);
        Ok(())
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        self.inner.park(body, reason).await
    }

    /// Lambda deletes it when the invocation has answered; killed before that, it comes again and is found to be done.
    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.done(receipt);
        Ok(())
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.inner.send(bodies).await
    }

    /// Of the batch: a look at the whole queue is nobody's business here, and a request.
    async fn depth(&self) -> Result<Depth, QueueError> {
        let batch = self.batch();
        let waiting = batch.waiting.len();
        Ok(Depth { visible: waiting as u64, in_flight: batch.open.len().saturating_sub(waiting) as u64, delayed: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use skyferry_sqlite::SqliteFile;

    use super::*;

    const TRAITS: fn() -> QueueTraits = || QueueTraits {
        visibility: Duration::from_secs(60),
        retention: Duration::MAX,
        max_receives: None,
        dead_letters: Some("events".into()),
    };

    async fn queue() -> (tempfile::TempDir, EventQueue, Vec<Message>) {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(&folder.path().join("queue")).unwrap();
        let inner = file.queue("events", TRAITS()).await.unwrap();
        inner.send(&["a".into(), "b".into(), "c".into()]).await.unwrap();
        let messages = inner.receive(10, Duration::ZERO).await.unwrap();
        assert_eq!(messages.len(), 3);
        (folder, EventQueue::new(Arc::new(inner)), messages)
    }

    #[tokio::test]
    async fn what_is_deleted_or_renewed_is_no_failure_and_the_rest_is() {
        let (_folder, queue, messages) = queue().await;
        queue.load(&messages, CancellationToken::new());
        let got = queue.receive(10, Duration::ZERO).await.unwrap();
        assert_eq!(got.len(), 3);
        assert_eq!(queue.depth().await.unwrap(), Depth { visible: 0, in_flight: 3, delayed: 0 });
        queue.delete(&got[0].receipt).await.unwrap();
        queue.release(&got[1].receipt, Duration::ZERO).await.unwrap();
        queue.renew(&got[2], "c again", Duration::ZERO).await.unwrap();
        assert_eq!(queue.failures(), std::slice::from_ref(&got[1].id));
        assert_eq!(queue.abandoned(), []);
        // The queue itself has the one that was released, the one that was renewed, and the one that Lambda will delete.
        assert_eq!(queue.inner.depth().await.unwrap(), Depth { visible: 2, in_flight: 1, delayed: 0 });
    }

    #[tokio::test]
    async fn a_batch_that_is_over_gives_nothing_out_and_keeps_nobody_waiting() {
        let (_folder, queue, messages) = queue().await;
        let over = CancellationToken::new();
        queue.load(&messages, over.clone());
        assert_eq!(queue.receive(1, Duration::ZERO).await.unwrap().len(), 1);
        over.cancel();
        let asked = SystemTime::now();
        assert!(queue.receive(10, Duration::from_secs(60)).await.unwrap().is_empty());
        assert!(asked.elapsed().unwrap() < Duration::from_secs(30));
        assert_eq!((queue.take_unclaimed().len(), queue.failures().len(), queue.abandoned().len()), (2, 3, 3));
    }
}
