//! The write protocol (docs/write-protocol.md) as a state machine without I/O, clock or randomness.
//!
//! `Protocol::start` gives the first [`Effect`]; the driver (`job.rs`) carries it out and hands back one [`Answer`];
//! `step` gives the next effect, until `Effect::Disposition`. Because nothing else decides, the model checker
//! (`agent/tests/model`) can try every interleaving of two of these with crashes, lost and late answers.
//!
//! What keeps a key from going back:
//! - **Fence.** Beginning in the ledger fences every earlier writer: none of them can register an upload any more, and
//!   those that they had registered are ended (and seen to be) before this writer looks at anything.
//! - **Order.** The destination is looked at before the source, so that a conditional write can only replace something
//!   at most as new as what it brings.
//! - **Doubt.** A write whose answer was lost may still land. Its writer stays open in the ledger, and while a writer is
//!   open the message is not deleted but looked at again after the *hold*.

use crate::model::{Expected, Revision, SourceIdentity, Token, UploadId, Writer};

mod overwrite;
#[cfg(test)]
mod tests;
use overwrite::Replacement;
mod uploads;
pub use uploads::MAX_ABORTS;
mod versions;
use versions::VersionOrder;
mod types;
pub use types::*;

/// An attempt ends here when the source or the destination keeps moving: the message is released, nothing is lost.
pub const MAX_ATTEMPTS: u32 = 4;
/// Where so many writers are open whose hold has not passed, one more would only add to them: it waits like the others. So
/// the ledger's record of a key stays small, whatever fails and however often.
const MAX_OPEN: usize = 100;
/// A destination that twice stores other bytes than were sent gets no third try in one job.
const MAX_WRONG: u32 = 2;

/// One job at one key. Whoever drives it carries out each effect and hands in the answer:
///
/// ```
/// use skyferry_core::model::{Overwrite, Writer};
/// use skyferry_core::protocol::{Answer, Effect, JobFacts, Protocol};
///
/// let facts = JobFacts {
///     received_before: true,
///     large_hint: false,
///     requested: false,
///     deletes: false,
///     overwrite: Overwrite::Always,
///     conditional_put: true,
///     conditional_finish: true,
/// };
/// let (mut job, effect) = Protocol::start(Writer::random(), facts);
/// assert!(matches!(effect, Effect::Lookup), "an earlier delivery may have finished it");
/// assert!(matches!(job.step(Answer::Settled(None)), Effect::Begin), "else it registers in the ledger");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    facts: JobFacts,
    writer: Writer,
    state: State,
    /// What the ledger knew of this key, as long as nothing newer was learnt.
    recorded: bool,
    published: Option<(SourceIdentity, Revision)>,
    /// Earlier writers that are ended with this one, and their uploads that are not known to have ended.
    closable: Vec<(Writer, Option<UploadId>)>,
    /// What an adopted upload would publish.
    adopted: Option<SourceState>,
    destination: DestinationState,
    /// The look at the source that this attempt stands on.
    source: Option<ObservedSource>,
    /// An upload of ours, or adopted, that has not been seen to end.
    upload: Option<UploadId>,
    /// What this attempt's write carries: new for every attempt; an adopted upload keeps its own.
    token: Token,
    attempt: u32,
    corrupt_writes: u32,
    /// What stands there is ours and wrong, as far as was seen: it does not stay where nothing replaces it.
    corrupt_at_destination: Option<Revision>,
    in_doubt: bool,
}

impl Protocol {
    /// The state before anything is known, and the first effect.
    pub fn start(writer: Writer, facts: JobFacts) -> (Protocol, Effect) {
        let (state, effect) =
            if facts.received_before { (State::Lookup, Effect::Lookup) } else { (State::Begin, Effect::Begin) };
        let protocol = Protocol {
            facts,
            writer,
            state,
            recorded: false,
            published: None,
            closable: Vec::new(),
            adopted: None,
            destination: DestinationState::Nothing,
            source: None,
            upload: None,
            token: new_token(writer, 1),
            attempt: 1,
            corrupt_writes: 0,
            corrupt_at_destination: None,
            in_doubt: false,
        };
        (protocol, effect)
    }

    /// The next effect. An answer that does not belong to the last one is a defect of the driver: the message is
    /// released, nothing is lost.
    pub fn step(&mut self, answer: Answer) -> Effect {
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.note_corrupt(&answer);
        match (state, answer) {
            (_, Answer::Failed(EffectFailure::LeaseLost)) => self.conclude(Disposition::Abandon),
            (state, Answer::Failed(trouble)) => self.on_failure(state, trouble),

            (State::Lookup, Answer::Settled(Some((identity, revision)))) => {
                self.transition(State::QuickDestination(identity, revision), Effect::HeadDestination)
            }
            (State::QuickDestination(identity, revision), Answer::Destination(Some(seen)))
                if seen.revision == revision =>
            {
                self.transition(State::QuickSource(identity), Effect::HeadSource)
            }
            (State::QuickSource(identity), Answer::Source(Some(seen)))
                if seen.identity == identity && !seen.other_headers =>
            {
                self.conclude(Disposition::Settled(SettledOutcome::Unchanged))
            }
            (State::Lookup | State::QuickDestination(..) | State::QuickSource(_), _) => {
                self.transition(State::Begin, Effect::Begin)
            }

            (State::Begin, Answer::Begun(begun)) => self.fence(begun),
            (State::AdoptionLook(uploads), Answer::Source(source)) => self.adopt(uploads, source),
            (State::Aborting(ending), _) => self.check_upload(ending),
            (State::CheckingUpload(ending), answer) => self.on_upload_checked(ending, answer == Answer::UploadGone),
            (State::UploadStillOpen(ending), _) => self.abort(ending),

            (State::Destination, Answer::Destination(Some(seen))) if seen.others => self.park(),
            (State::Destination, Answer::Destination(seen)) => {
                self.destination = DestinationState::Seen(seen);
                self.head_or_open_source()
            }
            (State::SourceHead, Answer::Source(seen)) => self.decide(seen, false),
            (State::SourceOpen, Answer::Source(seen)) => self.decide(seen, true),
            (State::Newest { opened }, Answer::Newest(newest)) => self.decide_by_newest(newest, opened),
            (state, answer) => self.step_write(state, answer),
        }
    }

    fn note_corrupt(&mut self, answer: &Answer) {
        match answer {
            Answer::Destination(seen) => {
                let wrong = |seen: &&ObservedDestination| {
                    seen.ours.as_ref().is_some_and(|mark| mark.integrity == Integrity::Corrupt)
                };
                self.corrupt_at_destination = seen.as_ref().filter(wrong).map(|seen| seen.revision.clone());
            }
            // Whoever fenced this writer found it open, and looks.
            Answer::Fenced => self.corrupt_at_destination = None,
            _ => {}
        }
    }

    /// The second half of `step`: from the first write to the end.
    fn step_write(&mut self, state: State, answer: Answer) -> Effect {
        match (state, answer) {
            (State::Put | State::Complete, Answer::Published(revision)) => self.on_published(revision),
            (State::Put | State::Complete, Answer::PublishedCorrupt(revision)) => self.on_published_corrupt(revision),
            (State::Put, Answer::Lost) => self.transition(State::Settle { put_lost: true }, Effect::HeadDestination),
            (State::Put, Answer::Precondition) | (State::Parts | State::Complete, Answer::UploadGone) => {
                self.upload = None;
                self.transition(State::Settle { put_lost: false }, Effect::HeadDestination)
            }
            (State::Complete, Answer::Lost) => self.transition(State::LostObject(1), Effect::HeadDestination),
            (State::LostObject(looks), Answer::Destination(seen)) => self.on_lost_object(seen, looks),
            (State::LostUpload(looks), answer) => self.on_lost_upload(looks, answer == Answer::UploadGone),
            (State::LostWait(looks), _) => self.transition(State::LostObject(looks + 1), Effect::HeadDestination),
            (State::Complete, Answer::Precondition) => self.tear_down_own_upload(AfterTeardown::Settle),
            (State::Put | State::Parts, Answer::SourceChanged) => self.tear_down_own_upload(AfterTeardown::NextAttempt),
            (State::Initiate, Answer::Initiated(upload)) => {
                self.upload = Some(upload.clone());
                self.transition(State::Checkpoint, Effect::Checkpoint(upload))
            }
            (State::Checkpoint, Answer::Done) => {
                // This writer's from now on.
                let own = self.upload.clone();
                self.forget_upload(own.as_ref());
                self.with_upload(State::Parts, Effect::Parts)
            }
            (State::Checkpoint, _) => self.tear_down_own_upload(AfterTeardown::Release),
            (State::Parts, Answer::Done) => {
                let expected = self.replacing(self.facts.conditional_finish);
                self.with_upload(State::Complete, |upload| Effect::Complete { upload, expected })
            }
            (State::Settle { put_lost }, Answer::Destination(seen)) => self.settle(seen, put_lost),

            (State::Put | State::Complete | State::Delete, Answer::Fenced) => self.release(false),
            (State::Delete, Answer::Done) => self.settled(SettledOutcome::Deleted, None),
            (State::Delete, answer) => {
                self.in_doubt |= answer == Answer::Lost;
                self.next_attempt(DestinationState::Nothing)
            }
            // It may be gone, and it may be removed yet: whoever comes next looks.
            (State::Remove, Answer::Lost) => {
                self.in_doubt = true;
                self.release(false)
            }
            (State::Remove, _) => self.finish(FinishRequest::Parked),
            // A parked key may hold anything until somebody asks again, and whoever does waits for those who are open then.
            // To wait here would be for ever where every write of the object is lost: each try leaves a writer in doubt.
            (State::Finish(Disposition::Settled(_)), Answer::Finished { others_open: true }) => {
                self.conclude(Disposition::Hold)
            }
            (State::Finish(end), Answer::Finished { .. }) => self.conclude(end),
            (State::Finish(_), Answer::Fenced) => self.conclude(Disposition::Fenced),
            (State::Begin | State::Finish(_) | State::Ended, _) => self.conclude(Disposition::Retry { counted: false }),
            _ => self.release(false),
        }
    }

    fn head_destination(&mut self) -> Effect {
        match self.destination {
            DestinationState::Nothing => self.transition(State::Destination, Effect::HeadDestination),
            _ => self.head_or_open_source(),
        }
    }

    /// A HEAD where it may well be all that is needed; else the GET that brings the bytes is the look.
    fn head_or_open_source(&mut self) -> Effect {
        let head = match &self.source {
            Some(before) => before.large,
            None => {
                self.recorded || self.facts.large_hint || matches!(self.destination, DestinationState::Seen(Some(_)))
            }
        };
        match head || self.upload.is_some() {
            true => self.transition(State::SourceHead, Effect::HeadSource),
            false => self.transition(State::SourceOpen, Effect::OpenSource),
        }
    }

    /// Both ends are known: leave, delete or copy.
    fn decide(&mut self, seen: Option<ObservedSource>, opened: bool) -> Effect {
        self.source = seen.clone();
        let Some(source) = seen else { return self.source_is_gone() };
        match self.version_order(&source) {
            VersionOrder::Older => self.keep_destination(SettledOutcome::Unchanged),
            VersionOrder::Unclear => self.transition(State::Newest { opened }, Effect::HeadNewest),
            VersionOrder::Newer => self.copy_source(source, opened),
        }
    }

    /// Brings this state to the destination, unless it is there.
    fn copy_source(&mut self, source: ObservedSource, opened: bool) -> Effect {
        if let Some(revision) = self.current_revision(&source) {
            return self.settled(SettledOutcome::Unchanged, Some((source.identity, revision)));
        }
        match self.replacement(&source) {
            Replacement::Allowed => {}
            Replacement::Unclear => return self.transition(State::Destination, Effect::HeadDestination),
            Replacement::Refused => return self.keep_destination(SettledOutcome::Skipped),
        }
        if let Some(upload) = self.upload.clone() {
            if !self.adopted.take().is_some_and(|held| held.matches(&source)) {
                return self.tear_down_own_upload(AfterTeardown::NextAttempt);
            }
            self.replacing(self.facts.conditional_finish);
            return self.transition(State::Checkpoint, Effect::Checkpoint(upload));
        }
        if !self.may_replace(source.large) {
            return self.transition(State::Destination, Effect::HeadDestination);
        }
        let token = self.token;
        match (source.large, opened) {
            (true, _) => {
                self.replacing(self.facts.conditional_finish);
                self.transition(State::Initiate, Effect::Initiate { token })
            }
            (false, false) => self.transition(State::SourceOpen, Effect::OpenSource),
            (false, true) => {
                let expected = self.replacing(self.facts.conditional_put);
                self.transition(State::Put, Effect::Put { token, expected })
            }
        }
    }

    /// The destination's revision, if it holds this very state of the source already.
    fn current_revision(&self, source: &ObservedSource) -> Option<Revision> {
        if source.other_headers {
            return None;
        }
        match &self.destination {
            DestinationState::Seen(Some(ObservedDestination { revision, ours: Some(mark), .. })) => {
                let right =
                    mark.integrity == Integrity::Verified || (mark.integrity == Integrity::Unknown && source.equal);
                (right && mark.identity == source.identity).then(|| revision.clone())
            }
            DestinationState::Seen(Some(ObservedDestination { revision, ours: None, .. })) => {
                source.equal.then(|| revision.clone())
            }
            DestinationState::Assumed(_) => {
                let (identity, revision) = self.published.as_ref()?;
                (*identity == source.identity).then(|| revision.clone())
            }
            _ => None,
        }
    }

    /// A write that names no condition replaces whatever is there: what that is has to be seen before.
    fn may_replace(&self, large: bool) -> bool {
        let enforced = if large { self.facts.conditional_finish } else { self.facts.conditional_put };
        enforced || matches!(self.destination, DestinationState::Seen(_))
    }

    fn source_is_gone(&mut self) -> Effect {
        if self.upload.is_some() {
            return self.tear_down_own_upload(AfterTeardown::NextAttempt);
        }
        if let Some(revision) = self.corrupt_at_destination.clone() {
            return self.transition(State::Delete, Effect::Delete { expected: Expected::Revision(revision) });
        }
        if !self.facts.deletes {
            return self.settled(SettledOutcome::Gone, self.published.clone());
        }
        match &self.destination {
            DestinationState::Seen(Some(ObservedDestination { ours: Some(_), .. })) => {
                let expected = self.replacing(self.facts.conditional_put);
                self.transition(State::Delete, Effect::Delete { expected })
            }
            DestinationState::Seen(_) => self.settled(SettledOutcome::Gone, None),
            DestinationState::Assumed(_) | DestinationState::Nothing => self.next_attempt(DestinationState::Nothing),
        }
    }

    /// What the write may replace: exactly what this attempt knows to be there. From here on nothing else of it matters.
    fn replacing(&mut self, enforced: bool) -> Expected {
        let expected = match std::mem::replace(&mut self.destination, DestinationState::Nothing) {
            _ if !enforced => Expected::Any,
            DestinationState::Assumed(expected) => expected,
            DestinationState::Seen(None) => Expected::Absent,
            DestinationState::Seen(Some(seen)) => Expected::Revision(seen.revision),
            DestinationState::Nothing => Expected::Any,
        };
        self.published = None;
        self.destination = DestinationState::Assumed(expected.clone());
        expected
    }

    /// Looks whether this attempt's token is what stands there; if not, what stands there is the next attempt's start.
    fn settle(&mut self, seen: Option<ObservedDestination>, put_lost: bool) -> Effect {
        if let Some(mark) = self.published_object(&seen) {
            let proof = mark.integrity;
            return self.settle_landed(proof, seen);
        }
        self.in_doubt |= put_lost;
        match seen {
            Some(seen) if seen.others => self.park(),
            seen => self.next_attempt(DestinationState::Seen(seen)),
        }
    }

    /// This attempt's write, where it is what stands there.
    fn published_object<'a>(&self, seen: &'a Option<ObservedDestination>) -> Option<&'a CopyMark> {
        seen.as_ref()?.ours.as_ref().filter(|mark| mark.token == self.token)
    }

    fn settle_landed(&mut self, proof: Integrity, seen: Option<ObservedDestination>) -> Effect {
        match (proof, seen) {
            (Integrity::Verified, Some(seen)) => self.on_published(seen.revision),
            (Integrity::Corrupt, Some(seen)) => self.on_published_corrupt(seen.revision),
            // It has landed: sent again, it replaces itself.
            (_, seen) => self.next_attempt(DestinationState::Seen(seen)),
        }
    }

    fn on_published(&mut self, revision: Revision) -> Effect {
        (self.upload, self.corrupt_at_destination) = (None, None);
        let identity = self.source.as_ref().map(|source| source.identity.clone());
        self.settled(SettledOutcome::Copied, identity.map(|identity| (identity, revision)))
    }

    /// Replaced at once; if that does not help, taken away and parked.
    fn on_published_corrupt(&mut self, revision: Revision) -> Effect {
        self.corrupt_writes += 1;
        self.corrupt_at_destination = Some(revision.clone());
        self.upload = None;
        match self.corrupt_writes {
            MAX_WRONG => self.park(),
            _ => self.next_attempt(DestinationState::Assumed(Expected::Revision(revision))),
        }
    }

    fn next_attempt(&mut self, destination: DestinationState) -> Effect {
        self.upload = None;
        if self.attempt == MAX_ATTEMPTS {
            return self.release(false);
        }
        self.attempt += 1;
        self.token = new_token(self.writer, self.attempt);
        // What the ledger said at the beginning is older than any look.
        self.published = None;
        self.destination = destination;
        self.head_destination()
    }

    fn settled(&mut self, outcome: SettledOutcome, published: Option<(SourceIdentity, Revision)>) -> Effect {
        self.tear_down_own_upload(AfterTeardown::Finish(FinishRequest::Settled { outcome, published }))
    }

    /// What is parked may be at its old state, but wrong bytes are taken away first.
    fn park(&mut self) -> Effect {
        self.tear_down_own_upload(AfterTeardown::Finish(FinishRequest::Parked))
    }

    /// Where wrong bytes stand this writer stays open, so that whoever comes next looks there first.
    fn release(&mut self, counted: bool) -> Effect {
        self.in_doubt |= self.corrupt_at_destination.is_some();
        self.finish(FinishRequest::Released { counted, upload_left: self.upload.is_some() })
    }

    fn finish(&mut self, ending: FinishRequest) -> Effect {
        let end = match &ending {
            FinishRequest::Settled { outcome, .. } => Disposition::Settled(*outcome),
            FinishRequest::Parked => Disposition::Parked,
            FinishRequest::Released { counted, .. } => Disposition::Retry { counted: *counted },
        };
        // Uploads that have not been seen to end, and their writers, are the successor's to close.
        let closed = self.closable.iter().filter(|(_, upload)| upload.is_none());
        let closed = closed.map(|(writer, _)| *writer).collect();
        self.transition(State::Finish(end), Effect::Finish { ending, closed, in_doubt: self.in_doubt })
    }

    fn on_failure(&mut self, state: State, trouble: EffectFailure) -> Effect {
        match (state, trouble) {
            // Its record cannot be used, so nothing is begun.
            (State::Lookup | State::Begin, EffectFailure::Park) => self.conclude(Disposition::Parked),
            (State::QuickDestination(..) | State::QuickSource(_), _) => self.transition(State::Begin, Effect::Begin),
            (State::Lookup | State::Begin | State::Finish(_), _) => {
                self.conclude(Disposition::Retry { counted: false })
            }
            // Whoever is closed with it leaves no upload.
            (State::AdoptionLook(uploads), EffectFailure::Park) => {
                let uploads = uploads.into_iter().map(|upload| upload.id).collect();
                self.tear_down(uploads, AfterTeardown::Finish(FinishRequest::Parked))
            }
            // An upload that cannot be seen to end: whoever comes next has to, and its writer stays open for that.
            (State::Aborting(_) | State::CheckingUpload(_) | State::UploadStillOpen(_), EffectFailure::Park) => {
                self.in_doubt |= self.upload.is_some();
                self.finish(FinishRequest::Parked)
            }
            // Wrong bytes do not stay: the message is kept until they are replaced or gone.
            (State::Remove, _) => self.release(false),
            (state, trouble) => {
                self.in_doubt |= matches!(state, State::Settle { put_lost: true });
                match trouble {
                    EffectFailure::Park => self.park(),
                    EffectFailure::Retry { counted } => self.release(counted),
                    EffectFailure::LeaseLost => self.conclude(Disposition::Abandon),
                }
            }
        }
    }

    fn with_upload(&mut self, state: State, effect: impl FnOnce(UploadId) -> Effect) -> Effect {
        match self.upload.clone() {
            Some(upload) => self.transition(state, effect(upload)),
            None => self.release(false),
        }
    }

    fn transition(&mut self, state: State, effect: Effect) -> Effect {
        self.state = state;
        effect
    }

    fn conclude(&mut self, end: Disposition) -> Effect {
        self.transition(State::Ended, Effect::End(end))
    }
}

/// Nobody else's: writers are 128 random bits.
fn new_token(writer: Writer, attempt: u32) -> Token {
    Token(writer.0.wrapping_add(attempt as u128))
}
