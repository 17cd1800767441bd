//! The dead letters of a queue on SQS: what Skyferry parked, with its reason in an attribute, and what SQS itself gave up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use futures_util::future::join_all;
use skyferry_providers::Cached;

use super::batch::{BatchOperation, Batcher};
use super::error::ErrorContext;
use super::queue_handle::QueueHandle;
use super::send::{REASON, Sender};
use super::{PATIENCE, QueueError, RetryBudget, SqsOptions, parse, read, seconds};
use skyferry_core::queue::{DeadLetter, DeadLetters, Depth, HIDDEN, Receipt};

/// Long enough that SQS asks all its servers: nothing then means that there is nothing.
const LOOK: Duration = Duration::from_secs(1);

pub struct SqsDeadLetters {
    dead: QueueHandle,
    queue: ErrorContext,
    queue_url: Arc<str>,
    max_receives: Option<u32>,
    outgoing: Sender,
    deletes: Batcher,
    visibilities: Batcher,
}

impl SqsDeadLetters {
    /// Those of the queue that the options name. Needs a runtime.
    pub async fn open(options: SqsOptions, keys: Arc<Cached>) -> Result<SqsDeadLetters, QueueError> {
        let queue = QueueHandle::open(options.clone(), keys.clone(), ErrorContext::new).await?;
        let redrive = queue.redrive()?;
        let arn = redrive.as_ref().and_then(|redrive| redrive.dead_letters());
        let Some(arn) = arn else { return Err(queue.errors.no_dead_letters()) };
        let url = arn.url_beside(&queue.url);
        let beside = SqsOptions { queue: super::QueueName::Url(url), ..options };
        let dead = QueueHandle::open(beside, keys, ErrorContext::of_dead_letters).await?;
        let most = queue.attributes.number(QueueAttributeName::MaximumMessageSize).unwrap_or(256 << 10);
        let changes = |change| {
            Batcher::start(dead.aws.clone(), dead.client.clone(), dead.errors.clone(), dead.url.clone(), change)
        };
        Ok(SqsDeadLetters {
            max_receives: redrive.as_ref().and_then(|redrive| redrive.max_receives()),
            outgoing: Sender::new(queue.aws, queue.client, queue.errors.clone(), most),
            queue: queue.errors,
            queue_url: queue.url,
            deletes: changes(BatchOperation::Delete),
            visibilities: changes(BatchOperation::Visibility),
            dead,
        })
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    fn name(&self) -> &str {
        self.dead.url.rsplit('/').next().unwrap_or_default()
    }

    fn queue(&self) -> &str {
        self.queue.queue()
    }

    fn max_receives(&self) -> Option<u32> {
        self.max_receives
    }

    async fn receive_letters(&self, max: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let request = || {
            let names =
                [MessageSystemAttributeName::ApproximateReceiveCount, MessageSystemAttributeName::SentTimestamp];
            self.dead
                .client
                .receive_message()
                .queue_url(&*self.dead.url)
                .max_number_of_messages(max.clamp(1, 10) as i32)
                .wait_time_seconds(seconds(LOOK))
                .visibility_timeout(seconds(HIDDEN))
                .message_attribute_names(REASON)
                .set_message_system_attribute_names(Some(names.into()))
        };
        let patience = RetryBudget { attempt: LOOK + PATIENCE.attempt, ..PATIENCE };
        let asked = SystemTime::now();
        let received = self.dead.aws.call(patience, || request().send()).await;
        let received = received.map_err(|failure| self.dead.errors.classify("ReceiveMessage", failure))?;
        let letters = received.messages.unwrap_or_default().into_iter().filter_map(|message| {
            let reason = message.message_attributes.as_ref().and_then(|all| all.get(REASON)?.string_value.as_deref());
            let reason = reason.map(Arc::from);
            let message = read(message, asked)?;
            Some(DeadLetter {
                id: message.id,
                receipt: message.receipt,
                body: message.body,
                reason,
                sent: message.sent,
            })
        });
        Ok(letters.collect())
    }

    async fn release_letters(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let handles = receipts.iter().filter_map(parse);
        let given = join_all(handles.map(|(_, handle)| self.visibilities.change(handle, 0))).await;
        given.into_iter().filter(|answer| !matches!(answer, Err(QueueError::LeaseLost))).collect()
    }

    async fn redrive_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError> {
        let bodies: Vec<String> = letters.iter().map(|letter| letter.body.to_string()).collect();
        self.outgoing.send_all(&self.queue_url, &bodies).await?;
        self.delete_letters(letters).await
    }

    async fn delete_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError> {
        let handles = letters.iter().filter_map(|letter| parse(&letter.receipt));
        let deleted = join_all(handles.map(|(_, handle)| self.deletes.change(handle, 0))).await;
        deleted.into_iter().collect()
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.dead.depth().await
    }
}
