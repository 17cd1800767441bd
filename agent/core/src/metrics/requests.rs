//! What stores, the queue and the ledger record of each request: how many, how long, how they ended. One call at the
//! beginning, one at the end; a store that nobody measures records nothing.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;

use super::values::Gauge;

/// Upper bounds of what takes a request's time, in seconds: from a ledger on this machine to a part over a thin line.
pub(super) const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// Labels whose values are all our own words, so that they are few.
pub(super) type StaticLabels<const N: usize> = [(&'static str, &'static str); N];

/// Hears of every value that a histogram takes: for who keeps histograms of their own.
pub trait HistogramListener: Send + Sync {
    /// `bounds` are the histogram's, in rising order.
    fn observed(&self, name: &'static str, bounds: &'static [f64], labels: &[(&'static str, &'static str)], value: f64);
}

/// The one listener, if there is one; all histograms share its place.
#[derive(Clone, Default)]
pub(super) struct Listening(pub(super) Arc<OnceLock<Box<dyn HistogramListener>>>);

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Listening" } else { "Deaf" })
    }
}

/// Makes a histogram with these bounds.
#[derive(Clone, Debug)]
pub(super) struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Histograms of seconds by such labels. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct SecondsBy<const N: usize> {
    pub(super) name: &'static str,
    pub(super) family: Family<StaticLabels<N>, Histogram, Bounds>,
    bounds: &'static [f64],
    listening: Listening,
}

impl<const N: usize> SecondsBy<N> {
    pub(super) fn new(name: &'static str, bounds: &'static [f64], listening: &Listening) -> SecondsBy<N> {
        let family = Family::new_with_constructor(Bounds(bounds));
        SecondsBy { name, family, bounds, listening: listening.clone() }
    }

    pub(super) fn observe(&self, labels: &StaticLabels<N>, seconds: f64) {
        self.family.get_or_create(labels).observe(seconds);
        if let Some(listener) = self.listening.0.get() {
            listener.observed(self.name, self.bounds, labels, seconds);
        }
    }
}

/// Of one side's store. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestMeter {
    pub(super) side: &'static str,
    pub(super) requests: Family<StaticLabels<3>, Counter>,
    pub(super) seconds: SecondsBy<3>,
    /// Requests a second that are sent at most, because the service throttles; 0: no limit.
    pub rate: Gauge,
}

impl RequestMeter {
    /// A request is sent.
    pub fn start(&self, verb: &'static str) -> RequestTimer<'_> {
        RequestTimer { meter: self, verb, started: Instant::now() }
    }
}

/// A request that has been sent.
#[must_use]
#[derive(Debug)]
pub struct RequestTimer<'a> {
    meter: &'a RequestMeter,
    verb: &'static str,
    started: Instant,
}

impl RequestTimer<'_> {
    /// The head of its answer is there, with this status, or it is known that none comes.
    pub fn end(self, status: Option<u16>) {
        let class = match status {
            Some(100..=199) => "1xx",
            Some(200..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        let labels = [("side", self.meter.side), ("verb", self.verb), ("status", class)];
        self.meter.requests.get_or_create(&labels).inc();
        self.meter.seconds.observe(&labels, self.started.elapsed().as_secs_f64());
    }
}

/// How long the operations of the queue or the ledger take, their own retries included. Clones share it.
#[derive(Clone, Debug)]
pub struct OperationMeter(pub(super) SecondsBy<2>);

impl OperationMeter {
    /// Waits for an operation and records it.
    pub async fn measure<T, E>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let done = done.await;
        let result = if done.is_ok() { "ok" } else { "error" };
        let labels = [("operation", operation), ("result", result)];
        self.0.observe(&labels, started.elapsed().as_secs_f64());
        done
    }
}

/// Upper bounds of the age histogram, in seconds: from "at once" to the two weeks that SQS keeps a message.
pub(super) const AGES: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 345_600.0, 1_209_600.0];
