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

use crate::pace::{Pace, STREAM, StreamPermit};
use skyferry_core::digest::{Digests, Grade, Hasher, Select, Stored, Verdict};
use skyferry_core::error::{CopyError, Kind, Side};
use skyferry_core::metrics::{Cause, Metrics};
use skyferry_core::object::{Expected, Location, Revision, Token};
use skyferry_core::plan::Limits;
use skyferry_core::store::{Attributes, Chunks, Crc32cSoFar, Object, Opened, Payload, Pin, Published, Sink, Source};
use skyferry_core::traffic;

use parts::is_of_parts;
pub use parts::{Recorder, Upload, whole};

/// Objects up to this many bytes are held whole.
pub const WHOLE: u64 = 1 << 20;

/// What costs less to copy than the buffer that it is a piece of.
const PIECE: usize = 16 << 10;

/// From where to where, and by what means.
#[derive(Clone)]
pub struct Route {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub from: Location,
    pub to: Location,
    pub pace: Arc<Pace>,
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
pub struct Copied {
    pub revision: Revision,
    /// Of the bytes as they were read.
    pub digests: Digests,
    /// Or why it is wrong.
    pub grade: Result<Grade, String>,
}

impl Route {
    pub fn limits(&self) -> &Limits {
        self.sink.limits()
    }

    fn select(&self, stored: &Stored, whole: bool) -> Select {
        let md5 = self.md5 || !self.sink.capabilities().checksums;
        Select::for_source(stored, whole).and(Select { md5, ..Select::default() })
    }

    /// Publishes an opened body in one request. `stream`: where it is not held whole, what `pace` gave for it. `with` gets the
    /// CRC32C where it is known in time; `sent` what was sent, whatever comes of it.
    pub async fn put(
        &self,
        opened: Opened,
        stream: Option<&StreamPermit>,
        mut with: Attributes,
        expected: &Expected,
        sent: &mut Option<Digests>,
    ) -> Result<Copied, CopyError> {
        let select = self.select(&opened.object.stored, true);
        let charge = if opened.length <= WHOLE { opened.length } else { STREAM };
        let _permit = self.pace.bytes(charge).await;
        let length = opened.length;
        traffic::downloading(length, &self.from, traffic::Part::WHOLE);
        if opened.length <= WHOLE {
            let bytes = collect(opened.chunks, opened.length).await?;
            self.pace.bandwidth(opened.length).await;
            self.metrics.passed(opened.length);
            let digests = Digests::of(&bytes, select);
            let source = self.agrees_with_source(&opened.object, &digests)?;
            with.provenance.crc32c = Some(digests.crc32c);
            *sent = Some(digests);
            traffic::uploading(length, &self.to, traffic::Part::WHOLE);
            let published = self.sink.put(&self.to, Payload::Whole(bytes), &with, expected).await?;
            return self.whole_proved(published, with.provenance.token, digests, source).await;
        }
        traffic::uploading(length, &self.to, traffic::Part::WHOLE);
        let (chunks, hasher) = self.hashed(opened.chunks, select, stream.cloned());
        let chunks = self.ended_right(chunks, hasher.clone(), opened.object.clone());
        let payload = Payload::Stream { length: opened.length, chunks, crc32c: Some(so_far_in(&hasher)) };
        let published = self.sink.put(&self.to, payload, &with, expected).await;
        if let Some(stream) = stream.filter(|_| published.is_ok()) {
            stream.arrived();
        }
        let digests = taken(&hasher);
        *sent = Some(digests).filter(|digests| digests.length == length);
        let source = opened.object.stored.compare(&digests);
        self.whole_proved(published?, with.provenance.token, digests, source).await
    }

    /// Small objects count, too.
    async fn whole_proved(
        &self,
        published: Published,
        token: Token,
        digests: Digests,
        source: Verdict,
    ) -> Result<Copied, CopyError> {
        let copied = self.prove(published, token, digests, source, &[]).await?;
        if copied.grade.is_ok() {
            traffic::complete(copied.digests.length, &self.from, traffic::Part::WHOLE, 1);
        }
        Ok(copied)
    }

    /// The same chunks at the agent's bandwidth; what has passed is in the hasher.
    fn hashed(&self, chunks: Chunks, select: Select, stream: Option<StreamPermit>) -> (Chunks, Shared) {
        let hasher: Shared = Arc::new(Mutex::new(Hasher::new(select)));
        let (into, pace, metrics) = (hasher.clone(), self.pace.clone(), self.metrics.clone());
        let chunks = chunks.then(move |chunk| {
            let length = chunk.as_ref().map_or(0, Bytes::len) as u64;
            metrics.passed(length);
            if let Ok(chunk) = &chunk {
                into.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
            }
            let (pace, stream) = (pace.clone(), stream.clone());
            async move {
                pace.bandwidth(length).await;
                if let Some(stream) = stream {
                    stream.passed(length);
                }
                chunk
            }
        });
        (Box::pin(chunks), hasher)
    }

    /// The same chunks, and an error at their end if they are not what the source stores: the sink's transport holds the
    /// last chunk back until the stream has ended, so that such a body is never whole.
    fn ended_right(&self, chunks: Chunks, hasher: Shared, object: Object) -> Chunks {
        let route = self.clone();
        let check = futures_util::stream::once(async move {
            let digests = hasher.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
            route.agrees_with_source(&object, &digests).map(|_| Bytes::new())
        });
        Box::pin(chunks.chain(check.filter(|checked| std::future::ready(checked.is_err()))))
    }

    /// Before anything is published: what was read is what the source stores.
    fn agrees_with_source(&self, object: &Object, digests: &Digests) -> Result<Verdict, CopyError> {
        self.verdict_on_source(object.stored.compare(digests))
    }

    fn verdict_on_source(&self, verdict: Verdict) -> Result<Verdict, CopyError> {
        match verdict {
            Verdict::Mismatch { algorithm, expected, got } => {
                let answer = format!("{algorithm} of what was read is {got}, the source stores {expected}");
                Err(CopyError::new(Side::Source, Kind::Corrupt, "GetObject", &self.from, answer))
            }
            verdict => Ok(verdict),
        }
    }

    /// Compares what is published with what was read: by the answer, else by a HEAD, else by the ETag of its `parts`, else by
    /// reading it back. Only a mismatch makes it wrong; what cannot be compared is `Unproven`.
    async fn prove(
        &self,
        published: Published,
        token: Token,
        digests: Digests,
        source: Verdict,
        parts: &[Digests],
    ) -> Result<Copied, CopyError> {
        let Published { mut revision, stored } = published;
        let mut shown = self.shown(stored, revision.as_ref(), &digests);
        if revision.is_none() || shown == Verdict::NothingToCompare {
            let object = self.made(revision.as_ref(), token).await?;
            if shown == Verdict::NothingToCompare {
                shown = self.shown(object.stored, Some(&object.revision), &digests);
            }
            revision = Some(object.revision);
        }
        let revision = revision.ok_or_else(|| self.unproven("no revision is known"))?;
        let confirmed = shown == Verdict::NothingToCompare && is_of_parts(&revision, parts);
        let mut archived = false;
        let verdict = match shown {
            Verdict::Verified(_) => shown,
            Verdict::NothingToCompare if confirmed => shown,
            Verdict::NothingToCompare => match Box::pin(self.read_back(&revision, &digests)).await {
                // It was written into an archive, from which nothing is read before a restore: what is known of it is that
                // the service took the bytes with the digests that were sent along.
                Err(error) if error.kind == Kind::Archived => {
                    archived = true;
                    shown
                }
                read => read?,
            },
            Verdict::Mismatch { algorithm, .. } => match Box::pin(self.read_back(&revision, &digests)).await? {
                Verdict::Verified(_) => {
                    let why = format!(
                        "its bytes were read back and are right: the {algorithm} that it shows cannot be believed"
                    );
                    return Err(self.unproven(&why));
                }
                _ => shown,
            },
        };
        let mismatch = |what: &str, by: &str, verdict: &Verdict| match verdict {
            Verdict::Mismatch { algorithm, expected, got } => {
                Some(format!("{algorithm} of what was {what} is {got}, the {by} stores {expected}"))
            }
            _ => None,
        };
        let wrong = mismatch("read", "source", &source).or_else(|| mismatch("sent", "destination", &verdict));
        let grade = Grade::of(&source, &verdict, confirmed).or(archived.then_some(Grade::InTransit));
        let grade = match (wrong, grade) {
            (Some(why), _) => Err(why),
            (None, Some(grade)) => Ok(grade),
            (None, None) => return Err(self.unproven("the destination shows no checksum, and it cannot be read back")),
        };
        Ok(Copied { revision, digests, grade })
    }

    fn unproven(&self, why: &str) -> CopyError {
        CopyError::new(Side::Destination, Kind::Unproven, "verify", &self.to, why)
    }

    /// What the destination's own checksums say. Those of a dialect that promises none prove nothing by differing, and an
    /// ETag there only by being the MD5.
    fn shown(&self, mut stored: Stored, revision: Option<&Revision>, digests: &Digests) -> Verdict {
        if self.sink.capabilities().checksums {
            return stored.compare(digests);
        }
        let md5 = digests.md5.map(hex::encode);
        if let Some(revision) = revision.filter(|revision| md5.is_some_and(|md5| md5 == *revision.0)) {
            stored.md5_etag(&revision.0);
        }
        match stored.compare(digests) {
            Verdict::Mismatch { .. } => Verdict::NothingToCompare,
            verdict => verdict,
        }
    }

    /// The object that this write made: its token says so, whatever ETag the answer named. `LostAnswer` when something else
    /// stands there: somebody has replaced it, or it is not to be seen yet.
    async fn made(&self, revision: Option<&Revision>, token: Token) -> Result<Object, CopyError> {
        let found = self.sink.head(&self.to).await?;
        let found = found.filter(|object| match &object.provenance {
            Some(provenance) => provenance.token == token,
            None => revision == Some(&object.revision),
        });
        found.ok_or_else(|| {
            let answer = "published, and something else or nothing was there when it was looked at";
            CopyError::new(Side::Destination, Kind::LostAnswer, "HeadObject", &self.to, answer)
        })
    }

    /// This state of the source and no other.
    fn pin(&self, object: &Object) -> Pin {
        Pin::State { identity: object.identity.clone(), by_version: self.by_version }
    }

    /// Compares the bytes themselves. `NothingToCompare`: it is not there any more.
    pub async fn read_back(&self, revision: &Revision, digests: &Digests) -> Result<Verdict, CopyError> {
        let Some(got) = self.digests_there(revision, Select::default()).await? else {
            return Ok(Verdict::NothingToCompare);
        };
        let crc32c = Some(skyferry_core::digest::Sum::Full(got.crc32c));
        Ok(Stored { length: Some(got.length), crc32c, ..Stored::default() }.compare(digests))
    }

    /// Compares the copy's bytes with what the source stores, or with its bytes where it stores nothing of the whole. `copy` is
    /// known to have been made from this state: an archived one, which cannot be read, is believed.
    pub async fn is_equal(&self, source: &Object, copy: &Object) -> Result<bool, CopyError> {
        let select = Select::for_source(&source.stored, true);
        let there = match self.digests_there(&copy.revision, select).await {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(false),
            Err(error) if error.kind == Kind::Archived => return Ok(true),
            Err(error) => return Err(error),
        };
        match source.stored.compare(&there) {
            Verdict::Verified(_) => Ok(true),
            Verdict::Mismatch { .. } => Ok(false),
            Verdict::NothingToCompare => {
                let Some(opened) = self.source.open(&self.from, &self.pin(source), None).await? else {
                    return Ok(false);
                };
                let here = self.digests(opened.chunks, Select::default()).await?;
                Ok((here.length, here.crc32c) == (there.length, there.crc32c))
            }
        }
    }

    /// Reads this state at the destination. `None`: it is not there any more.
    async fn digests_there(&self, revision: &Revision, select: Select) -> Result<Option<Digests>, CopyError> {
        let opened = self.sink.open(&self.to).await?.filter(|opened| opened.object.revision == *revision);
        match opened {
            Some(opened) => self.digests(opened.chunks, select).await.map(Some),
            None => Ok(None),
        }
    }

    async fn digests(&self, mut chunks: Chunks, select: Select) -> Result<Digests, CopyError> {
        let mut hasher = Hasher::new(select);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.pace.bandwidth(chunk.len() as u64).await;
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }
}

/// What a retry is counted under.
pub fn cause(error: &CopyError) -> Cause {
    match error.kind {
        Kind::Throttled => Cause::Throttled,
        Kind::Denied | Kind::Credentials | Kind::BucketMissing | Kind::WrongRegion => Cause::Denied,
        Kind::Unavailable | Kind::LostAnswer if error.status().is_some_and(|status| status >= 500) => Cause::Server,
        Kind::Unavailable | Kind::LostAnswer => Cause::Network,
        Kind::Stalled => Cause::Stalled,
        Kind::SourceChanged => Cause::SourceChanged,
        Kind::Precondition => Cause::Conflict,
        Kind::Corrupt | Kind::Unproven => Cause::Checksum,
        Kind::Nonsense => Cause::Server,
        _ => Cause::Other,
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
fn taken(hasher: &Shared) -> Digests {
    let mut hasher = hasher.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *hasher, Hasher::new(Select::default())).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_with_5xx_is_counted_as_the_server_s() {
        for (kind, answer, expected) in [
            (Kind::Unavailable, "500 InternalError: We encountered an internal error", "server"),
            (Kind::LostAnswer, "502 without a code: <html>", "server"),
            (Kind::Unavailable, "no connection to 127.0.0.1:9: Connection refused", "network"),
            (Kind::LostAnswer, "127.0.0.1:9: connection closed", "network"),
            (Kind::Throttled, "503 SlowDown: ", "throttled"),
        ] {
            let error = CopyError::new(Side::Destination, kind, "PutObject", &Location::new("b", "k"), answer);
            assert_eq!(cause(&error).name(), expected, "{answer}");
        }
    }
}
