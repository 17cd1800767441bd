//! What Skyferry asks of an object store: two traits, one for each end of a copy, and the values that pass.
//!
//! A `Source` is only read, a `Sink` is written and read back. Both speak for one account and name the bucket in
//! every call. Neither retries a write by itself: whether a lost write took effect is the protocol's question
//! (docs/write-protocol.md). Reads and idempotent control requests may be tried again inside, within seconds.
//!
//! The contract that every implementation passes is `tests/contracts/store.rs`.

mod copy_options;
mod kind;
pub mod metadata;
pub mod provenance;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::digest::StoredDigests;
use crate::error::CopyError;
use crate::metrics::RequestMeter;
use crate::model::{Expected, Key, Location, Revision, SourceIdentity, Token, UploadId};
use crate::plan::SinkLimits;

pub use copy_options::{CopyOptions, Encryption, Retention, SOURCE_CLASS};
pub use kind::StoreKind;

/// Of a store's operations.
pub type Result<T, E = CopyError> = std::result::Result<T, E>;

/// Chunks of an object's body. Ends with an error if it is shorter or longer than announced.
pub type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Headers and user metadata that travel with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// As sent by the service.
    pub content_type: Option<String>,
    /// As sent by the service.
    pub content_encoding: Option<String>,
    /// As sent by the service.
    pub content_language: Option<String>,
    /// As sent by the service.
    pub content_disposition: Option<String>,
    /// As sent by the service.
    pub cache_control: Option<String>,
    /// As sent by the service (an HTTP date).
    pub expires: Option<String>,
    /// Names in lower case without the `x-…-meta-` prefix, Skyferry's own left out.
    pub user: BTreeMap<String, String>,
    /// As the service that was asked names it.
    pub storage_class: Option<String>,
    /// How it is encrypted at rest, as the service that was asked names it; shown, and never copied.
    pub encryption: Option<String>,
    /// Until when it is locked, where the service shows it; copied only where the options say so.
    pub retention: Option<Retention>,
    /// The object's tags in the form of a URL's query (`a=1&b=2`); `None`: not asked for.
    pub tags: Option<String>,
}

/// What Skyferry writes beside every object, all of it known before the first byte: how a later look tells its own
/// work from somebody else's. Travels as user metadata named `skyferry-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// `bucket/key` of the source object: deletes are mirrored only onto objects that came from it.
    pub source: Location,
    /// The source state that it is a copy of.
    pub identity: SourceIdentity,
    /// Of the attempt that wrote it.
    pub token: Token,
    /// Of the whole object, where it was known before the first byte: small objects. Whoever looks later can tell by it
    /// that what is stored is right, although the writer died before it could say so.
    pub crc32c: Option<u32>,
    /// The digest of the source's headers, where headers travel: the service may show them in another form.
    pub headers: Option<u32>,
}

/// One state of one object, as a HEAD, GET or listing shows it.
#[derive(Clone, Debug)]
pub struct Object {
    /// ETag, size, Last-Modified and version at this store.
    pub identity: SourceIdentity,
    /// What a conditional write on this store compares.
    pub revision: Revision,
    /// Headers and user metadata.
    pub metadata: Metadata,
    /// The whole-object checksums that this store holds.
    pub stored: StoredDigests,
    /// Present when Skyferry wrote it.
    pub provenance: Option<Provenance>,
}

/// Which state to read.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The newest, whatever it is.
    Newest,
    /// This version of a versioned bucket, whatever is newer.
    Version(Arc<str>),
    /// Only this state: If-Match on its ETag, and by versionId where `by_version`. Anything else is `SourceChanged`.
    State { identity: SourceIdentity, by_version: bool },
}

/// An opened body with the state that it belongs to.
pub struct OpenedObject {
    /// What the answer said of it.
    pub object: Object,
    /// The bytes' number: of the range where one was asked for, else of the object.
    pub length: u64,
    /// Its bytes.
    pub chunks: Chunks,
}

/// One row of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// Without quotes; empty where the listing has none.
    pub etag: Arc<str>,
    /// Seconds since the epoch.
    pub last_modified: i64,
    /// As the service names it.
    pub storage_class: Option<String>,
    /// What a look would tell, where the listing tells it too: a destination that stayed as it was needs no look.
    pub revision: Option<Revision>,
    /// Only of a listing of versions; `None` for `null`.
    pub version: Option<Arc<str>>,
}

/// A page of a listing, sorted by the keys' bytes.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of the listing.
    pub objects: Vec<Listed>,
    /// Pass it to get the next page; `None` at the end.
    pub next: Option<String>,
}

/// The end that is read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Records its requests there from now on.
    fn measure_with(&self, _meter: RequestMeter) {}

    /// One page of the keys that begin with `prefix`, after `token` (a `Page::next`) or after the key `start_after`.
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page>;

    /// The same, each with its version where the bucket keeps versions: the newest ones, and no keys whose newest is a delete
    /// marker.
    async fn list_versions(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.list(bucket, prefix, from).await
    }

    /// `Ok(None)`: nothing there (also a delete marker). Denied is an error, never `None`.
    async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>>;

    /// Opens the body, `range` in bytes (half open; must not be empty). `Ok(None)`: nothing there.
    async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<OpenedObject>>;

    /// The size of the parts that this state was written in, where all but the last are equal and the service tells.
    async fn part_size(&self, _at: &Location, _identity: &SourceIdentity, _parts: u32) -> Result<Option<u64>> {
        Ok(None)
    }

    /// The tags of a state, as [`Metadata::tags`] has them. Empty where there are none, or the service knows none.
    async fn tags(&self, _at: &Location, _version: Option<&str>) -> Result<String> {
        Ok(String::new())
    }

    /// Asks for an archived object to be made readable for some days. That it has been asked for already is no error.
    /// `false`: this service restores nothing.
    async fn restore(&self, _at: &Location, _version: Option<&str>) -> Result<bool> {
        Ok(false)
    }
}

/// Where a listing continues.
#[derive(Clone, Copy, Debug)]
pub enum ListFrom<'a> {
    /// At the first key.
    Start,
    /// At the first key behind this.
    After(&'a Key),
    /// Where the page before ended.
    Token(&'a str),
}

/// What a sink can do beyond storing bytes; the protocol asks before it relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `put` enforces `Expected`.
    pub conditional_put: bool,
    /// `ActiveUpload::finish` enforces `Expected` (S3 does, GCS does not).
    pub conditional_finish: bool,
    /// `delete` enforces `Expected`.
    pub conditional_delete: bool,
    /// Answers tell a CRC of what is stored. Without it an ETag that is an MD5 has to do, or reading back.
    pub checksums: bool,
    /// User metadata can be kept beside an object; without it `Provenance` is lost and the ledger alone knows.
    pub metadata: bool,
}

/// What a write carries besides bytes.
#[derive(Clone, Debug)]
pub struct WriteAttributes {
    /// Headers and user metadata.
    pub metadata: Metadata,
    /// What Skyferry writes beside it.
    pub provenance: Provenance,
    /// Bytes of the whole object.
    pub size: u64,
    /// What the operator decides beside.
    pub options: Arc<CopyOptions>,
}

/// The bytes of a single PUT or of a part.
#[allow(missing_docs)] // what a field is, its variant says
pub enum Payload {
    /// Held whole: its digest goes before it, so that the far side refuses a wrong body before publishing.
    Whole(Bytes),
    /// Streamed, exactly `length` bytes. The digests of what passed are compared afterwards, or sent as a trailer: that is
    /// `crc32c`, where somebody computes it on the way, so that what changes behind him is refused before it is published.
    Stream { length: u64, chunks: Chunks, crc32c: Option<Crc32cSoFar> },
}

/// Tells the CRC32C of all bytes that have passed so far.
pub type Crc32cSoFar = Arc<dyn Fn() -> u32 + Send + Sync>;

impl Payload {
    /// Bytes.
    pub fn length(&self) -> u64 {
        match self {
            Payload::Whole(bytes) => bytes.len() as u64,
            Payload::Stream { length, .. } => *length,
        }
    }
}

/// What the far side answered to a published write.
#[derive(Clone, Debug)]
pub struct WriteResult {
    /// `None`: the answer named none; look.
    pub revision: Option<Revision>,
    /// Checksums of the whole object as the far side says it stores them; what is absent was not said.
    pub stored: StoredDigests,
}

/// A stored part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// From 1.
    pub number: u32,
    /// As the far side gave it; needed by `finish`.
    pub etag: Arc<str>,
    /// Bytes.
    pub size: u64,
    /// The far side's own checksums of this part, where it tells.
    pub stored: StoredDigests,
}

/// What `finish` needs of one part: what was sent, and the ETag that came back.
#[derive(Clone, Debug)]
pub struct CompletedPart {
    /// From 1.
    pub number: u32,
    /// As the service answered it.
    pub etag: Arc<str>,
    /// Of the bytes that were sent.
    pub crc32c: u32,
}

/// A multipart upload found by listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// Of the object that it would become.
    pub key: Key,
    /// As the service named it.
    pub id: UploadId,
    /// Seconds since the epoch.
    pub initiated: i64,
}

/// The end that is written.
///
/// Failure contract of the writes: `Precondition` means nothing was written by this call; `LostAnswer` means it may
/// have been, now or later; every other error means the far side refused it.
#[async_trait]
pub trait Sink: Send + Sync {
    /// As at a [`Source`].
    fn measure_with(&self, _meter: RequestMeter) {}

    /// What it takes.
    fn limits(&self) -> &SinkLimits;
    /// What it promises.
    fn capabilities(&self) -> Capabilities;

    /// One page. Needs the permission to list.
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page>;
    /// `Ok(None)`: there is none, on the service's word.
    async fn head(&self, at: &Location) -> Result<Option<Object>>;
    /// Reads back: proof, not copying.
    async fn open(&self, at: &Location) -> Result<Option<OpenedObject>>;

    /// Publishes in one request. A body that breaks off publishes nothing.
    async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &WriteAttributes,
        expected: &Expected,
    ) -> Result<WriteResult>;

    /// Starts a multipart upload. Nothing is visible until `finish`.
    async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId>;
    /// Stores one part; sending it again replaces it. `UploadGone` when the upload has ended.
    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<StoredPart>;
    /// The parts that the far side holds, by number. `Ok(None)`: no such upload.
    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>>;
    /// Publishes the parts as one object. `crc32c` and `crc64nvme` are of the whole, for the far side to check where it can.
    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[CompletedPart],
        whole: &crate::digest::Digests,
        expected: &Expected,
    ) -> Result<WriteResult>;
    /// Ends an upload without publishing. Ending it twice, or one that completed, is no error.
    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()>;
    /// Uploads still open under `prefix`, for the janitor. All pages.
    async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>>;

    /// Removes the object if it is as expected. Nothing there is no error.
    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()>;
}
