//! What Skyferry asks of a queue: at least once, unordered, a message invisible while somebody works on it.
//!
//! The words are SQS's. The contract that every implementation passes is `tests/contracts/queue.rs`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// One delivery of one message. Its body has not been read yet: `event::parse` does that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// As the service named it, for logs.
    pub id: Arc<str>,
    /// Names this delivery; an older delivery's receipt may fail.
    pub receipt: Receipt,
    /// What was sent.
    pub body: Arc<str>,
    /// How often it has been delivered, this time included: from 1. Counts crashes and outages too.
    pub received: u32,
    /// When it was sent: its age is what lag means.
    pub sent: SystemTime,
}

/// What extends, releases and deletes one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt(pub Arc<str>);

/// Which queue of SQS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueName {
    /// In the account of the keys.
    Name(String),
    /// By its URL, also in another account.
    Url(String),
}

/// About how many messages there are; approximate on SQS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Waiting.
    pub visible: u64,
    /// Received and not deleted.
    pub in_flight: u64,
    /// Sent with a delay that is not over.
    pub delayed: u64,
}

impl Depth {
    /// Nothing in any state.
    pub fn is_empty(&self) -> bool {
        *self == Depth::default()
    }
}

/// What the queue's own settings say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTraits {
    /// How long a delivery stays invisible unless extended.
    pub visibility: Duration,
    /// A message older than this is dropped by the queue.
    pub retention: Duration,
    /// Deliveries after which the queue itself moves a message to the dead letters; `None`: never.
    pub max_receives: Option<u32>,
    /// Where `park` sends; `None`: there is none, and the ledger alone keeps what was parked.
    pub dead_letters: Option<String>,
}

/// Why the queue did not do it.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// The delivery has ended: its visibility ran out and somebody else may have it, or it is deleted.
    #[error("the message's lease has ended")]
    LeaseLost,
    /// The queue cannot be reached, or refuses all: wait and try again.
    #[error("queue {queue}: {operation} failed: {answer}")]
    Unavailable { queue: String, operation: &'static str, answer: String },
    /// Settings that cannot work: no such queue, FIFO, missing permissions.
    /// `denied`: these keys may not do it.
    #[error("queue {queue}: {problem}; {advice}")]
    Unusable { queue: String, problem: String, advice: String, denied: bool },
}

/// A queue of messages, each delivered at least once. A receipt is good until the message is visible again.
#[async_trait]
pub trait Queue: Send + Sync {
    /// As its operators know it; for logs.
    fn name(&self) -> &str;
    /// What was set for the queue.
    fn traits(&self) -> QueueTraits;

    /// Up to `max` deliveries (1 to 10), waiting up to `wait` for the first. Each is invisible for `traits().visibility`.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError>;

    /// Keeps the delivery invisible for `visibility` from now. `LeaseLost` if it has ended.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError>;

    /// Gives the message back, visible again after `delay`. A delivery that has ended already is no error.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError>;

    /// Sends `body` as a new message, visible after `delay`, then deletes this delivery: a fresh receive count, age and
    /// 12 h cap. If it fails in between there are two messages, never none.
    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError>;

    /// Sends `body` to the dead letters (nowhere if there are none), with `reason` as an attribute of it. The delivery is
    /// not deleted: the caller does that when every record of it has ended.
    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError>;

    /// Ends the message for good. `Ok` only when it is gone.
    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// Sends new messages; all of them or an error (then some may have been sent). `Ok` means durable: a power cut does not
    /// lose them, for a sender may have nothing to send again from.
    async fn send(&self, bodies: &[String]) -> Result<(), QueueError>;

    /// Approximate on SQS.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// How many messages were given up and wait among the dead letters; `None`: there are none to count.
    async fn dead_letters_waiting(&self) -> Result<Option<u64>, QueueError> {
        Ok(None)
    }
}

/// For how long a dead letter that somebody looks at is hidden from others, unless it is given back before.
pub const HIDDEN: Duration = Duration::from_secs(60);

/// A message that was given up, in somebody's hand for `HIDDEN`.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// As the service named it.
    pub id: Arc<str>,
    /// For its deletion.
    pub receipt: Receipt,
    /// What was sent.
    pub body: Arc<str>,
    /// Why it was parked. `None`: the queue itself gave it up, after too many deliveries.
    pub reason: Option<Arc<str>>,
    /// The message, to the queue.
    pub sent: SystemTime,
}

/// The dead letters of one queue, for operators. To look at letters is to take them: whoever takes gives back. The
/// contract is `tests/contracts/letters.rs`.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// For messages.
    fn name(&self) -> &str;
    /// Whose they are.
    fn queue(&self) -> &str;
    /// After how many deliveries the queue itself gives a message up.
    fn max_receives(&self) -> Option<u32>;

    /// Up to `max` (1 to 10) that nobody has in progress; none: there are no others now. One that was taken comes again when
    /// its time is over.
    async fn receive_letters(&self, max: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// What is not in progress any more is no error.
    async fn release_letters(&self, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Sends them to the queue, then deletes them here. If it fails in between, a message is there twice, never not at all.
    async fn redrive_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError>;

    /// Deletes them for good.
    async fn delete_letters(&self, letters: &[DeadLetter]) -> Result<(), QueueError>;

    /// Approximate on SQS.
    async fn depth(&self) -> Result<Depth, QueueError>;
}
