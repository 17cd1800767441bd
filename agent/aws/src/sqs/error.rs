//! SQS's refusals as `QueueError`: what passes by itself is an outage, the rest says what to do.

use std::sync::Arc;

use super::QueueError;
use crate::client::{FailureCause, RequestFailure, TlsSetupError};

/// Knows the queue as its operators do, and what it is wanted for.
#[derive(Clone)]
pub(super) struct ErrorContext {
    queue: Arc<str>,
    missing: &'static str,
    denied: &'static str,
}

impl ErrorContext {
    /// For the agent: to work on it.
    pub fn new(queue: &str) -> ErrorContext {
        ErrorContext {
            queue: queue.into(),
            missing: "check [queue] name and region; a queue of another account needs url instead of name, and a queue \
                      policy that lets these keys in",
            denied: "grant the queue's keys sqs:GetQueueUrl, GetQueueAttributes, ReceiveMessage, DeleteMessage, \
                     ChangeMessageVisibility and SendMessage on it, and SendMessage on its dead-letter queue; of another \
                     account the queue policy has to allow them too",
        }
    }

    /// For whoever sets its policy.
    pub fn of_owner(queue: &str) -> ErrorContext {
        ErrorContext {
            queue: queue.into(),
            missing: "check its ARN: region, account and name",
            denied: "grant these keys sqs:GetQueueAttributes and sqs:SetQueueAttributes on it; or let its owner set the \
                     policy, and take --keep-policy",
        }
    }

    /// For whoever looks through the dead letters.
    pub fn of_dead_letters(queue: &str) -> ErrorContext {
        ErrorContext {
            queue: queue.into(),
            missing: "the RedrivePolicy of the queue names it: make it again, or name another one there",
            denied: "grant the queue's keys sqs:GetQueueAttributes, ReceiveMessage, DeleteMessage and \
                     ChangeMessageVisibility on this dead-letter queue",
        }
    }

    pub fn queue(&self) -> &str {
        &self.queue
    }

    pub fn classify<E>(&self, operation: &'static str, failure: RequestFailure<E>) -> QueueError {
        if failure.is("NonExistentQueue") || failure.is("QueueDoesNotExist") {
            return self.unusable(
                format!("no such queue for these credentials ({operation}: {})", failure.answer),
                self.missing,
            );
        }
        match failure.cause {
            FailureCause::Denied => {
                let action = operation.trim_end_matches("Batch");
                let problem = format!("{operation} is denied: sqs:{action} is missing ({})", failure.answer);
                QueueError::Unusable {
                    queue: self.queue.to_string(),
                    problem,
                    advice: self.denied.into(),
                    denied: true,
                }
            }
            FailureCause::Refused => self.unusable(
                format!("{operation} is refused ({})", failure.answer),
                "check the [queue] section; if it is right, please report this",
            ),
            FailureCause::Throttled | FailureCause::Unavailable | FailureCause::Credentials => {
                QueueError::Unavailable { queue: self.queue.to_string(), operation, answer: failure.answer }
            }
        }
    }

    pub fn unavailable(&self, operation: &'static str, answer: String) -> QueueError {
        QueueError::Unavailable { queue: self.queue.to_string(), operation, answer }
    }

    pub fn unexpected_answer(&self, operation: &'static str, what: &str) -> QueueError {
        self.unavailable(operation, format!("the answer has {what}"))
    }

    pub fn fifo(&self) -> QueueError {
        self.unusable(
            "it is a FIFO queue".into(),
            "S3 sends its events to standard queues only: create one, and point the bucket's notification to it",
        )
    }

    pub fn no_dead_letters(&self) -> QueueError {
        self.unusable(
            "it has no dead-letter queue (its RedrivePolicy names none): parked records are only in the ledger".into(),
            "create a queue, and name it in this one's RedrivePolicy with a maxReceiveCount of about 12",
        )
    }

    pub fn no_tls(&self, error: &TlsSetupError) -> QueueError {
        self.unusable(error.to_string(), "correct SSL_CERT_FILE or AWS_CA_BUNDLE")
    }

    pub fn no_region(&self) -> QueueError {
        self.unusable("its region is not known".into(), "set [queue] region: the credentials do not name one")
    }

    pub fn unusable(&self, problem: String, advice: &str) -> QueueError {
        QueueError::Unusable { queue: self.queue.to_string(), problem, advice: advice.into(), denied: false }
    }
}
