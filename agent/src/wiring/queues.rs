//! From `[queue]` and `[ledger]` to the two that the jobs share, and what follows from their kinds.

use std::sync::Arc;
use std::time::Duration;

use super::WiringError;
use crate::config::{self, Settings};
use crate::embedded::Embedded;
use crate::ledger::Ledger;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::{Queue, QueueTraits};

/// The queue's name in an embedded file.
pub const EMBEDDED_QUEUE: &str = "events";
/// A kill clears it and leases are extended, so it is only what a panicking job's message waits for.
const EMBEDDED_VISIBILITY: Duration = Duration::from_secs(60);
/// Far beyond what kills alone can cause; without it a message that panics its job would come back for ever.
const EMBEDDED_RECEIVES: u32 = 100;
/// The embedded file is locked by one process: earlier ones are known to be dead, and only their last requests can
/// still be on their way.
const EMBEDDED_HOLD: Duration = Duration::from_secs(5);
/// With a remote ledger an earlier writer may live, for as long as its lease.
const LEAST_HOLD: Duration = Duration::from_secs(60);
/// How long a queue must show nothing: exact counts; a peer of one's own; AWS, whose counts settle within a minute.
const STEADY_EMBEDDED: Duration = Duration::from_millis(150);
const STEADY_ENDPOINT: Duration = Duration::from_secs(3);
const STEADY_AWS: Duration = Duration::from_secs(60);

/// Both faces of one file where both sections name the same one: only then are their changes in one order.
pub(super) async fn queue_and_ledger(
    settings: &Settings,
) -> Result<(Arc<EmbeddedQueue>, Arc<dyn Ledger>), WiringError> {
    let [config::Queue::Embedded { path }] = &settings.queues[..] else {
        return Err(WiringError::NotYet("this kind of [queue]".into()));
    };
    let config::Ledger::Embedded { path: ledger_path } = &settings.ledger else {
        return Err(WiringError::NotYet("this kind of [ledger]".into()));
    };
    let file = Embedded::open(path)?;
    let ledger = if ledger_path == path {
        file.ledger()
    } else {
        tracing::warn!("[queue] and [ledger] are two files: a power cut can lose the record of a finished message");
        Embedded::open(ledger_path)?.ledger()
    };
    let traits = QueueTraits {
        visibility: EMBEDDED_VISIBILITY,
        retention: Duration::MAX,
        max_receives: Some(EMBEDDED_RECEIVES),
        dead_letters: Some(EMBEDDED_QUEUE.into()),
    };
    Ok((Arc::new(file.queue(EMBEDDED_QUEUE, traits).await?), Arc::new(ledger)))
}

/// How long a fenced writer may still land something.
pub(super) fn hold(ledger: &config::Ledger, queue: &dyn Queue) -> Duration {
    match ledger {
        config::Ledger::Embedded { .. } => EMBEDDED_HOLD,
        _ => queue.traits().visibility.max(LEAST_HOLD),
    }
}

pub(super) fn steady(queue: &config::Queue) -> Duration {
    match queue {
        config::Queue::Embedded { .. } => STEADY_EMBEDDED,
        config::Queue::Sqs { endpoint: Some(own), .. } if !own.host().contains(".amazonaws.com") => STEADY_ENDPOINT,
        config::Queue::Sqs { .. } => STEADY_AWS,
    }
}
