//! The fence, and how uploads end: aborted, then seen to be gone, one after another.

use crate::model::{Expected, UploadId};

use super::*;

/// An upload that is there after so many aborts is left to the next delivery of the message.
pub const MAX_ABORTS: u32 = 3;
/// A Complete whose answer was lost is looked for so often before its upload is aborted.
const MAX_LOOKS: u32 = 5;

impl Protocol {
    /// The earlier writers are fenced; their uploads end now, but for one that a resume may take over. What the ledger
    /// says of the destination is enough where nobody else can have been there since, and the write's condition holds it to that.
    pub(super) fn fence(&mut self, begun: WriterHistory) -> Effect {
        let JobFacts { received_before, large_hint, requested, conditional_put, .. } = self.facts;
        let look = received_before
            || large_hint
            || !conditional_put
            || (requested && begun.known)
            || !begun.earlier.is_empty();
        self.destination = match &begun.published {
            _ if look => DestinationState::Nothing,
            Some((_, revision)) => DestinationState::Assumed(Expected::Revision(revision.clone())),
            None if begun.known => DestinationState::Nothing,
            None => DestinationState::Assumed(Expected::Absent),
        };
        self.recorded = begun.known;
        self.published = begun.published;
        let crowded = begun.earlier.iter().filter(|earlier| !earlier.closable).count() >= MAX_OPEN;
        let closable = begun.earlier.iter().filter(|earlier| earlier.closable);
        self.closable =
            closable.map(|earlier| (earlier.writer, earlier.upload.as_ref().map(|upload| upload.id.clone()))).collect();
        if crowded {
            return self.release(false);
        }
        let uploads: Vec<_> = begun.earlier.into_iter().filter_map(|earlier| earlier.upload).collect();
        match uploads.iter().any(|upload| upload.resumable.is_some()) {
            true => self.transition(State::AdoptionLook(uploads), Effect::HeadSource),
            false => self.adopt(uploads, None),
        }
    }

    /// Takes over the newest upload that holds parts of what the source holds now, and ends the others.
    pub(super) fn adopt(&mut self, uploads: Vec<EarlierUpload>, now: Option<ObservedSource>) -> Effect {
        let holds = |upload: &&EarlierUpload| {
            upload.resumable.as_ref().zip(now.as_ref()).is_some_and(|(held, now)| held.matches(now))
        };
        if let Some(upload) = uploads.iter().rfind(holds) {
            self.upload = Some(upload.id.clone());
            self.token = upload.token;
            self.adopted = upload.resumable.clone();
        }
        // An upload that was handed on before stands there more than once.
        let mut others: Vec<UploadId> = uploads.into_iter().map(|upload| upload.id).collect();
        others.retain(|id| Some(id) != self.upload.as_ref());
        others.sort_unstable();
        others.dedup();
        self.tear_down(others, AfterTeardown::Look)
    }

    pub(super) fn tear_down(&mut self, left: Vec<UploadId>, then: AfterTeardown) -> Effect {
        self.abort(UploadTeardown { left, then, aborts: 0 })
    }

    pub(super) fn abort(&mut self, ending: UploadTeardown) -> Effect {
        match ending.left.last().cloned() {
            Some(upload) => self.transition(
                State::Aborting(UploadTeardown { aborts: ending.aborts + 1, ..ending }),
                Effect::Abort(upload),
            ),
            None => self.after_teardown(ending.then),
        }
    }

    pub(super) fn check_upload(&mut self, ending: UploadTeardown) -> Effect {
        match ending.left.last().cloned() {
            Some(upload) => self.transition(State::CheckingUpload(ending), Effect::CheckUpload(upload)),
            None => self.after_teardown(ending.then),
        }
    }

    /// One that stays although it was aborted is aborted a few times; then the message waits, and whoever takes it next has to.
    pub(super) fn on_upload_checked(&mut self, mut ending: UploadTeardown, gone: bool) -> Effect {
        if gone {
            let ended = ending.left.pop();
            self.upload.take_if(|own| Some(&*own) == ended.as_ref());
            self.forget_upload(ended.as_ref());
            return self.tear_down(ending.left, ending.then);
        }
        match ending.aborts {
            MAX_ABORTS => self.release(false),
            looks => self.transition(State::UploadStillOpen(ending), Effect::Wait { looks }),
        }
    }

    /// A Complete whose answer was lost is waited for before its upload is ended: sent again it would cost all its parts.
    pub(super) fn on_lost_object(&mut self, seen: Option<ObservedDestination>, looks: u32) -> Effect {
        match self.published_object(&seen).map(|mark| mark.integrity) {
            Some(proof) => self.settle_landed(proof, seen),
            None => self.with_upload(State::LostUpload(looks), Effect::CheckUpload),
        }
    }

    /// An upload that is gone was completed, perhaps just after the look for its object, or ended by somebody.
    pub(super) fn on_lost_upload(&mut self, looks: u32, gone: bool) -> Effect {
        if gone {
            self.upload = None;
            return self.after_teardown(AfterTeardown::Settle);
        }
        match looks {
            MAX_LOOKS => self.tear_down_own_upload(AfterTeardown::Settle),
            looks => self.transition(State::LostWait(looks), Effect::Wait { looks }),
        }
    }

    /// It has ended, or is recorded as this writer's: whoever recorded it before need not be kept for it.
    pub(super) fn forget_upload(&mut self, upload: Option<&UploadId>) {
        self.closable.iter_mut().for_each(|(_, theirs)| drop(theirs.take_if(|theirs| Some(&*theirs) == upload)));
    }

    pub(super) fn tear_down_own_upload(&mut self, then: AfterTeardown) -> Effect {
        let uploads = self.upload.iter().cloned().collect();
        self.tear_down(uploads, then)
    }

    pub(super) fn after_teardown(&mut self, then: AfterTeardown) -> Effect {
        match then {
            AfterTeardown::Look => self.head_destination(),
            AfterTeardown::NextAttempt => self.next_attempt(DestinationState::Nothing),
            AfterTeardown::Settle => self.transition(State::Settle { put_lost: false }, Effect::HeadDestination),
            AfterTeardown::Finish(FinishRequest::Parked) if self.corrupt_at_destination.is_some() => {
                let expected = self.corrupt_at_destination.take().map_or(Expected::Absent, Expected::Revision);
                self.transition(State::Remove, Effect::Delete { expected })
            }
            AfterTeardown::Finish(ending) => self.finish(ending),
            AfterTeardown::Release => self.release(false),
        }
    }
}
