//! The loop of an agent: permit, receive, spawn; and how it ends.
//!
//! Nothing is received that there is no room for, nothing is in progress without a lease, and no job that panics or hangs
//! takes another with it. While the breaker is open a single message goes out at a time, to see whether the outage is
//! over. The loop serves one queue; several are several drains that share a pace and a breaker.

mod idle;
mod polls;
mod probe;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lease::{LeaseKeeper, MessageLease};
use crate::limits::{Breaker, Channel, Limiter, Slots};
use crate::pause::PauseWatch;
use crate::shutdown::Shutdown;
use skyferry_core::metrics::Metrics;
use skyferry_core::queue::{Message, Queue};

use idle::IdleWatch;
use polls::{PendingReceive, ReceivePool};
use probe::Probe;

/// The longest poll that SQS has, and the largest batch.
const POLL: Duration = Duration::from_secs(20);
const BATCH: usize = 10;
/// How long a receive waits for room for a whole batch.
const PATIENCE: Duration = Duration::from_millis(200);
/// From the request to stop until the agent is out; a preempted machine has 30 s.
const DRAIN: Duration = Duration::from_secs(25);
/// Of that, for each of the three things that follow the jobs' time: a late poll, releasing what it brought, aborting.
const STEP: Duration = Duration::from_secs(1);
/// Deliveries after which a message whose job panics is parked.
const PANICS: u32 = 3;
/// Jobs for each slot, those included that have given theirs back and still wait for their message's deletion.
const JOBS: usize = 16;
/// How often it is looked whether there are fewer.
const FEWER: Duration = Duration::from_millis(50);
/// How often the queue's depth is asked for, for the gauges.
const LOOK: Duration = Duration::from_secs(10);
/// At every so many of these looks the dead letters are counted.
const DEAD_LETTERS: u64 = 3;

/// Carries out one message: `job::run` with its context. `cancelled`, then `stop`, as there.
pub type JobRunner =
    Arc<dyn Fn(Message, MessageLease, CancellationToken, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// When a drain ends by itself.
#[derive(Clone, Debug)]
pub enum DrainUntil {
    /// Never: when it is told to.
    Stopped,
    /// When the queue has shown nothing for as long as `steady`, and no job runs.
    Empty { steady: Duration },
    /// The same, but not before whoever feeds the queue has said that this was all.
    AllSent { all: CancellationToken, steady: Duration },
}

/// What did not go as it should: for the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    pub panicked: usize,
    /// Jobs that were still running when the time was over.
    pub aborted: usize,
}

/// One queue's loop.
pub struct Drain {
    queue: Arc<dyn Queue>,
    limiter: Arc<Limiter>,
    breaker: Arc<Breaker>,
    rest: PauseWatch,
    metrics: Arc<Metrics>,
    work: JobRunner,
    keeper: LeaseKeeper,
    jobs: TaskTracker,
    /// Told to every job: checkpoint, then release.
    stop: CancellationToken,
    /// Ends every job where it stands.
    abandon: CancellationToken,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    panicked: AtomicUsize,
    aborted: AtomicUsize,
}

impl Drain {
    /// Needs a runtime.
    pub fn new(
        queue: Arc<dyn Queue>,
        limiter: Arc<Limiter>,
        breaker: Arc<Breaker>,
        rest: PauseWatch,
        metrics: Arc<Metrics>,
        work: JobRunner,
    ) -> Drain {
        let keeper = LeaseKeeper::new(queue.clone());
        let (jobs, tally) = (TaskTracker::new(), Arc::default());
        let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
        Drain { queue, limiter, breaker, rest, metrics, work, keeper, jobs, stop, abandon, tally }
    }

    /// Runs until the queue is empty (where that is asked for) or `shutdown`, and winds down within 25 s.
    pub async fn run(self, until: DrainUntil, shutdown: Shutdown) -> DrainReport {
        let looks = tokio::spawn(poll_depth(self.queue.clone(), self.metrics.clone()));
        let late = tokio::select! {
            biased;
            () = shutdown.now.cancelled() => Vec::new(),
            late = self.receive_until(until, &shutdown.stop) => late,
        };
        self.shut_down(late, &shutdown).await;
        looks.abort();
        let _ = looks.await;
        let Drain { keeper, tally, .. } = self;
        let _ = tokio::time::timeout(STEP, keeper.end()).await;
        DrainReport { panicked: tally.panicked.load(Relaxed), aborted: tally.aborted.load(Relaxed) }
    }

    /// The loop itself. Returns the receives that were in flight when `stop` came.
    async fn receive_until(&self, until: DrainUntil, stop: &CancellationToken) -> Vec<PendingReceive> {
        let mut emptiness = IdleWatch::new(until);
        let mut probe = Probe::default();
        let mut polls = ReceivePool::new();
        loop {
            let not_before = polls.not_before();
            let takes_another = polls.takes_another(self.limiter.objects_at_once(), self.is_outage());
            let (mut slots, received) = tokio::select! {
                biased;
                () = stop.cancelled() => return polls.into_pending(),
                received = polls.next() => received,
                slots = self.wait_for_slots(&mut probe, not_before), if takes_another => {
                    polls.add(self.receive(slots, polls.wait(emptiness.poll())));
                    continue;
                }
            };
            match received {
                Ok(messages) => {
                    self.breaker.succeeded(Channel::Queue);
                    polls.on_received(slots.count(), messages.len());
                    let quiet = messages.is_empty() && polls.is_empty() && self.jobs.is_empty();
                    for message in messages {
                        let job = self.spawn(message, slots.split());
                        probe.watch(job);
                    }
                    drop(slots);
                    if emptiness.is_reached(quiet, &*self.queue).await && self.jobs.is_empty() {
                        return Vec::new();
                    }
                }
                Err(error) => {
                    drop(slots);
                    if polls.on_failed() {
                        self.breaker.failed(Channel::Queue, "unavailable");
                        tracing::warn!(%error, "no messages could be received; trying again");
                    }
                }
            }
        }
    }

    /// Room for the next receive, when no pause stands: a batch, or in an outage one message after a while.
    async fn wait_for_slots(&self, probe: &mut Probe, not_before: Instant) -> Slots {
        tokio::time::sleep_until(not_before).await;
        loop {
            self.rest.wait_until_resumed().await;
            while self.jobs.len() >= self.limiter.objects_at_once().saturating_mul(JOBS) {
                tokio::time::sleep(FEWER).await;
            }
            probe.wait(&self.breaker).await;
            let most = if self.is_outage() { 1 } else { ReceivePool::batch(self.limiter.objects_at_once()) };
            let slots = self.limiter.objects(most, PATIENCE).await;
            // An outage may have begun meanwhile.
            if (slots.count() == 1 || !self.is_outage()) && self.rest.pause().is_none() {
                return slots;
            }
        }
    }

    /// The queue's own outage is another matter: receiving is its probe, and waits by itself.
    fn is_outage(&self) -> bool {
        self.breaker.outage().is_some_and(|outage| outage.channel != Channel::Queue)
    }

    fn receive(&self, slots: Slots, wait: Duration) -> PendingReceive {
        let queue = self.queue.clone();
        Box::pin(async move {
            let received = queue.receive(slots.count().min(BATCH), wait).await;
            (slots, received)
        })
    }

    /// Leases a message and starts its job.
    fn spawn(&self, message: Message, slot: Option<Slots>) -> JoinHandle<()> {
        let cancelled = CancellationToken::new();
        let counted = self.metrics.hold_message(self.queue.name(), message.sent);
        let lease = self.keeper.hold(&message.receipt, Instant::now(), cancelled.clone()).with_room((slot, counted));
        let queue = self.queue.clone();
        let (work, stop, abandon, tally) =
            (self.work.clone(), self.stop.clone(), self.abandon.clone(), self.tally.clone());
        self.jobs.spawn(async move {
            let (id, poison) = (message.id.clone(), message.clone());
            let job = AssertUnwindSafe(async move { work(message, lease, cancelled, stop).await }).catch_unwind();
            tokio::select! {
                biased;
                ended = job => if let Err(panic) = ended {
                    tally.panicked.fetch_add(1, Relaxed);
                    let panic = panic_message(&*panic);
                    tracing::error!(message_id = %id, panic, "a job panicked; its message becomes visible again by itself. Please report this");
                    park_panicked(&*queue, &poison, panic).await;
                },
                () = abandon.cancelled() => {
                    tally.aborted.fetch_add(1, Relaxed);
                    tracing::warn!(message_id = %id, "a job did not finish in time; its message becomes visible again by itself");
                }
            }
        })
    }

    /// Tells the jobs to end, gives back what late receives bring, waits, and aborts what is left.
    async fn shut_down(&self, late: Vec<PendingReceive>, shutdown: &Shutdown) {
        self.stop.cancel();
        self.jobs.close();
        let ended = CancellationToken::new();
        let jobs = async {
            tokio::select! {
                biased;
                () = self.jobs.wait() => {}
                () = shutdown.now.cancelled() => {}
                () = tokio::time::sleep(DRAIN - STEP * 3) => {}
            }
            ended.cancel();
        };
        let give_back = late.into_iter().map(|late| self.release_late(late, &ended, shutdown));
        tokio::join!(jobs, futures_util::future::join_all(give_back));
        self.abandon.cancel();
        let _ = tokio::time::timeout(STEP, self.jobs.wait()).await;
    }

    /// Releases what a receive still brings. Dropped at once, it might leave messages hidden for a whole visibility.
    async fn release_late(&self, late: PendingReceive, ended: &CancellationToken, shutdown: &Shutdown) {
        let patience = async {
            ended.cancelled().await;
            tokio::select! {
                biased;
                () = shutdown.now.cancelled() => {}
                () = tokio::time::sleep(STEP) => {}
            }
        };
        let received = tokio::select! {
            biased;
            (_, received) = late => received,
            () = patience => return,
        };
        let releases = received.unwrap_or_default().into_iter().map(|message| async move {
            if let Err(error) = self.queue.release(&message.receipt, Duration::ZERO).await {
                tracing::warn!(%error, message_id = %message.id, "a message could not be returned; it becomes visible again when its visibility timeout ends");
            }
        });
        let _ = tokio::time::timeout(STEP, futures_util::future::join_all(releases)).await;
    }
}

/// Panics come from the message, and a message that is renewed for ever would panic for ever: after a few deliveries it is
/// handed to the dead letters, where there are any.
async fn park_panicked(queue: &dyn Queue, message: &Message, panic: &str) {
    if message.received < PANICS || queue.traits().dead_letters.is_none() {
        return;
    }
    let reason = format!("its job panicked: {panic}");
    let given_up = match queue.park(&message.body, &reason).await {
        Ok(()) => queue.delete(&message.receipt).await,
        Err(error) => Err(error),
    };
    if let Err(error) = given_up {
        tracing::warn!(message_id = %message.id, %error, "a message whose job panics could not be parked");
    }
}

/// Keeps the queue's gauges. Who may work on a queue may not always ask about its dead letters: then nothing is shown of them.
async fn poll_depth(queue: Arc<dyn Queue>, metrics: Arc<Metrics>) {
    let name = queue.name();
    metrics.queue_retention.set(name, queue.traits().retention.as_secs());
    for look in 0u64.. {
        match queue.depth().await {
            Ok(depth) => {
                metrics.queue_visible.set(name, depth.visible);
                metrics.queue_in_flight.set(name, depth.in_flight);
            }
            Err(error) => tracing::debug!(%error, "the queue's depth is not known"),
        }
        if look.is_multiple_of(DEAD_LETTERS) {
            match queue.dead_letters_waiting().await {
                Ok(waiting) => metrics.dead_letters.set(name, waiting),
                Err(error) => tracing::debug!(%error, "it is not known how many dead letters there are"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a panic said.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not text")
}
