//! The values behind the metrics. Counters and histograms are `prometheus_client`'s; here is what it has no type for: a gauge
//! that gives back what was held, a limit with its reason, one value a name.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::{MetricType, gauge};

/// A value that goes up and down. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(pub(super) gauge::Gauge);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// The value; what is below zero is zero.
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.get()).unwrap_or(0)
    }

    /// Adds `amount` until the answer is dropped, also when its task panics or is cancelled.
    #[must_use]
    pub fn hold(&self, amount: u64) -> GaugeGuard {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        self.0.inc_by(amount);
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
        self.gauge.0.dec_by(self.amount);
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

impl EncodeMetric for LimitGauge {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        let (value, reason) = self.get();
        encoder.encode_family(&[("reason", reason)])?.encode_gauge(&value)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// What becomes of the values of names beyond the cap.
#[derive(Clone, Copy, Debug)]
pub(super) enum Overflow {
    Sum,
    /// Of ages and dates.
    Largest,
    Smallest,
}

/// A gauge for each name that has one, with the name as its label. Clones share it.
#[derive(Clone, Debug)]
pub struct NamedGauge {
    label: &'static str,
    beyond: Overflow,
    values: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
}

impl NamedGauge {
    pub(super) fn new(label: &'static str, beyond: Overflow) -> NamedGauge {
        NamedGauge { label, beyond, values: Arc::default() }
    }

    /// Replaces the value of one name; `None`: it is not known any more.
    pub fn set(&self, name: &str, value: impl Into<Option<u64>>) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        match (value.into(), values.get_mut(name)) {
            (None, _) => drop(values.remove(name)),
            (Some(value), Some(known)) => *known = value,
            (Some(value), None) => drop(values.insert(name.into(), value)),
        }
    }

    /// The sum of all names' values.
    pub fn get(&self) -> u64 {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.values().fold(0, |sum, value| sum.saturating_add(*value))
    }
}

impl EncodeMetric for NamedGauge {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in values.iter().take(super::NAMES) {
            encoder.encode_family(&[(self.label, &**name)])?.encode_gauge(value)?;
        }
        let others = values.values().skip(super::NAMES).copied();
        let others = match self.beyond {
            Overflow::Sum => others.reduce(u64::saturating_add),
            Overflow::Largest => others.max(),
            Overflow::Smallest => others.min(),
        };
        match others {
            Some(value) => encoder.encode_family(&[(self.label, super::OTHER)])?.encode_gauge(&value),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// How often each of our own words came: they are few. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct WordCounter(&'static str, Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl WordCounter {
    pub(super) fn new(label: &'static str) -> WordCounter {
        WordCounter(label, Arc::default())
    }

    pub(super) fn count(&self, word: &'static str) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl EncodeMetric for WordCounter {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        for (word, count) in self.counts() {
            ConstCounter::new(count).encode(encoder.encode_family(&[(self.0, word)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
