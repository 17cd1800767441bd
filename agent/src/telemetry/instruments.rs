//! Our metrics as the SDK's instruments, by the same names. Counters and gauges are read off the page that Prometheus gets, so
//! that what is exported there is exported here; histograms hear of each value.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use skyferry_core::metrics::{HistogramListener, Metrics, MetricsFormat};

/// The series of one family.
type Series = Vec<(Vec<KeyValue>, f64)>;
/// The newest page.
type Snapshot = Arc<Mutex<HashMap<String, Series>>>;

pub(super) struct Instruments {
    meter: Meter,
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
    /// Families that have an instrument.
    known: Mutex<Vec<String>>,
}

impl Instruments {
    pub(super) fn new(meter: Meter, metrics: &Arc<Metrics>) -> Instruments {
        metrics.listen(Box::new(Histograms { meter: meter.clone(), known: RwLock::default() }));
        Instruments { meter, metrics: metrics.clone(), snapshot: Snapshot::default(), known: Mutex::default() }
    }

    /// Reads the metrics as they are now; a family that is new gets its instrument.
    pub(super) fn look(&self) {
        let families = families(&self.metrics.render(MetricsFormat::Prometheus));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, family) in &families {
            if !known.contains(name) {
                self.observe(name.clone(), family);
                known.push(name.clone());
            }
        }
        let series = families.into_iter().map(|(name, family)| (name, family.series)).collect();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = series;
    }

    fn observe(&self, name: String, family: &Family) {
        let (snapshot, of) = (self.snapshot.clone(), name.clone());
        let series = move || {
            let snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot.get(&of).cloned().unwrap_or_default()
        };
        let help = family.help.clone();
        match family.counter {
            true => {
                let counter = self.meter.f64_observable_counter(name).with_description(help);
                counter
                    .with_callback(move |to| series().iter().for_each(|(labels, value)| to.observe(*value, labels)))
                    .build();
            }
            false => {
                let gauge = self.meter.f64_observable_gauge(name).with_description(help);
                gauge
                    .with_callback(move |to| series().iter().for_each(|(labels, value)| to.observe(*value, labels)))
                    .build();
            }
        }
    }
}

struct Histograms {
    meter: Meter,
    known: RwLock<HashMap<&'static str, Histogram<f64>>>,
}

impl HistogramListener for Histograms {
    fn observed(
        &self,
        name: &'static str,
        bounds: &'static [f64],
        labels: &[(&'static str, &'static str)],
        value: f64,
    ) {
        let labels: Vec<KeyValue> = labels.iter().map(|(name, value)| KeyValue::new(*name, *value)).collect();
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known.record(value, &labels);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let made = known
            .entry(name)
            .or_insert_with(|| self.meter.f64_histogram(name).with_unit("s").with_boundaries(bounds.to_vec()).build());
        made.record(value, &labels);
    }
}

#[derive(Debug, Default)]
struct Family {
    help: String,
    counter: bool,
    series: Series,
}

/// The counters and gauges of a page.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut help = "";
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' ')) {
            if kind != "histogram" {
                let counter = kind == "counter";
                families.insert(name.to_owned(), Family { help: help.to_owned(), counter, series: Series::new() });
            }
        } else if let Some((name, labels, value)) = sample(line)
            && let Some(family) = families.get_mut(name)
        {
            family.series.push((labels, value));
        }
    }
    families
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<(&str, Vec<KeyValue>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = Vec::new();
    while let Some((label, text)) = rest.split_once("=\"") {
        let (value, after) = unquoted(text)?;
        labels.push(KeyValue::new(label.trim_start_matches(',').to_owned(), value));
        rest = after;
    }
    Some((name, labels, value.parse().ok()?))
}

/// A label's value up to its closing quote, and what follows that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_core::metrics::Outcome;

    #[test]
    fn what_the_page_shows_is_read_off_it_again() {
        let metrics = Metrics::default();
        metrics.count_on_route("a \"queue\"\\", "photos/\n2024/={},", Outcome::Copied);
        metrics.count_bytes(1 << 40);
        let families = families(&metrics.render(MetricsFormat::Prometheus));
        let (labels, value) =
            families["skyferry_route_objects_total"].series.iter().find(|(_, value)| *value > 0.0).unwrap();
        let expected = [("queue", "a \"queue\"\\"), ("route", "photos/\n2024/={},"), ("outcome", "copied")];
        assert_eq!((labels, *value), (&expected.map(|(name, value)| KeyValue::new(name, value)).to_vec(), 1.0));
        assert_eq!(families["skyferry_bytes_total"].series, [(Vec::new(), (1u64 << 40) as f64)]);
        assert!(families["skyferry_bytes_total"].counter && !families["skyferry_paused"].counter);
        assert!(
            families["skyferry_paused"].help.contains("paused")
                && !families.contains_key("skyferry_message_age_seconds")
        );
    }
}
