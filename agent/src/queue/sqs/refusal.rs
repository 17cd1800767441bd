//! SQS's refusals as `QueueError`: what passes by itself is weather, the rest says what to do.

use std::sync::Arc;

use super::QueueError;
use crate::aws::{Cause, Failure, TlsError};

/// Knows the queue as its operators do.
#[derive(Clone)]
pub(super) struct Refusals(Arc<str>);

impl Refusals {
    pub fn new(queue: &str) -> Refusals {
        Refusals(queue.into())
    }

    pub fn queue(&self) -> &str {
        &self.0
    }

    pub fn told<E>(&self, operation: &'static str, failure: Failure<E>) -> QueueError {
        if failure.is("NonExistentQueue") || failure.is("QueueDoesNotExist") {
            return self.unusable(
                format!("there is no such queue for these keys ({operation}: {})", failure.answer),
                "check [queue] name and region; a queue of another account needs url instead of name, and a queue policy \
                 that lets these keys in",
            );
        }
        match failure.cause {
            Cause::Denied => self.unusable(
                format!("{operation} is denied ({})", failure.answer),
                "grant the queue's keys sqs:GetQueueUrl, GetQueueAttributes, ReceiveMessage, DeleteMessage, \
                 ChangeMessageVisibility and SendMessage on it, and SendMessage on its dead-letter queue; of another \
                 account the queue policy has to allow them too",
            ),
            Cause::Refused => self.unusable(
                format!("{operation} is refused ({})", failure.answer),
                "check the [queue] section; if it is right, please report this",
            ),
            Cause::Throttled | Cause::Unavailable | Cause::Credentials => {
                QueueError::Weather { queue: self.0.to_string(), operation, answer: failure.answer }
            }
        }
    }

    pub fn weather(&self, operation: &'static str, answer: String) -> QueueError {
        QueueError::Weather { queue: self.0.to_string(), operation, answer }
    }

    pub fn nonsense(&self, operation: &'static str, what: &str) -> QueueError {
        self.weather(operation, format!("the answer has {what}"))
    }

    pub fn fifo(&self) -> QueueError {
        self.unusable(
            "it is a FIFO queue".into(),
            "S3 sends its events to standard queues only: make one, and point the bucket's notification to it",
        )
    }

    pub fn no_tls(&self, error: &TlsError) -> QueueError {
        self.unusable(error.to_string(), "correct SSL_CERT_FILE or AWS_CA_BUNDLE")
    }

    pub fn no_region(&self) -> QueueError {
        self.unusable("its region is not known".into(), "set [queue] region: the credentials bring none")
    }

    pub fn unusable(&self, problem: String, advice: &str) -> QueueError {
        QueueError::Unusable { queue: self.0.to_string(), problem, advice: advice.into() }
    }
}
