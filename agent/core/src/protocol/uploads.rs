//! The fence, and how uploads end: aborted, then seen to be gone, one after another.

use crate::object::{Expected, UploadId};

use super::*;

/// An upload that is there after so many aborts is left to the next delivery of the message.
pub const MAX_ABORTS: u32 = 3;
/// A Complete whose answer was lost is looked for so often before its upload is aborted.
const MAX_LOOKS: u32 = 5;

impl Protocol {
    /// The earlier writers are fenced; their uploads end now, but for one that a resume may take over. What the ledger
    /// says of the destination is enough where nobody else can have been there since, and the write's condition holds it to that.
    pub(super) fn fence(&mut self, begun: Begun) -> Effect {
        let Facts { received_before, large_hint, requested, conditional_put, .. } = self.facts;
        let look = received_before
            || large_hint
            || !conditional_put
            || (requested && begun.known)
            || !begun.earlier.is_empty();
        self.destination = match &begun.published {
            _ if look => Known::Nothing,
            Some((_, revision)) => Known::Assumed(Expected::Revision(revision.clone())),
            None if begun.known => Known::Nothing,
            None => Known::Assumed(Expected::Absent),
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
            true => self.go(State::AdoptionLook(uploads), Effect::HeadSource),
            false => self.adopt(uploads, None),
        }
    }

    /// Takes over the newest upload that holds parts of what the source holds now, and ends the others.
    pub(super) fn adopt(&mut self, uploads: Vec<EarlierUpload>, now: Option<SourceSeen>) -> Effect {
        let holds = |upload: &&EarlierUpload| {
            upload.resumable.as_ref().zip(now.as_ref()).is_some_and(|(held, now)| held.is(now))
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
        self.end_uploads(others, Then::Look)
    }

    pub(super) fn end_uploads(&mut self, left: Vec<UploadId>, then: Then) -> Effect {
        self.abort(EndingUploads { left, then, aborts: 0 })
    }

    pub(super) fn abort(&mut self, ending: EndingUploads) -> Effect {
        match ending.left.last().cloned() {
            Some(upload) => {
                self.go(State::Aborting(EndingUploads { aborts: ending.aborts + 1, ..ending }), Effect::Abort(upload))
            }
            None => self.then(ending.then),
        }
    }

    pub(super) fn see(&mut self, ending: EndingUploads) -> Effect {
        match ending.left.last().cloned() {
            Some(upload) => self.go(State::Seeing(ending), Effect::SeeUpload(upload)),
            None => self.then(ending.then),
        }
    }

    /// One that stays although it was aborted is aborted a few times; then the message waits, and whoever takes it next has to.
    pub(super) fn seen(&mut self, mut ending: EndingUploads, gone: bool) -> Effect {
        if gone {
            let ended = ending.left.pop();
            self.upload.take_if(|own| Some(&*own) == ended.as_ref());
            self.forget_upload(ended.as_ref());
            return self.end_uploads(ending.left, ending.then);
        }
        match ending.aborts {
            MAX_ABORTS => self.release(false),
            looks => self.go(State::StillThere(ending), Effect::Wait { looks }),
        }
    }

    /// A Complete whose answer was lost is waited for before its upload is ended: sent again it would cost all its parts.
    pub(super) fn lost_object(&mut self, seen: Option<DestinationSeen>, looks: u32) -> Effect {
        match self.landed(&seen).map(|mark| mark.proof) {
            Some(proof) => self.settle_landed(proof, seen),
            None => self.with_upload(State::LostUpload(looks), Effect::SeeUpload),
        }
    }

    /// An upload that is gone was completed, perhaps just after the look for its object, or ended by somebody.
    pub(super) fn lost_upload(&mut self, looks: u32, gone: bool) -> Effect {
        if gone {
            self.upload = None;
            return self.then(Then::Settle);
        }
        match looks {
            MAX_LOOKS => self.end_own_upload(Then::Settle),
            looks => self.go(State::LostWait(looks), Effect::Wait { looks }),
        }
    }

    /// It has ended, or is recorded as this writer's: whoever recorded it before need not be kept for it.
    pub(super) fn forget_upload(&mut self, upload: Option<&UploadId>) {
        self.closable.iter_mut().for_each(|(_, theirs)| drop(theirs.take_if(|theirs| Some(&*theirs) == upload)));
    }

    pub(super) fn end_own_upload(&mut self, then: Then) -> Effect {
        let uploads = self.upload.iter().cloned().collect();
        self.end_uploads(uploads, then)
    }

    pub(super) fn then(&mut self, then: Then) -> Effect {
        match then {
            Then::Look => self.look_at_destination(),
            Then::NextAttempt => self.next_attempt(Known::Nothing),
            Then::Settle => self.go(State::Settle { put_lost: false }, Effect::HeadDestination),
            Then::Finish(Ending::Parked) if self.wrong_there.is_some() => {
                let expected = self.wrong_there.take().map_or(Expected::Absent, Expected::Revision);
                self.go(State::Remove, Effect::Delete { expected })
            }
            Then::Finish(ending) => self.finish(ending),
            Then::Release => self.release(false),
        }
    }
}
