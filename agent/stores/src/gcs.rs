//! Google Cloud Storage by its XML API: a dialect of it with a signature and preconditions of its own.
//!
//! Not by the AWS SDK: its signature gives no preconditions here, its checksums are ignored, its HTTP/2 puts all uploads on
//! one connection, and it leaves out the `Content-Length: 0` without which an upload does not start. Nothing that starts with
//! `x-amz-` is ever sent, and never an ACL.
//!
//! What the preconditions cover: single PUTs and DELETEs (`x-goog-if-generation-match`). They are refused when a
//! multipart upload begins and ignored when it completes, so `finish` does not send any: the protocol's fence
//! protects large objects.

mod key_rules;
mod sign;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use skyferry_providers::{Cached, Credentials};

use super::http::{HttpBody, Transport};
use super::xml_api::{Addressing, BucketEndpoint, Dialect, DialectTraits, XmlClient, XmlService};
use sign::GcsSigner;
use skyferry_core::digest::{self, StoredDigests};
use skyferry_core::error::Side;
use skyferry_core::model::{Expected, Key, Revision};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{Capabilities, Encryption, WriteAttributes};

const GOOGLE: &str = "https://storage.googleapis.com";
const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const IF_GENERATION_MATCH: HeaderName = HeaderName::from_static("x-goog-if-generation-match");
const KMS_KEY: HeaderName = HeaderName::from_static("x-goog-encryption-kms-key-name");
const HASH: HeaderName = HeaderName::from_static("x-goog-hash");

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
///
/// ```
/// use std::sync::Arc;
/// use skyferry_core::error::Side;
/// use skyferry_providers::{Cached, Google};
/// use skyferry_stores::{gcs::{Gcs, GcsOptions}, http::{Transport, TransportOptions}};
///
/// let (identity, transport) = (Google::default(), Transport::new(&TransportOptions::default())?);
/// Gcs::new(&GcsOptions::default(), Arc::new(Cached::new(identity)), Side::Destination, transport)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Gcs(XmlClient);

impl Gcs {
    /// `side` is what its errors say; `transport` may be shared with other stores.
    pub fn new(
        options: &GcsOptions,
        credentials: Arc<Cached>,
        side: Side,
        transport: Transport,
    ) -> Result<Self, WrongEndpoint> {
        let text = options.endpoint.as_deref().unwrap_or(GOOGLE).trim_end_matches('/');
        // What stands before an `@` may be a password.
        let shown = || text.rsplit('@').next().unwrap_or_default().to_owned();
        let endpoint = BucketEndpoint::parse(text, Addressing::Path, None).ok_or_else(|| WrongEndpoint(shown()))?;
        let google = Google { endpoint, facts: facts(), signer: GcsSigner::default() };
        Ok(Gcs(XmlClient::new(Box::new(google), credentials, side, transport)))
    }
}

impl XmlService for Gcs {
    fn client(&self) -> &XmlClient {
        &self.0
    }
}

fn facts() -> DialectTraits {
    DialectTraits {
        limits: &SinkLimits::GCS,
        capabilities: Capabilities {
            conditional_put: true,
            conditional_finish: false,
            conditional_delete: true,
            checksums: true,
            metadata: true,
        },
        meta: "x-goog-meta-",
        most_metadata: Some(SinkLimits::GCS.max_metadata_bytes),
        storage_class: HeaderName::from_static("x-goog-storage-class"),
        encryption: KMS_KEY,
        retention: ["x-goog-object-lock-mode", "x-goog-object-lock-retain-until-date"].map(HeaderName::from_static),
        class_of: storage_class,
        tagging: None,
        keeps_expires: false,
        version: (GENERATION, "generation"),
        generations: true,
        // Without it the service decompresses objects that say they are gzip: neither the stored bytes nor their length.
        accept_encoding: &["gzip"],
        trailers: false,
        part_checksums: false,
        md5_etags: false,
        extras: false,
        learns_regions: false,
    }
}

/// This service's class for a class of either service. `None`: unknown.
///
/// The classes that S3 moves by access go to NEARLINE, those that answer at once but rarely to COLDLINE, the archives
/// to ARCHIVE. One zone or reduced redundancy is about where, not how often: those that are read often are STANDARD.
pub fn storage_class(name: &str) -> Option<&str> {
    Some(match name {
        "STANDARD" | "REDUCED_REDUNDANCY" | "EXPRESS_ONEZONE" => "STANDARD",
        "NEARLINE" | "STANDARD_IA" | "ONEZONE_IA" | "INTELLIGENT_TIERING" => "NEARLINE",
        "COLDLINE" | "GLACIER_IR" => "COLDLINE",
        "ARCHIVE" | "GLACIER" | "DEEP_ARCHIVE" => "ARCHIVE",
        "MULTI_REGIONAL" | "REGIONAL" | "DURABLE_REDUCED_AVAILABILITY" => name,
        _ => return None,
    })
}

/// The dialect.
struct Google {
    endpoint: BucketEndpoint,
    facts: DialectTraits,
    signer: GcsSigner,
}

/// Where it speaks to; nothing of the credentials.
impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Google").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Dialect for Google {
    fn traits(&self) -> &DialectTraits {
        &self.facts
    }

    fn endpoint(&self, _region: &str) -> Option<BucketEndpoint> {
        Some(self.endpoint.clone())
    }

    fn region(&self) -> Option<&str> {
        Some("auto")
    }

    fn sign(
        &self,
        request: &mut Request<HttpBody>,
        credentials: &Arc<Credentials>,
        _region: &str,
        _trailer: bool,
    ) -> Result<(), String> {
        let now = jiff::Timestamp::now().as_second();
        let mut headers = std::mem::take(request.headers_mut());
        let signed = self.signer.authorise(credentials, now, request.method(), request.uri(), &mut headers);
        *request.headers_mut() = headers;
        signed.map_err(|unsendable| unsendable.to_string())
    }

    fn rejection(&self, key: &Key) -> Option<String> {
        key_rules::rejection(key)
    }

    /// A revision that is no generation was never here, so it cannot be what is there now.
    fn condition(&self, expected: &Expected) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let generation = match expected {
            Expected::Any => return Ok(None),
            Expected::Absent => 0,
            Expected::Revision(revision) => match revision.0.parse::<u64>() {
                Ok(generation) if generation > 0 => generation,
                _ => return Err("the expected revision is not a generation".into()),
            },
        };
        Ok(Some((IF_GENERATION_MATCH, HeaderValue::from(generation))))
    }

    /// The service refuses another body before it publishes.
    fn digest_header(&self, bytes: &Bytes, known: Option<u32>) -> Option<(HeaderName, HeaderValue)> {
        let hash = digest::goog_hash(known.unwrap_or_else(|| crc32c::crc32c(bytes)));
        Some((HASH, HeaderValue::from_str(&hash).ok()?))
    }

    fn option_headers(&self, headers: &mut HeaderMap, with: &WriteAttributes) -> Result<(), String> {
        match &with.options.encryption {
            None => {}
            Some(Encryption::Cmek(key)) => {
                let key = HeaderValue::from_str(key).map_err(|_| "a KMS key that no header can carry".to_owned())?;
                headers.insert(KMS_KEY, key);
            }
            Some(other) => return Err(format!("Google Cloud Storage has no {other}")),
        }
        if with.options.acl.is_some() {
            return Err("Google Cloud Storage takes no canned ACL of S3".into());
        }
        if with.options.custom_time {
            let modified = jiff::Timestamp::from_second(with.provenance.identity.last_modified);
            let time = modified.ok().and_then(|time| HeaderValue::from_str(&time.to_string()).ok());
            headers.insert("x-goog-custom-time", time.ok_or("a Last-Modified that is no time")?);
        }
        Ok(())
    }

    fn stored(&self, headers: &HeaderMap) -> StoredDigests {
        let mut stored = StoredDigests::default();
        for value in headers.get_all(HASH) {
            value.to_str().ok().map(|hashes| stored.goog_hash(hashes));
        }
        stored
    }

    /// Digits only, as it is sent back in a header.
    fn revision(&self, headers: &HeaderMap, _etag: Option<&str>) -> Option<Revision> {
        let number: u64 = headers.get(GENERATION)?.to_str().ok()?.parse().ok()?;
        Some(Revision(number.to_string().into()))
    }
}

#[cfg(test)]
mod tests;
