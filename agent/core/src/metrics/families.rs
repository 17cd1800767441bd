//! Every metric's name, once, with its kind and its help. `docs/monitoring.md` has the same list, and a test compares them.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{self, ConstGauge};
use prometheus_client::registry::{Metric, Registry};

use super::{Metrics, ProcessGauges};
use crate::version;

pub(super) const REQUEST_SECONDS: &str = "skyferry_request_seconds";
pub(super) const QUEUE_SECONDS: &str = "skyferry_queue_seconds";
pub(super) const LEDGER_SECONDS: &str = "skyferry_ledger_seconds";
pub(super) const MESSAGE_AGE: &str = "skyferry_message_age_seconds";

/// Under the name that scrapers see: the encoders add what a counter's name ends in.
fn add(registry: &mut Registry, name: &'static str, help: &'static str, metric: &(impl Metric + Clone)) {
    registry.register(base(name), help, metric.clone());
}

fn base(name: &'static str) -> &'static str {
    name.strip_suffix("_total").unwrap_or(name)
}

pub(super) fn registry(m: &Metrics) -> Registry {
    let mut all = Registry::default();
    build_info(&mut all);
    let r = &mut all;
    add(r, "skyferry_objects_total", "Records ended, by outcome.", &m.objects);
    add(r, "skyferry_route_objects_total", "Records ended, by queue, route and outcome.", &m.by_route);
    add(r, "skyferry_attempts_total", "Attempts to bring a record to its end.", &m.attempts);
    add(r, "skyferry_parked_total", "Records given up, by reason.", &m.parked);
    add(r, "skyferry_bytes_total", "Bytes of objects copied.", &m.bytes);
    add(r, "skyferry_transfer_bytes_total", "Bytes of bodies read from the source and written.", &m.transfer);
    add(r, "skyferry_retries_total", "Requests and objects tried again, by cause.", &m.retries);
    add(r, "skyferry_part_retries_total", "Parts of large objects sent again.", &m.part_retries);
    add(r, "skyferry_checksum_failures_total", "Bytes that do not agree with their checksum.", &m.checksums);
    add(r, "skyferry_requests_total", "Requests sent to a store, by status class.", &m.requests);
    add(r, REQUEST_SECONDS, "From a request to the head of its answer.", &m.request_seconds.family);
    add(r, QUEUE_SECONDS, "Operations of the queue.", &m.queue_operations.0.family);
    add(r, LEDGER_SECONDS, "Operations of the ledger.", &m.ledger_operations.0.family);
    add(r, MESSAGE_AGE, "From a message's sending to its record's end.", &m.ages.family);
    add(r, "skyferry_inflight_objects", "Objects being worked on.", &m.inflight_objects.0);
    add(r, "skyferry_inflight_bytes", "Bytes held in memory for transfers.", &m.inflight_bytes.0);
    add(r, "skyferry_inflight_transfers", "Bodies on their way, by kind.", &m.inflight);
    add(r, "skyferry_objects_limit", "Objects that may be in flight, and why so many.", &m.objects_limit);
    add(r, "skyferry_requests_limit", "Requests per second while a side throttles; 0: no limit.", &m.rates);
    add(r, "skyferry_queue_visible", "Messages waiting in the queue (approximate).", &m.queue_visible);
    add(r, "skyferry_queue_in_flight", "Messages received and not deleted (approximate).", &m.queue_in_flight);
    add(r, "skyferry_queue_retention_seconds", "How long the queue keeps a message.", &m.queue_retention);
    add(r, "skyferry_dead_letters", "Messages among the dead letters (approximate).", &m.dead_letters);
    add(r, "skyferry_oldest_message_age_seconds", "Of the messages being worked on.", &m.oldest_message);
    add(r, "skyferry_outage", "1 while nothing succeeds against this side.", &m.outages);
    add(r, "skyferry_paused", "1 while the fleet is paused.", &m.paused.0);
    add(r, "skyferry_credentials_expiry_timestamp_seconds", "When credentials end.", &m.credentials_expiry);
    all.register_collector(Box::new(m.process.clone()));
    all
}

fn build_info(registry: &mut Registry) {
    let family = Family::<Vec<(&str, &str)>, gauge::Gauge>::default();
    let labels = vec![("version", version::VERSION), ("commit", version::COMMIT), ("target", version::target())];
    family.get_or_create(&labels).set(1);
    add(registry, "skyferry_build_info", "Which build this is; always 1.", &family);
}

/// Names that every program exports so; only where they are known.
impl Collector for ProcessGauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Some(usage) = self.get() else { return Ok(()) };
        let mut show = |name: &'static str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(base(name), help, None, metric.metric_type())?)
        };
        let whole = |value: u64| ConstGauge::new(value as f64);
        show("process_cpu_seconds_total", "User and system time.", &ConstCounter::new(usage.cpu_seconds))?;
        show("process_resident_memory_bytes", "Resident memory.", &whole(usage.resident_bytes))?;
        show("process_open_fds", "Open file descriptors.", &whole(usage.open_fds))?;
        show("process_max_fds", "File descriptors that may be open.", &whole(usage.max_fds))?;
        show("process_start_time_seconds", "Start of the process, in Unix time.", &ConstGauge::new(usage.started))
    }
}
