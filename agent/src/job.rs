//! One message's life: read, each of its records reconciled, and then what becomes of the message.
//!
//! Nothing is deleted before every record of it has ended in the ledger. What failed goes back alone, so that one
//! record's trouble does not repeat its neighbours' work.

mod driver;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, warn};

use crate::fuse::Fuse;
use crate::lease::MessageLease;
use crate::limits::{Breaker, Limiter};
use crate::spans;
use driver::{Driver, outcome_of};
use skyferry_core::ambient;
use skyferry_core::error::ErrorKind;
use skyferry_core::event::{self, EventRecord, ParsedMessage, ParsedRecord};
use skyferry_core::ledger::{Ledger, LedgerError, Leftover, Subject, WriterEnd};
use skyferry_core::metrics::{Metrics, Outcome};
use skyferry_core::model::Writer;
use skyferry_core::plan::PartSettings;
use skyferry_core::protocol::{Disposition, is_last_chance};
use skyferry_core::queue::{Message, Queue, QueueError};
use skyferry_core::route::{LiveRoutes, Route, RouteDecision};
use skyferry_core::store::{Sink, Source};

/// The object's own failures after which it is parked.
const ATTEMPTS: u32 = 8;
/// Why a record was parked that no store refused.
const MALFORMED: &str = "malformed message";
const NOT_ROUTED: &str = "no route";
/// The label of what no route takes.
const NO_ROUTE: &str = "none";

/// What all jobs of a queue share; those of several queues share all but the queue.
pub struct JobContext {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub queue: Arc<dyn Queue>,
    pub ledger: Arc<dyn Ledger>,
    pub routes: LiveRoutes,
    pub cut: PartSettings,
    /// Deletions at the source are carried over.
    pub deletes: bool,
    /// Content headers and user metadata go along.
    pub metadata: bool,
    /// MD5 beside the CRCs: `verify = "md5"`.
    pub md5: bool,
    /// Tags go along.
    pub tags: bool,
    /// The version that the event tells of is read, and never replaces a newer one.
    pub exact: bool,
    /// A restore of archived objects is requested.
    pub restore: bool,
    /// How long a writer that was fenced may still land something.
    pub hold: Duration,
    pub limiter: Arc<Limiter>,
    pub breaker: Arc<Breaker>,
    pub fuse: Arc<Fuse>,
    pub metrics: Arc<Metrics>,
    /// One job at a time on a key of this process: it would only fence itself.
    pub keys: KeyLocks,
    /// Whether it was reported that nothing can be sent to the queue.
    pub unsendable: Once,
}

/// Locks by source and destination; an entry lives as long as somebody holds or awaits it.
/// Clones are the same locks.
#[derive(Clone, Default)]
pub struct KeyLocks(Arc<Mutex<HashMap<Subject, Weak<tokio::sync::Mutex<()>>>>>);

impl KeyLocks {
    async fn lock(&self, key: &Subject) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if keys.len() > 4096 {
                keys.retain(|_, lock| lock.strong_count() > 0);
            }
            match keys.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    keys.insert(key.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// How one record ended.
enum Fate {
    Done(Outcome),
    /// In the ledger with this reason; the dead letters get it too.
    Park {
        why: &'static str,
        reason: String,
    },
    /// To be looked at again after this long.
    Again(Duration),
    /// The lease is lost: the message is somebody else's.
    Abandon,
}

/// How long a message waits for bucket pairs that could not be read: a little longer than until they are read again.
const PAIRS_AGAIN: Duration = Duration::from_secs(15);

/// How much younger than it is a ledger may take a writer for, whose clock tells whole seconds and rounds to the safe side: a
/// look after exactly one hold would come too early, and cost a second one.
const WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// Works on one message. When this returns the message has been deleted, released, renewed, parked or abandoned.
/// `cancelled` is set when the lease is lost (touch nothing more), `stop` when the agent drains (checkpoint, release).
pub async fn run(
    context: &JobContext,
    message: Message,
    mut lease: MessageLease,
    cancelled: CancellationToken,
    stop: CancellationToken,
) {
    if is_renewed_first(context, &message) {
        match context.queue.renew(&message, &message.body, Duration::ZERO).await {
            // Who may not send works on it: it would end among the dead letters untried.
            Err(error @ QueueError::Unusable { .. }) => cannot_send(context, &error),
            renewed => {
                lease.end().await;
                if let Err(error) = renewed {
                    warn!(message_id = %message.id, %error, "a message that came often could not be renewed");
                }
                return;
            }
        }
    }
    let done = tokio::select! {
        biased;
        done = reconcile_message(context, &message, &stop) => Some(done),
        () = cancelled.cancelled() => None,
    };
    let Some(reconciled) = done else {
        warn!(message_id = %message.id, "the lease is lost; another agent continues");
        return;
    };
    if !reconciled.left.is_empty() || reconciled.abandoned {
        lease.failed();
    }
    lease.end().await;
    if let Err(error) = conclude(context, &message, reconciled).await {
        // It comes back by itself, and its finished records end as Unchanged.
        warn!(message_id = %message.id, %error, "the message could not be finished");
    }
}

/// Whether a message came so often that the queue would take the next delivery for the last. What ended its jobs before may
/// have been kills alone, which say nothing about it: a copy with a fresh count takes its place before anything is tried.
/// The first delivery is always worked on.
fn is_renewed_first(context: &JobContext, message: &Message) -> bool {
    let most = context.queue.traits().max_receives;
    message.received > 1 && is_last_chance(message.received, most)
}

/// One record, reconciled: what that leaves to do with its message.
enum ReconciledRecord {
    /// It has its outcome in the ledger.
    Ended,
    /// So has this one, and the dead letters get it too.
    Parked(ParkedRecord),
    /// It is to be looked at again, after so long.
    Left(EventRecord, Duration),
    /// The lease is lost: the message is somebody else's.
    Abandoned,
}

struct ParkedRecord {
    body: String,
    reason: String,
    /// The same in words that many have in common.
    why: &'static str,
    /// The label of the route that takes its object.
    route: String,
}

/// A message, all of whose records are reconciled; what is left is to conclude it.
#[derive(Default)]
struct ReconciledMessage {
    parked: Vec<ParkedRecord>,
    left: Vec<EventRecord>,
    /// When those that are left are looked at again.
    again: Duration,
    ended: usize,
    abandoned: bool,
}

impl FromIterator<ReconciledRecord> for ReconciledMessage {
    fn from_iter<T: IntoIterator<Item = ReconciledRecord>>(records: T) -> ReconciledMessage {
        let mut message = ReconciledMessage::default();
        for record in records {
            match record {
                ReconciledRecord::Ended => message.ended += 1,
                ReconciledRecord::Parked(parked) => message.parked.push(parked),
                ReconciledRecord::Left(record, after) => {
                    message.again = message.again.max(after);
                    message.left.push(record);
                }
                ReconciledRecord::Abandoned => message.abandoned = true,
            }
        }
        message
    }
}

async fn reconcile_message(context: &JobContext, message: &Message, stop: &CancellationToken) -> ReconciledMessage {
    let entries = match event::parse(message.body.as_bytes()) {
        ParsedMessage::Nothing(why) => {
            debug!(message_id = %message.id, %why, "nothing to do");
            return ReconciledMessage::default();
        }
        ParsedMessage::Malformed(reason) => {
            error!(message_id = %message.id, %reason, "malformed message, parked");
            return [malformed(message.body.to_string(), reason.to_string())].into_iter().collect();
        }
        ParsedMessage::Records(entries) => entries,
    };
    let mut reconciled = Vec::with_capacity(entries.len());
    for entry in entries {
        reconciled.push(match entry {
            ParsedRecord::Record(record) => reconcile_record(context, message, record, stop).await,
            ParsedRecord::Malformed(bad) => {
                error!(message_id = %message.id, index = bad.index, reason = %bad.reason, "malformed record, parked");
                malformed(bad.body, bad.reason)
            }
        });
    }
    reconciled.into_iter().collect()
}

fn malformed(body: String, reason: String) -> ReconciledRecord {
    ReconciledRecord::Parked(ParkedRecord { body, reason, why: MALFORMED, route: NO_ROUTE.into() })
}

async fn reconcile_record(
    context: &JobContext,
    message: &Message,
    record: EventRecord,
    stop: &CancellationToken,
) -> ReconciledRecord {
    context.metrics.count_attempt();
    let route = route_label(context, &record);
    let fate = reconcile(context, message, &record, stop).await;
    let (outcome, reconciled) = match fate {
        Fate::Done(outcome) => {
            context.metrics.count_outcome(outcome);
            context.metrics.count_on_route(context.queue.name(), &route, outcome);
            (outcome, ReconciledRecord::Ended)
        }
        Fate::Park { why, reason } => {
            error!(object = %record.source, %reason, "parked");
            // Counted when the message is concluded.
            let parked = ParkedRecord { body: record.to_message(), reason, why, route };
            (Outcome::Parked, ReconciledRecord::Parked(parked))
        }
        Fate::Again(after) => return ReconciledRecord::Left(record, after),
        Fate::Abandon => return ReconciledRecord::Abandoned,
    };
    if outcome != Outcome::Deleted {
        context.fuse.count_ended();
    }
    if outcome != Outcome::Copied {
        context.metrics.spared(record.size_hint.unwrap_or(0));
    }
    context.metrics.observe_message_age(ambient::now().duration_since(message.sent).unwrap_or_default());
    reconciled
}

/// The label of the route that takes a record's object: what it is counted under.
fn route_label(context: &JobContext, record: &EventRecord) -> String {
    let router = context.routes.current();
    router.route_of(&record.source).map_or_else(|| NO_ROUTE.to_owned(), Route::source_name)
}

/// Makes the destination equal the source for one record's key.
async fn reconcile(context: &JobContext, message: &Message, record: &EventRecord, stop: &CancellationToken) -> Fate {
    let router = context.routes.current();
    let (destination, options) = match router.decide(&record.source, record.destination.as_ref()) {
        RouteDecision::Copy { destination, options } => (destination, options),
        RouteDecision::Ignored { rule, destination } => {
            debug!(object = %record.source, %rule, "skipped by the ignore list");
            let subject = Subject::of(&router, record.source.clone(), destination);
            return settle_by_rule(context, &subject, None).await;
        }
        RouteDecision::NotRouted(why) => {
            let subject = Subject::unrouted(record.source.clone(), record.destination.clone());
            return settle_by_rule(context, &subject, Some((NOT_ROUTED, why.to_string()))).await;
        }
        RouteDecision::Pending => return Fate::Again(PAIRS_AGAIN),
    };
    let subject = Subject::of(&router, record.source.clone(), destination);
    if !context.sink.limits().accepts_key(&subject.destination.key) {
        let length = subject.destination.key.as_bytes().len();
        let reason = format!("the destination does not accept a key of {length} bytes");
        let parked = Some((ErrorKind::CannotHold.as_str(), reason));
        return settle_by_rule(context, &subject, parked).await;
    }
    let _alone = context.keys.lock(&subject).await;
    let began = ambient::now();
    let mut driver = Driver::new(context, &subject, record, options, stop);
    let span = spans::object(&subject, message.received);
    let end = driver.run(message.received > 1).instrument(span.clone()).await;
    if end == Disposition::Parked && context.restore {
        driver.ask_for_restore().await;
    }
    let outcome = match end {
        Disposition::Settled(settled) => Some(outcome_of(settled)),
        Disposition::Parked => Some(Outcome::Parked),
        _ => None,
    };
    if let Some(outcome) = outcome {
        let seconds = ambient::now().duration_since(began).unwrap_or_default().as_secs_f64();
        let (bytes, grade) = driver.sent();
        let (object, destination, attempts) = (&subject.source, &subject.destination, message.received);
        info!(%object, %destination, %outcome, bytes, seconds, attempts, grade, "ended");
        span.record("outcome", outcome.name()).record("bytes", bytes);
    }
    fate(context, message, end, driver)
}

fn fate(context: &JobContext, message: &Message, end: Disposition, driver: Driver<'_>) -> Fate {
    match end {
        Disposition::Settled(settled) => Fate::Done(outcome_of(settled)),
        Disposition::Parked => Fate::Park { why: driver.reason_class(), reason: driver.reason() },
        Disposition::Hold => Fate::Again(context.hold + WHOLE_SECONDS),
        Disposition::Fenced => Fate::Again(context.hold.mul_f64(ambient::uniform(0.5..1.0))),
        Disposition::Retry { .. } => Fate::Again(driver.wait(message.received)),
        Disposition::Abandon => Fate::Abandon,
    }
}

/// What a rule decides, to park or to skip, needs no look at either side, but a line in the ledger like everything else.
async fn settle_by_rule(context: &JobContext, subject: &Subject, parked: Option<(&'static str, String)>) -> Fate {
    let _alone = context.keys.lock(subject).await;
    let writer = Writer::random();
    let recorded = match context.ledger.begin(subject, writer).await {
        Ok(begun) => {
            let ending = match &parked {
                Some((_, reason)) => WriterEnd::Parked { reason: reason.clone() },
                // A copy that was made before the rule is still there.
                None => {
                    let (outcome, published) = (Outcome::Skipped, begun.published);
                    WriterEnd::Settled { outcome, reason: None, published, digests: None, grade: None }
                }
            };
            context.ledger.finish(subject, writer, &ending, Leftover::Nothing, &[]).await
        }
        Err(error) => Err(error),
    };
    match (recorded, parked) {
        (Err(error @ LedgerError::Record { .. }), _) => {
            Fate::Park { why: ErrorKind::Refused.as_str(), reason: error.to_string() }
        }
        (Err(error), _) => {
            warn!(object = %subject.source, %error, "the ledger did not accept it");
            Fate::Again(Duration::from_secs(5))
        }
        (Ok(_), Some((why, reason))) => Fate::Park { why, reason },
        (Ok(_), None) => {
            info!(object = %subject.source, destination = %subject.destination, outcome = %Outcome::Skipped, "ended");
            Fate::Done(Outcome::Skipped)
        }
    }
}

/// Hands on, gives back or deletes. What is parked is counted when that is done, for until then the message comes back and
/// is parked again.
async fn conclude(context: &JobContext, message: &Message, work: ReconciledMessage) -> Result<(), QueueError> {
    if work.abandoned {
        return Ok(());
    }
    for ParkedRecord { body, reason, .. } in &work.parked {
        match context.queue.park(body, reason).await {
            // The ledger has it as parked; its message comes again until the queue itself gives it up.
            Err(error @ QueueError::Unusable { .. }) => {
                cannot_send(context, &error);
                return Ok(());
            }
            parked => parked?,
        }
    }
    end_message(context, message, &work).await?;
    for parked in &work.parked {
        context.metrics.count_parked(parked.why);
        context.metrics.count_on_route(context.queue.name(), &parked.route, Outcome::Parked);
    }
    Ok(())
}

async fn end_message(context: &JobContext, message: &Message, work: &ReconciledMessage) -> Result<(), QueueError> {
    let Some((last, others)) = work.left.split_last() else {
        return context.queue.delete(&message.receipt).await;
    };
    let alone = others.is_empty() && work.ended == 0 && work.parked.is_empty();
    let last_chance = is_last_chance(message.received, context.queue.traits().max_receives);
    let old = ambient::now().duration_since(message.sent).unwrap_or_default() > context.queue.traits().retention / 2;
    if alone && !last_chance && !old {
        return context.queue.release(&message.receipt, work.again).await;
    }
    match requeue(context, message, last, others, work.again).await {
        // It comes again as it is, all of its records.
        Err(error @ QueueError::Unusable { .. }) => {
            cannot_send(context, &error);
            context.queue.release(&message.receipt, work.again).await
        }
        gone => gone,
    }
}

/// Each goes on by itself, with a fresh count and age: first the others, then the last in this one's place.
async fn requeue(
    context: &JobContext,
    message: &Message,
    last: &EventRecord,
    others: &[EventRecord],
    again: Duration,
) -> Result<(), QueueError> {
    let others: Vec<String> = others.iter().map(EventRecord::to_message).collect();
    if !others.is_empty() {
        context.queue.send(&others).await?;
    }
    context.queue.renew(message, &last.to_message(), again).await
}

/// The predecessors' roles may not send: then messages are left to the queue's own redrive policy. That is reported once for
/// each queue.
fn cannot_send(context: &JobContext, error: &QueueError) {
    let queue = context.queue.name();
    context.unsendable.call_once(|| {
        warn!(%queue, %error, "cannot send to this queue or its dead-letter queue: parked records are in the ledger only, and their messages are left to the queue's own redrive policy");
    });
    debug!(%queue, %error, "not sent");
}
