//! One look at a fleet: queues, ledger and agents, and what follows from two looks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use skyferry_agent::fleet::{self, FleetMember};
use skyferry_agent::fuse::{BlownFuse, DeletionCounts};
use skyferry_agent::pause::Pause;
use skyferry_agent::wiring::{QueueComponent, open_ledger, open_queues};
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::ledger::Ledger;
use skyferry_sqlite::remote::RemoteFile;

use super::agents::AgentReply;

const NOT_OPEN: &str = "no agent has this file open";

/// What is asked beside the agents.
pub struct StatusSources {
    queues: Vec<(String, Result<QueueComponent, String>)>,
    /// Without it a pause is what agents say of it.
    ledger: Option<Arc<dyn Ledger>>,
}

/// What one look at the queues and the ledger shows.
#[derive(Debug, Default)]
pub struct QueueSnapshot {
    pub queues: Vec<QueueStatus>,
    pub paused: Option<Pause>,
    pub deletions_held: Option<BlownFuse>,
}

#[derive(Debug, Serialize)]
pub struct QueueStatus {
    pub name: String,
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetterStatus>,
    /// Why it could not be asked; then the counts are the agents', if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct DeadLetterStatus {
    pub name: String,
    /// `None`: it could not be asked.
    pub waiting: Option<u64>,
}

/// All agents together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FleetTotals {
    pub answering: usize,
    pub ended: u64,
    pub parked: u64,
    pub bytes_passed: u64,
    pub inflight_objects: u64,
    pub inflight_bytes: u64,
    /// The oldest of the messages that ended last.
    pub lag_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FleetRate {
    pub objects_per_second: f64,
    pub bytes_per_second: f64,
    /// What it was measured over; 0: not at all.
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct FleetStatus {
    pub paused: Option<Pause>,
    /// Too many at once: no more are carried over.
    pub deletions_held: Option<BlownFuse>,
    pub queues: Vec<QueueStatus>,
    #[serde(flatten)]
    pub totals: FleetTotals,
    #[serde(flatten)]
    pub rate: FleetRate,
    /// At this rate; `None`: not known.
    pub seconds_to_empty: Option<f64>,
    pub parked_by_reason: BTreeMap<String, u64>,
    pub agents: Vec<AgentReply>,
}

impl StatusSources {
    /// An embedded file that no agent has open is not opened either: it would be kept from an agent that starts.
    pub async fn open(settings: &Settings) -> StatusSources {
        let queues = match &settings.queues[..] {
            [config::QueueSettings::Embedded { path, .. }, ..] if !is_served(path).await => {
                vec![(path.display().to_string(), Err(NOT_OPEN.to_owned()))]
            }
            _ => {
                let opened = open_queues(settings).await.into_iter();
                opened.map(|(name, opened)| (name, opened.map_err(|error| error.to_string()))).collect()
            }
        };
        let ledger = match &settings.ledger {
            config::LedgerSettings::DynamoDb { .. } => open_ledger(settings).await.ok(),
            config::LedgerSettings::Embedded { path } if is_served(path).await => open_ledger(settings).await.ok(),
            config::LedgerSettings::Embedded { .. } | config::LedgerSettings::None => None,
        };
        StatusSources { queues, ledger }
    }

    /// The agents that the ledger knows.
    pub async fn members(&self) -> Vec<FleetMember> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        fleet::members(&**ledger).await.unwrap_or_default()
    }

    pub async fn snapshot(&self) -> QueueSnapshot {
        let mut queues = Vec::new();
        for (name, opened) in &self.queues {
            queues.push(queue(name, opened).await);
        }
        let Some(ledger) = &self.ledger else { return QueueSnapshot { queues, ..QueueSnapshot::default() } };
        let paused = Pause::read(&**ledger).await.ok().flatten();
        let deletions_held = DeletionCounts::read(&**ledger).await.ok().flatten();
        QueueSnapshot { queues, paused, deletions_held }
    }
}

/// An agent has the file open and answers for it.
async fn is_served(path: &Path) -> bool {
    RemoteFile::connect(path).await.is_ok()
}

async fn queue(name: &str, opened: &Result<QueueComponent, String>) -> QueueStatus {
    let mut seen =
        QueueStatus { name: name.to_owned(), visible: 0, in_flight: 0, delayed: 0, dead_letters: None, error: None };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return QueueStatus { error: Some(error.clone()), ..seen },
    };
    match opened.queue.depth().await {
        Ok(depth) => (seen.visible, seen.in_flight, seen.delayed) = (depth.visible, depth.in_flight, depth.delayed),
        Err(error) => return QueueStatus { error: Some(error.to_string()), ..seen },
    }
    if let Some(embedded) = &opened.embedded {
        let waiting = embedded.count_letters().await.ok();
        seen.dead_letters = Some(DeadLetterStatus { name: name.to_owned(), waiting });
    }
    if let Some(sqs) = &opened.sqs
        && let Ok(settings) = sqs.settings().await
    {
        seen.dead_letters = settings.dead_letters.map(|dead| {
            let waiting = dead.found.ok().map(|(_, waiting)| waiting);
            DeadLetterStatus { name: dead.name, waiting }
        });
    }
    seen
}

impl FleetTotals {
    pub fn of(agents: &[AgentReply]) -> FleetTotals {
        agents.iter().filter_map(|agent| agent.status.as_ref()).fold(FleetTotals::default(), |sum, status| {
            FleetTotals {
                answering: sum.answering + 1,
                ended: sum.ended + status.total_ended(),
                parked: sum.parked + status.parked,
                bytes_passed: sum.bytes_passed + status.bytes_passed,
                inflight_objects: sum.inflight_objects + status.inflight_objects,
                inflight_bytes: sum.inflight_bytes + status.inflight_bytes,
                lag_seconds: match (sum.lag_seconds, status.lag_seconds) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                },
            }
        })
    }

    /// An agent that came or went between the looks makes no rate below nothing.
    pub fn since(&self, before: &FleetTotals, time: Duration) -> FleetRate {
        let seconds = time.as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds.max(0.001);
        FleetRate {
            objects_per_second: rate(self.ended, before.ended),
            bytes_per_second: rate(self.bytes_passed, before.bytes_passed),
            seconds,
        }
    }
}

impl FleetStatus {
    pub fn new(seen: QueueSnapshot, agents: Vec<AgentReply>, totals: FleetTotals, rate: FleetRate) -> FleetStatus {
        let QueueSnapshot { mut queues, paused, deletions_held } = seen;
        let status = || agents.iter().filter_map(|agent| agent.status.as_ref());
        let mut parked_by_reason = BTreeMap::new();
        for (reason, count) in status().flat_map(|status| &status.parked_by_reason) {
            *parked_by_reason.entry(reason.clone()).or_default() += count;
        }
        // An agent's embedded queue is in that agent's hands alone.
        if let ([queue], Some(reported)) = (&mut queues[..], status().find_map(|status| status.queue.as_ref()))
            && queue.error.is_some()
        {
            (queue.visible, queue.in_flight, queue.error) = (reported.visible, reported.in_flight, None);
        }
        let waiting: u64 = queues.iter().map(|queue| queue.visible + queue.in_flight + queue.delayed).sum();
        let seconds_to_empty = match (waiting, rate.objects_per_second > 0.0) {
            (0, _) => Some(0.0).filter(|_| queues.iter().all(|queue| queue.error.is_none())),
            (waiting, true) => Some(waiting as f64 / rate.objects_per_second),
            (_, false) => None,
        };
        let paused = paused.or_else(|| status().find_map(|status| status.paused.clone()));
        let deletions_held = deletions_held.or_else(|| status().find_map(|status| status.deletions_held));
        FleetStatus { paused, deletions_held, queues, totals, rate, seconds_to_empty, parked_by_reason, agents }
    }
}

#[cfg(test)]
mod tests {
    use super::super::agents::{self, AgentStatus};
    use super::*;

    fn agent(status: AgentStatus) -> AgentReply {
        AgentReply { url: "http://a".into(), error: None, status: Some(status) }
    }

    fn fleet(queue: QueueStatus, rate: FleetRate, agents: Vec<AgentReply>) -> FleetStatus {
        let totals = FleetTotals::of(&agents);
        FleetStatus::new(QueueSnapshot { queues: vec![queue], ..QueueSnapshot::default() }, agents, totals, rate)
    }

    fn waiting(visible: u64, error: Option<&str>) -> QueueStatus {
        let (name, error) = ("list".into(), error.map(Into::into));
        QueueStatus { name, visible, in_flight: 0, delayed: 0, dead_letters: None, error }
    }

    #[test]
    fn the_time_to_empty_is_known_where_something_ends_or_nothing_waits() {
        let rate = FleetRate { objects_per_second: 4.0, ..FleetRate::default() };
        assert_eq!(fleet(waiting(20, None), rate, Vec::new()).seconds_to_empty, Some(5.0));
        assert_eq!(fleet(waiting(20, None), FleetRate::default(), Vec::new()).seconds_to_empty, None);
        assert_eq!(fleet(waiting(0, None), FleetRate::default(), Vec::new()).seconds_to_empty, Some(0.0));
        assert_eq!(fleet(waiting(0, Some("away")), FleetRate::default(), Vec::new()).seconds_to_empty, None);
    }

    #[test]
    fn the_queue_that_an_agent_holds_is_told_by_it() {
        let queue = agents::AgentQueue { name: "file".into(), visible: 7, in_flight: 2 };
        let status = AgentStatus { queue: Some(queue), ..AgentStatus::default() };
        let fleet = fleet(waiting(0, Some("in use")), FleetRate::default(), vec![agent(status)]);
        assert_eq!((fleet.queues[0].visible, fleet.queues[0].in_flight), (7, 2));
        assert_eq!((fleet.queues[0].error.as_deref(), fleet.seconds_to_empty), (None, None));
    }

    #[test]
    fn agents_are_added_up_and_their_oldest_message_is_the_lag() {
        let status = |copied, lag, reason: &str| {
            let parked_by_reason = BTreeMap::from([(reason.to_owned(), 1)]);
            agent(AgentStatus { copied, parked: 1, lag_seconds: lag, parked_by_reason, ..AgentStatus::default() })
        };
        let silent = AgentReply { url: "http://c".into(), error: Some("away".into()), status: None };
        let agents =
            vec![status(5, Some(2.0), "archived"), status(7, Some(9.0), "archived"), silent, status(0, None, "denied")];
        let fleet = fleet(waiting(0, None), FleetRate::default(), agents);
        assert_eq!((fleet.totals.answering, fleet.totals.ended, fleet.totals.lag_seconds), (3, 15, Some(9.0)));
        assert_eq!(fleet.parked_by_reason, BTreeMap::from([("archived".into(), 2), ("denied".into(), 1)]));
    }

    #[test]
    fn an_agent_that_went_away_makes_no_negative_rate() {
        let before = FleetTotals { ended: 100, bytes_passed: 1000, ..FleetTotals::default() };
        let now = FleetTotals { ended: 40, bytes_passed: 3000, ..FleetTotals::default() };
        let rate = now.since(&before, Duration::from_secs(2));
        assert_eq!((rate.objects_per_second, rate.bytes_per_second), (0.0, 1000.0));
    }
}
