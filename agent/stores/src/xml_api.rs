//! The XML API that Amazon S3 made a standard, spoken once for every service that has it: S3, its dialects, and Google
//! Cloud Storage. What is a service's own stands behind [`Dialect`] and [`DialectTraits`]; a new service is a row there.
//!
//! No answer passes for another. A success is one only if its body is the document that was asked for; "not there" needs
//! the service's own word; everything else is what the one table in `answers` says, on every service and in every verb.
//!
//! ```text
//! xml_api      the two traits over one client; what a dialect says
//!  ├ read        HEAD and GET, and when an absence is believed
//!  ├ list        objects, versions
//!  ├ write       PUT and DELETE          multipart   uploads and their parts
//!  ├ attributes  tags, restores, part sizes
//!  └ request     one request: placed, signed, sent, classified; again with fresh credentials, in the right region, or in its
//!     │          turn where the service throttles (rate)
//!     └ answers · refusal · document · endpoint · headers · length · chunked      pure: bytes in, words out
//! ```

pub mod answers;
mod attributes;
mod chunked;
mod document;
mod endpoint;
mod error;
pub(super) mod headers;
mod length;
mod list;
mod multipart;
mod rate;
mod read;
mod request;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use skyferry_providers::{Cached, Credentials};

pub use endpoint::{Addressing, BucketEndpoint};
pub use headers::stored_by_amazon;
pub use request::RequestDraft;

use super::http::{HttpBody, Transport};
use read::Absence;
use skyferry_core::digest::{Digests, StoredDigests};
use skyferry_core::error::Side;
use skyferry_core::metrics::RequestMeter;
use skyferry_core::model::{Expected, Key, Location, Revision, SourceIdentity, UploadId};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{
    Capabilities, CompletedPart, ListFrom, Object, OpenUpload, OpenedObject, Page, Payload, Pin, Result, Sink, Source,
    StoredPart, WriteAttributes, WriteResult,
};

/// What a dialect is, as far as it can be said without code.
#[derive(Clone, Debug)]
pub struct DialectTraits {
    /// What it takes as a destination.
    pub limits: &'static SinkLimits,
    /// What it promises.
    pub capabilities: Capabilities,
    /// What the names of user metadata begin with.
    pub meta: &'static str,
    /// User metadata beyond this is refused before it is sent; `None`: the service says so itself.
    pub most_metadata: Option<usize>,
    /// The header that names a storage class.
    pub storage_class: HeaderName,
    /// The header in which an answer names an object's encryption.
    pub encryption: HeaderName,
    /// Those of an object's lock: its mode, and until when.
    pub retention: [HeaderName; 2],
    /// The service's class for a class of any service; `None`: unknown here.
    pub class_of: fn(&str) -> Option<&str>,
    /// The header for an object's tags; `None`: there are none, and they go as metadata.
    pub tagging: Option<HeaderName>,
    /// `Expires` is kept as a header; else it goes as metadata.
    pub keeps_expires: bool,
    /// The header that names a version, and the parameter that asks for one.
    pub version: (HeaderName, &'static str),
    /// Every object has a number that only grows: an answer without it is not understood.
    pub generations: bool,
    /// For reads. A front that may unpack or pack what passes is asked with the next one where the length is missing.
    pub accept_encoding: &'static [&'static str],
    /// Streamed bodies may carry their checksum behind them (`aws-chunked`).
    pub trailers: bool,
    /// Complete names the CRC32C of every part.
    pub part_checksums: bool,
    /// A part's ETag is an MD5, where it looks like one.
    pub md5_etags: bool,
    /// Tags, restores, versions and part sizes are asked for as S3 has them.
    pub extras: bool,
    /// An answer may name the region of a bucket, and is believed where no endpoint is set.
    pub learns_regions: bool,
}

/// What a dialect does in its own way.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// What is true of the service.
    fn traits(&self) -> &DialectTraits;
    /// Where the service is in this region; `None`: nowhere.
    fn endpoint(&self, region: &str) -> Option<BucketEndpoint>;
    /// The settings' region.
    fn region(&self) -> Option<&str>;
    /// Adds what proves who asks. `trailer`: the body carries its checksum behind it. An error says why, without a secret.
    fn sign(
        &self,
        request: &mut Request<HttpBody>,
        credentials: &Arc<Credentials>,
        region: &str,
        trailer: bool,
    ) -> Result<(), String>;
    /// Why the service cannot hold an object of this name.
    fn rejection(&self, key: &Key) -> Option<String>;
    /// What goes with every request.
    fn common_headers(&self, _headers: &mut HeaderMap) {}
    /// What goes with HEAD and GET of an object.
    fn read_headers(&self, _headers: &mut HeaderMap) {}
    /// The header that makes a write conditional. An error: this can never have been there.
    fn condition(&self, expected: &Expected) -> Result<Option<(HeaderName, HeaderValue)>, String>;
    /// What says beforehand which bytes are to come. `known` is their CRC32C where it was computed when they were read, so
    /// that what has changed since is refused.
    fn digest_header(&self, bytes: &Bytes, known: Option<u32>) -> Option<(HeaderName, HeaderValue)>;
    /// What the operator decides about a new object, in the service's own headers. An error says what it does not have.
    fn option_headers(&self, headers: &mut HeaderMap, with: &WriteAttributes) -> Result<(), String>;
    /// What else goes with the beginning of an upload, and with its end.
    fn initiate_headers(&self, _headers: &mut HeaderMap) {}
    /// Headers of a Complete that let the service check the whole object.
    fn complete_headers(&self, _headers: &mut HeaderMap, _whole: &Digests) {}
    /// The checksums that an answer names. One that does not parse was not said.
    fn stored(&self, headers: &HeaderMap) -> StoredDigests;
    /// The revision that an answer names; `etag` is without quotes, and not empty.
    fn revision(&self, headers: &HeaderMap, etag: Option<&str>) -> Option<Revision>;
}

/// Where a bucket is.
#[derive(Debug)]
struct Place {
    region: Arc<str>,
    endpoint: BucketEndpoint,
}

/// One account at one service. Cheap to use from many tasks at once.
pub struct XmlClient {
    dialect: Box<dyn Dialect>,
    credentials: Arc<Cached>,
    side: Side,
    transport: Transport,
    /// By bucket; learned from the settings, the credentials or an answer.
    places: RwLock<HashMap<Arc<str>, Arc<Place>>>,
    rate: rate::RateLimiter,
    /// Of its requests, where somebody measures them.
    meter: OnceLock<RequestMeter>,
}

impl XmlClient {
    /// `side` is what its errors say; `transport` may be shared with other stores.
    pub fn new(dialect: Box<dyn Dialect>, credentials: Arc<Cached>, side: Side, transport: Transport) -> Self {
        XmlClient {
            dialect,
            credentials,
            side,
            transport,
            places: RwLock::default(),
            rate: rate::RateLimiter::default(),
            meter: OnceLock::new(),
        }
    }

    fn traits(&self) -> &DialectTraits {
        self.dialect.traits()
    }

    /// The first meter stays.
    fn measure_with(&self, meter: RequestMeter) {
        self.rate.report_to(meter.rate.clone());
        let _ = self.meter.set(meter);
    }
}

/// Whose client, and of which dialect; nothing of the credentials.
impl fmt::Debug for XmlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlClient").field("side", &self.side).field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// A store of a service that speaks this API: its client is all that it is.
pub trait XmlService: Send + Sync {
    /// The client that sends its requests.
    fn client(&self) -> &XmlClient;
}

/// Both ends of a copy for stores that are their client and nothing else. A macro, because the traits are another crate's:
/// only a type of this one may have them, not whatever is a `XmlService`.
macro_rules! ends_of_a_copy {
    ($($store:ty),+) => {$(
        #[async_trait]
        impl Source for $store {
            fn measure_with(&self, meter: RequestMeter) {
                self.client().measure_with(meter);
            }

            async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
                self.client().page(bucket, prefix, from).await
            }

            async fn list_versions(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
                match self.client().traits().extras {
                    true => self.client().versions(bucket, prefix, from).await,
                    false => self.client().page(bucket, prefix, from).await,
                }
            }

            async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
                self.client().head_or_get(at, pin, Absence::Confirmed).await
            }

            async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<OpenedObject>> {
                self.client().read(at, pin, range, Absence::Confirmed).await
            }

            async fn part_size(&self, at: &Location, identity: &SourceIdentity, parts: u32) -> Result<Option<u64>> {
                match self.client().traits().extras {
                    true => self.client().first_part(at, identity, parts).await,
                    false => Ok(None),
                }
            }

            async fn tags(&self, at: &Location, version: Option<&str>) -> Result<String> {
                match self.client().traits().extras {
                    true => self.client().tags(at, version).await,
                    false => Ok(String::new()),
                }
            }

            async fn restore(&self, at: &Location, version: Option<&str>) -> Result<bool> {
                match self.client().traits().extras {
                    true => self.client().restore(at, version).await.map(|()| true),
                    false => Ok(false),
                }
            }
        }

        #[async_trait]
        impl Sink for $store {
            fn measure_with(&self, meter: RequestMeter) {
                self.client().measure_with(meter);
            }

            fn limits(&self) -> &SinkLimits {
                self.client().traits().limits
            }

            fn capabilities(&self) -> Capabilities {
                self.client().traits().capabilities
            }

            async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
                self.client().page(bucket, prefix, from).await
            }

            /// A 404 is believed here, though a HEAD's answer has no words, also for a missing bucket: what follows is a write
            /// under a condition, which learns the truth. Nothing is removed, and no record ends, on this word alone.
            async fn head(&self, at: &Location) -> Result<Option<Object>> {
                self.client().head_or_get(at, &Pin::Newest, Absence::Believed).await
            }

            async fn open(&self, at: &Location) -> Result<Option<OpenedObject>> {
                self.client().read(at, &Pin::Newest, None, Absence::Believed).await
            }

            async fn put(&self, at: &Location, payload: Payload, with: &WriteAttributes, expected: &Expected) -> Result<WriteResult> {
                self.client().put(at, payload, with, expected).await
            }

            async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId> {
                self.client().begin(at, with).await
            }

            async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<StoredPart> {
                self.client().part(at, upload, number, payload).await
            }

            async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
                self.client().parts(at, upload).await
            }

            async fn finish(
                &self,
                at: &Location,
                upload: &UploadId,
                parts: &[CompletedPart],
                whole: &Digests,
                expected: &Expected,
            ) -> Result<WriteResult> {
                self.client().finish(at, upload, parts, whole, expected).await
            }

            async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
                self.client().abort(at, upload).await
            }

            async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
                self.client().uploads(bucket, prefix).await
            }

            async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
                self.client().delete(at, expected).await
            }
        }
    )+};
}

ends_of_a_copy!(crate::gcs::Gcs, crate::s3::S3);
