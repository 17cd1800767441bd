//! All of an agent's metrics. What a job records is an atomic addition or two; everything else is looked at when somebody
//! asks. Names: `families.rs`; both of Prometheus' text formats come from `prometheus_client`.

mod families;
mod messages;
mod outcome;
mod process;
mod requests;
mod summary;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge;

use crate::error::Side;
pub use messages::MessageGuard;
use messages::OldestMessages;
pub use outcome::{Outcome, RetryCause};
use process::ProcessGauges;
pub use process::ProcessUsage;
use requests::{AGES, Listening, SECONDS, SecondsBy, StaticLabels};
pub use requests::{HistogramListener, OperationMeter, RequestMeter, RequestTimer};
pub use summary::{MessageAges, Summary};
pub use values::{Gauge, GaugeGuard, LimitGauge, NamedGauge};
use values::{Overflow, WordCounter};

/// Names from outside become the values of labels, and each is a series for ever: so many, and [`OTHER`] for the rest.
const NAMES: usize = 32;
const OTHER: &str = "other";

/// How a page of metrics is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// The Content-Type of such a page.
    pub fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Which kind of body is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// A small object, held whole.
    Whole,
    /// An object in one request, not held.
    Streamed,
    /// A part of a large one.
    Part,
}

/// Sets gauges that are looked at when somebody asks.
type Look = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Shared behind an `Arc`; every method takes `&self` and waits for no other task.
pub struct Metrics {
    objects: Family<StaticLabels<1>, Counter>,
    outcomes: [Counter; Outcome::ALL.len()],
    by_route: Family<Vec<(&'static str, String)>, Counter>,
    /// By queue and route.
    routes: Mutex<HashMap<String, HashMap<String, [Counter; Outcome::ALL.len()]>>>,
    /// Attempts to bring a record to its end.
    attempts: Counter,
    parked: WordCounter,
    bytes: Counter,
    transfer: Family<StaticLabels<1>, Counter>,
    read: Counter,
    written: Counter,
    spared: AtomicU64,
    /// Copies by how much was proven of them.
    grades: Mutex<BTreeMap<&'static str, u64>>,
    retries: Family<StaticLabels<1>, Counter>,
    causes: [Counter; RetryCause::ALL.len()],
    part_retries: Counter,
    checksums: Family<StaticLabels<1>, Counter>,
    requests: Family<StaticLabels<3>, Counter>,
    request_seconds: SecondsBy<3>,
    rates: Family<StaticLabels<1>, gauge::Gauge>,
    /// Of every queue's operations.
    pub queue_operations: OperationMeter,
    /// Of the ledger's.
    pub ledger_operations: OperationMeter,
    ages: SecondsBy<0>,
    ages_so_far: Mutex<MessageAges>,
    /// Of the record that ended last: milliseconds and one; 0 before the first.
    lag: AtomicU64,
    oldest: OldestMessages,
    oldest_message: NamedGauge,
    /// Objects being worked on.
    pub inflight_objects: Gauge,
    /// Bytes held in memory for transfers.
    pub inflight_bytes: Gauge,
    inflight: Family<StaticLabels<1>, gauge::Gauge>,
    kinds: [Gauge; 3],
    /// Objects that may be in flight.
    pub objects_limit: LimitGauge,
    /// Each queue's own (approximate) count of what waits.
    pub queue_visible: NamedGauge,
    /// Received and not deleted.
    pub queue_in_flight: NamedGauge,
    /// Seconds that each queue keeps a message.
    pub queue_retention: NamedGauge,
    /// Given up, where the queue's keys may look.
    pub dead_letters: NamedGauge,
    outages: Family<StaticLabels<1>, gauge::Gauge>,
    paused: Gauge,
    /// Seconds since the epoch, by role: what never ends is not there.
    pub credentials_expiry: NamedGauge,
    process: ProcessGauges,
    looks: RwLock<Vec<Look>>,
    listening: Listening,
}

fn counters<const N: usize>(
    family: &Family<StaticLabels<1>, Counter>,
    label: &'static str,
    names: [&'static str; N],
) -> [Counter; N] {
    names.map(|name| family.get_or_create_owned(&[(label, name)]))
}

impl Default for Metrics {
    fn default() -> Metrics {
        let [objects, transfer, retries, checksums] = [(); 4].map(|()| Family::<StaticLabels<1>, Counter>::default());
        let [read, written] = counters(&transfer, "direction", ["read", "written"]);
        // From the start: what has no series yet has no increase when it gets one.
        counters(&checksums, "side", ["source", "destination"]);
        let inflight = Family::<StaticLabels<1>, gauge::Gauge>::default();
        let kind = |name| Gauge(inflight.get_or_create_owned(&[("kind", name)]));
        let (named, listening) = (NamedGauge::new, Listening::default());
        let metrics = Metrics {
            outcomes: counters(&objects, "outcome", Outcome::ALL.map(Outcome::name)),
            causes: counters(&retries, "cause", RetryCause::ALL.map(RetryCause::name)),
            kinds: ["whole", "streamed", "part"].map(kind),
            objects,
            by_route: Family::default(),
            routes: Mutex::default(),
            attempts: Counter::default(),
            parked: WordCounter::new("reason"),
            bytes: Counter::default(),
            transfer,
            read,
            written,
            spared: AtomicU64::new(0),
            grades: Mutex::default(),
            retries,
            part_retries: Counter::default(),
            checksums,
            requests: Family::default(),
            request_seconds: SecondsBy::new(families::REQUEST_SECONDS, &SECONDS, &listening),
            rates: Family::default(),
            queue_operations: OperationMeter(SecondsBy::new(families::QUEUE_SECONDS, &SECONDS, &listening)),
            ledger_operations: OperationMeter(SecondsBy::new(families::LEDGER_SECONDS, &SECONDS, &listening)),
            ages: SecondsBy::new(families::MESSAGE_AGE, &AGES, &listening),
            ages_so_far: Mutex::default(),
            lag: AtomicU64::new(0),
            oldest: OldestMessages::default(),
            oldest_message: named("queue", Overflow::Largest),
            inflight_objects: Gauge::default(),
            inflight_bytes: Gauge::default(),
            inflight,
            objects_limit: LimitGauge::default(),
            queue_visible: named("queue", Overflow::Sum),
            queue_in_flight: named("queue", Overflow::Sum),
            queue_retention: named("queue", Overflow::Smallest),
            dead_letters: named("queue", Overflow::Sum),
            outages: Family::default(),
            paused: Gauge::default(),
            credentials_expiry: named("role", Overflow::Smallest),
            process: ProcessGauges::default(),
            looks: RwLock::default(),
            listening,
        };
        [Side::Source, Side::Destination].into_iter().for_each(|side| drop(metrics.requests_to(side)));
        metrics.show_outage(None);
        drop(metrics.ages.family.get_or_create(&[]));
        metrics
    }
}

impl Metrics {
    /// A record has ended.
    pub fn count_outcome(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// The same, for its queue and its route. Beyond 32 of these together it is another's.
    pub fn count_on_route(&self, queue: &str, route: &str, outcome: Outcome) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = routes.get(queue).and_then(|routes| routes.get(route)) {
            counters[outcome as usize].inc();
            return;
        }
        let is_full = routes.values().map(HashMap::len).sum::<usize>() >= NAMES;
        let (queue, route) = if is_full { (OTHER, OTHER) } else { (queue, route) };
        let of_queue = routes.entry(queue.to_owned()).or_default();
        let counters = of_queue.entry(route.to_owned()).or_insert_with(|| {
            Outcome::ALL.map(|outcome| {
                let labels = [("queue", queue), ("route", route), ("outcome", outcome.name())];
                self.by_route.get_or_create_owned(&labels.map(|(name, value)| (name, value.to_owned())).to_vec())
            })
        });
        counters[outcome as usize].inc();
    }

    /// A record is tried, for the first time or again.
    pub fn count_attempt(&self) {
        self.attempts.inc();
    }

    /// Bytes of objects that arrived at the destination.
    pub fn count_bytes(&self, count: u64) {
        self.bytes.inc_by(count);
    }

    /// Bytes of bodies that the source has sent.
    pub fn count_bytes_read(&self, count: u64) {
        self.read.inc_by(count);
    }

    /// Bytes that the destination has acknowledged, part by part.
    pub fn count_bytes_passed(&self, count: u64) {
        self.written.inc_by(count);
    }

    /// The sum of [`Metrics::count_bytes_passed`].
    pub fn bytes_passed(&self) -> u64 {
        self.written.get()
    }

    /// Bytes that need not be sent: parts of an earlier run, and objects that turned out to be equal or gone.
    pub fn spared(&self, count: u64) {
        self.spared.fetch_add(count, Relaxed);
    }

    /// The sum of [`Metrics::spared`].
    pub fn bytes_spared(&self) -> u64 {
        self.spared.load(Relaxed)
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
        self.parked.count(why);
    }

    /// How many records were parked, by reason.
    pub fn parked_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.parked.counts()
    }

    /// Something is tried again.
    pub fn count_retry(&self, cause: RetryCause) {
        self.causes[cause as usize].inc();
    }

    /// A part is: [`Metrics::count_retry`] counts it, too.
    pub fn count_part_retry(&self) {
        self.part_retries.inc();
    }

    /// Bytes did not agree with a checksum, at this side.
    pub fn count_checksum_failure(&self, side: Side) {
        self.checksums.get_or_create(&[("side", side.name())]).inc();
    }

    /// A body is on its way until the answer is dropped.
    #[must_use]
    pub fn hold_transfer(&self, kind: TransferKind) -> GaugeGuard {
        self.kinds[kind as usize].hold(1)
    }

    /// A message of this queue is worked on until the answer is dropped.
    #[must_use]
    pub fn hold_message(&self, queue: &str, sent: SystemTime) -> MessageGuard {
        self.oldest.hold(queue, sent, self.inflight_objects.hold(1))
    }

    /// For the store of one side.
    pub fn requests_to(&self, side: Side) -> RequestMeter {
        let side = side.name();
        RequestMeter {
            side,
            requests: self.requests.clone(),
            seconds: self.request_seconds.clone(),
            rate: Gauge(self.rates.get_or_create_owned(&[("side", side)])),
        }
    }

    /// From a message's sending to its record's end.
    pub fn observe_message_age(&self, age: Duration) {
        let milliseconds = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.ages.observe(&[], age.as_secs_f64());
        self.ages_so_far.lock().unwrap_or_else(PoisonError::into_inner).add(milliseconds);
        self.lag.store(milliseconds.saturating_add(1), Relaxed);
    }

    /// How old the message was whose record ended last; `None` before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.lag.load(Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// The messages' ages so far.
    pub fn ages(&self) -> MessageAges {
        *self.ages_so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing succeeds against this side; `None`: everywhere something does.
    pub fn show_outage(&self, at: Option<Side>) {
        for side in Side::ALL {
            self.outages.get_or_create(&[("side", side.name())]).set(i64::from(at == Some(side)));
        }
    }

    /// Whether the fleet is paused.
    pub fn show_paused(&self, paused: bool) {
        self.paused.set(u64::from(paused));
    }

    /// What the process takes.
    pub fn show_process(&self, usage: ProcessUsage) {
        self.process.set(usage);
    }

    /// `look` sets gauges each time that the metrics are asked for.
    pub fn before_render(&self, look: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.looks.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }

    /// From now on `listener` hears of what the histograms take. The first one stays.
    pub fn listen(&self, listener: Box<dyn HistogramListener>) {
        let _ = self.listening.0.set(listener);
    }

    /// The counts so far. Each is exact; taken together while work goes on, they may be of slightly different moments.
    pub fn summary(&self) -> Summary {
        let count = |outcome: Outcome| self.outcomes[outcome as usize].get();
        Summary {
            copied: count(Outcome::Copied),
            deleted: count(Outcome::Deleted),
            gone: count(Outcome::Gone),
            unchanged: count(Outcome::Unchanged),
            skipped: count(Outcome::Skipped),
            parked: count(Outcome::Parked),
            bytes: self.bytes.get(),
            retries: self.causes.iter().map(Counter::get).sum(),
        }
    }

    /// The page that is scraped.
    pub fn render(&self, format: MetricsFormat) -> String {
        self.looks.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|look| look(self));
        self.oldest.show(&self.oldest_message);
        let (mut page, registry) = (String::with_capacity(16 << 10), families::registry(self));
        // Writing to a `String` cannot fail.
        let _ = match format {
            MetricsFormat::Prometheus => prometheus_text::encode(&mut page, &registry),
            MetricsFormat::OpenMetrics => text::encode(&mut page, &registry),
        };
        page
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("summary", &self.summary()).finish_non_exhaustive()
    }
}
