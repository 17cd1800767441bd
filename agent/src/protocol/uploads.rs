//! The fence, and how uploads end: aborted, then seen to be gone, one after another.

use crate::object::{Expected, SourceIdentity, UploadId};

use super::*;

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
    pub(super) fn adopt(&mut self, uploads: Vec<EarlierUpload>, now: Option<SourceIdentity>) -> Effect {
        if let Some(upload) = uploads.iter().rfind(|upload| now.is_some() && upload.resumable == now) {
            self.upload = Some(upload.id.clone());
            self.token = upload.token;
            self.adopted = now;
        }
        // An upload that was handed on before stands there more than once.
        let mut others: Vec<UploadId> = uploads.into_iter().map(|upload| upload.id).collect();
        others.retain(|id| Some(id) != self.upload.as_ref());
        others.sort_unstable();
        others.dedup();
        self.end_uploads(others, Then::Look)
    }

    pub(super) fn end_uploads(&mut self, uploads: Vec<UploadId>, then: Then) -> Effect {
        match uploads.last().cloned() {
            Some(upload) => self.go(State::Aborting(uploads, then), Effect::Abort(upload)),
            None => self.then(then),
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
            Then::Finish(ending) => self.finish(ending),
            Then::Release => self.release(false),
        }
    }
}
