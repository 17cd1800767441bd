//! What agents send beyond 1 MiB, sent and proven by the agents' own code: a streamed body with its checksum behind it, an
//! overwrite of it under its condition, and parts that together become an object.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use skyferry_agent::copy::{self, ActiveUpload, CopyResult, WHOLE};
use skyferry_agent::limits::Limiter;
use skyferry_core::digest::Digests;
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::ledger::{PartRecord, UploadRecord};
use skyferry_core::model::{Expected, Key, Location, Revision, Token, UploadId};
use skyferry_core::plan::Parts;
use skyferry_core::store::{
    CopyOptions, ListFrom, Object, OpenedObject, Page, Pin, Sink, Source, StoredPart, WriteAttributes,
};

use super::finding::{CheckError, Findings};
use super::folder::ProbeFolder;
use super::single::{attributes, body};

/// What is in doubt where large objects cannot be written.
const UNKNOWN: &[u8] = &[2, 3, 4, 7, 10];
/// Chunks as they come from the network.
const CHUNK: usize = 64 << 10;

/// Where probes are written, and how.
#[derive(Clone, Copy)]
pub struct ProbeTarget<'a> {
    pub sink: &'a Arc<dyn Sink>,
    pub folder: &'a ProbeFolder,
    pub options: &'a Arc<CopyOptions>,
    /// What to try where the service does not do as the settings suppose; empty where there is nothing to try.
    pub remedy: &'static str,
}

impl ProbeTarget<'_> {
    /// What agents copy by, to this place.
    fn route(&self, at: &Location) -> copy::CopyRoute {
        copy::CopyRoute {
            source: Arc::new(Nothing),
            sink: self.sink.clone(),
            from: at.clone(),
            to: at.clone(),
            limiter: Arc::new(Limiter::new(64 << 20, 0)),
            metrics: Arc::default(),
            md5: false,
            by_version: false,
            stop: tokio_util::sync::CancellationToken::new(),
        }
    }

    /// An error, with the remedy where the service's dialect may be what is wrong.
    pub fn explain(&self, error: &CopyError) -> CheckError {
        let dialect = matches!(
            error.kind,
            ErrorKind::Refused | ErrorKind::Corrupt | ErrorKind::InvalidAnswer | ErrorKind::Precondition
        );
        let CheckError { found, advice } = CheckError::from(error);
        CheckError { found, advice: if dialect && !self.remedy.is_empty() { self.remedy.into() } else { advice } }
    }

    /// Publishes what was sent in parts, and proves it.
    pub async fn complete(
        &self,
        at: &Location,
        (id, token): (&UploadId, Token),
        sent: &[(StoredPart, Digests)],
        part_size: u64,
    ) -> Result<CopyResult, CopyError> {
        let size = sent.iter().map(|(_, digests)| digests.length).sum();
        let object = object(at, size);
        let parts = sent.iter().map(|(part, digests)| PartRecord {
            number: part.number,
            etag: part.etag.clone(),
            digests: *digests,
        });
        let record = UploadRecord {
            id: id.clone(),
            token,
            identity: object.identity.clone(),
            headers: None,
            part_size,
            parts: parts.collect(),
        };
        let parts = Parts { size, part_size, count: u32::try_from(sent.len()).unwrap_or(u32::MAX) };
        let upload = ActiveUpload { object, parts, record, source_borders: false, md5: None };
        self.route(at).complete(&upload, &Expected::Absent).await
    }
}

pub async fn probe(place: &ProbeTarget<'_>, findings: &mut Findings<'_>) {
    let at = place.folder.at("streamed");
    let size = usize::try_from(WHOLE).unwrap_or(1 << 20) + 1000;
    let Some(first) = streamed(place, &at, size, &Expected::Absent, "streamed write", findings).await else { return };
    if place.sink.capabilities().conditional_put {
        streamed(place, &at, size + 1, &Expected::Revision(first), "streamed overwrite", findings).await;
    }
}

/// One write. Back comes the revision that it published.
async fn streamed(
    place: &ProbeTarget<'_>,
    at: &Location,
    size: usize,
    expected: &Expected,
    what: &'static str,
    findings: &mut Findings<'_>,
) -> Option<Revision> {
    let bytes = body(size);
    let opened = OpenedObject { object: object(at, size as u64), length: size as u64, chunks: chunks(&bytes) };
    let mut with: WriteAttributes = attributes(at, &bytes, place.options);
    // Of a streamed body it is not known beforehand.
    with.provenance.crc32c = None;
    match place.route(at).put(opened, None, with, expected, &mut None).await {
        Ok(copied) => {
            graded(place, &copied, what, findings);
            Some(copied.revision)
        }
        Err(error) => {
            findings.fail(what, refused(place, at, expected, &error).await, UNKNOWN);
            None
        }
    }
}

/// What a refused write means. A condition that holds is at times refused all the same (Ceph RGW 16 compares the ETag with its
/// quotes).
pub async fn refused(place: &ProbeTarget<'_>, at: &Location, expected: &Expected, error: &CopyError) -> CheckError {
    let Expected::Revision(revision) = expected else { return place.explain(error) };
    if error.kind != ErrorKind::Precondition {
        return place.explain(error);
    }
    match place.sink.head(at).await {
        Ok(Some(there)) if there.revision == *revision => {
            let advice = match place.remedy {
                "" => "this service cannot be written to safely: update it",
                remedy => remedy,
            };
            CheckError::new(
                "If-Match is refused although the ETag is correct: no object could ever be replaced",
                advice,
            )
        }
        _ => place.explain(error),
    }
}

/// How far what was published is proven.
pub fn graded(place: &ProbeTarget<'_>, copied: &CopyResult, what: &'static str, findings: &mut Findings<'_>) {
    match &copied.grade {
        Ok(_) => findings.pass(what, "is stored as it was sent"),
        Err(why) => {
            let remedy = if place.remedy.is_empty() { "do not use it" } else { place.remedy };
            findings.fail(what, (format!("its stored checksum is wrong: {why}"), remedy), &[3]);
        }
    }
}

/// The state that a probe's object stands for.
fn object(at: &Location, size: u64) -> Object {
    let provenance = attributes(at, &Bytes::new(), &Arc::default()).provenance;
    let mut identity = provenance.identity;
    identity.size = size;
    Object {
        revision: Revision(identity.etag.clone()),
        identity,
        metadata: Default::default(),
        stored: Default::default(),
        provenance: None,
    }
}

/// As a body arrives.
pub fn chunks(bytes: &Bytes) -> skyferry_core::store::Chunks {
    let pieces: Vec<_> = (0..bytes.len()).step_by(CHUNK).map(|at| at..(at + CHUNK).min(bytes.len())).collect();
    let bytes = bytes.clone();
    Box::pin(futures_util::stream::iter(pieces.into_iter().map(move |piece| Ok(bytes.slice(piece)))))
}

/// The bodies of probes are made here: nothing is asked of a source.
struct Nothing;

#[async_trait]
impl Source for Nothing {
    async fn list(&self, _: &str, _: &Key, _: ListFrom<'_>) -> Result<Page, CopyError> {
        Ok(Page::default())
    }

    async fn head(&self, _: &Location, _: &Pin) -> Result<Option<Object>, CopyError> {
        Ok(None)
    }

    async fn open(&self, _: &Location, _: &Pin, _: Option<Range<u64>>) -> Result<Option<OpenedObject>, CopyError> {
        Ok(None)
    }
}
