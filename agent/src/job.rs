//! (being written)

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pace::{Breaker, Pace};
use crate::plan::Cut;
use crate::queue::{Message, Queue};
use crate::route::Router;
use crate::store::{Sink, Source};

/// What all jobs of an agent share.
pub struct Context {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub queue: Arc<dyn Queue>,
    pub ledger: Arc<dyn Ledger>,
    pub router: Router,
    pub cut: Cut,
    pub deletes: bool,
    pub metadata: bool,
    pub hold: Duration,
    pub pace: Arc<Pace>,
    pub breaker: Arc<Breaker>,
    pub metrics: Arc<Metrics>,
}

/// One message's life; when it returns the message has been deleted, released, renewed, parked or abandoned.
pub async fn run(
    context: &Context,
    message: Message,
    lease: Lease,
    _cancelled: CancellationToken,
    _stop: CancellationToken,
) {
    lease.end().await;
    let _ = context.queue.release(&message.receipt, Duration::from_secs(60)).await;
}
