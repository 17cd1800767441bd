//! The GCS client against a peer as strict as the service: what the contract of every store does not ask, because it
//! is this service's own.

mod large;
mod objects;
mod reading;
mod refusals;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sandbox::{GcsOptions, GcsPeer};
use skyferry_core::error::Side;
use skyferry_core::model::{Location, SourceIdentity, Token};
use skyferry_core::store::{Chunks, Metadata, OpenedObject, Payload, Provenance, WriteAttributes};
use skyferry_providers::{Cached, Credentials, Grant, Provider, ProviderError, Secret};
use skyferry_stores::gcs::{Gcs, GcsOptions as ClientOptions};
use skyferry_stores::http::{Transport, TransportOptions};

pub const BUCKET: &str = "bucket";

/// Gives these credentials in turn, the last one for ever.
pub struct InTurn(Vec<Grant>, AtomicUsize);

impl InTurn {
    pub fn of(grants: Vec<Grant>) -> Self {
        InTurn(grants, AtomicUsize::new(0))
    }
}

#[async_trait]
impl Provider for InTurn {
    fn describe(&self) -> String {
        "the test's".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        Ok(Credentials { grant: self.0[turn].clone(), region: None, expires: None })
    }
}

pub fn keys(secret: &str) -> Grant {
    Grant::Keys {
        access_key_id: GcsPeer::ACCESS_ID.into(),
        secret_access_key: Secret::new(secret),
        session_token: None,
    }
}

pub fn bearer() -> Grant {
    Grant::Bearer(Secret::new(GcsPeer::TOKEN))
}

/// A peer with one bucket, and clients that speak to it.
pub struct Rig {
    pub peer: GcsPeer,
}

impl Rig {
    pub fn start() -> Self {
        Rig::with(GcsOptions::default())
    }

    pub fn with(options: GcsOptions) -> Self {
        let peer = GcsPeer::start(GcsOptions { buckets: vec![BUCKET.into()], ..options }).unwrap();
        Rig { peer }
    }

    /// A client that signs.
    pub fn gcs(&self) -> Gcs {
        self.client(Side::Destination, vec![keys(GcsPeer::SECRET)])
    }

    pub fn source(&self) -> Gcs {
        self.client(Side::Source, vec![keys(GcsPeer::SECRET)])
    }

    pub fn client(&self, side: Side, grants: Vec<Grant>) -> Gcs {
        let authority = self.peer.authority().map(|authority| authority.path().to_path_buf());
        let transport = Transport::new(&TransportOptions {
            allow_http: authority.is_none(),
            extra_roots: authority.into_iter().collect(),
            ..TransportOptions::default()
        });
        let options = ClientOptions { endpoint: Some(self.peer.endpoint()) };
        let credentials = Arc::new(Cached::new(InTurn::of(grants)));
        Gcs::new(&options, credentials, side, transport.unwrap()).unwrap()
    }
}

pub fn at(key: &str) -> Location {
    Location::new(BUCKET, key)
}

pub fn attributes(size: u64) -> WriteAttributes {
    let identity = SourceIdentity { etag: "source-etag".into(), size, last_modified: 1_767_323_045, version: None };
    let provenance = Provenance {
        source: Location::new("photos", "k"),
        identity,
        token: Token::random(),
        crc32c: None,
        headers: None,
    };
    WriteAttributes { metadata: Metadata::default(), provenance, size, options: Default::default() }
}

pub fn whole(bytes: &'static [u8]) -> Payload {
    Payload::Whole(Bytes::from_static(bytes))
}

/// The bytes in chunks of this size.
pub fn streamed(bytes: Vec<u8>, chunk: usize) -> Payload {
    let length = bytes.len() as u64;
    let pieces: Vec<_> = bytes.chunks(chunk).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let chunks: Chunks = Box::pin(stream::iter(pieces));
    Payload::Stream { length, chunks, crc32c: None }
}

pub async fn bytes_of(opened: OpenedObject) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunks = opened.chunks;
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(all.len() as u64, opened.length);
    all
}

/// Bytes that differ from place to place.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}
