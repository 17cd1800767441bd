//! One look at a fleet: queues, ledger and agents, and what follows from two looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use skyferry_agent::fuse::{Blown, Deletions};
use skyferry_agent::pause::Pause;
use skyferry_agent::wiring::{QueueApart, open_ledger, open_queues};
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::ledger::Ledger;

use super::agents::Asked;

/// What is asked beside the agents.
pub struct Places {
    queues: Vec<(String, Result<QueueApart, String>)>,
    /// Without it a pause is what agents say of it.
    ledger: Option<Arc<dyn Ledger>>,
}

/// What one look at the queues and the ledger shows.
#[derive(Debug, Default)]
pub struct Seen {
    pub queues: Vec<Queue>,
    pub paused: Option<Pause>,
    pub deletions_held: Option<Blown>,
}

#[derive(Debug, Serialize)]
pub struct Queue {
    pub name: String,
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// Why it could not be asked; then the counts are the agents', if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct DeadLetters {
    pub name: String,
    /// `None`: it could not be asked.
    pub waiting: Option<u64>,
}

/// All agents together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
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
pub struct Rate {
    pub objects_per_second: f64,
    pub bytes_per_second: f64,
    /// What it was measured over; 0: not at all.
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct Sight {
    pub paused: Option<Pause>,
    /// Too many at once: no more are carried over.
    pub deletions_held: Option<Blown>,
    pub queues: Vec<Queue>,
    #[serde(flatten)]
    pub totals: Totals,
    #[serde(flatten)]
    pub rate: Rate,
    /// At this rate; `None`: not known.
    pub seconds_to_empty: Option<f64>,
    pub parked_by_reason: BTreeMap<String, u64>,
    pub agents: Vec<Asked>,
}

impl Places {
    /// An embedded file is not opened: it would be kept from its agent, which tells all there is to tell.
    pub async fn open(settings: &Settings) -> Places {
        let queues = match &settings.queues[..] {
            [config::Queue::Embedded { path, .. }, ..] => {
                vec![(path.display().to_string(), Err("only the agent that has it open can tell".to_owned()))]
            }
            _ => {
                let opened = open_queues(settings).await.into_iter();
                opened.map(|(name, opened)| (name, opened.map_err(|error| error.to_string()))).collect()
            }
        };
        let ledger = match settings.ledger {
            config::Ledger::DynamoDb { .. } => open_ledger(settings).await.ok(),
            config::Ledger::Embedded { .. } | config::Ledger::None => None,
        };
        Places { queues, ledger }
    }

    pub async fn look(&self) -> Seen {
        let mut queues = Vec::new();
        for (name, opened) in &self.queues {
            queues.push(queue(name, opened).await);
        }
        let Some(ledger) = &self.ledger else { return Seen { queues, ..Seen::default() } };
        let paused = Pause::read(&**ledger).await.ok().flatten();
        let deletions_held = Deletions::read(&**ledger).await.ok().flatten();
        Seen { queues, paused, deletions_held }
    }
}

async fn queue(name: &str, opened: &Result<QueueApart, String>) -> Queue {
    let mut seen =
        Queue { name: name.to_owned(), visible: 0, in_flight: 0, delayed: 0, dead_letters: None, error: None };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return Queue { error: Some(error.clone()), ..seen },
    };
    match opened.queue.depth().await {
        Ok(depth) => (seen.visible, seen.in_flight, seen.delayed) = (depth.visible, depth.in_flight, depth.delayed),
        Err(error) => return Queue { error: Some(error.to_string()), ..seen },
    }
    if let Some(sqs) = &opened.sqs
        && let Ok(settings) = sqs.settings().await
    {
        seen.dead_letters = settings.dead_letters.map(|dead| {
            let waiting = dead.found.ok().map(|(_, waiting)| waiting);
            DeadLetters { name: dead.name, waiting }
        });
    }
    seen
}

impl Totals {
    pub fn of(agents: &[Asked]) -> Totals {
        agents.iter().filter_map(|agent| agent.said.as_ref()).fold(Totals::default(), |sum, said| Totals {
            answering: sum.answering + 1,
            ended: sum.ended + said.ended(),
            parked: sum.parked + said.parked,
            bytes_passed: sum.bytes_passed + said.bytes_passed,
            inflight_objects: sum.inflight_objects + said.inflight_objects,
            inflight_bytes: sum.inflight_bytes + said.inflight_bytes,
            lag_seconds: match (sum.lag_seconds, said.lag_seconds) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            },
        })
    }

    /// An agent that came or went between the looks makes no rate below nothing.
    pub fn since(&self, before: &Totals, time: Duration) -> Rate {
        let seconds = time.as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds.max(0.001);
        Rate {
            objects_per_second: rate(self.ended, before.ended),
            bytes_per_second: rate(self.bytes_passed, before.bytes_passed),
            seconds,
        }
    }
}

impl Sight {
    pub fn new(seen: Seen, agents: Vec<Asked>, totals: Totals, rate: Rate) -> Sight {
        let Seen { mut queues, paused, deletions_held } = seen;
        let said = || agents.iter().filter_map(|agent| agent.said.as_ref());
        let mut parked_by_reason = BTreeMap::new();
        for (reason, count) in said().flat_map(|said| &said.parked_by_reason) {
            *parked_by_reason.entry(reason.clone()).or_default() += count;
        }
        // An agent's embedded queue is in that agent's hands alone.
        if let ([queue], Some(told)) = (&mut queues[..], said().find_map(|said| said.queue.as_ref()))
            && queue.error.is_some()
        {
            (queue.visible, queue.in_flight, queue.error) = (told.visible, told.in_flight, None);
        }
        let waiting: u64 = queues.iter().map(|queue| queue.visible + queue.in_flight + queue.delayed).sum();
        let seconds_to_empty = match (waiting, rate.objects_per_second > 0.0) {
            (0, _) => Some(0.0).filter(|_| queues.iter().all(|queue| queue.error.is_none())),
            (waiting, true) => Some(waiting as f64 / rate.objects_per_second),
            (_, false) => None,
        };
        let paused = paused.or_else(|| said().find_map(|said| said.paused.clone()));
        let deletions_held = deletions_held.or_else(|| said().find_map(|said| said.deletions_held));
        Sight { paused, deletions_held, queues, totals, rate, seconds_to_empty, parked_by_reason, agents }
    }
}

#[cfg(test)]
mod tests {
    use super::super::agents::{self, Said};
    use super::*;

    fn agent(said: Said) -> Asked {
        Asked { url: "http://a".into(), error: None, said: Some(said) }
    }

    fn sight(queue: Queue, rate: Rate, agents: Vec<Asked>) -> Sight {
        let totals = Totals::of(&agents);
        Sight::new(Seen { queues: vec![queue], ..Seen::default() }, agents, totals, rate)
    }

    fn waiting(visible: u64, error: Option<&str>) -> Queue {
        let (name, error) = ("list".into(), error.map(Into::into));
        Queue { name, visible, in_flight: 0, delayed: 0, dead_letters: None, error }
    }

    #[test]
    fn the_time_to_empty_is_known_where_something_ends_or_nothing_waits() {
        let rate = Rate { objects_per_second: 4.0, ..Rate::default() };
        assert_eq!(sight(waiting(20, None), rate, Vec::new()).seconds_to_empty, Some(5.0));
        assert_eq!(sight(waiting(20, None), Rate::default(), Vec::new()).seconds_to_empty, None);
        assert_eq!(sight(waiting(0, None), Rate::default(), Vec::new()).seconds_to_empty, Some(0.0));
        assert_eq!(sight(waiting(0, Some("away")), Rate::default(), Vec::new()).seconds_to_empty, None);
    }

    #[test]
    fn the_queue_that_an_agent_holds_is_told_by_it() {
        let queue = agents::Queue { name: "file".into(), visible: 7, in_flight: 2 };
        let said = Said { queue: Some(queue), ..Said::default() };
        let sight = sight(waiting(0, Some("in use")), Rate::default(), vec![agent(said)]);
        assert_eq!((sight.queues[0].visible, sight.queues[0].in_flight), (7, 2));
        assert_eq!((sight.queues[0].error.as_deref(), sight.seconds_to_empty), (None, None));
    }

    #[test]
    fn agents_are_added_up_and_their_oldest_message_is_the_lag() {
        let said = |copied, lag, reason: &str| {
            let parked_by_reason = BTreeMap::from([(reason.to_owned(), 1)]);
            agent(Said { copied, parked: 1, lag_seconds: lag, parked_by_reason, ..Said::default() })
        };
        let silent = Asked { url: "http://c".into(), error: Some("away".into()), said: None };
        let agents =
            vec![said(5, Some(2.0), "archived"), said(7, Some(9.0), "archived"), silent, said(0, None, "denied")];
        let sight = sight(waiting(0, None), Rate::default(), agents);
        assert_eq!((sight.totals.answering, sight.totals.ended, sight.totals.lag_seconds), (3, 15, Some(9.0)));
        assert_eq!(sight.parked_by_reason, BTreeMap::from([("archived".into(), 2), ("denied".into(), 1)]));
    }

    #[test]
    fn an_agent_that_went_away_makes_no_negative_rate() {
        let before = Totals { ended: 100, bytes_passed: 1000, ..Totals::default() };
        let now = Totals { ended: 40, bytes_passed: 3000, ..Totals::default() };
        let rate = now.since(&before, Duration::from_secs(2));
        assert_eq!((rate.objects_per_second, rate.bytes_per_second), (0.0, 1000.0));
    }
}
