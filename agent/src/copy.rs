//! The bytes of one object, from the source's body into the sink's request, hashed as they pass.
//!
//! Small objects are held whole, so that their digest goes before them; larger ones are streamed and checked behind.
//! What is published is compared with what was read, and what was read with what the source stores; where the sink says
//! nothing that can be compared, it is read back.

mod in_order;
mod parts;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::limits::{Limiter, STREAM, StreamPermit, TransferBody};
use crate::spans;
use skyferry_core::digest::{DigestCheck, DigestSelection, Digests, Grade, Hasher, StoredDigests};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::legacy_log;
use skyferry_core::metrics::{Metrics, RetryCause, TransferKind};
use skyferry_core::model::{Expected, Location, Revision, Token};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{
    Chunks, Crc32cSoFar, Object, OpenedObject, Payload, Pin, Sink, Source, WriteAttributes, WriteResult,
};

use parts::is_of_parts;
pub use parts::{ActiveUpload, ProgressRecorder, whole};

/// Objects up to this many bytes are held whole.
pub const WHOLE: u64 = 1 << 20;

/// What costs less to copy than the buffer that it is a piece of.
const PIECE: usize = 16 << 10;

/// From where to where, and by what means.
#[derive(Clone)]
pub struct CopyRoute {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub from: Location,
    pub to: Location,
    pub limiter: Arc<Limiter>,
    pub metrics: Arc<Metrics>,
    /// MD5 of every object and part too, for sinks whose ETags tell it.
    pub md5: bool,
    /// Parts are read by versionId too: the version need not be the newest.
    pub by_version: bool,
    /// The agent drains: end at the next border.
    pub stop: CancellationToken,
}

/// What was published, and what is known of it.
#[derive(Clone, Debug)]
pub struct CopyResult {
    pub revision: Revision,
    /// Of the bytes as they were read.
    pub digests: Digests,
    /// Or why it is wrong.
    pub grade: Result<Grade, String>,
}

impl CopyRoute {
    pub fn limits(&self) -> &SinkLimits {
        self.sink.limits()
    }

    fn select(&self, stored: &StoredDigests, whole: bool) -> DigestSelection {
        let md5 = self.md5 || !self.sink.capabilities().checksums;
        DigestSelection::for_source(stored, whole).union(DigestSelection { md5, ..DigestSelection::default() })
    }

    /// Publishes an opened body in one request. `stream`: where it is not held whole, what `limits` gave for it. `with` gets the
    /// CRC32C where it is known in time; `sent` what was sent, whatever comes of it.
    pub async fn put(
        &self,
        opened: OpenedObject,
        stream: Option<&StreamPermit>,
        mut with: WriteAttributes,
        expected: &Expected,
        sent: &mut Option<Digests>,
    ) -> Result<CopyResult, CopyError> {
        let select = self.select(&opened.object.stored, true);
        let charge = if opened.length <= WHOLE { opened.length } else { STREAM };
        let _permit = self.limiter.bytes(charge).await;
        let length = opened.length;
        let kind = if length <= WHOLE { TransferKind::Whole } else { TransferKind::Streamed };
        let _counted = self.metrics.hold_transfer(kind);
        legacy_log::downloading(length, &self.from, legacy_log::PartOf::WHOLE);
        if opened.length <= WHOLE {
            let bytes = collect(opened.chunks, opened.length).instrument(spans::read(length)).await?;
            self.metrics.count_bytes_read(length);
            self.limiter.bandwidth(opened.length).await;
            let digests = Digests::of(&bytes, select);
            let source = self.matches_source(&opened.object, &digests)?;
            with.provenance.crc32c = Some(digests.crc32c);
            *sent = Some(digests);
            legacy_log::uploading(length, &self.to, legacy_log::PartOf::WHOLE);
            let published = self.sink.put(&self.to, Payload::Whole(bytes), &with, expected).await?;
            self.metrics.count_bytes_passed(length);
            self.limiter.transfers().count(length);
            return self.verify_single(published, with.provenance.token, digests, source).await;
        }
        legacy_log::uploading(length, &self.to, legacy_log::PartOf::WHOLE);
        let transfer = self.limiter.transfers().begin(&self.from, &self.to, length, 0);
        let body = transfer.body();
        let (chunks, hasher) = self.hash_chunks(opened.chunks, length, select, stream.cloned(), body.clone());
        let chunks = self.check_at_end(chunks, hasher.clone(), opened.object.clone());
        let payload = Payload::Stream { length: opened.length, chunks, crc32c: Some(so_far_in(&hasher)) };
        let published = self.sink.put(&self.to, payload, &with, expected).await;
        if published.is_ok() {
            self.metrics.count_bytes_passed(length);
            stream.inspect(|stream| stream.arrived());
            body.arrived();
        }
        let digests = finish_digests(&hasher);
        *sent = Some(digests).filter(|digests| digests.length == length);
        let source = opened.object.stored.compare(&digests);
        self.verify_single(published?, with.provenance.token, digests, source).await
    }

    /// Small objects count, too.
    async fn verify_single(
        &self,
        published: WriteResult,
        token: Token,
        digests: Digests,
        source: DigestCheck,
    ) -> Result<CopyResult, CopyError> {
        let copied = self.verify(published, token, digests, source, &[]).await?;
        if copied.grade.is_ok() {
            legacy_log::complete(copied.digests.length, &self.from, legacy_log::PartOf::WHOLE, 1);
        }
        Ok(copied)
    }

    /// The same chunks at the agent's bandwidth; what has passed is in the hasher.
    fn hash_chunks(
        &self,
        chunks: Chunks,
        length: u64,
        select: DigestSelection,
        stream: Option<StreamPermit>,
        body: Arc<TransferBody>,
    ) -> (Chunks, Shared) {
        let hasher: Shared = Arc::new(Mutex::new(Hasher::new(select)));
        let span = spans::read(length);
        let (into, limiter, metrics) = (hasher.clone(), self.limiter.clone(), self.metrics.clone());
        let chunks = chunks.then(move |chunk| {
            let length = chunk.as_ref().map_or(0, Bytes::len) as u64;
            metrics.count_bytes_read(length);
            // It ends with the stream.
            let _ = &span;
            if let Ok(chunk) = &chunk {
                into.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
            }
            body.count(length);
            let (limiter, stream) = (limiter.clone(), stream.clone());
            async move {
                limiter.bandwidth(length).await;
                if let Some(stream) = stream {
                    stream.count_bytes(length);
                }
                chunk
            }
        });
        (Box::pin(chunks), hasher)
    }

    /// The same chunks, and an error at their end if they are not what the source stores: the sink's transport holds the
    /// last chunk back until the stream has ended, so that such a body is never whole.
    fn check_at_end(&self, chunks: Chunks, hasher: Shared, object: Object) -> Chunks {
        let route = self.clone();
        let check = futures_util::stream::once(async move {
            let digests = hasher.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
            route.matches_source(&object, &digests).map(|_| Bytes::new())
        });
        Box::pin(chunks.chain(check.filter(|checked| std::future::ready(checked.is_err()))))
    }

    /// Before anything is published: what was read is what the source stores.
    fn matches_source(&self, object: &Object, digests: &Digests) -> Result<DigestCheck, CopyError> {
        self.check_source(object.stored.compare(digests))
    }

    fn check_source(&self, verdict: DigestCheck) -> Result<DigestCheck, CopyError> {
        match verdict {
            DigestCheck::Mismatch { algorithm, expected, got } => {
                let answer = format!("{algorithm} of what was read is {got}, the source stores {expected}");
                Err(CopyError::new(Side::Source, ErrorKind::Corrupt, "GetObject", &self.from, answer))
            }
            verdict => Ok(verdict),
        }
    }

    /// Compares what is published with what was read: by the answer, else by a HEAD, else by the ETag of its `parts`, else by
    /// reading it back. Only a mismatch makes it wrong; what cannot be compared is `Unproven`.
    async fn verify(
        &self,
        published: WriteResult,
        token: Token,
        digests: Digests,
        source: DigestCheck,
        parts: &[Digests],
    ) -> Result<CopyResult, CopyError> {
        let WriteResult { mut revision, stored } = published;
        let mut shown = self.check_stored(stored, revision.as_ref(), &digests);
        if revision.is_none() || shown == DigestCheck::NothingToCompare {
            let object = self.find_written(revision.as_ref(), token).await?;
            if shown == DigestCheck::NothingToCompare {
                shown = self.check_stored(object.stored, Some(&object.revision), &digests);
            }
            revision = Some(object.revision);
        }
        let revision = revision.ok_or_else(|| self.unverified("no revision is known"))?;
        let confirmed = shown == DigestCheck::NothingToCompare && is_of_parts(&revision, parts);
        let mut archived = false;
        let verdict = match shown {
            DigestCheck::Verified(_) => shown,
            DigestCheck::NothingToCompare if confirmed => shown,
            DigestCheck::NothingToCompare => match Box::pin(self.read_back(&revision, &digests)).await {
                // It was written into an archive, from which nothing is read before a restore: what is known of it is that
                // the service took the bytes with the digests that were sent along.
                Err(error) if error.kind == ErrorKind::Archived => {
                    archived = true;
                    shown
                }
                read => read?,
            },
            DigestCheck::Mismatch { algorithm, .. } => match Box::pin(self.read_back(&revision, &digests)).await? {
                DigestCheck::Verified(_) => {
                    let why =
                        format!("its bytes were read back and are correct: the {algorithm} that it reports is wrong");
                    return Err(self.unverified(&why));
                }
                _ => shown,
            },
        };
        let mismatch = |what: &str, by: &str, verdict: &DigestCheck| match verdict {
            DigestCheck::Mismatch { algorithm, expected, got } => {
                Some(format!("{algorithm} of what was {what} is {got}, the {by} stores {expected}"))
            }
            _ => None,
        };
        let wrong = mismatch("read", "source", &source).or_else(|| mismatch("sent", "destination", &verdict));
        let grade = Grade::of(&source, &verdict, confirmed).or(archived.then_some(Grade::InTransit));
        let grade = match (wrong, grade) {
            (Some(why), _) => Err(why),
            (None, Some(grade)) => Ok(grade),
            (None, None) => {
                return Err(self.unverified("the destination reports no checksum, and the object cannot be read back"));
            }
        };
        Ok(CopyResult { revision, digests, grade })
    }

    fn unverified(&self, why: &str) -> CopyError {
        CopyError::new(Side::Destination, ErrorKind::Unproven, "verify", &self.to, why)
    }

    /// What the destination's own checksums say. Those of a dialect that promises none prove nothing by differing, and an
    /// ETag there only by being the MD5.
    fn check_stored(&self, mut stored: StoredDigests, revision: Option<&Revision>, digests: &Digests) -> DigestCheck {
        if self.sink.capabilities().checksums {
            return stored.compare(digests);
        }
        let md5 = digests.md5.map(hex::encode);
        if let Some(revision) = revision.filter(|revision| md5.is_some_and(|md5| md5 == *revision.0)) {
            stored.md5_etag(&revision.0);
        }
        match stored.compare(digests) {
            DigestCheck::Mismatch { .. } => DigestCheck::NothingToCompare,
            verdict => verdict,
        }
    }

    /// The object that this write made: its token says so, whatever ETag the answer named. `LostAnswer` when something else
    /// stands there: somebody has replaced it, or it is not to be seen yet.
    async fn find_written(&self, revision: Option<&Revision>, token: Token) -> Result<Object, CopyError> {
        let found = self.sink.head(&self.to).await?;
        let found = found.filter(|object| match &object.provenance {
            Some(provenance) => provenance.token == token,
            None => revision == Some(&object.revision),
        });
        found.ok_or_else(|| {
            let answer = "published, but at the check another object or none was found";
            CopyError::new(Side::Destination, ErrorKind::LostAnswer, "HeadObject", &self.to, answer)
        })
    }

    /// This state of the source and no other.
    fn pin(&self, object: &Object) -> Pin {
        Pin::State { identity: object.identity.clone(), by_version: self.by_version }
    }

    /// Compares the bytes themselves. `NothingToCompare`: it no longer exists.
    pub async fn read_back(&self, revision: &Revision, digests: &Digests) -> Result<DigestCheck, CopyError> {
        let Some(got) = self.destination_digests(revision, DigestSelection::default()).await? else {
            return Ok(DigestCheck::NothingToCompare);
        };
        let crc32c = Some(skyferry_core::digest::Checksum::Full(got.crc32c));
        Ok(StoredDigests { length: Some(got.length), crc32c, ..StoredDigests::default() }.compare(digests))
    }

    /// Compares the copy's bytes with what the source stores, or with its bytes where it stores nothing of the whole. `copy` is
    /// known to have been made from this state: an archived one, which cannot be read, is believed.
    pub async fn is_equal(&self, source: &Object, copy: &Object) -> Result<bool, CopyError> {
        let select = DigestSelection::for_source(&source.stored, true);
        let there = match self.destination_digests(&copy.revision, select).await {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(false),
            Err(error) if error.kind == ErrorKind::Archived => return Ok(true),
            Err(error) => return Err(error),
        };
        match source.stored.compare(&there) {
            DigestCheck::Verified(_) => Ok(true),
            DigestCheck::Mismatch { .. } => Ok(false),
            DigestCheck::NothingToCompare => {
                let Some(opened) = self.source.open(&self.from, &self.pin(source), None).await? else {
                    return Ok(false);
                };
                let here = self.digests(opened.chunks, DigestSelection::default()).await?;
                Ok((here.length, here.crc32c) == (there.length, there.crc32c))
            }
        }
    }

    /// Reads this state at the destination. `None`: it no longer exists.
    async fn destination_digests(
        &self,
        revision: &Revision,
        select: DigestSelection,
    ) -> Result<Option<Digests>, CopyError> {
        let opened = self.sink.open(&self.to).await?.filter(|opened| opened.object.revision == *revision);
        match opened {
            Some(opened) => self.digests(opened.chunks, select).await.map(Some),
            None => Ok(None),
        }
    }

    async fn digests(&self, mut chunks: Chunks, select: DigestSelection) -> Result<Digests, CopyError> {
        let mut hasher = Hasher::new(select);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.limiter.bandwidth(chunk.len() as u64).await;
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }
}

/// What a retry is counted under.
pub fn cause(error: &CopyError) -> RetryCause {
    match error.kind {
        ErrorKind::Throttled => RetryCause::Throttled,
        ErrorKind::Denied | ErrorKind::Credentials | ErrorKind::BucketMissing | ErrorKind::WrongRegion => {
            RetryCause::Denied
        }
        ErrorKind::Unavailable | ErrorKind::LostAnswer if error.status().is_some_and(|status| status >= 500) => {
            RetryCause::Server
        }
        ErrorKind::Unavailable | ErrorKind::LostAnswer => RetryCause::Network,
        ErrorKind::Stalled => RetryCause::Stalled,
        ErrorKind::SourceChanged => RetryCause::SourceChanged,
        ErrorKind::Precondition => RetryCause::Conflict,
        ErrorKind::Corrupt | ErrorKind::Unproven => RetryCause::Checksum,
        ErrorKind::InvalidAnswer => RetryCause::Server,
        _ => RetryCause::Other,
    }
}

/// All bytes of a body, which says itself when it is shorter or longer than `length`.
async fn collect(mut chunks: Chunks, length: u64) -> Result<Bytes, CopyError> {
    let Some(first) = chunks.next().await.transpose()? else { return Ok(Bytes::new()) };
    if first.len() as u64 == length && chunks.next().await.transpose()?.is_none() {
        // It is a piece of the connection's buffer, which it would keep whole until it is published.
        return Ok(if first.len() < PIECE { Bytes::copy_from_slice(&first) } else { first });
    }
    let mut bytes = BytesMut::with_capacity(length as usize);
    bytes.extend_from_slice(&first);
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes.freeze())
}

type Shared = Arc<Mutex<Hasher>>;

/// The hasher's word for a trailer: computed once, before the bytes leave here.
fn so_far_in(hasher: &Shared) -> Crc32cSoFar {
    let hasher = hasher.clone();
    Arc::new(move || hasher.lock().unwrap_or_else(PoisonError::into_inner).crc32c())
}

/// What the hasher holds when all has passed.
fn finish_digests(hasher: &Shared) -> Digests {
    let mut hasher = hasher.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *hasher, Hasher::new(DigestSelection::default())).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_with_5xx_is_counted_as_the_server_s() {
        for (kind, answer, expected) in [
            (ErrorKind::Unavailable, "500 InternalError: We encountered an internal error", "server"),
            (ErrorKind::LostAnswer, "502 without a code: <html>", "server"),
            (ErrorKind::Unavailable, "no connection to 127.0.0.1:9: Connection refused", "network"),
            (ErrorKind::LostAnswer, "127.0.0.1:9: connection closed", "network"),
            (ErrorKind::Throttled, "503 SlowDown: ", "throttled"),
        ] {
            let error = CopyError::new(Side::Destination, kind, "PutObject", &Location::new("b", "k"), answer);
            assert_eq!(cause(&error).name(), expected, "{answer}");
        }
    }
}
