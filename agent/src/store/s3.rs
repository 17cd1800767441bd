//! Amazon S3 and its dialects, as source and as sink: one client, one row of capabilities a dialect.
//!
//! Why not `aws-sdk-s3`: CPU of the client alone for GET + PUT of 4 KiB, 10,000 times, 32 at once, against a peer on
//! loopback (`cargo run --release -p sandbox -F spike --example spike`, a shared machine of two cores):
//!
//! | client | ms an object | the same, all cores busy | resident |
//! |---|---|---|---|
//! | the transport alone, unsigned | 0.020 | 0.036 | 9 MiB |
//! | and a signer of our own that keeps the day's key | 0.025 | | 9 MiB |
//! | **and `aws-sigv4`** (about 9 µs a request) | **0.036 to 0.042** | 0.053 to 0.064 | 10 MiB |
//! | this store: provenance, metadata, checksums, too | | **0.068 to 0.088** | 11 MiB |
//! | `aws-sdk-s3`, checksums only when required | 0.21 | 0.34 to 0.37 | 14 MiB |
//! | `aws-sdk-s3` as it comes | 0.29 to 0.45 | 0.41 to 0.42 | 14 MiB |
//!
//! A whole job may cost 0.20 ms, queue and ledger included, so the SDK is out; Amazon's signer fits, and a well-kept one
//! is worth the 0.015 ms. The control verbs go the same way: they are five small documents, and with them on the SDK
//! there would be two readings of every refusal, two pools and two ways to find a bucket's region.

mod archive;
mod chunked;
mod endpoint;
mod list;
mod notification;
mod profile;
mod read;
mod refusal;
mod request;
mod sign;
mod write;
mod xml;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use skyferry_providers::Cached;

pub use notification::Notification;
pub use profile::{AWS, Addressing, PROFILES, Profile};

use super::http::Transport;
use super::{
    Attributes, Capabilities, FinishedPart, ListFrom, Object, OpenUpload, Opened, Page, Part, Payload, Pin, Published,
    Result, Sink, Source,
};
use crate::digest::Digests;
use crate::error::Side;
use crate::object::{Expected, Key, Location, SourceIdentity, UploadId};
use crate::plan::Limits;
use endpoint::Endpoint;
use sign::Signer;

/// Which S3, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct S3Options {
    pub profile: &'static Profile,
    /// `http(s)://host[:port]`; `None`: the profile's own in the region.
    pub endpoint: Option<String>,
    /// `None`: the credentials' own, else us-east-1.
    pub region: Option<String>,
    /// `None`: an IP address or localhost implies path style, else the profile decides.
    pub path_style: Option<bool>,
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
#[error("endpoint {0:?} is not of the form https://host or https://host:port")]
pub struct BadEndpoint(String);

/// Where a bucket is.
#[derive(Debug)]
struct Place {
    region: Arc<str>,
    endpoint: Endpoint,
}

/// One account at one service.
pub struct S3 {
    options: S3Options,
    profile: &'static Profile,
    endpoint: Option<Endpoint>,
    credentials: Arc<Cached>,
    side: Side,
    transport: Transport,
    signer: Signer,
    /// By bucket; learned from the settings, the credentials or an answer.
    places: RwLock<HashMap<Arc<str>, Arc<Place>>>,
}

impl S3 {
    pub fn new(
        options: S3Options,
        credentials: Arc<Cached>,
        side: Side,
        transport: Transport,
    ) -> Result<Self, BadEndpoint> {
        let endpoint = match options.endpoint.as_deref().map(|text| text.trim_end_matches('/')) {
            Some(text) => {
                let own = Endpoint::parse(text, options.profile, options.path_style);
                Some(own.ok_or_else(|| BadEndpoint(text.to_owned()))?)
            }
            None if options.profile.endpoint.is_none() => return Err(BadEndpoint(String::new())),
            None => None,
        };
        let profile = options.profile;
        let (signer, places) = (Signer::default(), RwLock::default());
        Ok(S3 { options, profile, endpoint, credentials, side, transport, signer, places })
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("side", &self.side).field("options", &self.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for S3 {
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.list_page(bucket, prefix, from).await
    }
    async fn list_versions(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.versions_page(bucket, prefix, from).await
    }
    async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        self.head_pinned(at, pin).await
    }
    async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<Opened>> {
        self.open_pinned(at, pin, range).await
    }
    async fn part_size(&self, at: &Location, identity: &SourceIdentity, parts: u32) -> Result<Option<u64>> {
        self.first_part(at, identity, parts).await
    }
    async fn tags(&self, at: &Location, version: Option<&str>) -> Result<String> {
        self.object_tags(at, version).await
    }
    async fn restore(&self, at: &Location, version: Option<&str>) -> Result<bool> {
        self.restore_object(at, version).await.map(|()| true)
    }
}

#[async_trait]
impl Sink for S3 {
    fn limits(&self) -> &Limits {
        &Limits::S3
    }
    fn capabilities(&self) -> Capabilities {
        let Profile { conditional_put, conditional_finish, conditional_delete, checksums, .. } = *self.profile;
        Capabilities { conditional_put, conditional_finish, conditional_delete, checksums, metadata: true }
    }
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.list_page(bucket, prefix, from).await
    }
    async fn head(&self, at: &Location) -> Result<Option<Object>> {
        self.head_pinned(at, &Pin::Newest).await
    }
    async fn open(&self, at: &Location) -> Result<Option<Opened>> {
        self.open_pinned(at, &Pin::Newest, None).await
    }
    async fn put(&self, at: &Location, payload: Payload, with: &Attributes, expected: &Expected) -> Result<Published> {
        self.put_object(at, payload, with, expected).await
    }
    async fn begin(&self, at: &Location, with: &Attributes) -> Result<UploadId> {
        self.begin_upload(at, with).await
    }
    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<Part> {
        self.upload_part(at, upload, number, payload).await
    }
    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<Part>>> {
        self.list_parts(at, upload).await
    }
    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[FinishedPart],
        whole: &Digests,
        expected: &Expected,
    ) -> Result<Published> {
        self.complete_upload(at, upload, parts, whole, expected).await
    }
    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        self.abort_upload(at, upload).await
    }
    async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        self.list_uploads(bucket, prefix).await
    }
    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        self.delete_object(at, expected).await
    }
}

#[cfg(test)]
mod tests;
