//! The write protocol (docs/write-protocol.md) as a state machine without I/O, clock or randomness.
//!
//! `Protocol::start` gives the first [`Effect`]; the driver (`job.rs`) carries it out and hands back one [`Answer`];
//! `step` gives the next effect, until `Effect::End`. Because nothing else decides, the model checker
//! (`agent/tests/model`) can try every interleaving of two of these with crashes, lost and late answers.
//!
//! What keeps a key from going back:
//! - **Fence.** Beginning in the ledger fences every earlier writer: none of them can register an upload any more, and
//!   those that they had registered are ended (and seen to be) before this writer looks at anything.
//! - **Order.** The destination is looked at before the source, so that a conditional write can only replace something
//!   at most as new as what it brings.
//! - **Doubt.** A write whose answer was lost may still land. Its writer stays open in the ledger, and while a writer is
//!   open the message is not deleted but looked at again after the *hold*.

use crate::object::{Expected, Revision, SourceIdentity, Token, UploadId, Writer};

#[cfg(test)]
mod tests;
mod uploads;
pub use uploads::MAX_ABORTS;
mod versions;
use versions::VersionIs;
mod words;
pub use words::*;

/// An attempt ends here when the source or the destination keeps moving: the message is released, nothing is lost.
pub const MAX_ATTEMPTS: u32 = 4;
/// Where so many writers are open whose hold has not passed, one more would only add to them: it waits like the others. So
/// the ledger's record of a key stays small, whatever fails and however often.
const MAX_OPEN: usize = 100;
/// A destination that twice stores other bytes than were sent gets no third try in one job.
const MAX_WRONG: u32 = 2;

/// One job at one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    facts: Facts,
    writer: Writer,
    state: State,
    /// What the ledger knew of this key, as long as nothing newer was learnt.
    recorded: bool,
    published: Option<(SourceIdentity, Revision)>,
    /// Earlier writers that are ended with this one, and their uploads that are not known to have ended.
    closable: Vec<(Writer, Option<UploadId>)>,
    /// What an adopted upload would publish.
    adopted: Option<Held>,
    destination: Known,
    /// The look at the source that this attempt stands on.
    source: Option<SourceSeen>,
    /// An upload of ours, or adopted, that has not been seen to end.
    upload: Option<UploadId>,
    /// What this attempt's write carries: new for every attempt; an adopted upload keeps its own.
    token: Token,
    attempt: u32,
    wrong: u32,
    /// What stands there is ours and wrong, as far as was seen: it does not stay where nothing replaces it.
    wrong_there: Option<Revision>,
    in_doubt: bool,
}

impl Protocol {
    pub fn start(writer: Writer, facts: Facts) -> (Protocol, Effect) {
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
            destination: Known::Nothing,
            source: None,
            upload: None,
            token: fresh_token(writer, 1),
            attempt: 1,
            wrong: 0,
            wrong_there: None,
            in_doubt: false,
        };
        (protocol, effect)
    }

    /// The next effect. An answer that does not belong to the last one is a defect of the driver: the message is
    /// released, nothing is lost.
    pub fn step(&mut self, answer: Answer) -> Effect {
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.note_wrong(&answer);
        match (state, answer) {
            (_, Answer::Failed(Trouble::LeaseLost)) => self.end(End::Abandon),
            (state, Answer::Failed(trouble)) => self.failed(state, trouble),

            (State::Lookup, Answer::Settled(Some((identity, revision)))) => {
                self.go(State::QuickDestination(identity, revision), Effect::HeadDestination)
            }
            (State::QuickDestination(identity, revision), Answer::Destination(Some(seen)))
                if seen.revision == revision =>
            {
                self.go(State::QuickSource(identity), Effect::HeadSource)
            }
            (State::QuickSource(identity), Answer::Source(Some(seen)))
                if seen.identity == identity && !seen.other_headers =>
            {
                self.end(End::Settled(Settled::Unchanged))
            }
            (State::Lookup | State::QuickDestination(..) | State::QuickSource(_), _) => {
                self.go(State::Begin, Effect::Begin)
            }

            (State::Begin, Answer::Begun(begun)) => self.fence(begun),
            (State::AdoptionLook(uploads), Answer::Source(source)) => self.adopt(uploads, source),
            (State::Aborting(ending), _) => self.see(ending),
            (State::Seeing(ending), answer) => self.seen(ending, answer == Answer::UploadGone),
            (State::StillThere(ending), _) => self.abort(ending),

            (State::Destination, Answer::Destination(Some(seen))) if seen.others => self.park(),
            (State::Destination, Answer::Destination(seen)) => {
                self.destination = Known::Seen(seen);
                self.look_at_source()
            }
            (State::SourceHead, Answer::Source(seen)) => self.decide(seen, false),
            (State::SourceOpen, Answer::Source(seen)) => self.decide(seen, true),
            (State::Newest { opened }, Answer::Newest(newest)) => self.decide_by_newest(newest, opened),
            (state, answer) => self.step_write(state, answer),
        }
    }

    fn note_wrong(&mut self, answer: &Answer) {
        match answer {
            Answer::Destination(seen) => {
                let wrong = |seen: &&DestinationSeen| seen.ours.as_ref().is_some_and(|mark| mark.proof == Proof::Wrong);
                self.wrong_there = seen.as_ref().filter(wrong).map(|seen| seen.revision.clone());
            }
            // Whoever fenced this writer found it open, and looks.
            Answer::Fenced => self.wrong_there = None,
            _ => {}
        }
    }

    /// The second half of `step`: from the first write to the end.
    fn step_write(&mut self, state: State, answer: Answer) -> Effect {
        match (state, answer) {
            (State::Put | State::Complete, Answer::Published(revision)) => self.published(revision),
            (State::Put | State::Complete, Answer::PublishedWrong(revision)) => self.published_wrong(revision),
            (State::Put, Answer::Lost) => self.go(State::Settle { put_lost: true }, Effect::HeadDestination),
            (State::Put, Answer::Precondition) | (State::Parts | State::Complete, Answer::UploadGone) => {
                self.upload = None;
                self.go(State::Settle { put_lost: false }, Effect::HeadDestination)
            }
            (State::Complete, Answer::Lost) => self.go(State::LostObject(1), Effect::HeadDestination),
            (State::LostObject(looks), Answer::Destination(seen)) => self.lost_object(seen, looks),
            (State::LostUpload(looks), answer) => self.lost_upload(looks, answer == Answer::UploadGone),
            (State::LostWait(looks), _) => self.go(State::LostObject(looks + 1), Effect::HeadDestination),
            (State::Complete, Answer::Precondition) => self.end_own_upload(Then::Settle),
            (State::Put | State::Parts, Answer::SourceChanged) => self.end_own_upload(Then::NextAttempt),
            (State::Initiate, Answer::Initiated(upload)) => {
                self.upload = Some(upload.clone());
                self.go(State::Checkpoint, Effect::Checkpoint(upload))
            }
            (State::Checkpoint, Answer::Done) => {
                // This writer's from now on.
                let own = self.upload.clone();
                self.forget_upload(own.as_ref());
                self.with_upload(State::Parts, Effect::Parts)
            }
            (State::Checkpoint, _) => self.end_own_upload(Then::Release),
            (State::Parts, Answer::Done) => {
                let expected = self.replacing(self.facts.conditional_finish);
                self.with_upload(State::Complete, |upload| Effect::Complete { upload, expected })
            }
            (State::Settle { put_lost }, Answer::Destination(seen)) => self.settle(seen, put_lost),

            (State::Put | State::Complete | State::Delete, Answer::Fenced) => self.release(false),
            (State::Delete, Answer::Done) => self.settled(Settled::Deleted, None),
            (State::Delete, answer) => {
                self.in_doubt |= answer == Answer::Lost;
                self.next_attempt(Known::Nothing)
            }
            // It may be gone, and it may be removed yet: whoever comes next looks.
            (State::Remove, Answer::Lost) => {
                self.in_doubt = true;
                self.release(false)
            }
            (State::Remove, _) => self.finish(Ending::Parked),
            // A parked key may hold anything until somebody asks again, and whoever does waits for those who are open then.
            // To wait here would be for ever where every write of the object is lost: each try leaves a writer in doubt.
            (State::Finish(End::Settled(_)), Answer::Finished { others_open: true }) => self.end(End::Hold),
            (State::Finish(end), Answer::Finished { .. }) => self.end(end),
            (State::Finish(_), Answer::Fenced) => self.end(End::Fenced),
            (State::Begin | State::Finish(_) | State::Ended, _) => self.end(End::Again { counted: false }),
            _ => self.release(false),
        }
    }

    fn look_at_destination(&mut self) -> Effect {
        match self.destination {
            Known::Nothing => self.go(State::Destination, Effect::HeadDestination),
            _ => self.look_at_source(),
        }
    }

    /// A HEAD where it may well be all that is needed; else the GET that brings the bytes is the look.
    fn look_at_source(&mut self) -> Effect {
        let head = match &self.source {
            Some(before) => before.large,
            None => self.recorded || self.facts.large_hint || matches!(self.destination, Known::Seen(Some(_))),
        };
        match head || self.upload.is_some() {
            true => self.go(State::SourceHead, Effect::HeadSource),
            false => self.go(State::SourceOpen, Effect::OpenSource),
        }
    }

    /// Both ends are known: leave, delete or copy.
    fn decide(&mut self, seen: Option<SourceSeen>, opened: bool) -> Effect {
        self.source = seen.clone();
        let Some(source) = seen else { return self.source_is_gone() };
        match self.standing_of(&source) {
            VersionIs::Older => self.leave_what_is_there(),
            VersionIs::Unclear => self.go(State::Newest { opened }, Effect::HeadNewest),
            VersionIs::Due => self.bring(source, opened),
        }
    }

    /// Brings this state to the destination, unless it is there.
    fn bring(&mut self, source: SourceSeen, opened: bool) -> Effect {
        if let Some(revision) = self.current_revision(&source) {
            return self.settled(Settled::Unchanged, Some((source.identity, revision)));
        }
        if let Some(upload) = self.upload.clone() {
            if !self.adopted.take().is_some_and(|held| held.is(&source)) {
                return self.end_own_upload(Then::NextAttempt);
            }
            self.replacing(self.facts.conditional_finish);
            return self.go(State::Checkpoint, Effect::Checkpoint(upload));
        }
        if !self.may_replace(source.large) {
            return self.go(State::Destination, Effect::HeadDestination);
        }
        let token = self.token;
        match (source.large, opened) {
            (true, _) => {
                self.replacing(self.facts.conditional_finish);
                self.go(State::Initiate, Effect::Initiate { token })
            }
            (false, false) => self.go(State::SourceOpen, Effect::OpenSource),
            (false, true) => {
                let expected = self.replacing(self.facts.conditional_put);
                self.go(State::Put, Effect::Put { token, expected })
            }
        }
    }

    /// The destination's revision, if it holds this very state of the source already.
    fn current_revision(&self, source: &SourceSeen) -> Option<Revision> {
        if source.other_headers {
            return None;
        }
        match &self.destination {
            Known::Seen(Some(DestinationSeen { revision, ours: Some(mark), .. })) => {
                let right = mark.proof == Proof::Right || (mark.proof == Proof::Unknown && source.equal);
                (right && mark.identity == source.identity).then(|| revision.clone())
            }
            Known::Seen(Some(DestinationSeen { revision, ours: None, .. })) => source.equal.then(|| revision.clone()),
            Known::Assumed(_) => {
                let (identity, revision) = self.published.as_ref()?;
                (*identity == source.identity).then(|| revision.clone())
            }
            _ => None,
        }
    }

    /// A write that names no condition replaces whatever is there: what that is has to be seen before.
    fn may_replace(&self, large: bool) -> bool {
        let enforced = if large { self.facts.conditional_finish } else { self.facts.conditional_put };
        enforced || matches!(self.destination, Known::Seen(_))
    }

    fn source_is_gone(&mut self) -> Effect {
        if self.upload.is_some() {
            return self.end_own_upload(Then::NextAttempt);
        }
        if let Some(revision) = self.wrong_there.clone() {
            return self.go(State::Delete, Effect::Delete { expected: Expected::Revision(revision) });
        }
        if !self.facts.deletes {
            return self.settled(Settled::Gone, self.published.clone());
        }
        match &self.destination {
            Known::Seen(Some(DestinationSeen { ours: Some(_), .. })) => {
                let expected = self.replacing(self.facts.conditional_put);
                self.go(State::Delete, Effect::Delete { expected })
            }
            Known::Seen(_) => self.settled(Settled::Gone, None),
            Known::Assumed(_) | Known::Nothing => self.next_attempt(Known::Nothing),
        }
    }

    /// What the write may replace: exactly what this attempt knows to be there. From here on nothing else of it matters.
    fn replacing(&mut self, enforced: bool) -> Expected {
        let expected = match std::mem::replace(&mut self.destination, Known::Nothing) {
            _ if !enforced => Expected::Any,
            Known::Assumed(expected) => expected,
            Known::Seen(None) => Expected::Absent,
            Known::Seen(Some(seen)) => Expected::Revision(seen.revision),
            Known::Nothing => Expected::Any,
        };
        self.published = None;
        self.destination = Known::Assumed(expected.clone());
        expected
    }

    /// Looks whether this attempt's token is what stands there; if not, what stands there is the next attempt's start.
    fn settle(&mut self, seen: Option<DestinationSeen>, put_lost: bool) -> Effect {
        if let Some(mark) = self.landed(&seen) {
            let proof = mark.proof;
            return self.settle_landed(proof, seen);
        }
        self.in_doubt |= put_lost;
        match seen {
            Some(seen) if seen.others => self.park(),
            seen => self.next_attempt(Known::Seen(seen)),
        }
    }

    /// This attempt's write, where it is what stands there.
    fn landed<'a>(&self, seen: &'a Option<DestinationSeen>) -> Option<&'a Mark> {
        seen.as_ref()?.ours.as_ref().filter(|mark| mark.token == self.token)
    }

    fn settle_landed(&mut self, proof: Proof, seen: Option<DestinationSeen>) -> Effect {
        match (proof, seen) {
            (Proof::Right, Some(seen)) => self.published(seen.revision),
            (Proof::Wrong, Some(seen)) => self.published_wrong(seen.revision),
            // It has landed: sent again, it replaces itself.
            (_, seen) => self.next_attempt(Known::Seen(seen)),
        }
    }

    fn published(&mut self, revision: Revision) -> Effect {
        (self.upload, self.wrong_there) = (None, None);
        let identity = self.source.as_ref().map(|source| source.identity.clone());
        self.settled(Settled::Copied, identity.map(|identity| (identity, revision)))
    }

    /// Replaced at once; if that does not help, taken away and parked.
    fn published_wrong(&mut self, revision: Revision) -> Effect {
        self.wrong += 1;
        self.wrong_there = Some(revision.clone());
        self.upload = None;
        match self.wrong {
            MAX_WRONG => self.park(),
            _ => self.next_attempt(Known::Assumed(Expected::Revision(revision))),
        }
    }

    fn next_attempt(&mut self, destination: Known) -> Effect {
        self.upload = None;
        if self.attempt == MAX_ATTEMPTS {
            return self.release(false);
        }
        self.attempt += 1;
        self.token = fresh_token(self.writer, self.attempt);
        // What the ledger said at the beginning is older than any look.
        self.published = None;
        self.destination = destination;
        self.look_at_destination()
    }

    fn settled(&mut self, outcome: Settled, published: Option<(SourceIdentity, Revision)>) -> Effect {
        self.end_own_upload(Then::Finish(Ending::Settled { outcome, published }))
    }

    /// What is parked may be at its old state, but wrong bytes are taken away first.
    fn park(&mut self) -> Effect {
        self.end_own_upload(Then::Finish(Ending::Parked))
    }

    /// Where wrong bytes stand this writer stays open, so that whoever comes next looks there first.
    fn release(&mut self, counted: bool) -> Effect {
        self.in_doubt |= self.wrong_there.is_some();
        self.finish(Ending::Released { counted, upload_left: self.upload.is_some() })
    }

    fn finish(&mut self, ending: Ending) -> Effect {
        let end = match &ending {
            Ending::Settled { outcome, .. } => End::Settled(*outcome),
            Ending::Parked => End::Parked,
            Ending::Released { counted, .. } => End::Again { counted: *counted },
        };
        // Uploads that have not been seen to end, and their writers, are the successor's to close.
        let closed = self.closable.iter().filter(|(_, upload)| upload.is_none());
        let closed = closed.map(|(writer, _)| *writer).collect();
        self.go(State::Finish(end), Effect::Finish { ending, closed, in_doubt: self.in_doubt })
    }

    fn failed(&mut self, state: State, trouble: Trouble) -> Effect {
        match (state, trouble) {
            // Its record cannot be used, so nothing is begun.
            (State::Lookup | State::Begin, Trouble::Park) => self.end(End::Parked),
            (State::QuickDestination(..) | State::QuickSource(_), _) => self.go(State::Begin, Effect::Begin),
            (State::Lookup | State::Begin | State::Finish(_), _) => self.end(End::Again { counted: false }),
            // Whoever is closed with it leaves no upload.
            (State::AdoptionLook(uploads), Trouble::Park) => {
                let uploads = uploads.into_iter().map(|upload| upload.id).collect();
                self.end_uploads(uploads, Then::Finish(Ending::Parked))
            }
            // An upload that cannot be seen to end: whoever comes next has to, and its writer stays open for that.
            (State::Aborting(_) | State::Seeing(_) | State::StillThere(_), Trouble::Park) => {
                self.in_doubt |= self.upload.is_some();
                self.finish(Ending::Parked)
            }
            // Wrong bytes do not stay: the message is kept until they are replaced or gone.
            (State::Remove, _) => self.release(false),
            (state, trouble) => {
                self.in_doubt |= matches!(state, State::Settle { put_lost: true });
                match trouble {
                    Trouble::Park => self.park(),
                    Trouble::Again { counted } => self.release(counted),
                    Trouble::LeaseLost => self.end(End::Abandon),
                }
            }
        }
    }

    fn with_upload(&mut self, state: State, effect: impl FnOnce(UploadId) -> Effect) -> Effect {
        match self.upload.clone() {
            Some(upload) => self.go(state, effect(upload)),
            None => self.release(false),
        }
    }

    fn go(&mut self, state: State, effect: Effect) -> Effect {
        self.state = state;
        effect
    }

    fn end(&mut self, end: End) -> Effect {
        self.go(State::Ended, Effect::End(end))
    }
}

/// Nobody else's: writers are 128 random bits.
fn fresh_token(writer: Writer, attempt: u32) -> Token {
    Token(writer.0.wrapping_add(attempt as u128))
}
