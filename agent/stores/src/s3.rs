//! Amazon S3 and its dialects: one row of capabilities a dialect, spoken by the client of `xml_api`.
//!
//! Why not `aws-sdk-s3`: CPU of the client alone for GET + PUT of 4 KiB, 10,000 times, 32 at once, against a peer on
//! loopback (`cargo run --release -p sandbox -F spike --example spike`, a shared machine of two cores):
//!
//! | client | ms an object | the same, all cores busy | resident |
//! |---|---|---|---|
//! | the transport alone, unsigned | 0.020 | 0.036 | 9 MiB |
//! | **and a signer of our own that keeps the day's key** | **0.025** | | 9 MiB |
//! | and `aws-sigv4` instead (about 9 µs a request) | 0.036 to 0.042 | 0.053 to 0.064 | 10 MiB |
//! | this store: provenance, metadata, checksums, too | | **0.068 to 0.088** | 11 MiB |
//! | `aws-sdk-s3`, checksums only when required | 0.21 | 0.34 to 0.37 | 14 MiB |
//! | `aws-sdk-s3` as it comes | 0.29 to 0.45 | 0.41 to 0.42 | 14 MiB |
//!
//! A whole job may cost 0.10 ms, queue and ledger included, so the SDK is out, and so is its signer, which derives the day's
//! key for every request; a test holds ours to the same signatures. The control verbs go the same way: they are five small
//! documents, and with them on the SDK there would be two readings of every refusal, two pools and two ways to find a
//! bucket's region.

mod notification;
mod profile;
mod sign;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Request};
use md5::{Digest as _, Md5};
use skyferry_providers::{Cached, Credentials};

pub use super::xml_api::Addressing;
pub use notification::Notification;
pub use profile::{AWS, PROFILES, S3Profile};

use super::http::{HttpBody, Transport};
use super::xml_api::{self, BucketEndpoint, Dialect, DialectTraits, XmlClient, XmlService};
use sign::S3Signer;
use skyferry_core::digest::{Digests, StoredDigests, base64_crc32};
use skyferry_core::error::Side;
use skyferry_core::model::{Expected, Key, Revision};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{Capabilities, Encryption, WriteAttributes};

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
const SIZE: HeaderName = HeaderName::from_static("x-amz-mp-object-size");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const FULL_OBJECT: HeaderValue = HeaderValue::from_static("FULL_OBJECT");

/// Which S3, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The dialect.
    pub profile: &'static S3Profile,
    /// `http(s)://host[:port]`; `None`: the profile's own in the region.
    pub endpoint: Option<String>,
    /// `None`: the credentials' own, else us-east-1.
    pub region: Option<String>,
    /// `None`: an IP address or localhost implies path style, else the profile decides.
    pub path_style: Option<bool>,
    /// Adds `x-amz-request-payer`.
    pub request_payer: bool,
    /// An account number; requests to another account's bucket are refused.
    pub expected_owner: Option<String>,
}

impl Default for S3Options {
    fn default() -> Self {
        S3Options {
            profile: &AWS,
            endpoint: None,
            region: None,
            path_style: None,
            request_payer: false,
            expected_owner: None,
        }
    }
}

/// Why the options make no client.
#[derive(Debug, thiserror::Error)]
pub enum S3OptionsError {
    /// It is no `http(s)://host[:port]`.
    #[error("endpoint {0:?} is not of the form https://host or https://host:port")]
    Endpoint(String),
    /// It is no account id of 12 digits.
    #[error("expected_owner is not an account number")]
    Owner,
}

/// One account at one service.
///
/// ```
/// use std::sync::Arc;
/// use skyferry_core::{error::Side, plan::SinkLimits, store::Sink};
/// use skyferry_providers::{Cached, Environment};
/// use skyferry_stores::{http::{Transport, TransportOptions}, s3::{S3, S3Options}};
///
/// let keys = Arc::new(Cached::new(Environment { prefix: "DST_".into() }));
/// let options = S3Options { region: Some("cn-northwest-1".into()), ..S3Options::default() };
/// let s3 = S3::new(options, keys, Side::Destination, Transport::new(&TransportOptions::default())?)?;
/// assert_eq!(*s3.limits(), SinkLimits::S3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct S3 {
    client: XmlClient,
    /// The settings' region and endpoint: what is known of a bucket without an answer.
    region: Option<Arc<str>>,
    is_fixed: bool,
}

impl S3 {
    /// `side` is what its errors name; `transport` may be shared with other stores.
    pub fn new(
        options: S3Options,
        credentials: Arc<Cached>,
        side: Side,
        transport: Transport,
    ) -> Result<Self, S3OptionsError> {
        let profile = options.profile;
        let endpoint = match options.endpoint.as_deref().map(|text| text.trim_end_matches('/')) {
            Some(text) => {
                let own = BucketEndpoint::parse(text, profile.addressing, options.path_style);
                Some(own.ok_or_else(|| S3OptionsError::Endpoint(text.to_owned()))?)
            }
            None if profile.endpoint.is_none() => return Err(S3OptionsError::Endpoint(String::new())),
            None => None,
        };
        let owner = options.expected_owner.as_deref().map(HeaderValue::from_str).transpose();
        let owner = owner.map_err(|_| S3OptionsError::Owner)?;
        let (region, is_fixed) = (options.region.as_deref().map(Arc::from), endpoint.is_some());
        let facts = facts(profile, is_fixed);
        let amazon = Amazon { options, facts, endpoint, owner, signer: S3Signer::default() };
        Ok(S3 { client: XmlClient::new(Box::new(amazon), credentials, side, transport), region, is_fixed })
    }
}

impl XmlService for S3 {
    fn client(&self) -> &XmlClient {
        &self.client
    }
}

fn facts(profile: &S3Profile, is_fixed: bool) -> DialectTraits {
    let S3Profile { conditional_put, conditional_finish, conditional_delete, checksums, trailers, .. } = *profile;
    DialectTraits {
        limits: &SinkLimits::S3,
        capabilities: Capabilities {
            conditional_put,
            conditional_finish,
            conditional_delete,
            checksums,
            metadata: true,
        },
        meta: "x-amz-meta-",
        most_metadata: None,
        storage_class: HeaderName::from_static("x-amz-storage-class"),
        encryption: ENCRYPTION,
        retention: ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"].map(HeaderName::from_static),
        class_of: |name| Some(storage_class(name)),
        tagging: Some(HeaderName::from_static("x-amz-tagging")),
        keeps_expires: true,
        version: (HeaderName::from_static("x-amz-version-id"), "versionId"),
        generations: false,
        // A proxy packs for who takes gzip, and unpacks for who does not; where either has happened, the length is missing.
        accept_encoding: &["identity", "gzip"],
        trailers,
        part_checksums: checksums,
        md5_etags: true,
        extras: true,
        learns_regions: !is_fixed && profile.is_aws(),
    }
}

/// This service's class for a class of either service. What Google's cold classes answer at once stays readable at once: so
/// neither becomes an archive from which nothing is read before a restore.
pub fn storage_class(name: &str) -> &str {
    match name {
        "NEARLINE" => "STANDARD_IA",
        "COLDLINE" | "ARCHIVE" => "GLACIER_IR",
        "MULTI_REGIONAL" | "REGIONAL" | "DURABLE_REDUCED_AVAILABILITY" => "STANDARD",
        own => own,
    }
}

/// The dialect: a profile with its settings.
struct Amazon {
    options: S3Options,
    facts: DialectTraits,
    endpoint: Option<BucketEndpoint>,
    owner: Option<HeaderValue>,
    signer: S3Signer,
}

impl fmt::Debug for Amazon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amazon").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Dialect for Amazon {
    fn traits(&self) -> &DialectTraits {
        &self.facts
    }

    fn endpoint(&self, region: &str) -> Option<BucketEndpoint> {
        let Amazon { options, .. } = self;
        self.endpoint.clone().or_else(|| options.profile.endpoint_in(region, options.path_style))
    }

    fn region(&self) -> Option<&str> {
        self.options.region.as_deref()
    }

    fn sign(
        &self,
        request: &mut Request<HttpBody>,
        credentials: &Arc<Credentials>,
        region: &str,
        trailer: bool,
    ) -> Result<(), String> {
        self.signer.sign(request, credentials, region, trailer, jiff::Timestamp::now().as_second())
    }

    fn rejection(&self, key: &Key) -> Option<String> {
        key.as_str().is_none_or(str::is_empty).then(|| "an S3 key is UTF-8 and not empty".into())
    }

    fn common_headers(&self, headers: &mut HeaderMap) {
        if self.options.request_payer {
            headers.insert("x-amz-request-payer", HeaderValue::from_static("requester"));
        }
        if let Some(owner) = &self.owner {
            headers.insert("x-amz-expected-bucket-owner", owner.clone());
        }
    }

    fn read_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
    }

    fn condition(&self, expected: &Expected) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(match expected {
            Expected::Any => None,
            Expected::Absent => Some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
            // What shows no ETag cannot be named.
            Expected::Revision(Revision(etag)) if etag.is_empty() => None,
            Expected::Revision(Revision(etag)) => {
                let etag = HeaderValue::from_str(&format!("\"{etag}\""));
                Some((IF_MATCH, etag.map_err(|_| "the expected ETag cannot be sent as a header".to_owned())?))
            }
        })
    }

    fn digest_header(&self, bytes: &Bytes, known: Option<u32>) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self.options.profile {
            S3Profile { checksums: true, .. } => {
                (CHECKSUM, base64_crc32(known.unwrap_or_else(|| crc32c::crc32c(bytes))))
            }
            S3Profile { content_md5: true, .. } => (CONTENT_MD5, STANDARD.encode(Md5::digest(bytes))),
            _ => return None,
        };
        Some((name, HeaderValue::from_str(&value).ok()?))
    }

    fn option_headers(&self, headers: &mut HeaderMap, with: &WriteAttributes) -> Result<(), String> {
        let options = &with.options;
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| "a key or an ACL that no header can carry".to_owned());
        match &options.encryption {
            None => {}
            Some(Encryption::SseS3) => drop(headers.insert(ENCRYPTION, HeaderValue::from_static("AES256"))),
            Some(Encryption::SseKms { key, bucket_key }) => {
                headers.insert(ENCRYPTION, HeaderValue::from_static("aws:kms"));
                if let Some(key) = key {
                    headers.insert("x-amz-server-side-encryption-aws-kms-key-id", value(key)?);
                }
                if let Some(flag) = bucket_key {
                    let flag = HeaderValue::from_static(if *flag { "true" } else { "false" });
                    headers.insert("x-amz-server-side-encryption-bucket-key-enabled", flag);
                }
            }
            Some(Encryption::Cmek(_)) => return Err("S3 has no keys of Cloud KMS".into()),
        }
        if let Some(acl) = &options.acl {
            headers.insert("x-amz-acl", value(acl)?);
        }
        Ok(())
    }

    fn initiate_headers(&self, headers: &mut HeaderMap) {
        if self.options.profile.checksums {
            headers.insert(CHECKSUM_ALGORITHM, HeaderValue::from_static("CRC32C"));
        }
        if self.options.profile.full_object {
            headers.insert(CHECKSUM_TYPE, FULL_OBJECT);
        }
    }

    fn complete_headers(&self, headers: &mut HeaderMap, whole: &Digests) {
        if let (true, Ok(sum)) = (self.options.profile.full_object, HeaderValue::from_str(&base64_crc32(whole.crc32c)))
        {
            headers.insert(CHECKSUM, sum);
            headers.insert(CHECKSUM_TYPE, FULL_OBJECT);
            headers.insert(SIZE, whole.length.into());
        }
    }

    fn stored(&self, headers: &HeaderMap) -> StoredDigests {
        xml_api::stored_by_amazon(headers)
    }

    fn revision(&self, _headers: &HeaderMap, etag: Option<&str>) -> Option<Revision> {
        etag.map(|etag| Revision(etag.into()))
    }
}
