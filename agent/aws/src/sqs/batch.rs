//! Deletions and changes of visibility, ten in one request: a tenth of the cost. A caller waits for its own entry's
//! answer; a request goes out when it is full, or some milliseconds after its first entry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry as VisibilityEntry,
    DeleteMessageBatchRequestEntry as DeleteEntry,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::QueueError;
use super::error::ErrorContext;
use crate::client::{AwsClient, RetryBudget};

const FULL: usize = 10;
const PATIENCE: RetryBudget = RetryBudget { attempt: Duration::from_secs(5), total: Duration::from_secs(10) };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchOperation {
    Delete,
    Visibility,
}

impl BatchOperation {
    /// How long a request waits for more entries. Nothing waits for a deletion: the job's slot is free by then. With a
    /// release another agent can begin.
    fn linger(self) -> Duration {
        match self {
            BatchOperation::Delete => Duration::from_millis(100),
            BatchOperation::Visibility => Duration::from_millis(5),
        }
    }
}

struct Entry {
    handle: String,
    /// Of a change of visibility.
    seconds: i32,
    reply: oneshot::Sender<Result<(), QueueError>>,
}

/// Entries that are not done yet, with their places, and why.
struct Left {
    entries: Vec<Entry>,
    why: String,
}

/// Its task ends with it.
pub(super) struct Batcher(mpsc::UnboundedSender<Entry>, ErrorContext);

#[derive(Clone)]
struct Sender {
    aws: AwsClient,
    client: Client,
    errors: ErrorContext,
    url: Arc<str>,
    change: BatchOperation,
}

impl Batcher {
    pub fn start(
        aws: AwsClient,
        client: Client,
        errors: ErrorContext,
        url: Arc<str>,
        change: BatchOperation,
    ) -> Batcher {
        let (entries, queue) = mpsc::unbounded_channel();
        let sender = Sender { aws, client, errors: errors.clone(), url, change };
        tokio::spawn(collect(queue, sender));
        Batcher(entries, errors)
    }

    /// `LeaseLost` where the delivery has ended.
    pub async fn change(&self, handle: &str, seconds: i32) -> Result<(), QueueError> {
        let (reply, answer) = oneshot::channel();
        let gone = || self.1.unavailable("batch", "this agent is stopping".into());
        self.0.send(Entry { handle: handle.to_owned(), seconds, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn collect(mut entries: mpsc::UnboundedReceiver<Entry>, sender: Sender) {
    while let Some(batch) = next_batch(&mut entries, sender.change.linger()).await {
        tokio::spawn(send_entries(batch, sender.clone()));
    }
}

/// The first that comes and those that follow it. `None`: there will be none.
async fn next_batch<T>(entries: &mut mpsc::UnboundedReceiver<T>, linger: Duration) -> Option<Vec<T>> {
    let mut batch = vec![entries.recv().await?];
    let flush = Instant::now() + linger;
    while batch.len() < FULL {
        tokio::select! {
            biased;
            entry = entries.recv() => match entry {
                Some(entry) => batch.push(entry),
                None => break,
            },
            () = sleep_until(flush) => break,
        }
    }
    Some(batch)
}

/// Sends the entries until each has its answer. A caller that has gone away wants nothing any more: an extension that
/// lands after a release would hide the message again.
async fn send_entries(mut entries: Vec<Entry>, sender: Sender) {
    let (began, mut retry) = (Instant::now(), PATIENCE.retry());
    loop {
        entries.retain(|entry| !entry.reply.is_closed());
        if entries.is_empty() {
            return;
        }
        let Left { entries: left, why } = sender.send(entries).await;
        if left.is_empty() {
            return;
        }
        let Some(delay) = retry.delay(began.elapsed()) else {
            for entry in left {
                let _ = entry.reply.send(Err(sender.errors.unavailable(sender.operation(), why.clone())));
            }
            return;
        };
        sleep(delay).await;
        entries = left;
    }
}

impl Sender {
    fn operation(&self) -> &'static str {
        match self.change {
            BatchOperation::Delete => "DeleteMessageBatch",
            BatchOperation::Visibility => "ChangeMessageVisibilityBatch",
        }
    }

    /// One request; answers who can be answered, and gives back who is to be tried again.
    async fn send(&self, entries: Vec<Entry>) -> Left {
        let (done, failed) = match self.request(&entries).await {
            Ok(answer) => answer,
            Err(error) => {
                for entry in entries {
                    let _ = entry.reply.send(Err(error.clone()));
                }
                return Left { entries: Vec::new(), why: String::new() };
            }
        };
        let failed: HashMap<&str, &BatchResultErrorEntry> =
            failed.iter().map(|failure| (&*failure.id, failure)).collect();
        let mut left = Left { entries: Vec::new(), why: "the answer leaves entries out".into() };
        for (place, entry) in entries.into_iter().enumerate() {
            let id = place.to_string();
            let answer = match failed.get(&*id) {
                None if done.contains(&id) => Ok(()),
                Some(failure) if is_lost(failure) => Err(QueueError::LeaseLost),
                Some(failure) if is_final(failure) => Err(self.errors.unusable(
                    format!("{} is refused ({}: {})", self.operation(), failure.code, text(failure)),
                    "check the queue's policy and the keys; if they are right, please report this",
                )),
                other => {
                    if let Some(failure) = other {
                        left.why = format!("{}: {}", failure.code, text(failure));
                    }
                    left.entries.push(entry);
                    continue;
                }
            };
            let _ = entry.reply.send(answer);
        }
        left
    }

    /// The ids that are done, and the entries that are not.
    async fn request(&self, entries: &[Entry]) -> Result<(Vec<String>, Vec<BatchResultErrorEntry>), QueueError> {
        let places = || entries.iter().enumerate().map(|(place, entry)| (place.to_string(), entry));
        let defect = |error: BuildError| self.errors.unavailable(self.operation(), error.to_string());
        match self.change {
            BatchOperation::Delete => {
                let entry =
                    |(id, entry): (String, &Entry)| DeleteEntry::builder().id(id).receipt_handle(&entry.handle).build();
                let list = places().map(entry).collect::<Result<Vec<_>, _>>().map_err(defect)?;
                let request =
                    || self.client.delete_message_batch().queue_url(&*self.url).set_entries(Some(list.clone()));
                let answer = self.aws.call(PATIENCE, || request().send()).await;
                let answer = answer.map_err(|failure| self.errors.classify(self.operation(), failure))?;
                Ok((answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed))
            }
            BatchOperation::Visibility => {
                let entry = |(id, entry): (String, &Entry)| {
                    let builder = VisibilityEntry::builder().id(id).receipt_handle(&entry.handle);
                    builder.visibility_timeout(entry.seconds).build()
                };
                let list = places().map(entry).collect::<Result<Vec<_>, _>>().map_err(defect)?;
                let request = || {
                    let request = self.client.change_message_visibility_batch().queue_url(&*self.url);
                    request.set_entries(Some(list.clone()))
                };
                let answer = self.aws.call(PATIENCE, || request().send()).await;
                let answer = answer.map_err(|failure| self.errors.classify(self.operation(), failure))?;
                Ok((answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed))
            }
        }
    }
}

/// The receipt is not, or no longer, one of a delivery that is in flight. `InvalidParameterValue` is how SQS says it of a
/// message that has become visible meanwhile, and of the 12 hours being over.
fn is_lost(failure: &BatchResultErrorEntry) -> bool {
    let code = failure.code.rsplit('.').next().unwrap_or_default();
    matches!(code, "ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue")
}

/// The fault is ours, and no passing one: throttling is counted as the sender's too.
fn is_final(failure: &BatchResultErrorEntry) -> bool {
    failure.sender_fault && !failure.code.contains("Throttl")
}

fn text(failure: &BatchResultErrorEntry) -> &str {
    failure.message.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, sender_fault: bool) -> BatchResultErrorEntry {
        BatchResultErrorEntry::builder().id("0").code(code).sender_fault(sender_fault).build().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn entries_go_by_ten_or_when_the_first_has_waited_long_enough() {
        let (send, mut entries) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for n in 0..27 {
                send.send(n).unwrap();
                sleep(Duration::from_millis(3)).await;
            }
        });
        let mut sizes = Vec::new();
        while let Some(batch) = next_batch(&mut entries, BatchOperation::Delete.linger()).await {
            sizes.push(batch.len());
        }
        assert_eq!(sizes, [10, 10, 7]);
    }

    #[test]
    fn an_entry_that_failed_is_lost_or_final_or_tried_again() {
        for (code, fault, lost, last) in [
            ("ReceiptHandleIsInvalid", true, true, true),
            ("AWS.SimpleQueueService.MessageNotInflight", true, true, true),
            ("InternalError", false, false, false),
            ("RequestThrottled", true, false, false),
            ("AccessDenied", true, false, true),
        ] {
            let failure = failure(code, fault);
            assert_eq!((is_lost(&failure), is_final(&failure)), (lost, last), "{code}");
        }
    }
}
