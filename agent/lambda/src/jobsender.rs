//! The jobsender: an invocation scans both sides, and sends a job for every object that differs. What the function's time does
//! not suffice for, the next invocation continues with.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use skyferry::resumable::{self, ScanOptions};
use skyferry_agent::shutdown::Shutdown;
use skyferry_config::{Settings, VersionMode};

use crate::deadline::Deadline;

pub struct Jobsender {
    settings: Settings,
    versions: bool,
}

/// What the event may say; a schedule's own event says nothing of it.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Asked {
    if_queue_empty: bool,
    restart: bool,
    versions: Option<bool>,
}

impl Default for Asked {
    fn default() -> Self {
        Asked { if_queue_empty: true, restart: false, versions: None }
    }
}

impl Jobsender {
    /// `versions`: the predecessors' `JobsenderCompareVersionId`.
    pub fn new(settings: Settings, versions: bool) -> Jobsender {
        let versions = versions || settings.transfer.versions == VersionMode::Exact;
        Jobsender { settings, versions }
    }

    pub async fn invoke(&self, event: &Value, deadline: Deadline) -> anyhow::Result<Value> {
        let asked = if event.is_object() { Asked::deserialize(event) } else { Ok(Asked::default()) };
        let asked = asked.context("the event: if_queue_empty, restart and versions are true or false")?;
        let shutdown = Shutdown::default();
        let _watch = deadline.watch(&shutdown);
        let options = ScanOptions {
            if_queue_empty: asked.if_queue_empty,
            versions: asked.versions.unwrap_or(self.versions),
            restart: asked.restart,
        };
        let report = resumable::run(self.settings.clone(), options, &shutdown.stop).await?;
        let report = serde_json::to_value(&report)?;
        tracing::info!(%report, "the scan has ended");
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schedules_event_asks_for_nothing_special() {
        let schedule = json!({ "version": "0", "id": "x", "detail-type": "Scheduled Event", "source": "aws.events",
            "resources": ["arn:aws:events:eu-west-1:123456789012:rule/hourly"], "detail": {} });
        let asked = Asked::deserialize(&schedule).unwrap();
        assert!(asked.if_queue_empty && !asked.restart && asked.versions.is_none());
        let asked = Asked::deserialize(json!({ "if_queue_empty": false, "restart": true })).unwrap();
        assert!(!asked.if_queue_empty && asked.restart);
    }
}
