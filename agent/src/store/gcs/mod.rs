//! Google Cloud Storage by its XML API, as a `Source` and as a `Sink`.
//!
//! A client of its own on the shared transport, for the AWS SDK is the wrong one here: its signature gives no
//! preconditions, its checksums are ignored, its HTTP/2 puts all uploads on one connection, and it leaves out the
//! `Content-Length: 0` without which an upload does not start. What is known of the service and how surely is in the
//! comments where it matters; nothing that starts with `x-amz-` is ever sent, and never an ACL.
//!
//! ```text
//! mod        the two traits; what is asked where
//!  ├ read       HEAD, GET, listings
//!  ├ write      PUT and DELETE of objects; what was published
//!  ├ multipart  uploads and their parts
//!  └ client     one request: signed, sent, refused or not; fresh credentials after a refusal
//!     ├ sign · refusal · headers · keys · xml     pure: bytes in, words out
//! ```
//!
//! What the preconditions cover: single PUTs and DELETEs (`x-goog-if-generation-match`). They are refused when a
//! multipart upload begins and ignored when it completes, so `finish` does not send any: the protocol's fence
//! protects large objects.

mod client;
mod headers;
mod keys;
mod multipart;
mod read;
mod refusal;
mod sign;
mod write;
mod xml;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use skyferry_providers::Cached;

use super::http::Transport;
use super::{
    Attributes, Capabilities, FinishedPart, ListFrom, Object, OpenUpload, Opened, Page, Part, Payload, Pin, Published,
    Result, Sink, Source,
};
use crate::digest::Digests;
use crate::error::Side;
use crate::object::{Expected, Key, Location, UploadId};
use crate::plan::Limits;
use client::Client;
use keys::Endpoint;
use read::Absence;

pub use headers::storage_class;

const GOOGLE: &str = "https://storage.googleapis.com";

/// Where the service is.
#[derive(Clone, Debug, Default)]
pub struct GcsOptions {
    /// Scheme and host, for a private endpoint or a peer of the tests. Default: Google's.
    pub endpoint: Option<String>,
}

/// The endpoint of the settings cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("endpoint {0}: expected http(s)://host[:port] without a path")]
pub struct WrongEndpoint(String);

/// One account at the service. Cheap to use from many tasks at once.
pub struct Gcs {
    client: Client,
}

impl Gcs {
    /// `side` is what its errors say; `transport` may be shared with other stores.
    pub fn new(
        options: &GcsOptions,
        credentials: Arc<Cached>,
        side: Side,
        transport: Transport,
    ) -> Result<Self, WrongEndpoint> {
        let text = options.endpoint.as_deref().unwrap_or(GOOGLE);
        // What stands before an `@` may be a password.
        let shown = || text.rsplit('@').next().unwrap_or_default().to_owned();
        let endpoint = Endpoint::parse(text).ok_or_else(|| WrongEndpoint(shown()))?;
        Ok(Gcs { client: Client::new(endpoint, credentials, side, transport) })
    }
}

impl fmt::Debug for Gcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gcs").field("client", &self.client).finish()
    }
}

#[async_trait]
impl Source for Gcs {
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.client.page(bucket, prefix, from).await
    }

    /// A missing object is asked for a second time, by GET: a missing bucket answers HEAD in the same way, and
    /// taking that for `None` would end every message of the bucket as Gone.
    async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        if keys::refusal(&at.key).is_some() {
            return Ok(None);
        }
        self.client.look(at, pin, Absence::Confirmed).await
    }

    async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<Opened>> {
        if keys::refusal(&at.key).is_some() {
            return Ok(None);
        }
        self.client.read(at, pin, range).await
    }
}

#[async_trait]
impl Sink for Gcs {
    fn limits(&self) -> &Limits {
        &Limits::GCS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_put: true,
            conditional_finish: false,
            conditional_delete: true,
            checksums: true,
            metadata: true,
        }
    }

    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.client.page(bucket, prefix, from).await
    }

    /// `None` also for a missing bucket: the write that follows is told.
    async fn head(&self, at: &Location) -> Result<Option<Object>> {
        self.client.look(at, &Pin::Newest, Absence::Believed).await
    }

    async fn open(&self, at: &Location) -> Result<Option<Opened>> {
        self.client.read(at, &Pin::Newest, None).await
    }

    async fn put(&self, at: &Location, payload: Payload, with: &Attributes, expected: &Expected) -> Result<Published> {
        self.client.put(at, payload, with, expected).await
    }

    async fn begin(&self, at: &Location, with: &Attributes) -> Result<UploadId> {
        self.client.begin(at, with).await
    }

    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<Part> {
        self.client.part(at, upload, number, payload).await
    }

    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<Part>>> {
        self.client.parts(at, upload).await
    }

    /// `_expected` cannot be enforced here, as the capabilities say.
    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[FinishedPart],
        whole: &Digests,
        _expected: &Expected,
    ) -> Result<Published> {
        self.client.finish(at, upload, parts, whole).await
    }

    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        self.client.abort(at, upload).await
    }

    async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        self.client.uploads(bucket, prefix).await
    }

    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        self.client.delete(at, expected).await
    }
}
