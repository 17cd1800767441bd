//! What an agent knows of itself, as `/status.json` and the page show it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::history::{History, Totals};
use super::{Recent, RecentError};
use crate::fleet::FleetMember;
use crate::fuse::{BlownFuse, Fuse};
use crate::limits::{Breaker, Limiter, ObjectTransfer, Outage};
use crate::pause::{Pause, PauseWatch};
use crate::shutdown::Shutdown;
use skyferry_core::error::CopyError;
use skyferry_core::ledger::Ledger;
use skyferry_core::metrics::{Metrics, Summary};
use skyferry_core::queue::DeadLetters;
use skyferry_core::route::LiveRoutes;

/// Objects in flight that are shown, the largest first; the others are a number.
const SHOWN: usize = 40;

/// Opens the dead letters for one look; each look has its own place in them.
pub type LetterSource = Arc<dyn Fn() -> Box<dyn DeadLetters> + Send + Sync>;

/// What the pages are made from.
#[derive(Clone)]
pub struct StatusView {
    pub metrics: Arc<Metrics>,
    pub breaker: Arc<Breaker>,
    pub fuse: Arc<Fuse>,
    pub rest: PauseWatch,
    pub shutdown: Shutdown,
    pub recent: Recent,
    pub limiter: Arc<Limiter>,
    pub history: History,
    pub routes: LiveRoutes,
    pub queue: Arc<str>,
    /// Where from and where to, in words.
    pub ends: [Arc<str>; 2],
    pub started: Instant,
    /// `None`: nobody keeps notes.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Where this process can read them.
    pub letters: Option<LetterSource>,
    /// Whether somebody may change something from the page.
    pub actions: bool,
}

/// `/status.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    host: String,
    uptime_seconds: f64,
    draining: bool,
    paused: Option<Pause>,
    /// Too many at once, as far as this agent knows.
    deletions_held: Option<BlownFuse>,
    #[serde(flatten)]
    summary: Summary,
    /// These move while a large object does; what is tried again counts again.
    bytes_passed: u64,
    /// As they are read: smoother than what is acknowledged part by part.
    bytes_moved: u64,
    /// Bytes per second that may pass; 0: no limit.
    bandwidth_limit: u64,
    inflight_objects: u64,
    inflight_bytes: u64,
    /// The age of the message whose record ended last.
    lag_seconds: Option<f64>,
    parked_by_reason: BTreeMap<&'static str, u64>,
    queue: Queue,
    source: Arc<str>,
    destination: Arc<str>,
    routes: Vec<String>,
    transfers: Vec<TransferStatus>,
    /// All whose bytes are in flight, but for small ones.
    transfers_all: usize,
    storm: Option<Storm>,
    storms: Vec<Storm>,
    errors: Vec<RecentError>,
    actions: bool,
}

/// Approximate, and up to ten seconds old.
#[derive(Debug, Serialize)]
struct Queue {
    name: String,
    visible: u64,
    in_flight: u64,
}

#[derive(Debug, Serialize)]
struct TransferStatus {
    from: String,
    to: String,
    size: u64,
    done: u64,
    seconds: f64,
}

/// Nothing succeeds against this side.
#[derive(Clone, Debug, Serialize)]
struct Storm {
    side: String,
    /// What of it: reads, looks, writes, requests.
    what: &'static str,
    cause: &'static str,
    seconds: f64,
    failures: u32,
    /// The last failure, where it is known: its verb, the answer's status, what the service answered, and what to do.
    operation: Option<&'static str>,
    status: Option<u16>,
    answer: Option<String>,
    advice: Option<String>,
}

impl Report {
    pub fn of(view: &StatusView) -> Report {
        let metrics = &view.metrics;
        let storms: Vec<Storm> = view.breaker.outages().into_iter().map(Storm::from).collect();
        let (transfers_all, transfers) = view.limiter.transfers().largest(SHOWN);
        let [source, destination] = view.ends.clone();
        let router = view.routes.current();
        Report {
            version: skyferry_core::version::long(),
            host: crate::fleet::hostname(),
            uptime_seconds: seconds(view.started.elapsed()),
            draining: view.shutdown.stop.is_cancelled(),
            paused: view.rest.pause(),
            deletions_held: view.fuse.blown(),
            summary: metrics.summary(),
            bytes_passed: metrics.bytes_passed(),
            bytes_moved: view.limiter.transfers().moved(),
            bandwidth_limit: view.limiter.bandwidth_limit(),
            inflight_objects: metrics.inflight_objects.get(),
            inflight_bytes: metrics.inflight_bytes.get(),
            lag_seconds: metrics.lag().map(seconds),
            parked_by_reason: metrics.parked_by_reason(),
            queue: Queue {
                name: view.queue.to_string(),
                visible: metrics.queue_visible.get(),
                in_flight: metrics.queue_in_flight.get(),
            },
            source,
            destination,
            routes: router.routes().iter().chain(router.pairs()).map(ToString::to_string).collect(),
            transfers: transfers.iter().map(|transfer| TransferStatus::of(transfer)).collect(),
            transfers_all,
            storm: storms.first().cloned(),
            storms,
            errors: view.recent.list(),
            actions: view.actions,
        }
    }

    /// In a word.
    pub fn state(&self) -> &'static str {
        match self {
            Report { draining: true, .. } => "stopping",
            Report { paused: Some(_), .. } => "paused",
            Report { storms, .. } if !storms.is_empty() => "outage",
            Report { inflight_objects: 0, .. } => "idle",
            _ => "working",
        }
    }

    pub fn ended(&self) -> u64 {
        let Summary { copied, deleted, gone, unchanged, skipped, parked, .. } = self.summary;
        copied + deleted + gone + unchanged + skipped + parked
    }

    pub fn totals(&self) -> Totals {
        Totals {
            objects: self.ended(),
            bytes: self.bytes_moved,
            errors: self.summary.retries + self.summary.parked,
            backlog: self.queue.visible + self.queue.in_flight,
            lag: self.lag_seconds,
        }
    }

    /// As the fleet sees this agent.
    pub fn member(&self, url: &str) -> FleetMember {
        FleetMember {
            url: url.to_owned(),
            version: self.version.to_owned(),
            state: self.state().to_owned(),
            ended: self.ended(),
            parked: self.summary.parked,
            bytes: self.bytes_passed,
            inflight: self.inflight_objects,
            ..FleetMember::default()
        }
    }
}

impl TransferStatus {
    fn of(transfer: &ObjectTransfer) -> TransferStatus {
        TransferStatus {
            from: transfer.from.to_string(),
            to: transfer.to.to_string(),
            size: transfer.size,
            done: transfer.done(),
            seconds: seconds(transfer.began.elapsed()),
        }
    }
}

impl From<(Outage, Option<CopyError>)> for Storm {
    fn from((outage, last): (Outage, Option<CopyError>)) -> Storm {
        let last = last.as_ref();
        Storm {
            side: outage.channel.side().to_string(),
            what: outage.channel.describe(),
            cause: outage.cause,
            seconds: seconds(outage.since.elapsed()),
            failures: outage.failures,
            operation: last.map(|error| error.operation),
            status: last.and_then(CopyError::status),
            answer: last.map(|error| error.answer.clone()),
            advice: last.map(|error| error.advice().into_owned()).filter(|advice| !advice.is_empty()),
        }
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
