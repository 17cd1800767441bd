//! The effects that only look: at the ledger, the source, the destination.

use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Driver, MAX_ABORTS};
use crate::copy::{WHOLE, whole};
use skyferry_core::digest::{DigestCheck, Digests};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::ledger::UploadRecord;
use skyferry_core::model::{Token, UploadId};
use skyferry_core::plan::Plan;
use skyferry_core::protocol::{
    Answer, CopyMark, EarlierUpload, Integrity, ObservedDestination, ObservedSource, OpenWriter, SourceState,
    WriterHistory,
};
use skyferry_core::store::metadata::lacks_headers;
use skyferry_core::store::{Object, OpenedObject, Pin, Provenance};

impl Driver<'_> {
    pub(super) async fn lookup(&mut self) -> Done {
        let record = self.context.ledger.lookup(self.subject).await.map_err(|error| self.ledger_error(error))?;
        self.end_noticed(record.as_ref().and_then(|record| record.ended_for));
        self.recorded = record.filter(|record| record.ended).and_then(|record| record.published);
        let settled = self.recorded.clone().map(|published| (published.identity, published.revision));
        Ok(Answer::Settled(settled))
    }

    pub(super) async fn begin(&mut self) -> Done {
        let asked = Instant::now();
        let begun = self.context.ledger.begin(self.subject, self.writer).await;
        self.begun = begun.map_err(|error| self.ledger_error(error))?;
        self.guard.confirmed(asked);
        self.recorded = self.begun.published.clone();
        self.end_noticed(self.begun.ended_for);
        let earlier = self.begun.earlier.iter().map(|earlier| OpenWriter {
            writer: earlier.writer,
            closable: earlier.stopped || earlier.fenced_for >= self.context.hold,
            upload: earlier.upload.as_ref().map(|upload| EarlierUpload {
                id: upload.id.clone(),
                token: upload.token,
                resumable: self
                    .fits(upload)
                    .then(|| SourceState { identity: upload.identity.clone(), headers: upload.headers }),
            }),
        });
        Ok(Answer::Begun(WriterHistory {
            known: self.begun.known,
            published: self.recorded.clone().map(|published| (published.identity, published.revision)),
            earlier: earlier.collect(),
        }))
    }

    /// Another agent may have ended the object since this one saw it fail: what fails from now on is judged again.
    fn end_noticed(&self, ended_for: Option<Duration>) {
        if let Some(at) = ended_for.and_then(|ago| Instant::now().checked_sub(ago)) {
            self.context.breaker.object_ended(self.object, at);
        }
    }

    /// Whether an upload was cut as the sink allows: as it was cut it continues.
    fn fits(&self, upload: &UploadRecord) -> bool {
        let parts = self.planned_parts(upload.identity.size, Some(upload.part_size));
        parts.is_ok_and(|parts| parts.part_size == upload.part_size)
    }

    /// The size of the parts that the source was written in. Digests of parts need it: asked for where there is nothing else
    /// to compare, and only for an object that is about to be sent.
    pub(super) async fn source_part(&self, object: &Object) -> Result<Option<u64>, CopyError> {
        let Some(parts) = object.stored.parts_only(self.context.md5) else { return Ok(None) };
        let found = self.context.source.part_size(&self.subject.source, &object.identity, parts).await?;
        let limits = self.context.sink.limits();
        Ok(found.filter(|size| (limits.min_part..=limits.max_part).contains(size)))
    }

    pub(super) async fn head_source(&mut self) -> Done {
        *self.opened() = None;
        self.source = self.context.source.head(&self.subject.source, &self.pin()).await?;
        if self.source.is_none() && self.version.take().is_some() {
            self.source = self.context.source.head(&self.subject.source, &Pin::Newest).await?;
        }
        self.source_seen().await
    }

    pub(super) async fn open_source(&mut self) -> Done {
        *self.opened() = None;
        let streams = self.context.limiter.streams();
        let expected = self.size_hint.filter(|size| self.is_streamed(*size));
        let mut stream = match expected {
            Some(size) => Some(self.route.permit_to_stream(streams.turn(size), 1, size).await?),
            None => None,
        };
        let mut opened = self.open().await?;
        match opened.as_ref().map(|opened| opened.length).filter(|size| self.is_streamed(*size)) {
            None => stream = None,
            Some(_) if stream.is_some() => {}
            // No body is left open while others go first: its source would not wait for so long.
            Some(size) => {
                let turn = streams.turn(size);
                stream = streams.permit_now(turn, 1, size);
                if stream.is_none() {
                    drop(opened.take());
                    stream = Some(self.route.permit_to_stream(turn, 1, size).await?);
                    opened = self.open().await?;
                }
            }
        }
        self.source = opened.as_ref().map(|opened| opened.object.clone());
        *self.opened() = opened.map(|opened| (opened, stream));
        self.source_seen().await
    }

    async fn open(&mut self) -> Result<Option<OpenedObject>, CopyError> {
        let opened = self.context.source.open(&self.subject.source, &self.pin(), None).await?;
        if opened.is_none() && self.version.take().is_some() {
            return self.context.source.open(&self.subject.source, &Pin::Newest, None).await;
        }
        Ok(opened)
    }

    /// Goes in one request and is not held whole.
    fn is_streamed(&self, size: u64) -> bool {
        size > WHOLE && matches!(self.plan(size), Ok(Plan::Single))
    }

    /// A version that is no more says nothing about the key: its newest state does.
    fn pin(&self) -> Pin {
        self.version.clone().map_or(Pin::Newest, Pin::Version)
    }

    /// With deletions carried over, a key without a newest state has ended: the version that was looked at is nothing.
    pub(super) async fn head_newest(&mut self) -> Done {
        let newest = self.context.source.head(&self.subject.source, &Pin::Newest).await?;
        if newest.is_none() && self.context.deletes {
            (self.source, *self.opened()) = (None, None);
        }
        Ok(Answer::Newest(newest.map(|newest| newest.identity)))
    }

    async fn source_seen(&mut self) -> Done {
        self.confirm_record().await?;
        let Some(object) = &self.source else { return Ok(Answer::Source(None)) };
        let identity = object.identity.clone();
        let at = &self.subject.destination;
        let too_large =
            |error| CopyError::new(Side::Destination, ErrorKind::CannotHold, "plan", at, format!("{error}"));
        let large = matches!(self.plan(identity.size).map_err(too_large)?, Plan::Parts(_));
        let there = self.destination.as_ref().filter(|there| there.identity.size == identity.size);
        let equal = match there.and_then(|there| there.stored.agrees_with(&object.stored)) {
            Some(equal) => equal,
            None => Box::pin(self.is_equal_by_reading(object)).await?,
        };
        let other_headers = self.has_other_headers(object);
        let (headers, by_version) = (self.headers(object), self.version.is_some());
        Ok(Answer::Source(Some(ObservedSource { identity, headers, large, equal, by_version, other_headers })))
    }

    /// A copy of this very state by Skyferry that nothing stored proves, at a service without checksums and after a state file
    /// was forgotten: to read it is less than to send it again.
    async fn is_equal_by_reading(&self, source: &Object) -> Result<bool, CopyError> {
        let Some(there) = &self.destination else { return Ok(false) };
        let ours = there.provenance.as_ref().filter(|provenance| provenance.source == self.subject.source);
        let same = ours.filter(|provenance| provenance.identity == source.identity);
        if !same.is_some_and(|provenance| self.proof(there, provenance) == Integrity::Unknown) {
            return Ok(false);
        }
        tokio::select! {
            biased;
            () = self.route.stop.cancelled() => Err(self.defect("the agent drains")),
            equal = self.route.is_equal(source, there) => equal,
        }
    }

    fn has_other_headers(&self, source: &Object) -> bool {
        let Some(there) = self.destination.as_ref().filter(|_| self.carries_headers()) else { return false };
        // What was recorded as a copy of this very state and shows no provenance is at a service that drops it: what that
        // shows says nothing, and the object would be sent with every event.
        let recorded = self.recorded.as_ref();
        let dropped = !self.requested
            && there.provenance.is_none()
            && recorded.is_some_and(|r| r.revision == there.revision && r.identity == source.identity);
        !dropped && lacks_headers(there, source)
    }

    /// A digest of the headers that an upload of this state would be begun with.
    pub(super) fn headers(&self, source: &Object) -> Option<u32> {
        self.carries_headers().then(|| source.metadata.digest())
    }

    fn carries_headers(&self) -> bool {
        self.context.metadata && self.context.sink.capabilities().metadata
    }

    /// The ledger knows a copy of this state, and nobody has looked at it: headers may have changed since, within the second
    /// that the state is named by.
    async fn confirm_record(&mut self) -> Result<(), CopyError> {
        let state = self.source.as_ref().map(|object| &object.identity);
        let recorded = self.recorded.as_ref().filter(|recorded| Some(&recorded.identity) == state);
        if recorded.is_none() || self.destination.is_some() || !self.carries_headers() {
            return Ok(());
        }
        match self.context.sink.head(&self.subject.destination).await {
            Ok(there) => self.destination = there,
            // Keys that may only write are good enough.
            Err(error) if error.kind == ErrorKind::Denied => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) async fn head_destination(&mut self) -> Done {
        self.destination = self.context.sink.head(&self.subject.destination).await?;
        let mark = match self.destination.take() {
            None => None,
            Some(object) => {
                let mark = self.mark(&object).await?;
                self.destination = Some(object);
                mark
            }
        };
        let landed =
            mark.as_ref().is_some_and(|mark| self.sent.as_ref().is_some_and(|(token, _)| *token == mark.token));
        if let Some(failed) = self.gives_up_on_lost().filter(|_| !landed) {
            return Ok(failed);
        }
        let Some(object) = &self.destination else { return Ok(Answer::Destination(None)) };
        let owner = object.provenance.as_ref().map(|provenance| &provenance.source);
        let others = owner.filter(|owner| **owner != self.subject.source);
        if let Some(owner) = others {
            let at = &self.subject.destination;
            let answer = format!("it is a copy of {owner}, and this is {}", self.subject.source);
            self.trouble = Some(CopyError::new(Side::Destination, ErrorKind::OtherSource, "HeadObject", at, answer));
        }
        let others = others.is_some();
        let (revision, last_modified) = (object.revision.clone(), object.identity.last_modified);
        Ok(Answer::Destination(Some(ObservedDestination { revision, last_modified, ours: mark, others })))
    }

    /// One that stays although it was aborted again and again is a failure like others.
    pub(super) async fn see_upload(&self, id: &UploadId) -> Done {
        let at = &self.subject.destination;
        match (self.context.sink.parts(at, id).await?, &self.aborted) {
            (None, _) => Ok(Answer::UploadGone),
            (Some(_), Some((aborted, MAX_ABORTS..))) if aborted == id => {
                let answer = format!("the upload {id} is still listed after {MAX_ABORTS} aborts");
                Err(CopyError::new(Side::Destination, ErrorKind::InvalidAnswer, "AbortMultipartUpload", at, answer))
            }
            (Some(_), _) => Ok(Answer::UploadOpen),
        }
    }

    async fn mark(&self, object: &Object) -> Result<Option<CopyMark>, CopyError> {
        let ours = object.provenance.as_ref().filter(|provenance| provenance.source == self.subject.source);
        let Some(provenance) = ours else { return Ok(self.remembered(object)) };
        let (identity, token) = (provenance.identity.clone(), provenance.token);
        let mut proof = self.proof(object, provenance);
        // What this job sent itself is worth a read: sent again, it would be no better known.
        let sent = self.sent.as_ref().filter(|(sent, _)| *sent == token && proof == Integrity::Unknown);
        if let Some((_, digests)) = sent {
            proof = match Box::pin(self.route.read_back(&object.revision, digests)).await {
                Ok(DigestCheck::Verified(_)) => Integrity::Verified,
                Ok(DigestCheck::Mismatch { .. }) => Integrity::Corrupt,
                Ok(DigestCheck::NothingToCompare) => Integrity::Unknown,
                // Nothing more is to be known of what is in an archive.
                Err(error) if error.kind == ErrorKind::Archived => Integrity::Verified,
                Err(error) => return Err(error),
            };
        }
        Ok(Some(CopyMark { identity, token, integrity: proof }))
    }

    /// Where a sink keeps no metadata, the ledger alone knows what is ours.
    fn remembered(&self, object: &Object) -> Option<CopyMark> {
        let recorded = self.recorded.as_ref().filter(|recorded| recorded.revision == object.revision)?;
        let identity = recorded.identity.clone();
        let keeps = self.context.sink.capabilities().metadata;
        (!keeps).then_some(CopyMark { identity, token: Token(0), integrity: Integrity::Verified })
    }

    /// Whether what stands there is known to be right, without reading it: the ledger recorded it, or its digest is known
    /// from the metadata, from this job or from a recorded upload, and the far side stores the same one.
    fn proof(&self, object: &Object, provenance: &Provenance) -> Integrity {
        let recorded = self.recorded.as_ref();
        if recorded.is_some_and(|r| r.identity == provenance.identity && r.revision == object.revision) {
            return Integrity::Verified;
        }
        let size = provenance.identity.size;
        if object.identity.size != size {
            return Integrity::Corrupt;
        }
        let in_time = provenance.crc32c.map(|crc32c| Digests { length: size, crc32c, ..Digests::default() });
        let sent = self.sent.as_ref().filter(|(token, _)| *token == provenance.token).map(|(_, digests)| *digests);
        let earlier = self.begun.earlier.iter().filter_map(|earlier| earlier.upload.as_ref());
        let mut uploads = earlier.chain(self.upload.as_ref().map(|upload| &upload.record));
        let upload = uploads.find(|upload| upload.token == provenance.token).and_then(|upload| whole(upload, size));
        let believed = self.context.sink.capabilities().checksums;
        let verdicts = [in_time, sent, upload].into_iter().flatten().map(|digests| object.stored.compare(&digests));
        verdicts.fold(Integrity::Unknown, |proof, verdict| match verdict {
            DigestCheck::Verified(_) => Integrity::Verified,
            DigestCheck::Mismatch { .. } if believed && proof == Integrity::Unknown => Integrity::Corrupt,
            _ => proof,
        })
    }
}
