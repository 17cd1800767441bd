//! Carries out what the protocol asks for, and tells it what came of it. Holds between two effects what the protocol
//! does not need to know: opened bodies, heads, digests, reasons.

mod reads;
mod write_guard;
mod writes;

pub use writes::outcome_of;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, warn};

use super::{ATTEMPTS, JobContext};
use crate::copy::{ActiveUpload, CopyRoute, cause};
use crate::limits::{self, Blame, RequestVerb, StreamPermit};
use crate::spans;
use skyferry_core::ambient;
use skyferry_core::backoff::Backoff;
use skyferry_core::digest::{Digests, Grade};
use skyferry_core::error::{CopyError, ErrorKind, Side, Verdict};
use skyferry_core::event::{self, EventRecord};
use skyferry_core::ledger::{self, LastPublished, LedgerError, Subject};
use skyferry_core::model::{Overwrite, Revision, SourceIdentity, Token, UploadId, Writer};
use skyferry_core::plan::{PartSettings, Parts, Plan, TooLarge, plan};
use skyferry_core::protocol::{Answer, Disposition, Effect, EffectFailure, JobFacts, MAX_ABORTS, Protocol};
use skyferry_core::store::{CopyOptions, Object, OpenedObject};
use write_guard::WriteGuard;

/// A service's Retry-After is followed up to here.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// One job at one key.
pub struct Driver<'a> {
    context: &'a JobContext,
    subject: &'a Subject,
    options: Arc<CopyOptions>,
    size_hint: Option<u64>,
    requested: bool,
    /// The version to read, where that is not the newest.
    version: Option<Arc<str>>,
    route: CopyRoute,
    writer: Writer,
    /// As the breaker knows it.
    object: limits::ObjectHash,
    guard: WriteGuard<'a>,
    begun: ledger::BeginResult,
    /// What the ledger said is published, at the look-up or the beginning.
    recorded: Option<LastPublished>,
    /// The last looks.
    source: Option<Object>,
    /// The body of `source`, between a GET and its PUT, and the right to stream it. A mutex nobody waits for: a body is `Send`
    /// and not `Sync`.
    opened: Mutex<Option<(OpenedObject, Option<StreamPermit>)>>,
    destination: Option<Object>,
    upload: Option<ActiveUpload>,
    /// What this job sent last: under which token, and what its bytes were.
    sent: Option<(Token, Digests)>,
    grade: Option<Grade>,
    /// Bytes of the copy that was published.
    published: u64,
    trouble: Option<CopyError>,
    /// The upload that was aborted last, and how often.
    aborted: Option<(UploadId, u32)>,
    /// What the last looks showed when a write met another state than it named.
    conflict: Option<(Option<SourceIdentity>, Option<Revision>)>,
    /// Answers of writes that were lost and not found to have taken effect, and what the last of them means.
    lost: u32,
    lost_means: Option<EffectFailure>,
}

type Done<T = Answer> = Result<T, CopyError>;

impl<'a> Driver<'a> {
    pub fn new(
        context: &'a JobContext,
        subject: &'a Subject,
        record: &EventRecord,
        options: Arc<CopyOptions>,
        stop: &CancellationToken,
    ) -> Self {
        let route = CopyRoute {
            source: context.source.clone(),
            sink: context.sink.clone(),
            from: subject.source.clone(),
            to: subject.destination.clone(),
            limiter: context.limiter.clone(),
            metrics: context.metrics.clone(),
            md5: context.md5,
            by_version: context.exact,
            stop: stop.clone(),
        };
        let writer = Writer::random();
        Driver {
            context,
            subject,
            options,
            size_hint: record.size_hint,
            requested: record.event == event::EventKind::Requested,
            version: record
                .version
                .clone()
                .filter(|_| context.exact && !matches!(record.event, event::EventKind::Removed(_))),
            route,
            writer,
            object: context.breaker.object(subject),
            guard: WriteGuard::new(&*context.ledger, subject, writer, context.hold),
            begun: ledger::BeginResult::default(),
            recorded: None,
            source: None,
            opened: Mutex::new(None),
            destination: None,
            upload: None,
            sent: None,
            grade: None,
            published: 0,
            trouble: None,
            aborted: None,
            conflict: None,
            lost: 0,
            lost_means: None,
        }
    }

    pub async fn run(&mut self, received_before: bool) -> Disposition {
        let can = self.context.sink.capabilities();
        let facts = JobFacts {
            received_before,
            large_hint: self.size_hint.is_some_and(|size| matches!(self.plan(size), Ok(Plan::Parts(_)))),
            requested: self.requested,
            deletes: self.context.deletes,
            overwrite: self.options.overwrite,
            conditional_put: can.conditional_put,
            conditional_finish: can.conditional_finish,
        };
        let (mut protocol, mut effect) = Protocol::start(self.writer, facts);
        loop {
            if let Effect::End(end) = effect {
                if matches!(end, Disposition::Settled(_) | Disposition::Parked) {
                    self.context.breaker.forget(self.object);
                }
                return end;
            }
            debug!(object = %self.subject.source, ?effect, "next");
            let answer = match self.perform(&effect).instrument(spans::step(&effect)).await {
                // What was never sent.
                Ok(Answer::Fenced) => Answer::Fenced,
                Ok(answer) => {
                    RequestVerb::proved_by(&effect)
                        .for_each(|verb| self.context.breaker.object_succeeded(verb, self.object));
                    answer
                }
                Err(error) => self.answer_for_error(&effect, error),
            };
            effect = protocol.step(answer);
        }
    }

    /// The bytes of the copy that was published, and what was proven of it.
    pub fn sent(&self) -> (u64, Option<&'static str>) {
        (self.published, self.grade.map(Grade::name))
    }

    /// Why it was parked.
    pub fn reason(&self) -> String {
        match &self.trouble {
            Some(error) => error.to_string(),
            None => "the destination stored different bytes than were sent, twice".to_string(),
        }
    }

    /// Why what is at the destination stays, and what it is.
    fn why_kept(&self) -> Option<String> {
        let there = self.destination.as_ref()?;
        let rule = match self.options.overwrite {
            Overwrite::Never => "never",
            _ => "if-older",
        };
        let whose = match &there.provenance {
            Some(own) => format!("the copy of an earlier state of {}", own.source),
            None => "not a copy by Skyferry".into(),
        };
        let (etag, size) = (&there.identity.etag, there.identity.size);
        let modified = jiff::Timestamp::from_second(there.identity.last_modified).unwrap_or_default();
        Some(format!(
            "overwrite = \"{rule}\": {} stays: {whose}, {size} bytes, of {modified}, ETag {etag}",
            self.subject.destination
        ))
    }

    /// The same in words that many have in common.
    pub fn reason_class(&self) -> &'static str {
        self.trouble.as_ref().map_or(ErrorKind::Corrupt, |error| error.kind).as_str()
    }

    /// Where the object was parked because it is archived: its event brings it back when it can be read.
    pub async fn ask_for_restore(&mut self) {
        let Some(error) = self.trouble.as_mut().filter(|error| error.kind == ErrorKind::Archived) else { return };
        match self.context.source.restore(&self.subject.source, self.version.as_deref()).await {
            Ok(true) => error.answer.push_str(", a restore has been requested"),
            Ok(false) => {}
            Err(error) => warn!(object = %self.subject.source, %error, "the restore could not be requested"),
        }
    }

    /// How long to leave the message alone.
    pub fn wait(&self, received: u32) -> Duration {
        if self.route.stop.is_cancelled() {
            return Duration::ZERO;
        }
        let reported = self.trouble.as_ref().and_then(|error| error.retry_after).unwrap_or_default();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300), ambient::random());
        let grown = (0..received.min(12)).map(|_| backoff.delay()).last().unwrap_or_default();
        reported.max(grown).min(LONGEST_WAIT)
    }

    /// What most objects do not need is boxed: each job keeps room for the largest of what is not.
    async fn perform(&mut self, effect: &Effect) -> Done {
        match effect {
            Effect::Lookup => self.lookup().await,
            Effect::Begin => self.begin().await,
            Effect::HeadSource => Box::pin(self.head_source()).await,
            Effect::OpenSource => self.open_source().await,
            Effect::HeadNewest => self.head_newest().await,
            Effect::HeadDestination => Box::pin(self.head_destination()).await,
            Effect::Abort(id) => {
                self.context.sink.abort(&self.subject.destination, id).await?;
                let before = self.aborted.take().filter(|(aborted, _)| aborted == id).map_or(0, |(_, times)| times);
                self.aborted = Some((id.clone(), before + 1));
                Ok(Answer::Done)
            }
            Effect::CheckUpload(id) => self.see_upload(id).await,
            Effect::Wait { looks } => self.wait_for_more(*looks).await,
            Effect::Put { token, expected } => self.put(*token, expected).await,
            Effect::Initiate { token } => Box::pin(self.initiate(*token)).await,
            Effect::Checkpoint(id) => Box::pin(self.checkpoint(id)).await,
            Effect::Parts(_) => Box::pin(self.parts()).await,
            Effect::Complete { expected, .. } => Box::pin(self.complete(expected)).await,
            Effect::Delete { expected } => self.delete(expected).await,
            Effect::Finish { ending, closed, in_doubt } => self.finish(ending, closed, *in_doubt).await,
            Effect::End(_) => Ok(Answer::Done),
        }
    }

    /// What the protocol hears of a failure. The breaker says whether it is the object's own.
    fn answer_for_error(&mut self, effect: &Effect, error: CopyError) -> Answer {
        if error.kind == ErrorKind::Stalled {
            self.context.limiter.stalled();
        }
        if error.kind == ErrorKind::Corrupt {
            self.context.metrics.count_checksum_failure(error.side);
        }
        if error.kind == ErrorKind::Cancelled {
            self.trouble = Some(error);
            return Answer::Failed(EffectFailure::Retry { counted: false });
        }
        if let Some(answer) = conflict(effect, error.kind)
            && self.may_have_moved()
        {
            self.context.metrics.count_retry(cause(&error));
            self.context.breaker.note_error(self.object, &error);
            debug!(object = %self.subject.source, %error, "to be tried again");
            return answer;
        }
        let means = self.classify(effect, &error);
        let lost = error.kind == ErrorKind::LostAnswer;
        if lost || means != EffectFailure::Park {
            self.context.metrics.count_retry(cause(&error));
            warn!(object = %self.subject.source, %error, "to be tried again");
        }
        self.trouble = Some(error);
        if !lost {
            return Answer::Failed(means);
        }
        self.lost += 1;
        self.lost_means = Some(means);
        Answer::Lost
    }

    /// A conflict is worth another look, for somebody may have changed the source or the destination. When the same is there
    /// as at the last one, nobody has: it is refused.
    fn may_have_moved(&mut self) -> bool {
        let source = self.source.as_ref().map(|source| source.identity.clone());
        let seen = Some((source, self.destination.as_ref().map(|there| there.revision.clone())));
        let moved = self.conflict != seen;
        self.conflict = seen;
        moved
    }

    /// A write whose answer was lost has not taken effect, and it was not the first of this job: more of them now would
    /// only send the bytes again and again.
    fn gives_up_on_lost(&mut self) -> Option<Answer> {
        let means = self.lost_means.take()?;
        (self.lost > 1).then_some(Answer::Failed(means))
    }

    fn classify(&self, effect: &Effect, error: &CopyError) -> EffectFailure {
        let verdict = error.verdict();
        match verdict {
            Verdict::Park(_) => return EffectFailure::Park,
            // The side has answered: what is wrong is in the bytes.
            Verdict::Retry => {
                self.context.breaker.note_error(self.object, error);
                return self.own_failure(error.kind);
            }
            Verdict::Outage | Verdict::Refused | Verdict::Cancelled => {}
        }
        let verb = RequestVerb::of(effect, error.side);
        let blame = self.context.breaker.object_failed(verb, self.object, error, cause(error).name());
        match (verdict, blame) {
            (_, Blame::Outage) | (Verdict::Outage, Blame::Unknown) => EffectFailure::Retry { counted: false },
            (Verdict::Refused, Blame::Object) => EffectFailure::Park,
            _ => self.own_failure(error.kind),
        }
    }

    /// What the service says of the object itself need be said only twice.
    fn own_failure(&self, kind: ErrorKind) -> EffectFailure {
        let attempts = if kind == ErrorKind::NotAccepted { 2 } else { ATTEMPTS };
        match self.begun.failures + 1 >= attempts {
            true => EffectFailure::Park,
            false => EffectFailure::Retry { counted: true },
        }
    }

    fn opened(&mut self) -> &mut Option<(OpenedObject, Option<StreamPermit>)> {
        self.opened.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, size: u64) -> Result<Plan, TooLarge> {
        plan(size, self.context.cut, self.context.sink.limits())
    }

    /// `part_size`: the source's own, or that of an upload that is taken over; else it is the operator's wish.
    fn planned_parts(&self, size: u64, part_size: Option<u64>) -> Result<Parts, CopyError> {
        let part_size = part_size.unwrap_or(self.context.cut.part_size);
        match plan(size, PartSettings { part_size, ..self.context.cut }, self.context.sink.limits()) {
            Ok(Plan::Parts(parts)) => Ok(parts),
            _ => Err(self.defect("an upload of an object that is not large")),
        }
    }

    /// The protocol asked for something that this file did not prepare: the message goes back.
    fn defect(&self, what: &str) -> CopyError {
        CopyError::new(Side::Destination, ErrorKind::Cancelled, "protocol", &self.subject.destination, what)
    }

    fn ledger_error(&self, error: LedgerError) -> CopyError {
        CopyError::new(Side::Ledger, kind_of(&error), "ledger", &self.subject.source, error.to_string())
    }
}

/// What an effect hears of a state that is another than it named. Where it named none, it is a failure like others.
fn conflict(effect: &Effect, kind: ErrorKind) -> Option<Answer> {
    match (effect, kind) {
        (Effect::Put { .. } | Effect::Complete { .. } | Effect::Delete { .. }, ErrorKind::Precondition) => {
            Some(Answer::Precondition)
        }
        (Effect::Parts(_) | Effect::Complete { .. }, ErrorKind::UploadGone) => Some(Answer::UploadGone),
        (Effect::Put { .. } | Effect::Parts(_), ErrorKind::SourceChanged) => Some(Answer::SourceChanged),
        _ => None,
    }
}

/// A record that cannot be used is the object's own trouble; the ledger's is everybody's.
fn kind_of(error: &LedgerError) -> ErrorKind {
    match error {
        LedgerError::Record { .. } => ErrorKind::Refused,
        LedgerError::Fenced | LedgerError::Unavailable { .. } | LedgerError::Unusable { .. } => ErrorKind::Unavailable,
    }
}
