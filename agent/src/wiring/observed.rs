//! What the metrics show beside what jobs record: each of these is looked at when somebody asks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use skyferry_providers::Cached;

use super::keys::AllCredentials;
use crate::limits::Breaker;
use crate::measured::{MeasuredLedger, MeasuredQueue};
use crate::pause::PauseWatch;
use crate::process_usage;
use skyferry_core::ledger::Ledger;
use skyferry_core::metrics::Metrics;
use skyferry_core::queue::Queue;

/// How often credentials that end are looked after.
const RENEWAL: Duration = Duration::from_secs(60);

/// Each role's credentials.
#[derive(Clone, Default)]
pub(super) struct RoleCaches(Vec<(&'static str, Arc<Cached>)>);

impl RoleCaches {
    pub(super) fn of(keys: &AllCredentials) -> RoleCaches {
        let roles = keys.roles().into_iter();
        RoleCaches(roles.filter_map(|(role, keys)| Some((role, keys.as_ref()?.cached.clone()))).collect())
    }

    /// Asks for those that end before they do, also where nobody needs them now: that they are about to end then means that
    /// they cannot be renewed.
    pub(super) async fn renew(self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let ending = self.0.iter().filter(|(_, cached)| cached.expires().is_some());
            // Who needs them reports the error.
            join_all(ending.map(|(_, cached)| cached.get())).await;
        }
    }
}

pub(super) fn queue(queue: Arc<dyn Queue>, metrics: &Metrics) -> Arc<dyn Queue> {
    Arc::new(MeasuredQueue::new(queue, metrics.queue_operations.clone()))
}

pub(super) fn ledger(ledger: Arc<dyn Ledger>, metrics: &Metrics) -> Arc<dyn Ledger> {
    Arc::new(MeasuredLedger::new(ledger, metrics.ledger_operations.clone()))
}

/// From now on the metrics show this agent's outages, its pause, its credentials and its process.
pub(super) fn observe(metrics: &Metrics, breaker: Arc<Breaker>, rest: PauseWatch, caches: RoleCaches) {
    let started = SystemTime::now();
    metrics.before_render(move |metrics| {
        metrics.show_outage(breaker.outage().map(|outage| outage.channel.side()));
        metrics.show_paused(rest.pause().is_some());
        for (role, cached) in &caches.0 {
            let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            metrics.credentials_expiry.set(role, cached.expires().map(seconds));
        }
        if let Some(usage) = process_usage::read(started) {
            metrics.show_process(usage);
        }
    });
}
