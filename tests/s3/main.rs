//! The S3 client on servers that check what it sends: the sandbox's own peer, plain and under TLS, and SeaweedFS; and against
//! scripted answers.

mod scripted;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use sandbox::{S3Peer, SeaweedFs};
use skyferry_core::digest::{Checksum, Combiner, DigestSelection, Digests};
use skyferry_core::error::{ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, Revision, SourceIdentity, Token};
use skyferry_core::store::{
    CompletedPart, ListFrom, Metadata, OpenedObject, Payload, Pin, Provenance, Sink, Source, WriteAttributes,
};
use skyferry_providers::{Cached, Credentials, Grant, Provider, ProviderError, Secret};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

const BUCKET: &str = "photos";
const MIB: usize = 1 << 20;

struct Fixed(&'static str, &'static str);

#[async_trait::async_trait]
impl Provider for Fixed {
    fn describe(&self) -> String {
        "the peer's key".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        let (access_key_id, secret_access_key) = (self.0.to_owned(), Secret::new(self.1));
        let grant = Grant::Keys { access_key_id, secret_access_key, session_token: None };
        Ok(Credentials { grant, region: None, expires: None })
    }
}

fn client(endpoint: String, side: Side, keys: Fixed, roots: &[std::path::PathBuf]) -> S3 {
    let extra_roots = roots.to_vec();
    let transport = Transport::new(&TransportOptions { allow_http: true, extra_roots, ..Default::default() }).unwrap();
    let profile = S3Profile::named("aws-cn").unwrap();
    let options =
        S3Options { profile, endpoint: Some(endpoint), region: Some("cn-north-1".into()), ..Default::default() };
    S3::new(options, Arc::new(Cached::new(keys)), side, transport).unwrap()
}

fn on_peer(peer: &S3Peer, side: Side) -> S3 {
    client(peer.endpoint(), side, Fixed(S3Peer::ACCESS_ID, S3Peer::SECRET), &[])
}

fn on_weed(seaweedfs: &SeaweedFs, side: Side) -> S3 {
    client(seaweedfs.endpoint(), side, Fixed(SeaweedFs::ACCESS_ID, SeaweedFs::SECRET), &[])
}

fn peer() -> S3Peer {
    S3Peer::start(sandbox::S3Options { buckets: vec![BUCKET.into()], ..Default::default() }).unwrap()
}

fn attributes(size: usize) -> WriteAttributes {
    let size = size as u64;
    let identity =
        SourceIdentity { etag: "e".into(), size, last_modified: 1_700_000_000, version: Some("v.1_".into()) };
    let metadata = Metadata {
        content_type: Some("text/plain".into()),
        content_encoding: Some("identity".into()),
        user: [("owner".to_owned(), "me".to_owned())].into(),
        ..Default::default()
    };
    let source = Location::new("source", Key::new("照片\n".as_bytes().to_vec()));
    WriteAttributes {
        metadata,
        provenance: Provenance { source, identity, token: Token(7), crc32c: None, headers: None },
        size,
        options: Default::default(),
    }
}

fn streamed(parts: &'static [&'static str]) -> Payload {
    let length = parts.concat().len() as u64;
    let chunks = Box::pin(stream::iter(parts.iter().map(|part| Ok(Bytes::from(*part)))));
    Payload::Stream { length, chunks, crc32c: None }
}

async fn body(opened: Option<OpenedObject>) -> Vec<u8> {
    opened.unwrap().chunks.try_collect::<Vec<_>>().await.unwrap().concat()
}

async fn objects_come_back_as_they_were(sink: &S3, source: &S3, keys: &[&str]) {
    for key in keys {
        let at = Location::new(BUCKET, *key);
        for payload in [Payload::Whole("123456789".into()), streamed(&["1234", "56789"])] {
            let with = attributes(9);
            let published = sink.put(&at, payload, &with, &Expected::Any).await.unwrap();
            let object = Source::head(source, &at, &Pin::Newest).await.unwrap().unwrap_or_else(|| panic!("{key}"));
            assert_eq!(Some(object.revision), published.revision, "{key}");
            assert_eq!(object.stored.crc32c, Some(Checksum::Full(0xe306_9283)), "{key}");
            assert_eq!(object.provenance.as_ref(), Some(&with.provenance), "{key}");
            assert_eq!(object.metadata, with.metadata, "{key}");
            let pin = Pin::State { identity: object.identity, by_version: false };
            assert_eq!(body(Source::open(source, &at, &pin, None).await.unwrap()).await, b"123456789");
            assert_eq!(body(Source::open(source, &at, &pin, Some(2..5)).await.unwrap()).await, b"345");
        }
        let empty = sink.put(&at, Payload::Whole(Bytes::new()), &attributes(0), &Expected::Any).await;
        empty.unwrap();
        assert_eq!(body(Sink::open(sink, &at).await.unwrap()).await, b"");
    }
    let mut expected: Vec<Key> = keys.iter().map(|key| Key::from(*key)).collect();
    expected.sort();
    let page = Source::list(source, BUCKET, &"".into(), ListFrom::Start).await.unwrap();
    let listed: Vec<Key> = page.objects.into_iter().map(|row| row.key).collect();
    assert_eq!(listed, expected);
    let page = Source::list(source, BUCKET, &"".into(), ListFrom::After(&expected[1])).await.unwrap();
    assert_eq!(page.objects.first().map(|row| &row.key), expected.get(2));
    for bucket in [BUCKET, "no-such-bucket"] {
        let nothing = Location::new(bucket, "nothing");
        let found = Source::head(source, &nothing, &Pin::Newest).await.map(|object| object.is_some());
        let expected = if bucket == BUCKET { Ok(false) } else { Err(ErrorKind::BucketMissing) };
        assert_eq!(found.map_err(|error| error.kind), expected);
    }
}

async fn conditions_hold(sink: &S3) {
    let at = &Location::new(BUCKET, "conditional");
    let put = async |text: &'static str, expected: &Expected| {
        let put = sink.put(at, Payload::Whole(text.into()), &attributes(text.len()), expected).await;
        put.map(|published| published.revision.unwrap()).map_err(|error| error.kind)
    };
    let first = put("first", &Expected::Absent).await.unwrap();
    let other = Expected::Revision(Revision("9b2cf535f27731c974343645a3985328".into()));
    assert_eq!(put("second", &Expected::Absent).await, Err(ErrorKind::Precondition));
    assert_eq!(put("third", &other).await, Err(ErrorKind::Precondition));
    put("fourth", &Expected::Revision(first)).await.unwrap();
    assert_eq!(sink.delete(at, &other).await.unwrap_err().kind, ErrorKind::Precondition);
    sink.delete(at, &Expected::Any).await.unwrap();
    sink.delete(at, &Expected::Any).await.unwrap();
    assert_eq!(put("fifth", &other).await, Err(ErrorKind::Precondition));
}

async fn a_multipart_object_is_checked_as_a_whole(sink: &S3) {
    let at = Location::new(BUCKET, "large/照 片");
    let size = 5 * MIB + 7;
    let bytes: Bytes = (0..size).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into();
    let upload = sink.begin(&at, &attributes(size)).await.unwrap();
    let abandoned = sink.begin(&at, &attributes(size)).await.unwrap();
    let (mut parts, mut whole) = (Vec::new(), Combiner::new());
    for (number, range) in [(2, 5 * MIB..size), (1, 0..5 * MIB)] {
        let slice = bytes.slice(range.clone());
        let digests = Digests::of(&slice, DigestSelection::default());
        let chunks = Box::pin(stream::iter([Ok(slice)]));
        let payload = Payload::Stream { length: digests.length, chunks, crc32c: None };
        let part = sink.part(&at, &upload, number, payload).await.unwrap();
        whole.insert(range.start as u64, digests).unwrap();
        parts.push(CompletedPart { number, etag: part.etag, crc32c: digests.crc32c });
    }
    parts.sort_by_key(|part| part.number);
    let listed = sink.parts(&at, &upload).await.unwrap().unwrap();
    assert_eq!(listed.iter().map(|part| (part.number, part.size)).collect::<Vec<_>>(), [(1, 5 << 20), (2, 7)]);
    let open = sink.uploads(BUCKET, &"large/".into()).await.unwrap();
    assert!(open.len() == 2 && open.iter().all(|open| open.key == at.key), "{open:?}");
    sink.abort(&at, &abandoned).await.unwrap();
    sink.abort(&at, &abandoned).await.unwrap();
    assert_eq!(sink.parts(&at, &abandoned).await.unwrap(), None);
    let late = sink.part(&at, &abandoned, 1, Payload::Whole("x".into())).await;
    assert_eq!(late.unwrap_err().kind, ErrorKind::UploadGone);
    let whole = whole.whole(size as u64).unwrap();
    let wrong = Digests { crc32c: !whole.crc32c, ..whole };
    let refused = sink.finish(&at, &upload, &parts, &wrong, &Expected::Absent).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Corrupt);
    assert!(Sink::head(sink, &at).await.unwrap().is_none());
    let published = sink.finish(&at, &upload, &parts, &whole, &Expected::Absent).await.unwrap();
    assert_eq!(published.stored.crc32c, Some(Checksum::Full(whole.crc32c)));
    let object = Sink::head(sink, &at).await.unwrap().unwrap();
    assert_eq!((Some(object.revision), object.stored.crc32c), (published.revision, Some(Checksum::Full(whole.crc32c))));
    assert_eq!(object.provenance, Some(attributes(size).provenance));
    assert_eq!(body(Sink::open(sink, &at).await.unwrap()).await, bytes);
    assert!(sink.uploads(BUCKET, &"large/".into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_key_and_its_bytes_come_back_from_the_peer() {
    let peer = peer();
    let keys =
        ["plain", "a//b", "a/../c", "./d", "sp ace+plus", "%41%2F?#&=", "照片/é", "tab\there", "'\"<>&;", "end/"];
    objects_come_back_as_they_were(&on_peer(&peer, Side::Destination), &on_peer(&peer, Side::Source), &keys).await;
}

#[tokio::test]
async fn conditions_and_multipart_hold_on_the_peer() {
    let peer = peer();
    let sink = on_peer(&peer, Side::Destination);
    conditions_hold(&sink).await;
    a_multipart_object_is_checked_as_a_whole(&sink).await;
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named_and_only_then() {
    let peer =
        S3Peer::start(sandbox::S3Options { tls: true, buckets: vec![BUCKET.into()], ..Default::default() }).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), peer.authority().unwrap().pem()).unwrap();
    let keys = || Fixed(S3Peer::ACCESS_ID, S3Peer::SECRET);
    let trusting = client(peer.endpoint(), Side::Destination, keys(), &[file.path().to_owned()]);
    conditions_hold(&trusting).await;
    let strict = client(peer.endpoint(), Side::Destination, keys(), &[]);
    let error = Sink::head(&strict, &Location::new(BUCKET, "k")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn wrong_keys_are_told_from_a_denied_object() {
    let peer = peer();
    let at = Location::new(BUCKET, "k");
    let wrong = client(peer.endpoint(), Side::Source, Fixed(S3Peer::ACCESS_ID, "wrong"), &[]);
    assert_eq!(Source::head(&wrong, &at, &Pin::Newest).await.unwrap_err().kind, ErrorKind::Credentials);
}

/// SeaweedFS merges `//`, refuses `..` and makes folders of keys that end in `/`: not asked of it.
#[tokio::test]
async fn a_foreign_server_takes_objects_conditions_and_multipart() {
    let seaweedfs = SeaweedFs::start(&[BUCKET]).await.unwrap();
    let (sink, source) = (on_weed(&seaweedfs, Side::Destination), on_weed(&seaweedfs, Side::Source));
    let keys = ["plain", "sp ace+plus", "%41%2F?#&=", "照片/é", "tab\there", "'\"<>&;"];
    objects_come_back_as_they_were(&sink, &source, &keys).await;
    conditions_hold(&sink).await;
    a_multipart_object_is_checked_as_a_whole(&sink).await;
}

#[tokio::test]
async fn tags_travel_with_an_object_on_seaweedfs() {
    let seaweedfs = SeaweedFs::start(&[BUCKET]).await.unwrap();
    let (sink, source) = (on_weed(&seaweedfs, Side::Destination), on_weed(&seaweedfs, Side::Source));
    let tags = "cost%20centre=7&team=a%26b";
    for (key, tags) in [("tagged", tags), ("plain", "")] {
        let metadata = Metadata { tags: Some(tags.to_owned()), ..Default::default() };
        let with = WriteAttributes { metadata, ..attributes(1) };
        sink.put(&Location::new(BUCKET, key), Payload::Whole(Bytes::from_static(b"x")), &with, &Expected::Any)
            .await
            .unwrap();
        let there = source.tags(&Location::new(BUCKET, key), None).await.unwrap();
        let mut there: Vec<&str> = there.split('&').filter(|pair| !pair.is_empty()).collect();
        there.sort_unstable();
        assert_eq!(there.join("&"), tags);
    }
}
