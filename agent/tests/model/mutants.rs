//! Ways to break the protocol, one at a time: each takes one rule out from around the real machine, by changing what it
//! asks for or what it hears. The explorer has to find what the rule was there for.

use skyferry_core::model::{Expected, Overwrite, SourceIdentity, Token};
use skyferry_core::protocol::*;

use crate::names::{FOREIGN, identity, name, revision};
use crate::world::{STRIDE, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Earlier writers' uploads are left alone.
    DropTheFence,
    /// The ledger lets an earlier writer continue writing.
    LedgerDoesNotFence,
    /// An abort is taken for the end of the upload.
    TrustTheAbort,
    /// The source is looked at first, then the destination.
    SourceBeforeDestination,
    /// The message goes although another writer is open.
    DeleteWhileAnotherIsOpen,
    TrustALostComplete,
    TrustALostPut,
    /// A second attempt sends what the first one read.
    ReuseBytes,
    /// A fenced writer begins again by itself.
    BeginAgainWhenFenced,
    ReapALiveRecord,
    /// The upload is not recorded before its parts are sent.
    UploadWithoutCheckpoint,
    UnpinnedReads,
    OneTokenAWriter,
    UnconditionalPut,
    UnconditionalDelete,
    /// The message goes before the ledger knows.
    DeleteBeforeFinish,
    /// A writer with a lost write is closed at once.
    ForgetDoubt,
    /// An open writer is closed without waiting for the hold.
    CloseWithoutHold,
    /// A released job closes writers whose uploads it has not seen end.
    CloseAllWhenReleased,
    /// An upload is taken over whatever it holds.
    AdoptAnything,
    /// A message that meets a later writer is deleted.
    DeleteWhenFenced,
    /// A job that could not finish deletes its message.
    DeleteOnFailure,
    /// Somebody else's object is taken for Skyferry's.
    ClaimForeignObjects,
    /// What the ledger says of the destination is believed although others are open or it came again.
    BelieveTheLedger,
    /// Any object at the destination passes for the newest state.
    BelieveAnyObject,
    /// A delete whose answer was lost is taken as done, and forgotten.
    TrustALostDelete,
    /// What the far side says of the stored bytes is not compared.
    TrustWhatIsStored,
    /// Skyferry's metadata is enough, whatever the bytes.
    TrustTheMetadata,
    /// What cannot be compared is taken for wrong.
    DistrustTheUnproven,
    /// What was stored wrong stays where its removal fails.
    ParkWhenRemovalFails,
    /// An upload that is still shown after its abort passes for gone.
    TrustAnAbortThatIsNotSeen,
    /// The ledger counts on from what was parked.
    ParkKeepsFailures,
    /// A job that parks the object leaves earlier writers' uploads, and closes their writers.
    ParkBesideOpenUploads,
    /// A message is renewed only by a job that ends.
    RenewOnlyAtRelease,
    /// The copy of another source object is replaced like anybody's.
    ReplaceAnothersCopy,
    /// Equal bytes pass for an equal object.
    IgnoreHeaders,
    /// What the ledger knows of this state is taken for its headers too.
    TrustRecordedHeaders,
    /// Who compared both sides and asks is answered from the ledger.
    TrustTheLedgerWhenAsked,
    /// An upload is taken over although it was begun with other headers.
    ResumeWhateverTheHeaders,
    /// A version that was asked for by name is copied whatever the destination holds.
    OlderReplacesNewer,
    /// Of two versions within a second the one that comes last stays.
    LastOfASecondStays,
    /// A version that comes after its delete marker is copied.
    CopyDeletedVersions,
    /// What stands there and is newer is recorded as right without proof.
    RecordUnproven,
    /// An upload is aborted as soon as the answer of its Complete is lost.
    AbortALostComplete,
    /// The policy for what a copy may replace is not asked.
    ReplaceWhatIsKept,
    /// How old somebody else's object is is not asked.
    EverythingIsOlder,
    /// All destinations of a source object have one record.
    OneRecordForAll,
}

impl Mutant {
    /// Whether the destinations' records have one name.
    pub fn shares_records(self) -> bool {
        self == Mutant::OneRecordForAll
    }

    /// The worker's effect as it goes out.
    pub fn effect(self, world: &mut World, slot: usize) -> Effect {
        let standing =
            world.destination.as_ref().map(|object| (identity(object.identity), revision(object.generation)));
        let worker = world.worker_mut(slot);
        match (self, worker.effect.clone()) {
            (Mutant::OneTokenAWriter, Effect::Put { token, expected }) => {
                let base = token.0 / STRIDE * STRIDE;
                worker.memory = Some((token.0 - base) as i32);
                Effect::Put { token: Token(base), expected }
            }
            (Mutant::UnconditionalPut, Effect::Put { token, .. }) => Effect::Put { token, expected: Expected::Any },
            (Mutant::UnconditionalDelete, Effect::Delete { .. }) => Effect::Delete { expected: Expected::Any },
            (
                Mutant::RecordUnproven,
                Effect::Finish { ending: FinishRequest::Settled { outcome, published }, closed, in_doubt },
            ) if worker.version.is_some() && outcome == SettledOutcome::Unchanged => Effect::Finish {
                ending: FinishRequest::Settled { outcome, published: published.or(standing) },
                closed,
                in_doubt,
            },
            (Mutant::ForgetDoubt, Effect::Finish { ending, closed, .. }) => {
                Effect::Finish { ending, closed, in_doubt: false }
            }
            (
                Mutant::CloseAllWhenReleased,
                Effect::Finish { ending: ending @ FinishRequest::Released { .. }, in_doubt, .. },
            ) => {
                let me = worker.writer;
                let writers = world.record.iter().flat_map(|record| &record.writers);
                let closed =
                    writers.filter(|entry| entry.upload.is_some() && entry.writer != me).map(|entry| entry.writer);
                Effect::Finish { ending, closed: closed.collect(), in_doubt }
            }
            (_, effect) => effect,
        }
    }

    /// An effect that is not carried out at all, and what is heard instead.
    pub fn skips(self, world: &mut World, slot: usize, effect: &Effect) -> Option<Answer> {
        match (self, effect) {
            (Mutant::TrustTheAbort, Effect::CheckUpload(_)) => Some(Answer::UploadGone),
            (Mutant::UploadWithoutCheckpoint, Effect::Checkpoint(_)) => Some(Answer::Done),
            (Mutant::DeleteBeforeFinish, Effect::Finish { ending: FinishRequest::Settled { .. }, .. }) => {
                Some(Answer::Finished { others_open: false })
            }
            (Mutant::SourceBeforeDestination | Mutant::ReuseBytes, Effect::HeadSource | Effect::OpenSource) => {
                let remembered = world.workers[slot].as_ref()?.memory?;
                Some(Answer::Source(Some(ObservedSource {
                    identity: identity(remembered),
                    headers: None,
                    large: false,
                    equal: false,
                    by_version: false,
                    other_headers: false,
                })))
            }
            (Mutant::UnpinnedReads, Effect::Parts(_)) => {
                world.worker_mut(slot).look = Some(world.source);
                None
            }
            _ => None,
        }
    }

    /// The answer as it is heard.
    pub fn tell(self, world: &mut World, slot: usize, answer: Answer) {
        let worker = world.worker(slot);
        let effect = worker.effect.clone();
        let standing = world.destination.as_ref().map(|object| revision(object.generation));
        let answer = match (self, effect.clone(), answer) {
            (_, _, Answer::Begun(begun)) if self != Mutant::LedgerDoesNotFence => {
                Answer::Begun(self.begun(begun, &identity(world.source)))
            }
            (Mutant::LedgerDoesNotFence, Effect::Begin, answer) => {
                for writer in world.record.iter_mut().flat_map(|record| record.writers.iter_mut()) {
                    writer.fenced = false;
                }
                answer
            }
            (Mutant::DeleteWhileAnotherIsOpen, _, Answer::Finished { .. }) => Answer::Finished { others_open: false },
            (Mutant::TrustALostComplete, Effect::Complete { .. }, Answer::Lost)
            | (Mutant::TrustALostPut, Effect::Put { .. }, Answer::Lost) => {
                Answer::Published(standing.unwrap_or(revision(0)))
            }
            (Mutant::TrustWhatIsStored, _, Answer::PublishedCorrupt(revision)) => Answer::Published(revision),
            (Mutant::TrustTheMetadata, _, Answer::Destination(Some(mut seen))) => {
                seen.ours.iter_mut().for_each(|mark| mark.integrity = Integrity::Verified);
                Answer::Destination(Some(seen))
            }
            (Mutant::DistrustTheUnproven, _, Answer::Destination(Some(mut seen))) => {
                let unknown = seen.ours.iter_mut().filter(|mark| mark.integrity == Integrity::Unknown);
                unknown.for_each(|mark| mark.integrity = Integrity::Corrupt);
                Answer::Destination(Some(seen))
            }
            (Mutant::ReplaceAnothersCopy, _, Answer::Destination(Some(seen))) => {
                Answer::Destination(Some(ObservedDestination { others: false, ..seen }))
            }
            (Mutant::EverythingIsOlder, _, Answer::Destination(Some(seen))) => {
                Answer::Destination(Some(ObservedDestination { last_modified: i64::MIN, ..seen }))
            }
            (Mutant::IgnoreHeaders, _, Answer::Source(Some(seen))) => {
                Answer::Source(Some(ObservedSource { other_headers: false, ..seen }))
            }
            (Mutant::OlderReplacesNewer, _, Answer::Source(Some(seen))) => {
                Answer::Source(Some(ObservedSource { by_version: false, ..seen }))
            }
            (Mutant::LastOfASecondStays, _, Answer::Newest(Some(_))) => Answer::Newest(worker.version.map(identity)),
            (Mutant::CopyDeletedVersions, _, Answer::Newest(None)) => Answer::Newest(worker.version.map(identity)),
            (Mutant::ParkWhenRemovalFails, Effect::Delete { .. }, Answer::Lost | Answer::Failed(_)) => Answer::Done,
            (Mutant::TrustAnAbortThatIsNotSeen, Effect::CheckUpload(id), Answer::UploadOpen)
                if world.is_ending(&id) =>
            {
                Answer::UploadGone
            }
            (Mutant::TrustALostDelete, Effect::Delete { .. }, Answer::Lost) => Answer::Done,
            (Mutant::BeginAgainWhenFenced, _, Answer::Fenced) => return begin_again(world, slot),
            (Mutant::OneTokenAWriter, _, Answer::Destination(Some(mut seen))) => {
                if let (Some(mark), Some(attempt)) = (seen.ours.as_mut(), worker.memory)
                    && mark.token == Token(worker.writer.0)
                {
                    mark.token = Token(worker.writer.0 + attempt as u128);
                }
                Answer::Destination(Some(seen))
            }
            (Mutant::ClaimForeignObjects, _, Answer::Destination(Some(mut seen))) => {
                let mark = CopyMark { identity: identity(FOREIGN), token: Token(0), integrity: Integrity::Verified };
                seen.ours.get_or_insert(mark);
                Answer::Destination(Some(seen))
            }
            (Mutant::BelieveAnyObject, _, Answer::Destination(Some(mut seen))) => {
                if let Some(mark) = seen.ours.as_mut() {
                    mark.identity = identity(world.source);
                }
                Answer::Destination(Some(seen))
            }
            (_, _, answer) => answer,
        };
        let is_lost = answer == Answer::Lost && matches!(effect, Effect::Complete { .. });
        let parks = answer == Answer::Failed(EffectFailure::Park);
        if let (
            Mutant::ParkKeepsFailures,
            Effect::Finish { ending: FinishRequest::Parked, .. },
            Answer::Finished { .. },
        ) = (self, &effect, &answer)
        {
            let failures = world.worker(slot).failures;
            world.record.iter_mut().for_each(|record| record.failures = failures);
        }
        let read = match &answer {
            Answer::Source(Some(seen)) if effect == Effect::OpenSource => Some(name(&seen.identity.etag)),
            _ => None,
        };
        world.tell(slot, answer);
        let source = world.source;
        let worker = world.worker_mut(slot);
        match self {
            Mutant::ParkBesideOpenUploads if parks => {
                while let Effect::Abort(_) | Effect::CheckUpload(_) = worker.effect {
                    worker.effect = worker.protocol.step(Answer::UploadGone);
                }
            }
            Mutant::TrustRecordedHeaders => worker.recorded = None,
            Mutant::AbortALostComplete if is_lost => {
                while let Effect::HeadDestination | Effect::CheckUpload(_) | Effect::Wait { .. } = worker.effect {
                    let nothing = match worker.effect {
                        Effect::HeadDestination => Answer::Destination(None),
                        Effect::CheckUpload(_) => Answer::UploadOpen,
                        _ => Answer::Done,
                    };
                    worker.effect = worker.protocol.step(nothing);
                }
            }
            Mutant::SourceBeforeDestination if worker.effect == Effect::HeadDestination => worker.memory = Some(source),
            Mutant::ReuseBytes if read.is_some() => worker.memory = read,
            _ => {}
        }
    }

    fn begun(self, mut begun: WriterHistory, now: &SourceIdentity) -> WriterHistory {
        for earlier in &mut begun.earlier {
            match self {
                Mutant::DropTheFence => earlier.upload = None,
                Mutant::CloseWithoutHold => earlier.closable = true,
                Mutant::AdoptAnything => {
                    let now = SourceState { identity: now.clone(), headers: None };
                    earlier.upload.iter_mut().for_each(|upload| upload.resumable = Some(now.clone()));
                }
                Mutant::ResumeWhateverTheHeaders => {
                    let held = earlier.upload.iter_mut().filter_map(|upload| upload.resumable.as_mut());
                    held.for_each(|held| held.headers = None);
                }
                _ => {}
            }
        }
        if self == Mutant::BelieveTheLedger {
            begun.earlier.clear();
        }
        begun
    }

    /// What is done with the message.
    pub fn end(self, end: Disposition) -> Disposition {
        match (self, end) {
            (Mutant::DeleteWhenFenced, Disposition::Fenced) | (Mutant::DeleteOnFailure, Disposition::Retry { .. }) => {
                Disposition::Settled(SettledOutcome::Unchanged)
            }
            (_, end) => end,
        }
    }
}

fn begin_again(world: &mut World, slot: usize) {
    let facts = JobFacts {
        received_before: false,
        large_hint: true,
        requested: false,
        deletes: true,
        overwrite: Overwrite::Always,
        conditional_put: true,
        conditional_finish: false,
    };
    let worker = world.worker_mut(slot);
    let writer = worker.writer;
    (worker.protocol, worker.effect) = Protocol::start(writer, facts);
    if let Some(record) = world.record.as_mut() {
        record.writers.retain(|entry| entry.writer != writer);
    }
}
