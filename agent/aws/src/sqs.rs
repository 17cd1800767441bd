//! The queue on Amazon SQS.
//!
//! Deletions and changes of visibility of all jobs go ten at a time (`batch`), what is sent too (`send`). A receipt is
//! `<received>.<handle>`: SQS counts its 12 hours from the receive, and nothing is extended beyond them. Deliveries are
//! received with a visibility of our own where the queue's is longer than a heartbeat needs: what a killed agent had in
//! hand comes back sooner.

mod arn;
mod batch;
mod dead_letters;
mod error;
mod policy;
mod queue_handle;
mod send;
mod settings;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use skyferry_providers::Cached;

use crate::client::RetryBudget;
pub use arn::{Arn, region as region_of_url};
use batch::{BatchOperation, Batcher};
pub use dead_letters::SqsDeadLetters;
use error::ErrorContext;
pub use policy::QueuePolicy;
use queue_handle::{QueueHandle, RedrivePolicy};
use send::Sender;
pub use settings::{DeadLetterTarget, SqsSettings};
pub use skyferry_core::queue::QueueName;
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};

/// How long SQS lets one delivery be invisible, all in all; less a little for clocks and ways.
const LONGEST_IN_FLIGHT: Duration = Duration::from_secs(12 * 3600 - 60);
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// A heartbeat keeps messages invisible, so longer than this helps nobody; a queue set to none at all could not be worked.
const LONGEST_VISIBILITY: u64 = 3600;
const NO_VISIBILITY: u64 = 30;
const PATIENCE: RetryBudget = RetryBudget { attempt: Duration::from_secs(10), total: Duration::from_secs(20) };

#[derive(Clone, Debug)]
pub struct SqsOptions {
    pub queue: QueueName,
    /// `None`: that of the URL, else that of the keys.
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

pub struct Sqs {
    found: QueueHandle,
    traits: QueueTraits,
    outgoing: Sender,
    /// The dead letters' URL.
    dead_letters: Option<String>,
    deletes: Batcher,
    visibilities: Batcher,
}

impl Sqs {
    /// Finds the queue and reads its attributes. Needs a runtime.
    pub async fn open(options: SqsOptions, keys: Arc<Cached>) -> Result<Sqs, QueueError> {
        let found = QueueHandle::open(options, keys, ErrorContext::new).await?;
        let redrive = found.redrive()?;
        let dead = redrive.as_ref().and_then(RedrivePolicy::dead_letters);
        let visibility = match found.attributes.number(QueueAttributeName::VisibilityTimeout) {
            Some(0) | None => NO_VISIBILITY,
            Some(seconds) => seconds.min(LONGEST_VISIBILITY),
        };
        let traits = QueueTraits {
            visibility: Duration::from_secs(visibility),
            retention: Duration::from_secs(
                found.attributes.number(QueueAttributeName::MessageRetentionPeriod).unwrap_or(345_600),
            ),
            max_receives: redrive.as_ref().and_then(RedrivePolicy::max_receives),
            dead_letters: dead.as_ref().map(|arn| arn.name.to_owned()),
        };
        let most = found.attributes.number(QueueAttributeName::MaximumMessageSize).unwrap_or(256 << 10);
        let QueueHandle { aws, client, errors, url, .. } = &found;
        let changes = |change| Batcher::start(aws.clone(), client.clone(), errors.clone(), url.clone(), change);
        Ok(Sqs {
            outgoing: Sender::new(aws.clone(), client.clone(), errors.clone(), most),
            dead_letters: dead.as_ref().map(|arn| arn.url_beside(url)),
            deletes: changes(BatchOperation::Delete),
            visibilities: changes(BatchOperation::Visibility),
            traits,
            found,
        })
    }
}

#[async_trait]
impl Queue for Sqs {
    fn name(&self) -> &str {
        self.found.errors.queue()
    }

    fn traits(&self) -> QueueTraits {
        self.traits.clone()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let wait = wait.min(LONGEST_POLL);
        let request = || {
            let names =
                [MessageSystemAttributeName::ApproximateReceiveCount, MessageSystemAttributeName::SentTimestamp];
            self.found
                .client
                .receive_message()
                .queue_url(&*self.found.url)
                .max_number_of_messages(max.clamp(1, 10) as i32)
                .wait_time_seconds(seconds(wait))
                .visibility_timeout(seconds(self.traits.visibility))
                .set_message_system_attribute_names(Some(names.into()))
        };
        // The drain tries again by itself, and must hear of trouble to do it.
        let patience = RetryBudget { attempt: wait + PATIENCE.attempt, total: Duration::ZERO };
        let asked = SystemTime::now();
        let received = self.found.aws.call(patience, || request().send()).await;
        let received = received.map_err(|failure| self.found.errors.classify("ReceiveMessage", failure))?;
        let messages = received.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(|message| read(message, asked)).collect())
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let (left, handle) = parse(receipt).ok_or(QueueError::LeaseLost)?;
        if visibility > left {
            return Err(QueueError::LeaseLost);
        }
        self.visibilities.change(handle, seconds(visibility)).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        let Some((left, handle)) = parse(receipt) else { return Ok(()) };
        match self.visibilities.change(handle, seconds(delay.min(left))).await {
            Err(QueueError::LeaseLost) => Ok(()),
            other => other,
        }
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        self.outgoing.send_one(&self.found.url, body, delay, None).await?;
        self.delete(&message.receipt).await
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        match &self.dead_letters {
            Some(url) => self.outgoing.send_one(url, body, Duration::ZERO, Some(reason)).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (_, handle) = parse(receipt).ok_or(QueueError::LeaseLost)?;
        self.deletes.change(handle, 0).await
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.outgoing.send_all(&self.found.url, bodies).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.found.depth().await
    }

    async fn dead_letters_waiting(&self) -> Result<Option<u64>, QueueError> {
        let Some(url) = &self.dead_letters else { return Ok(None) };
        Ok(Some(self.found.depth_of(url).await?.visible))
    }
}

fn read(message: aws_sdk_sqs::types::Message, asked: SystemTime) -> Option<Message> {
    let attributes = message.attributes.unwrap_or_default();
    let number = |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok());
    let sent = number(MessageSystemAttributeName::SentTimestamp).map(Duration::from_millis);
    let received = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    Some(Message {
        id: message.message_id?.into(),
        receipt: receipt(&message.receipt_handle?, asked),
        // A body is never empty on SQS; were it so, it would be malformed and parked.
        body: message.body.unwrap_or_default().into(),
        received: u32::try_from(received).unwrap_or(u32::MAX).max(1),
        sent: sent.map_or_else(SystemTime::now, |since| SystemTime::UNIX_EPOCH + since),
    })
}

/// Of a delivery that was received at this time.
pub fn receipt(handle: &str, received: SystemTime) -> Receipt {
    let received = received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Receipt(format!("{received}.{handle}").into())
}

/// How long the delivery may still be kept, and its handle.
fn parse(receipt: &Receipt) -> Option<(Duration, &str)> {
    let (received, handle) = receipt.0.split_once('.')?;
    let received = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(received.parse().ok()?))?;
    let age = received.elapsed().unwrap_or_default();
    Some((LONGEST_IN_FLIGHT.saturating_sub(age), handle))
}

/// SQS counts in whole seconds: never less than asked for, at most what it takes.
fn seconds(time: Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    whole.min(LONGEST_IN_FLIGHT.as_secs()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_whole_seconds() {
        for (time, whole) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (u64::MAX, 43_140)] {
            assert_eq!(seconds(Duration::from_millis(time)), whole, "{time}");
        }
    }

    #[test]
    fn a_delivery_is_kept_for_twelve_hours_at_most() {
        let receipt = |ago: u64| {
            let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - ago;
            Receipt(format!("{received}.a handle.with a dot").into())
        };
        let (left, handle) = parse(&receipt(11 * 3600)).map(|(left, handle)| (left, handle.to_owned())).unwrap();
        assert!(left <= Duration::from_secs(3540) && left > Duration::from_secs(3530), "{left:?}");
        assert_eq!(handle, "a handle.with a dot");
        assert_eq!(parse(&receipt(13 * 3600)).unwrap().0, Duration::ZERO);
        assert_eq!(parse(&Receipt("nonsense".into())), None);
    }
}
