//! A bit that flips: in the source's body, in memory between hashing and sending, on the wire, at the far side. Every one is
//! caught before the message is deleted, and none is left published.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::{Fault, Operation, Rule, S3Peer};
use skyferry_agent::copy::CopyRoute;
use skyferry_agent::limits::Limiter;
use skyferry_core::digest::Digests;
use skyferry_core::error::Side;
use skyferry_core::metrics::Metrics;
use skyferry_core::model::{Expected, Key, Location, Token, UploadId};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{
    Capabilities, CompletedPart, ListFrom, Metadata, Object, OpenUpload, OpenedObject, Page, Payload, Pin, Provenance,
    Result, Sink, StoredPart, WriteAttributes, WriteResult,
};
use skyferry_providers::Cached;
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options};

use crate::running::{Fixture, SINK, SOURCE, created};
use fixture::{PeerKeys, bytes, only_ever_showed};

/// Small enough that every bit of it can be tried.
const SMALL: usize = 64;
const BURSTS: usize = 256;

/// Every single bit of a small object, then bursts of up to 64 bits anywhere in a larger one.
fn every_flip() -> Vec<(usize, u64, Vec<u8>)> {
    let single = (0..SMALL * 8).map(|bit| (SMALL, bit as u64 / 8, vec![1 << (bit % 8)]));
    let mut random = StdRng::seed_from_u64(20_261_121);
    let bursts = (0..BURSTS).map(|_| {
        let size = random.random_range(100..20_000);
        let mut mask: Vec<u8> = (0..random.random_range(2..8)).map(|_| random.random()).collect();
        mask[0] |= 1;
        (size, random.random_range(0..size as u64 - 8), mask)
    });
    single.chain(bursts.collect::<Vec<_>>()).collect()
}

async fn agent_catches(moment: &str, arm: impl Fn(&Fixture, &str, u64, Vec<u8>)) {
    let fixture = Fixture::new().await;
    let flips = every_flip();
    let bodies: Vec<Vec<u8>> = flips.iter().map(|(size, at, _)| bytes(*size, *at as u8)).collect();
    let keys: Vec<String> = (0..flips.len()).map(|n| format!("k{n:04}")).collect();
    for ((key, body), (_, at, mask)) in keys.iter().zip(&bodies).zip(flips.clone()) {
        fixture.put(key, body);
        arm(&fixture, key, at, mask);
    }
    let summary = fixture.drain(&keys.iter().map(|key| created(key)).collect::<Vec<_>>()).await;
    assert_eq!((summary.copied, summary.parked), (flips.len() as u64, 0), "{moment}");
    let caught = fixture.s3.faults().met() + fixture.gcs.faults().met();
    assert_eq!(caught, flips.len() as u64, "{moment}: every flip happened");
    for (key, body) in keys.iter().zip(&bodies) {
        only_ever_showed(&fixture.gcs.history(SINK, key), &[body], moment);
        assert!(fixture.copy(key).as_ref() == Some(body), "{moment}: {key}");
    }
    eprintln!("{moment}: {caught} flips, {} of them single bits, all caught before anything was published", SMALL * 8);
}

#[tokio::test]
async fn every_bit_that_flips_in_the_source_s_body_is_caught() {
    agent_catches("in the source's body", |fixture, key, at, mask| {
        fixture.s3.faults().add(Rule::on(Operation::GetObject, Fault::FlipBitsOfResponse(at, mask)).key(key));
    })
    .await;
}

#[tokio::test]
async fn every_bit_that_flips_on_the_wire_to_the_destination_is_caught() {
    agent_catches("on the wire to the destination", |fixture, key, at, mask| {
        fixture.gcs.faults().add(Rule::on(Operation::PutObject, Fault::FlipBitsOfRequest(at, mask)).key(key));
    })
    .await;
}

/// With an MD5 of every part a part is refused that the far side's own checksum says nothing of.
#[tokio::test]
async fn with_md5_a_part_is_proven_where_the_far_side_tells_no_checksum() {
    let fixture =
        Fixture::with("[transfer]\nverify = \"md5\"\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let body = bytes(12 << 20, 3);
    fixture.put("k", &body);
    let faults = fixture.gcs.faults();
    faults.add(Rule::on(Operation::UploadPart, Fault::WithoutHeader("x-goog-hash")).always());
    faults.add(Rule::on(Operation::UploadPart, Fault::FlipRequest(77)).part(2));
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(fixture.gcs.counts().of(Operation::UploadPart), 4, "three parts, and the flipped one again");
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&body], "parts");
    assert!(fixture.copy("k") == Some(body));
}

/// A sink whose payloads change after they were hashed: the fault of a machine's memory.
struct Flipping {
    inner: S3,
    at: u64,
    mask: Vec<u8>,
    left: AtomicUsize,
}

/// The bytes that begin at `offset`, with the bits of `mask` flipped from `at` on.
fn flipped(bytes: &Bytes, offset: u64, at: u64, mask: &[u8]) -> Bytes {
    let mut changed = bytes.to_vec();
    for (at, mask) in (at..).zip(mask) {
        if let Some(byte) = at.checked_sub(offset).and_then(|at| changed.get_mut(at as usize)) {
            *byte ^= mask;
        }
    }
    changed.into()
}

impl Flipping {
    fn spoil(&self, payload: Payload) -> Payload {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return payload;
        }
        match payload {
            Payload::Whole(bytes) => Payload::Whole(flipped(&bytes, 0, self.at, &self.mask)),
            Payload::Stream { length, chunks, crc32c } => {
                let (at, mask) = (self.at, self.mask.clone());
                let mut offset = 0;
                let chunks = chunks.map(move |chunk| {
                    let chunk = chunk?;
                    let changed = flipped(&chunk, offset, at, &mask);
                    offset += chunk.len() as u64;
                    Ok(changed)
                });
                Payload::Stream { length, chunks: Box::pin(chunks), crc32c }
            }
        }
    }
}

#[async_trait]
impl Sink for Flipping {
    fn limits(&self) -> &SinkLimits {
        self.inner.limits()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        Sink::list(&self.inner, bucket, prefix, from).await
    }
    async fn head(&self, at: &Location) -> Result<Option<Object>> {
        Sink::head(&self.inner, at).await
    }
    async fn open(&self, at: &Location) -> Result<Option<OpenedObject>> {
        Sink::open(&self.inner, at).await
    }
    async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &WriteAttributes,
        expected: &Expected,
    ) -> Result<WriteResult> {
        self.inner.put(at, self.spoil(payload), with, expected).await
    }
    async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId> {
        self.inner.begin(at, with).await
    }
    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<StoredPart> {
        self.inner.part(at, upload, number, self.spoil(payload)).await
    }
    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
        self.inner.parts(at, upload).await
    }
    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[CompletedPart],
        whole: &Digests,
        expected: &Expected,
    ) -> Result<WriteResult> {
        self.inner.finish(at, upload, parts, whole, expected).await
    }
    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        self.inner.abort(at, upload).await
    }
    async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        self.inner.uploads(bucket, prefix).await
    }
    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        self.inner.delete(at, expected).await
    }
}

fn client(peer: &S3Peer, side: Side) -> S3 {
    let transport = Transport::new(&TransportOptions { allow_http: true, ..TransportOptions::default() });
    let options =
        S3Options { endpoint: Some(peer.endpoint()), region: Some("us-east-1".into()), ..S3Options::default() };
    S3::new(
        options,
        Arc::new(Cached::new(PeerKeys::new(S3Peer::ACCESS_ID, S3Peer::SECRET))),
        side,
        transport.expect("a transport"),
    )
    .expect("a client")
}

/// The route of one object whose payload is spoilt once, from a peer's bucket into another one of its.
fn spoilt(peer: &S3Peer, at: u64, mask: Vec<u8>) -> (CopyRoute, Arc<Flipping>) {
    let inner = client(peer, Side::Destination);
    let sink = Arc::new(Flipping { inner, at, mask, left: AtomicUsize::new(1) });
    let route = CopyRoute {
        source: Arc::new(client(peer, Side::Source)),
        sink: sink.clone(),
        from: Location::new(SOURCE, "k"),
        to: Location::new(SINK, "k"),
        limiter: Arc::new(Limiter::new(64 << 20, 0)),
        metrics: Arc::new(Metrics::default()),
        md5: false,
        by_version: false,
        stop: tokio_util::sync::CancellationToken::new(),
    };
    (route, sink)
}

#[tokio::test]
async fn every_bit_that_flips_in_memory_between_hashing_and_sending_is_caught() {
    let buckets = vec![SOURCE.to_owned(), SINK.to_owned()];
    let peer = S3Peer::start(sandbox::S3Options { buckets, ..Default::default() }).expect("a peer");
    let mut caught = 0;
    for (size, at, mask) in every_flip() {
        // Above a MiB objects are streamed: the burst goes into one of those.
        let size = if size == SMALL { SMALL } else { (1 << 20) + size };
        let body = bytes(size, at as u8);
        peer.set_object(SOURCE, "k", &body).expect("an object");
        let (route, _) = spoilt(&peer, at, mask);
        let opened = route.source.open(&route.from, &Pin::Newest, None).await.expect("opened").expect("there");
        let provenance = Provenance {
            source: route.from.clone(),
            identity: opened.object.identity.clone(),
            token: Token::random(),
            crc32c: None,
            headers: None,
        };
        let with = WriteAttributes {
            metadata: Metadata::default(),
            provenance,
            size: size as u64,
            options: Default::default(),
        };
        let copied = route.put(opened, None, with, &Expected::Any, &mut None).await;
        assert!(copied.is_err(), "byte {at} of {size}: {copied:?}");
        assert!(
            peer.objects(SINK).is_empty(),
            "it is refused before it is published: its digest goes before it or behind it"
        );
        caught += 1;
    }
    eprintln!("in memory between hashing and sending: {caught} flips, all caught before anything was published");
}
