//! What every store keeps: one suite for both ends, since what a sink wrote is read back through the source's trait.
//!
//! What a server cannot do is a row of its `Can`, and then the fact is that it cannot: a fact is never skipped.

pub mod conditions;
pub mod listing;
pub mod multipart;
pub mod objects;
pub mod options;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use skyferry_core::digest::{DigestSelection, Digests};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, SourceIdentity, Token};
use skyferry_core::store::{
    Capabilities, Chunks, ListFrom, Metadata, Object, OpenedObject, Payload, Pin, Provenance, Sink, Source,
    WriteAttributes, WriteResult,
};

/// One row of what this server can do.
#[derive(Clone, Copy, Debug)]
pub struct Can {
    pub capabilities: Capabilities,
    /// Keys that it cannot hold, of those in `ODD_KEYS`.
    pub refused_keys: &'static [&'static str],
    /// A finish whose whole digest disagrees with the parts is refused.
    pub checks_whole: bool,
    /// All metadata of `headers()` comes back; else only content type and user metadata.
    pub all_headers: bool,
    /// Whose ways of encryption it has.
    pub at_rest: AtRest,
    /// Least size of a part but the last.
    pub part: usize,
}

/// Whose words for encryption, access and retention a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRest {
    Nothing,
    Amazon,
    Google,
}

/// A store under test, with an empty bucket.
pub struct Subject {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub bucket: Arc<str>,
    pub can: Can,
    /// What keeps the peer alive.
    pub _keep: Box<dyn Send>,
}

/// Every kind of trouble that a key has given somebody.
pub const ODD_KEYS: [&str; 21] = [
    "a//b",
    "a/b",
    "/abs",
    "abs",
    "a/../b",
    "./c",
    "..d",
    "folder/",
    "folder",
    "sp ace",
    "pl+us",
    "per%cent",
    "per%25cent",
    "%2F",
    "q?u#e&r=y",
    "\"'<>\\|*:;",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{7167}\u{7247}/\u{1f600}",
    "~tilde",
    "tab\tkey",
];

/// Bytes that no two offsets share, cheaply.
pub fn bytes(length: usize, seed: u8) -> Bytes {
    let step =
        |n: usize| (n as u32).wrapping_mul(2_654_435_761).rotate_left(u32::from(seed)) as u8 ^ (n >> 8) as u8 ^ seed;
    (0..length).map(step).collect::<Vec<u8>>().into()
}

/// A body in chunks of odd sizes.
pub fn streamed(bytes: &Bytes) -> Payload {
    Payload::Stream { length: bytes.len() as u64, chunks: chunks(bytes), crc32c: None }
}

pub fn chunks(bytes: &Bytes) -> Chunks {
    let step = 60_007;
    let pieces: Vec<_> =
        (0..bytes.len()).step_by(step).map(|at| Ok(bytes.slice(at..(at + step).min(bytes.len())))).collect();
    stream::iter(pieces).boxed()
}

/// Gives these bytes and then breaks.
pub fn breaking(bytes: &Bytes, length: u64) -> Payload {
    let at = Location::new("source", "key");
    let error = CopyError::new(Side::Source, ErrorKind::Unavailable, "GetObject", &at, "cut off on purpose");
    let chunks = chunks(bytes).chain(stream::once(async { Err(error) })).boxed();
    Payload::Stream { length, chunks, crc32c: None }
}

pub fn attributes(size: usize) -> WriteAttributes {
    let identity = SourceIdentity {
        etag: "0123456789abcdef-2".into(),
        size: size as u64,
        last_modified: 1_763_700_000,
        version: Some("3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY".into()),
    };
    let source = Location::new("source-bucket", "some/key \u{e9}+%");
    WriteAttributes {
        metadata: Metadata { content_type: Some("text/plain; charset=utf-8".into()), ..Metadata::default() },
        provenance: Provenance { source, identity, token: Token::random(), crc32c: None, headers: None },
        size: size as u64,
        options: Default::default(),
    }
}

impl Subject {
    pub fn at(&self, key: &str) -> Location {
        Location::new(self.bucket.clone(), key)
    }

    pub async fn try_put(&self, key: &str, payload: Payload, expected: &Expected) -> Result<WriteResult, CopyError> {
        let with = attributes(payload.length() as usize);
        self.sink.put(&self.at(key), payload, &with, expected).await
    }

    pub async fn put(&self, key: &str, bytes: &Bytes) -> WriteResult {
        self.try_put(key, Payload::Whole(bytes.clone()), &Expected::Any).await.expect("written")
    }

    pub async fn head(&self, key: &str) -> Option<Object> {
        self.sink.head(&self.at(key)).await.expect("looked at")
    }

    /// Through the source's trait and the sink's; both must agree.
    pub async fn read(&self, key: &str) -> Option<Bytes> {
        let read = self.source.open(&self.at(key), &Pin::Newest, None).await.expect("opened");
        let back = self.sink.open(&self.at(key)).await.expect("opened");
        let (read, back) = (collect(read).await, collect(back).await);
        assert!(read == back, "the two traits read different bytes of {key}");
        read
    }

    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let from = token.as_deref().map_or(ListFrom::Start, ListFrom::Token);
            let page = self.sink.list(&self.bucket, &Key::from(prefix), from).await.expect("listed");
            keys.extend(page.objects.iter().map(|row| row.key.as_str().expect("UTF-8").to_string()));
            match page.next {
                Some(next) => token = Some(next),
                None => return keys,
            }
        }
    }
}

pub async fn collect(opened: Option<OpenedObject>) -> Option<Bytes> {
    let opened = opened?;
    let bytes = opened.chunks.try_collect::<Vec<Bytes>>().await.expect("read").concat();
    assert_eq!(bytes.len() as u64, opened.length);
    Some(bytes.into())
}

pub fn kind<T>(answer: Result<T, CopyError>) -> ErrorKind {
    match answer {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.kind,
    }
}

/// All digests, to hold against whatever is reported.
pub fn digests(bytes: &Bytes) -> Digests {
    Digests::of(bytes, DigestSelection { crc64nvme: true, crc32: true, sha256: true, md5: true })
}
