//! `log.metrics = "emf"`: every minute a line in CloudWatch's embedded metric format on stderr, among the log's. Whatever
//! carries the log to CloudWatch Logs thereby carries the metrics. The queue is their only dimension, so that a fleet adds
//! up, and costs as much as one machine.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use skyferry_core::metrics::{MessageAges, Metrics, Summary};

const EVERY: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "Skyferry";
const DIMENSION: &str = "Queue";

/// What was reported so far: a counter goes out as what came since.
pub struct EmfLogger {
    metrics: Arc<Metrics>,
    queue: Arc<str>,
    counts: Summary,
    ages: MessageAges,
}

impl EmfLogger {
    pub fn new(metrics: Arc<Metrics>, queue: Arc<str>) -> EmfLogger {
        EmfLogger { metrics, queue, counts: Summary::default(), ages: MessageAges::default() }
    }

    /// A line a minute, and one at the end for what is left.
    pub async fn run(mut self, end: CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            self.write();
        }
        self.write();
    }

    /// In one piece: other threads log on stderr too. A log that nobody takes any more is no reason to end.
    pub fn write(&mut self) {
        let line = format!("{}\n", self.line(jiff::Timestamp::now().as_millisecond()));
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn line(&mut self, timestamp: i64) -> Value {
        let (counts, ages) = (self.metrics.summary(), self.metrics.ages());
        let new = counts.since(&self.counts);
        let mut values = vec![
            ("copied", "Count", json!(new.copied)),
            ("deleted", "Count", json!(new.deleted)),
            ("gone", "Count", json!(new.gone)),
            ("unchanged", "Count", json!(new.unchanged)),
            ("skipped", "Count", json!(new.skipped)),
            ("parked", "Count", json!(new.parked)),
            ("bytes", "Bytes", json!(new.bytes)),
            ("retries", "Count", json!(new.retries)),
            ("inflight_objects", "Count", json!(self.metrics.inflight_objects.get())),
            ("inflight_bytes", "Bytes", json!(self.metrics.inflight_bytes.get())),
        ];
        // Where nothing ended there is no mean.
        if let Some(mean) = ages.mean_since(&self.ages) {
            values.push(("message_age_seconds", "Seconds", json!(mean.as_secs_f64())));
        }
        (self.counts, self.ages) = (counts, ages);
        let declared: Vec<Value> = values.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line: Map<String, Value> =
            values.into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect();
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": declared});
        line.insert("_aws".into(), json!({"Timestamp": timestamp, "CloudWatchMetrics": [directive]}));
        line.insert(DIMENSION.into(), json!(&*self.queue));
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_core::metrics::{Outcome, RetryCause};

    #[test]
    fn a_line_tells_what_came_since_the_one_before() {
        let metrics = Arc::new(Metrics::default());
        let mut emf = EmfLogger::new(metrics.clone(), "list".into());
        metrics.count_outcome(Outcome::Copied);
        metrics.count_bytes(5);
        metrics.count_retry(RetryCause::Network);
        metrics.observe_message_age(Duration::from_secs(3));
        metrics.observe_message_age(Duration::from_secs(4));
        let first = emf.line(1);
        let reported = |line: &Value, name: &str| line[name].as_f64();
        for (name, value) in [("copied", 1.0), ("bytes", 5.0), ("retries", 1.0), ("message_age_seconds", 3.5)] {
            assert_eq!(reported(&first, name), Some(value), "{name}");
        }
        let _held = metrics.inflight_objects.hold(2);
        metrics.count_outcome(Outcome::Copied);
        let second = emf.line(2);
        assert_eq!((reported(&second, "copied"), reported(&second, "bytes")), (Some(1.0), Some(0.0)));
        assert_eq!(
            (reported(&second, "inflight_objects"), reported(&second, "message_age_seconds")),
            (Some(2.0), None)
        );
    }

    #[test]
    fn every_metric_and_the_dimension_are_members_of_their_line() {
        let line = EmfLogger::new(Arc::default(), "list".into()).line(7);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().expect("metrics") {
            assert!(line[metric["Name"].as_str().expect("a name")].is_number(), "{metric}");
        }
        assert_eq!((&directive["Dimensions"], &line["Queue"]), (&json!([["Queue"]]), &json!("list")));
    }
}
