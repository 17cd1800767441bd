//! The client against a real server, by hand:
//!
//!     SKYFERRY_TEST_S3=http://127.0.0.1:8333 SKYFERRY_TEST_S3_KEYS=ACCESS:SECRET \
//!         cargo test -p skyferry-agent --lib store::s3::live -- --ignored --nocapture

use futures_util::TryStreamExt;
use http::Method;

use super::tests::{attributes, chunks, store};
use super::*;
use crate::digest::{Combiner, Select, Sum};
use crate::error::Kind;
use crate::object::Revision;

fn client(side: Side) -> S3 {
    let endpoint = std::env::var("SKYFERRY_TEST_S3").expect("SKYFERRY_TEST_S3 names the server");
    let keys = std::env::var("SKYFERRY_TEST_S3_KEYS").expect("SKYFERRY_TEST_S3_KEYS=ACCESS:SECRET");
    let profile = std::env::var("SKYFERRY_TEST_S3_PROFILE").unwrap_or("aws-cn".into());
    let mut s3 = store(&endpoint, &profile, side, keys.split_once(':').expect("ACCESS:SECRET"));
    s3.options.request_payer = false;
    s3
}

async fn new_bucket(s3: &S3) -> String {
    let bucket = format!("skyferry-{:016x}", rand::random::<u64>());
    let create = s3.bucket(Method::PUT, "CreateBucket", &Location::new(bucket.as_str(), ""));
    s3.send(create).await.unwrap();
    bucket
}

async fn body(opened: Option<Opened>) -> Vec<u8> {
    opened.unwrap().chunks.try_collect::<Vec<_>>().await.unwrap().concat()
}

const KEYS: [&str; 10] =
    ["plain", "a//b", "a/../c", "./d", "sp ace+plus", "%41%2F?#&=", "照片/é", "tab\there", "'\"<>&;", "end"];

#[tokio::test]
#[ignore = "needs an S3 server"]
async fn keys_metadata_and_bytes_come_back_as_they_were() {
    let (sink, source) = (client(Side::Destination), client(Side::Source));
    let bucket = new_bucket(&sink).await;
    for key in KEYS {
        let at = Location::new(bucket.as_str(), key);
        for payload in
            [Payload::Whole("123456789".into()), Payload::Stream { length: 9, chunks: chunks(&["1234", "56789"]) }]
        {
            let kind = if matches!(payload, Payload::Whole(_)) { "whole" } else { "stream" };
            let mut with = attributes(9);
            with.metadata.content_encoding = Some("identity".into());
            let published = match sink.put(&at, payload, &with, &Expected::Any).await {
                Ok(published) => published,
                Err(error) => {
                    eprintln!("{kind} {key:?}: {error}");
                    continue;
                }
            };
            let object = source.head_pinned(&at, &Pin::Newest).await.unwrap().unwrap_or_else(|| panic!("{key}"));
            assert!(published.stored.crc32c.is_none_or(|sum| sum == Sum::Full(0xe306_9283)), "{:?}", published.stored);
            assert_eq!(object.stored.crc32c, published.stored.crc32c);
            assert_eq!(object.revision, published.revision);
            assert_eq!(object.provenance.as_ref(), Some(&with.provenance), "{key}");
            assert_eq!(object.metadata.content_type.as_deref(), Some("text/plain"));
            assert_eq!(object.metadata.content_encoding.as_deref(), Some("identity"));
            let pin = Pin::State { identity: object.identity, by_version: false };
            assert_eq!(body(source.open_pinned(&at, &pin, None).await.unwrap()).await, b"123456789");
            assert_eq!(body(source.open_pinned(&at, &pin, Some(2..5)).await.unwrap()).await, b"345");
        }
    }
    let mut keys = Vec::new();
    let mut from = None::<String>;
    loop {
        let at = from.as_deref().map_or(ListFrom::Start, ListFrom::Token);
        let page = source.list_page(&bucket, &"".into(), at).await.unwrap();
        keys.extend(page.objects.iter().map(|row| row.key.to_string()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    eprintln!("listed {keys:?}");
    let after = source.list_page(&bucket, &"a/".into(), ListFrom::After(&"a/../c".into())).await.unwrap();
    eprintln!("a/ after a/../c: {:?}", after.objects.iter().map(|row| row.key.to_string()).collect::<Vec<_>>());
    let nothing = Location::new(bucket.as_str(), "nothing");
    assert!(source.head_pinned(&nothing, &Pin::Newest).await.unwrap().is_none());
    assert!(source.open_pinned(&nothing, &Pin::Newest, None).await.unwrap().is_none());
    let nowhere = Location::new("skyferry-no-such-bucket", "k");
    let error = source.head_pinned(&nowhere, &Pin::Newest).await.unwrap_err();
    assert_eq!(error.kind, Kind::BucketMissing, "{error}");
}

#[tokio::test]
#[ignore = "needs an S3 server"]
async fn conditions_hold() {
    let sink = client(Side::Destination);
    let at = Location::new(new_bucket(&sink).await.as_str(), "k");
    let put = |text: &'static str, expected: Expected| {
        let (sink, at) = (&sink, &at);
        async move { sink.put(at, Payload::Whole(text.into()), &attributes(text.len() as u64), &expected).await }
    };
    let first = put("first", Expected::Absent).await.unwrap().revision;
    assert_eq!(put("second", Expected::Absent).await.unwrap_err().kind, Kind::Precondition);
    let other = Expected::Revision(Revision("9b2cf535f27731c974343645a3985328".into()));
    assert_eq!(put("third", other.clone()).await.unwrap_err().kind, Kind::Precondition);
    put("fourth", Expected::Revision(first)).await.unwrap();
    assert_eq!(sink.delete(&at, &other).await.unwrap_err().kind, Kind::Precondition);
    sink.delete(&at, &Expected::Any).await.unwrap();
    sink.delete(&at, &Expected::Any).await.unwrap();
    assert_eq!(put("fifth", other).await.unwrap_err().kind, Kind::Precondition);
}

#[tokio::test]
#[ignore = "needs an S3 server"]
async fn a_multipart_upload_is_listed_resumed_and_checked_as_a_whole() {
    let sink = client(Side::Destination);
    let bucket = new_bucket(&sink).await;
    let at = Location::new(bucket.as_str(), "large/照 片");
    let size = (5 << 20) + 7;
    let bytes: bytes::Bytes = (0..size).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into();
    let upload = sink.begin(&at, &attributes(size as u64)).await.unwrap();
    let abandoned = sink.begin(&at, &attributes(size as u64)).await.unwrap();
    let (mut parts, mut whole) = (Vec::new(), Combiner::new());
    for (number, range) in [(2, 5 << 20..size), (1, 0..5 << 20)] {
        let slice = bytes.slice(range.clone());
        let digests = Digests::of(&slice, Select::default());
        let length = slice.len() as u64;
        let stream = Box::pin(futures_util::stream::iter([Ok(slice)]));
        let part = sink.part(&at, &upload, number, Payload::Stream { length, chunks: stream }).await.unwrap();
        whole.insert(range.start as u64, digests).unwrap();
        parts.push(FinishedPart { number, etag: part.etag, crc32c: digests.crc32c });
    }
    parts.sort_by_key(|part| part.number);
    let listed: Vec<_> = sink.parts(&at, &upload).await.unwrap().unwrap().iter().map(|p| (p.number, p.size)).collect();
    assert_eq!(listed, [(1, 5 << 20), (2, 7)]);
    let open = sink.uploads(&bucket, &"large/".into()).await.unwrap();
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(open.iter().all(|open| open.key == at.key), "{open:?}");
    sink.abort(&at, &abandoned).await.unwrap();
    sink.abort(&at, &abandoned).await.unwrap();
    assert_eq!(sink.parts(&at, &abandoned).await.unwrap(), None);
    let gone = sink.part(&at, &abandoned, 1, Payload::Whole("x".into())).await;
    assert_eq!(gone.unwrap_err().kind, Kind::UploadGone);
    let whole = whole.whole(size as u64).unwrap();
    let wrong = Digests { crc32c: !whole.crc32c, ..whole };
    let refused = sink.finish(&at, &upload, &parts, &wrong, &Expected::Absent).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Corrupt);
    let published = sink.finish(&at, &upload, &parts, &whole, &Expected::Absent).await.unwrap();
    assert_eq!(published.stored.crc32c, Some(Sum::Full(whole.crc32c)));
    let object = Sink::head(&sink, &at).await.unwrap().unwrap();
    assert_eq!(object.stored.crc32c, Some(Sum::Full(whole.crc32c)));
    assert_eq!(object.revision, published.revision);
    assert_eq!(body(Sink::open(&sink, &at).await.unwrap()).await, bytes);
    assert!(sink.uploads(&bucket, &"large/".into()).await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs an S3 server"]
async fn a_wrong_body_is_refused_before_it_is_published() {
    let sink = client(Side::Destination);
    let at = Location::new(new_bucket(&sink).await.as_str(), "k");
    let mut put = sink.object(Method::PUT, "PutObject", &at, refusal::Asked::Publish { conditional: false }).unwrap();
    put.header(http::HeaderName::from_static("x-amz-checksum-crc32c"), "AAAAAA==").unwrap();
    put.payload = Some(Payload::Whole("123456789".into()));
    assert_eq!(sink.send(put).await.map(|_| ()).unwrap_err().kind, Kind::Corrupt);
    assert!(Sink::head(&sink, &at).await.unwrap().is_none());
    let broken = chunks(&["1234"]);
    let error = sink.put(&at, Payload::Stream { length: 9, chunks: broken }, &attributes(9), &Expected::Any).await;
    assert_eq!(error.unwrap_err().kind, Kind::Corrupt);
}
