//! Every metric's name, once, with its value behind it. Recording is one atomic addition; [`Metrics::render`] writes the
//! Prometheus text format (version 0.0.4), which needs no library.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::version;

/// How a record ended. Names are those of the metrics, the summary and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its bytes were copied.
    Copied,
    /// The destination's copy was deleted.
    Deleted,
    /// There was nothing at the source.
    Gone,
    /// The destination had it already.
    Unchanged,
    /// Left out by a rule.
    Skipped,
    /// Given up, with a reason.
    Parked,
}

impl Outcome {
    /// Each in its place.
    pub const ALL: [Outcome; 6] =
        [Outcome::Copied, Outcome::Deleted, Outcome::Gone, Outcome::Unchanged, Outcome::Skipped, Outcome::Parked];

    /// As metrics, the summary and the ledger write it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Copied => "copied",
            Outcome::Deleted => "deleted",
            Outcome::Gone => "gone",
            Outcome::Unchanged => "unchanged",
            Outcome::Skipped => "skipped",
            Outcome::Parked => "parked",
        }
    }

    /// The outcome of this name.
    pub fn parse(name: &str) -> Option<Outcome> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// 429, 503 SlowDown and their like.
    Throttled,
    /// 500 and its like: the service's own fault.
    Server,
    /// Refused, reset, not resolved, cut short.
    Network,
    /// No progress for the stall time-out.
    Stalled,
    /// Access denied, credentials expired or revoked.
    Denied,
    /// The source moved while it was read.
    SourceChanged,
    /// Somebody else wrote the destination (412, 409).
    Conflict,
    /// A digest did not match.
    Checksum,
    /// Anything else.
    Other,
}

impl RetryCause {
    /// Each in its place.
    pub const ALL: [RetryCause; 9] = [
        RetryCause::Throttled,
        RetryCause::Server,
        RetryCause::Network,
        RetryCause::Stalled,
        RetryCause::Denied,
        RetryCause::SourceChanged,
        RetryCause::Conflict,
        RetryCause::Checksum,
        RetryCause::Other,
    ];

    /// As the metric's label has it.
    pub fn name(self) -> &'static str {
        match self {
            RetryCause::Throttled => "throttled",
            RetryCause::Server => "server",
            RetryCause::Network => "network",
            RetryCause::Stalled => "stalled",
            RetryCause::Denied => "denied",
            RetryCause::SourceChanged => "source_changed",
            RetryCause::Conflict => "conflict",
            RetryCause::Checksum => "checksum",
            RetryCause::Other => "other",
        }
    }
}

/// A value that goes up and down. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Relaxed);
    }

    /// The value; what is below zero is zero.
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.load(Relaxed)).unwrap_or(0)
    }

    /// Adds `amount` until the answer is dropped, also when its task panics or is cancelled.
    #[must_use]
    pub fn hold(&self, amount: u64) -> GaugeGuard {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        self.0.fetch_add(amount, Relaxed);
        GaugeGuard { gauge: self.clone(), amount }
    }
}

/// What [`Gauge::hold`] added.
#[derive(Debug)]
pub struct GaugeGuard {
    gauge: Gauge,
    amount: i64,
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.amount, Relaxed);
    }
}

/// A limit that finds itself: what it is, and why, in one word of ours. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LimitGauge(Arc<Mutex<(u64, &'static str)>>);

impl LimitGauge {
    /// Replaces both.
    pub fn set(&self, value: u64, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (value, reason);
    }

    /// The value and its reason.
    pub fn get(&self) -> (u64, &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper bounds of the age histogram, in seconds: from "at once" to the two weeks that SQS keeps a message.
const AGES: [u64; 14] = [1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 345_600, 1_209_600];

#[derive(Debug, Default)]
struct Histogram {
    /// One for each bound and one beyond.
    buckets: [AtomicU64; AGES.len() + 1],
    sum_ms: AtomicU64,
}

/// All of an agent's metrics. Shared behind an `Arc`; every method takes `&self` and never waits.
#[derive(Debug, Default)]
pub struct Metrics {
    objects: [AtomicU64; Outcome::ALL.len()],
    bytes: AtomicU64,
    passed: AtomicU64,
    spared: AtomicU64,
    /// Copies by how much was proven of them.
    grades: Mutex<BTreeMap<&'static str, u64>>,
    retries: [AtomicU64; RetryCause::ALL.len()],
    ages: Histogram,
    /// Of the record that ended last: milliseconds and one; 0 before the first.
    lag: AtomicU64,
    /// Records that were parked, by why.
    parked: Mutex<BTreeMap<&'static str, u64>>,
    /// Objects being worked on.
    pub inflight_objects: Gauge,
    /// Bytes held in memory for transfers.
    pub inflight_bytes: Gauge,
    /// Objects that may be in flight.
    pub objects_limit: LimitGauge,
    /// Requests a second that are sent to each side at most, because it throttles; 0: no limit.
    pub source_rate: Gauge,
    /// The same of the destination.
    pub destination_rate: Gauge,
    /// The queue's own (approximate) counts.
    pub queue_visible: Gauge,
    /// Received and not deleted.
    pub queue_in_flight: Gauge,
}

impl Metrics {
    /// A record has ended.
    pub fn count_outcome(&self, outcome: Outcome) {
        self.objects[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Bytes of objects that arrived at the destination.
    pub fn count_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Relaxed);
    }

    /// Bytes that the destination has acknowledged, part by part.
    pub fn count_bytes_passed(&self, count: u64) {
        self.passed.fetch_add(count, Relaxed);
    }

    /// Bytes that need not be sent: parts of an earlier run, and objects that turned out to be equal or gone.
    pub fn spared(&self, count: u64) {
        self.spared.fetch_add(count, Relaxed);
    }

    /// The sum of [`Metrics::spared`].
    pub fn bytes_spared(&self) -> u64 {
        self.spared.load(Relaxed)
    }

    /// The sum of [`Metrics::count_bytes_passed`].
    pub fn bytes_passed(&self) -> u64 {
        self.passed.load(Relaxed)
    }

    /// How far the chain of checksums of one copy reached, by its name.
    pub fn count_grade(&self, grade: &'static str) {
        *self.grades.lock().unwrap_or_else(PoisonError::into_inner).entry(grade).or_default() += 1;
    }

    /// Copies by grade, those that there are.
    pub fn grades(&self) -> Vec<(&'static str, u64)> {
        self.grades.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, count)| (*name, *count)).collect()
    }

    /// A record was parked; why, in a few words of ours.
    pub fn count_parked(&self, why: &'static str) {
        self.count_outcome(Outcome::Parked);
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    /// How many records were parked, by reason.
    pub fn parked_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something is tried again.
    pub fn count_retry(&self, cause: RetryCause) {
        self.retries[cause as usize].fetch_add(1, Relaxed);
    }

    /// From a message's sending to its record's end.
    pub fn observe_message_age(&self, age: Duration) {
        let bucket = AGES.iter().position(|bound| age <= Duration::from_secs(*bound)).unwrap_or(AGES.len());
        let milliseconds = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.ages.buckets[bucket].fetch_add(1, Relaxed);
        self.ages.sum_ms.fetch_add(milliseconds, Relaxed);
        self.lag.store(milliseconds.saturating_add(1), Relaxed);
    }

    /// How old the message was whose record ended last; `None` before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.lag.load(Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// The counts so far. Each is exact; taken together while work goes on, they may be of slightly different moments.
    pub fn summary(&self) -> Summary {
        let count = |outcome: Outcome| self.objects[outcome as usize].load(Relaxed);
        Summary {
            copied: count(Outcome::Copied),
            deleted: count(Outcome::Deleted),
            gone: count(Outcome::Gone),
            unchanged: count(Outcome::Unchanged),
            skipped: count(Outcome::Skipped),
            parked: count(Outcome::Parked),
            bytes: self.bytes.load(Relaxed),
            retries: self.retries.iter().map(|n| n.load(Relaxed)).sum(),
        }
    }

    /// The messages' ages so far.
    pub fn ages(&self) -> MessageAges {
        let count = self.ages.buckets.iter().map(|n| n.load(Relaxed)).sum();
        MessageAges { count, sum_ms: self.ages.sum_ms.load(Relaxed) }
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        let mut page = Page { text: String::with_capacity(4096), name: "" };
        page.head("skyferry_build_info", "gauge", "Which build this is; always 1.");
        page.build();
        page.head("skyferry_objects_total", "counter", "Records ended, by outcome.");
        for outcome in Outcome::ALL {
            page.labelled("outcome", outcome.name(), self.objects[outcome as usize].load(Relaxed));
        }
        page.single("skyferry_bytes_total", "counter", "Bytes of objects copied.", self.bytes.load(Relaxed));
        page.head("skyferry_retries_total", "counter", "Requests and objects tried again, by cause.");
        for cause in RetryCause::ALL {
            page.labelled("cause", cause.name(), self.retries[cause as usize].load(Relaxed));
        }
        let gauges = [
            ("skyferry_inflight_objects", "Objects being worked on.", &self.inflight_objects),
            ("skyferry_inflight_bytes", "Bytes held in memory for transfers.", &self.inflight_bytes),
            ("skyferry_queue_visible", "Messages waiting in the queue (approximate).", &self.queue_visible),
            ("skyferry_queue_in_flight", "Messages received and not deleted (approximate).", &self.queue_in_flight),
        ];
        for (name, help, gauge) in gauges {
            page.single(name, "gauge", help, gauge.get());
        }
        page.head("skyferry_objects_limit", "gauge", "Objects that may be in flight, and why so many.");
        let (limit, reason) = self.objects_limit.get();
        page.labelled("reason", reason, limit);
        page.head("skyferry_requests_limit", "gauge", "Requests per second while a side throttles; 0: no limit.");
        for (side, rate) in [("source", &self.source_rate), ("destination", &self.destination_rate)] {
            page.labelled("side", side, rate.get());
        }
        page.head("skyferry_message_age_seconds", "histogram", "From a message's sending to its record's end.");
        page.ages(&self.ages);
        page.text
    }
}

/// What a run did: the last line on stdout, and the status page. Bytes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records that ended so.
    pub copied: u64,
    /// Records that ended so.
    pub deleted: u64,
    /// Records that ended so.
    pub gone: u64,
    /// Records that ended so.
    pub unchanged: u64,
    /// Records that ended so.
    pub skipped: u64,
    /// Records that ended so.
    pub parked: u64,
    /// Bytes of objects copied.
    pub bytes: u64,
    /// What was tried again.
    pub retries: u64,
}

impl Summary {
    /// What came after `earlier`.
    pub fn since(&self, earlier: &Summary) -> Summary {
        Summary {
            copied: self.copied - earlier.copied,
            deleted: self.deleted - earlier.deleted,
            gone: self.gone - earlier.gone,
            unchanged: self.unchanged - earlier.unchanged,
            skipped: self.skipped - earlier.skipped,
            parked: self.parked - earlier.parked,
            bytes: self.bytes - earlier.bytes,
            retries: self.retries - earlier.retries,
        }
    }

    /// `--json`'s line: names as fixed in the settings' reference, `seconds` with three decimals.
    pub fn to_json(&self, elapsed: Duration) -> String {
        #[derive(Serialize)]
        struct Line {
            #[serde(flatten)]
            counts: Summary,
            seconds: f64,
        }
        let seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        // Ten numbers: nothing in it can fail to serialise.
        serde_json::to_string(&Line { counts: *self, seconds }).unwrap_or_default()
    }
}

/// How many messages there were, and how old they were together.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageAges {
    count: u64,
    sum_ms: u64,
}

impl MessageAges {
    /// Of those that came after `earlier`; none without any.
    pub fn mean_since(&self, earlier: &MessageAges) -> Option<Duration> {
        Some(Duration::from_millis((self.sum_ms - earlier.sum_ms).checked_div(self.count - earlier.count)?))
    }
}

/// The page being written, and the metric that it is at. Writing to a `String` cannot fail.
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn head(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// `value` is one of our own words: nothing to escape.
    fn labelled(&mut self, label: &str, value: &str, count: u64) {
        let _ = writeln!(self.text, "{}{{{label}=\"{value}\"}} {count}", self.name);
    }

    fn single(&mut self, name: &'static str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn build(&mut self) {
        let (version, commit, target) = (version::VERSION, version::COMMIT, version::target());
        let name = self.name;
        let _ = writeln!(self.text, "{name}{{version=\"{version}\",commit=\"{commit}\",target=\"{target}\"}} 1");
    }

    fn ages(&mut self, ages: &Histogram) {
        let name = self.name;
        let mut total = 0;
        for (bucket, count) in ages.buckets.iter().enumerate() {
            total += count.load(Relaxed);
            let bound = AGES.get(bucket).map_or("+Inf".to_string(), u64::to_string);
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum = Duration::from_millis(ages.sum_ms.load(Relaxed)).as_secs_f64();
        let _ = write!(self.text, "{name}_sum {sum}\n{name}_count {total}\n");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_metric_of_the_reference_is_on_the_page_once() {
        let page = Metrics::default().render();
        for name in [
            "skyferry_build_info gauge",
            "skyferry_objects_total counter",
            "skyferry_bytes_total counter",
            "skyferry_retries_total counter",
            "skyferry_inflight_objects gauge",
            "skyferry_inflight_bytes gauge",
            "skyferry_message_age_seconds histogram",
            "skyferry_objects_limit gauge",
            "skyferry_requests_limit gauge",
            "skyferry_queue_visible gauge",
            "skyferry_queue_in_flight gauge",
        ] {
            assert_eq!(page.matches(&format!("# TYPE {name}\n")).count(), 1, "{name}");
        }
        assert_eq!(page.matches("# TYPE").count(), 11);
        for outcome in ["copied", "deleted", "gone", "unchanged", "skipped", "parked"] {
            assert!(page.contains(&format!("skyferry_objects_total{{outcome=\"{outcome}\"}} 0\n")));
        }
    }

    #[test]
    fn every_line_is_prometheus_text_and_no_series_comes_twice() {
        let metrics = Metrics::default();
        metrics.observe_message_age(Duration::from_millis(2500));
        let page = metrics.render();
        let mut seen = HashSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok() && seen.insert(series), "{line}");
        }
        assert!(page.contains("_bucket{le=\"2\"} 0\n") && page.contains("_bucket{le=\"5\"} 1\n"));
        assert!(
            page.contains("_bucket{le=\"+Inf\"} 1\n") && page.contains("_sum 2.5\n") && page.contains("_count 1\n")
        );
    }

    #[test]
    fn names_and_places_agree() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!((outcome as usize, Outcome::parse(outcome.name())), (place, Some(outcome)));
        }
        for (place, cause) in RetryCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
    }

    #[test]
    fn the_lag_is_that_of_the_last_record_and_what_was_parked_is_counted_by_why() {
        let metrics = Metrics::default();
        assert_eq!(metrics.lag(), None);
        [7, 0].into_iter().for_each(|seconds| metrics.observe_message_age(Duration::from_secs(seconds)));
        assert_eq!(metrics.lag(), Some(Duration::ZERO));
        ["archived", "no route", "archived"].into_iter().for_each(|why| metrics.count_parked(why));
        assert_eq!(metrics.parked_by_reason(), BTreeMap::from([("archived", 2), ("no route", 1)]));
        assert_eq!(metrics.summary().parked, 3);
    }

    #[test]
    fn what_is_held_is_given_back() {
        let gauge = Gauge::default();
        let held = (gauge.hold(3), gauge.hold(4));
        assert_eq!(gauge.get(), 7);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn the_summary_line_has_the_names_that_scripts_read() {
        let metrics = Metrics::default();
        metrics.count_outcome(Outcome::Copied);
        metrics.count_bytes(42);
        metrics.count_retry(RetryCause::Stalled);
        assert_eq!(
            metrics.summary().to_json(Duration::from_millis(1234)),
            r#"{"copied":1,"deleted":0,"gone":0,"unchanged":0,"skipped":0,"parked":0,"bytes":42,"retries":1,"seconds":1.234}"#
        );
    }

    proptest! {
        #[test]
        fn every_age_is_counted_once(ages in proptest::collection::vec(any::<Duration>(), 0..50)) {
            let metrics = Metrics::default();
            ages.iter().for_each(|age| metrics.observe_message_age(*age));
            let count = format!("skyferry_message_age_seconds_count {}\n", ages.len());
            prop_assert!(metrics.render().contains(&count));
        }
    }
}
