//! The worker: one invocation is one batch of messages, worked on by the agent's own jobs, and the answer names those that
//! Lambda must keep.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use serde_json::{Value, json};
use skyferry_agent::drain::DrainReport;
use skyferry_agent::emf::EmfLogger;
use skyferry_agent::pause::Pause;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::Agent;
use skyferry_aws::sqs::Arn;
use skyferry_config::{QueueName, QueueSettings, Settings};
use skyferry_core::protocol::is_last_chance;
use skyferry_core::queue::{Queue, QueueError, Receipt};
use tokio::sync::Mutex;

use crate::deadline::Deadline;
use crate::event::{Batch, Malformed};
use crate::queue::EventQueue;

/// How old the ignore list and the bucket pairs may be.
const LISTS: Duration = Duration::from_secs(60);
/// For how long a message is put away while the fleet is paused.
const PAUSED: Duration = Duration::from_secs(900);
/// For how long a message rests whose job was left: what it had sent may still land. The visibility timeout would be hours.
const ABANDONED: Duration = Duration::from_secs(60);

/// What one instance of the function keeps between invocations.
pub struct Worker {
    settings: Settings,
    /// By the queue's ARN; most functions have one.
    bound: Mutex<HashMap<String, Arc<Bound>>>,
}

/// An agent behind one queue.
struct Bound {
    agent: Agent,
    queue: Arc<EventQueue>,
    lists_read: Mutex<SystemTime>,
    emf: Mutex<Option<EmfLogger>>,
}

impl Worker {
    pub fn new(settings: Settings) -> Worker {
        Worker { settings, bound: Mutex::default() }
    }

    /// One invocation. An error is the function's: then Lambda keeps the whole batch.
    pub async fn invoke(&self, event: &Value, deadline: Deadline) -> anyhow::Result<Value> {
        let batch = Batch::read(event, SystemTime::now())?;
        let bound = self.bound_to(&batch.arn).await?;
        bound.refuse_short_visibility(deadline)?;
        let failures = bound.process(batch, deadline).await?;
        let failures: Vec<Value> = failures.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    async fn bound_to(&self, arn: &str) -> anyhow::Result<Arc<Bound>> {
        let mut bound = self.bound.lock().await;
        if let Some(bound) = bound.get(arn) {
            return Ok(bound.clone());
        }
        let new = Arc::new(Bound::open(&self.settings, arn).await?);
        bound.insert(arn.to_owned(), new.clone());
        Ok(new)
    }
}

impl Bound {
    /// The queue is the event's, whatever the settings name: it is where the messages are.
    async fn open(settings: &Settings, arn: &str) -> anyhow::Result<Bound> {
        let at = Arn::parse(arn).ok_or_else(|| anyhow!("{arn} is not the ARN of a queue"))?;
        let endpoint = settings.queues.iter().find_map(|queue| match queue {
            QueueSettings::Sqs { endpoint, .. } => endpoint.clone(),
            QueueSettings::Embedded { .. } => None,
        });
        let queue = QueueSettings::Sqs {
            queue: QueueName::Url(at.url(endpoint.as_ref().map(|endpoint| endpoint.as_str()))),
            region: Some(at.region.to_owned()),
            endpoint,
        };
        let settings = Settings { queues: vec![queue], ..settings.clone() };
        let mut queue = None;
        let agent = Agent::build_behind(&settings, |inner| {
            let events = Arc::new(EventQueue::new(inner));
            queue = Some(events.clone());
            events
        });
        let agent = agent.await?;
        agent.description().iter().for_each(|line| tracing::info!("{line}"));
        if let Some((role, error)) = agent.missing() {
            bail!("[credentials] {role}: {error}");
        }
        let emf = Mutex::new(agent.emf());
        let queue = queue.context("an agent without a queue")?;
        Ok(Bound { agent, queue, lists_read: Mutex::new(SystemTime::now()), emf })
    }

    /// A message that becomes visible while its invocation runs is worked on twice, and counted twice by the redrive policy.
    fn refuse_short_visibility(&self, deadline: Deadline) -> anyhow::Result<()> {
        let visibility = self.queue.traits().visibility;
        match deadline.left {
            Some(left) if left > visibility => bail!(
                "queue {}: its visibility timeout ({} s) is shorter than this function's time-out (more than {} s); set VisibilityTimeout to at least six times the function's Timeout",
                self.queue.name(),
                visibility.as_secs(),
                left.as_secs()
            ),
            _ => Ok(()),
        }
    }

    /// The ids of what Lambda must keep.
    async fn process(&self, batch: Batch, deadline: Deadline) -> anyhow::Result<Vec<Arc<str>>> {
        let shutdown = Shutdown::default();
        let _watch = deadline.watch(&shutdown);
        self.queue.load(&batch.messages, shutdown.stop.clone());
        let (pause, parked) = tokio::join!(self.agent.pause(), self.park(batch.malformed));
        if let Some(pause) = pause {
            self.release_while_paused(&pause).await;
        } else {
            self.refresh_lists().await;
            let drained = self.agent.work_on(batch.messages.len(), &shutdown).await;
            let untouched = self.queue.take_unclaimed();
            join_all(untouched.iter().map(|message| self.release(&message.receipt, Duration::ZERO))).await;
            if drained != DrainReport::default() {
                let abandoned = self.queue.abandoned();
                tracing::warn!(
                    messages = abandoned.len(),
                    "jobs did not end in time; their messages come back in a minute"
                );
                join_all(abandoned.iter().map(|receipt| self.release(receipt, ABANDONED))).await;
            }
            if let Some(emf) = &mut *self.emf.lock().await {
                emf.write();
            }
        }
        let mut failures = self.queue.failures();
        failures.extend(parked?);
        Ok(failures)
    }

    /// Owners change their lists while functions run. One that cannot be read or served changes nothing.
    async fn refresh_lists(&self) {
        let mut read = self.lists_read.lock().await;
        // By the wall clock: the others may stand still between two invocations.
        if read.elapsed().is_ok_and(|age| age < LISTS) {
            return;
        }
        match self.agent.refresh_lists().await {
            Ok(()) => *read = SystemTime::now(),
            Err(error) => tracing::warn!(%error, "the previous lists stay in use"),
        }
    }

    /// Each alone. Back come the ids of those that could not be; one without an id fails the invocation.
    async fn park(&self, malformed: Vec<Malformed>) -> anyhow::Result<Vec<Arc<str>>> {
        let mut failures = Vec::new();
        for Malformed { id, body, reason } in malformed {
            tracing::error!(message_id = id.as_deref(), %reason, "malformed record, parked");
            match (self.queue.park(&body, &reason).await, id) {
                (Ok(()), _) => {}
                (Err(error), Some(id)) => {
                    tracing::warn!(message_id = %id, %error, "the malformed record could not be parked");
                    failures.push(id.into());
                }
                (Err(error), None) => return Err(error).context("a record without a messageId could not be parked"),
            }
        }
        Ok(failures)
    }

    /// Nothing is tried while the fleet is paused, and no message is given up because of it.
    async fn release_while_paused(&self, pause: &Pause) {
        let messages = self.queue.take_unclaimed();
        tracing::info!("{pause}; {} messages are put away", messages.len());
        let most = self.queue.traits().max_receives;
        let away = messages.iter().map(async |message| {
            if !is_last_chance(message.received, most) {
                return self.release(&message.receipt, PAUSED).await;
            }
            let renewed = self.queue.renew(message, &message.body, PAUSED).await;
            renewed.unwrap_or_else(|error| log_failure(&error));
        });
        join_all(away).await;
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) {
        self.queue.release(receipt, delay).await.unwrap_or_else(|error| log_failure(&error));
    }
}

fn log_failure(error: &QueueError) {
    tracing::warn!(%error, "a message could not be returned; it becomes visible again when its visibility timeout ends");
}
