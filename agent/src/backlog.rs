//! The queues' backlog as a metric of Cloud Monitoring, which the autoscaler of a group of machines on Google Cloud follows.
//! Every period one agent, the leader, writes one point a queue.
//!
//! The series is the group's and not a machine's: any resource type but `gce_instance` is read so by the autoscaler. It is
//! `generic_task`, with labels that are the same whoever leads, because labels that change would be another series, to be
//! added to the first.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skyferry_providers::{Cached, Grant, ProviderError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::leader::Leader;
use skyferry_core::ledger::{Ledger, LedgerError};
use skyferry_core::queue::{Queue, QueueError};

/// The note that the leader holds.
const NOTE: &str = "backlog";
/// Of each request.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is repeated of an answer that nobody understands.
const WORDS: usize = 300;

/// Why there is no point this time.
#[derive(Debug, thiserror::Error)]
enum BacklogError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Credentials(#[from] ProviderError),
    #[error(
        "cannot read this machine's project from {endpoint}: {answer}; run on Google Cloud, or take backlog_metric out of [status]"
    )]
    Project { endpoint: String, answer: String },
    #[error("Cloud Monitoring refused {metric} in project {project}: {answer}; {advice}")]
    Refused { metric: String, project: String, answer: String, advice: &'static str },
}

/// What to publish where.
#[derive(Clone)]
pub struct BacklogTarget {
    /// The metric's type.
    pub metric: String,
    /// Of Cloud Monitoring.
    pub endpoint: String,
    /// Of the machine's metadata server, which knows the project.
    pub metadata: String,
    /// The machine's identity.
    pub identity: Arc<Cached>,
    pub period: Duration,
}

pub struct BacklogPublisher {
    target: BacklogTarget,
    queues: Vec<Arc<dyn Queue>>,
    leader: Leader,
    client: reqwest::Client,
}

impl BacklogPublisher {
    pub fn new(
        target: BacklogTarget,
        queues: Vec<Arc<dyn Queue>>,
        ledger: Arc<dyn Ledger>,
    ) -> Result<BacklogPublisher, String> {
        // A leader that misses two points has lost its place.
        let leader = Leader::new(ledger, NOTE, target.period * 5 / 2);
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| error.to_string())?;
        Ok(BacklogPublisher { target, queues, leader, client })
    }

    /// Publishes while this agent leads, until `end`.
    pub async fn run(self, end: CancellationToken) {
        let mut ticks = tokio::time::interval(self.target.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = String::new();
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = match end.run_until_cancelled(self.publish_if_leader()).await {
                None => break,
                Some(Ok(true)) => "leads".to_owned(),
                Some(Ok(false)) => "follows".to_owned(),
                Some(Err(error)) => error.to_string(),
            };
            if now != reported {
                match now.as_str() {
                    "leads" => tracing::info!(metric = self.target.metric, "this agent publishes the backlog"),
                    "follows" => tracing::info!("another agent publishes the backlog"),
                    error => tracing::warn!(error, "the backlog is not published; trying again"),
                }
                reported = now;
            }
        }
        self.resign().await;
    }

    /// Publishes if it is this agent's turn. Who cannot publish lets another one try.
    async fn publish_if_leader(&self) -> Result<bool, BacklogError> {
        if !self.leader.try_lead().await? {
            return Ok(false);
        }
        let published = self.publish().await;
        if published.is_err() {
            self.resign().await;
        }
        published.map(|()| true)
    }

    async fn resign(&self) {
        if let Err(error) = self.leader.resign().await {
            tracing::info!(%error, "the next agent publishes the backlog when this one's term has ended");
        }
    }

    async fn publish(&self) -> Result<(), BacklogError> {
        let project = self.project().await?;
        let mut series = Vec::new();
        for queue in &self.queues {
            let depth = queue.depth().await?;
            series.push(time_series(
                &self.target.metric,
                &project,
                queue.name(),
                depth.visible + depth.in_flight + depth.delayed,
            ));
        }
        let refused = |answer: String, advice| BacklogError::Refused {
            metric: self.target.metric.clone(),
            project: project.clone(),
            answer,
            advice,
        };
        let credentials = self.target.identity.get().await?;
        let Grant::Bearer(token) = &credentials.grant else {
            return Err(refused("no token is available for it".into(), "use this machine's Google identity"));
        };
        let url = format!("{}/v3/projects/{project}/timeSeries", self.target.endpoint);
        let request = self.client.post(url).bearer_auth(token.expose()).json(&json!({ "timeSeries": series }));
        let away = "it will be retried; check the network";
        let answer = request.send().await.map_err(|error| refused(error_text(&error), away))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        if status == reqwest::StatusCode::UNAUTHORIZED {
            self.target.identity.refused(&credentials);
        }
        let words = answer.text().await.unwrap_or_default();
        Err(refused(format!("{} {}", status.as_u16(), message(&words)), advice(status.as_u16(), &words)))
    }

    async fn project(&self) -> Result<String, BacklogError> {
        let endpoint = &self.target.metadata;
        let unknown = |answer: String| BacklogError::Project { endpoint: endpoint.clone(), answer };
        let request = self.client.get(format!("{endpoint}/computeMetadata/v1/project/project-id"));
        let answer =
            request.header("Metadata-Flavor", "Google").send().await.map_err(|error| unknown(error_text(&error)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| unknown(error_text(&error)))?;
        let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ":.-".contains(c));
        if status.is_success() && plain { Ok(text) } else { Err(unknown(format!("it answered {}", status.as_u16()))) }
    }
}

fn time_series(metric: &str, project: &str, queue: &str, messages: u64) -> Value {
    // A queue may be named by its URL.
    let name = queue.rsplit('/').next().unwrap_or(queue);
    json!({
        "metric": { "type": metric },
        "resource": { "type": "generic_task", "labels": {
            "project_id": project, "location": "global", "namespace": "skyferry", "job": name, "task_id": "backlog",
        } },
        "metricKind": "GAUGE",
        "valueType": "INT64",
        "points": [{
            "interval": { "endTime": jiff::Timestamp::now().to_string() },
            // The interface writes whole numbers as texts.
            "value": { "int64Value": messages.to_string() },
        }],
    })
}

/// reqwest's errors say little by themselves, and name the URL: the last cause says what happened.
fn error_text(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Google's own words of an error.
fn message(body: &str) -> String {
    let read: Option<Value> = serde_json::from_str(body).ok();
    let message = read.as_ref().and_then(|body| body["error"]["message"].as_str());
    message.unwrap_or(body).chars().take(WORDS).collect()
}

fn advice(status: u16, words: &str) -> &'static str {
    match status {
        403 if words.contains("SERVICE_DISABLED") || words.contains("has not been used") => {
            "enable monitoring.googleapis.com in that project"
        }
        403 => {
            "grant roles/monitoring.metricWriter to this machine's service account, and give the machine the scope cloud-platform"
        }
        401 => "check this machine's service account and its clock",
        400 => {
            "make sure that no other program writes this metric and that it is a gauge of integers; otherwise correct backlog_metric"
        }
        404 => "correct the endpoint of [status]",
        _ => "it is tried again",
    }
}
