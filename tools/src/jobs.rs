//! Jobs on their way to the queue while more of them are still being found: in batches, several at once, in no order.

use std::sync::Arc;
use std::time::Duration;

use skyferry_core::backoff::Retry;
use skyferry_core::queue::{Queue, QueueError};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Messages of one call. Ten go in one request of SQS, and the queue cuts them by itself.
const BATCH: usize = 100;
/// Calls at once.
const AT_ONCE: usize = 8;
/// How long a queue that cannot be reached is tried.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends what it is given. What was given and not flushed may or may not have been sent: a job sent twice does no harm.
pub struct JobSender {
    queue: Arc<dyn Queue>,
    waiting: Vec<String>,
    under_way: JoinSet<Result<u64, QueueError>>,
    sent: u64,
}

impl JobSender {
    pub fn new(queue: Arc<dyn Queue>) -> JobSender {
        JobSender { queue, waiting: Vec::with_capacity(BATCH), under_way: JoinSet::new(), sent: 0 }
    }

    /// Waits while enough are in progress. An error may be of an earlier job.
    pub async fn send(&mut self, body: String) -> Result<(), QueueError> {
        self.waiting.push(body);
        if self.waiting.len() < BATCH {
            return Ok(());
        }
        self.dispatch().await
    }

    /// Returns when all that was given is in the queue.
    pub async fn flush(&mut self) -> Result<(), QueueError> {
        self.dispatch().await?;
        while !self.under_way.is_empty() {
            self.reap().await?;
        }
        Ok(())
    }

    /// Known to be in the queue.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    async fn dispatch(&mut self) -> Result<(), QueueError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= AT_ONCE {
            self.reap().await?;
        }
        let batch = std::mem::replace(&mut self.waiting, Vec::with_capacity(BATCH));
        self.under_way.spawn(send(self.queue.clone(), batch));
        Ok(())
    }

    async fn reap(&mut self) -> Result<(), QueueError> {
        match self.under_way.join_next().await {
            Some(Ok(sent)) => self.sent += sent?,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            None => {}
        }
        Ok(())
    }
}

/// A queue that is away is asked again; one that refuses is not.
async fn send(queue: Arc<dyn Queue>, batch: Vec<String>) -> Result<u64, QueueError> {
    let (began, mut retry) =
        (Instant::now(), Retry::within(PATIENCE, Duration::from_millis(500), Duration::from_secs(15)));
    loop {
        let error = match queue.send(&batch).await {
            Ok(()) => return Ok(batch.len() as u64),
            Err(error) => error,
        };
        match retry.delay(began.elapsed()) {
            Some(delay) if matches!(error, QueueError::Unavailable { .. }) => tokio::time::sleep(delay).await,
            _ => return Err(error),
        }
    }
}
