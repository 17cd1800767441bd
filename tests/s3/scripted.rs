//! The client against scripted answers: what it sends, and what it makes of answers that real servers seldom give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use sandbox::{Scripted, ScriptedPeer};
use skyferry_core::digest::{Checksum, DigestSelection, Digests};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, Revision, SourceIdentity, Token, UploadId};
use skyferry_core::store::{
    Chunks, CompletedPart, Metadata, Payload, Pin, Provenance, Result, Sink, Source, WriteAttributes,
};
use skyferry_providers::{Cached, Credentials, Grant, Provider, ProviderError, Secret};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

/// A new key pair at every load, so that a refused one can be distinguished from its successor.
struct Rotating(AtomicUsize);

#[async_trait::async_trait]
impl Provider for Rotating {
    fn describe(&self) -> String {
        "rotating".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let secret_access_key = Secret::new("SECRETSECRET");
        let grant = Grant::Keys { access_key_id: "AKID".into(), secret_access_key, session_token: None };
        Ok(Credentials { grant, region: None, expires: None })
    }
}

fn start(profile: &str, side: Side, answers: Vec<Scripted>) -> (ScriptedPeer, S3) {
    let peer = ScriptedPeer::in_order(answers).unwrap();
    let profile = S3Profile::named(profile).unwrap();
    let options = S3Options { profile, endpoint: Some(peer.endpoint()), request_payer: true, ..Default::default() };
    let transport = Transport::new(&TransportOptions { allow_http: true, ..Default::default() }).unwrap();
    let credentials = Cached::new(Rotating(AtomicUsize::new(0)));
    let s3 = S3::new(options, Arc::new(credentials), side, transport).unwrap();
    (peer, s3)
}

fn at() -> Location {
    Location::new("bucket", "a/../b c")
}

fn attributes(size: u64) -> WriteAttributes {
    let identity = SourceIdentity { etag: "e".into(), size, last_modified: 1_700_000_000, version: None };
    let user = [("owner", "照"), ("skyferry-token", "forged")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let metadata = Metadata { content_type: Some("text/plain".into()), user: user.into(), ..Default::default() };
    let provenance =
        Provenance {
            source: Location::new("photos", "照片"), identity, token: Token(7), crc32c: None, headers: None
        };
    WriteAttributes { metadata, provenance, size, options: Default::default() }
}

fn chunks(parts: &[&'static str]) -> Chunks {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from(*part))).collect::<Vec<Result<Bytes>>>()).boxed()
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().map(|error: CopyError| error.kind).unwrap()
}

#[tokio::test]
async fn a_pinned_read_asks_by_etag_and_refuses_a_state_that_only_looks_the_same() {
    let (peer, s3) =
        start("aws", Side::Source, vec![Scripted::object("\"e\"", "12345"), Scripted::object("\"e\"", "12345")]);
    let mut identity = SourceIdentity { etag: "e".into(), size: 5, last_modified: 1_700_000_000, version: None };
    let opened = Source::open(&s3, &at(), &Pin::State { identity: identity.clone(), by_version: true }, None).await;
    let body: Vec<Bytes> = opened.unwrap().unwrap().chunks.try_collect().await.unwrap();
    assert_eq!(body.concat(), b"12345");
    identity.last_modified += 1;
    let opened = Source::open(&s3, &at(), &Pin::State { identity, by_version: false }, None).await;
    assert_eq!(kind(opened.map(|_| ())), ErrorKind::SourceChanged);
    let seen = peer.received();
    assert_eq!(seen[0].headers["if-match"], "\"e\"");
    assert_eq!(seen[0].headers["x-amz-checksum-mode"], "ENABLED");
    assert_eq!(seen[0].headers["x-amz-request-payer"], "requester");
    assert_eq!(seen[0].target, "/bucket/a/../b%20c");
}

#[tokio::test]
async fn a_whole_body_goes_with_its_checksum_and_provenance_before_it() {
    let (peer, s3) = start("aws", Side::Destination, vec![Scripted::object("\"new\"", "")]);
    let expected = Expected::Revision(Revision("old".into()));
    let published = s3.put(&at(), Payload::Whole("123456789".into()), &attributes(9), &expected).await.unwrap();
    assert_eq!(published.revision, Some(Revision("new".into())));
    let seen = &peer.received()[0];
    for (name, value) in [
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("content-length", "9"),
        ("if-match", "\"old\""),
        ("content-type", "text/plain"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-meta-skyferry-token", "00000000000000000000000000000007"),
        ("x-amz-meta-owner", "=?UTF-8?B?54Wn?="),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
    assert!(seen.headers["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
}

#[tokio::test]
async fn a_streamed_body_goes_with_its_checksum_behind_it_where_the_dialect_knows_that() {
    for (profile, length, body) in [
        ("aws", "51", "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n"),
        ("aliyun-oss", "9", "123456789"),
    ] {
        let (peer, s3) = start(profile, Side::Destination, vec![Scripted::object("\"new\"", "")]);
        let payload = Payload::Stream { length: 9, chunks: chunks(&["1234", "56789"]), crc32c: None };
        s3.put(&at(), payload, &attributes(9), &Expected::Absent).await.unwrap();
        let seen = &peer.received()[0];
        assert_eq!((seen.headers["content-length"].to_str().unwrap(), &seen.body[..]), (length, body.as_bytes()));
        assert_eq!(seen.headers.contains_key("if-none-match"), profile == "aws");
    }
}

#[tokio::test]
async fn a_dialect_without_checksums_gets_the_md5_of_a_whole_body() {
    let (peer, s3) = start("generic", Side::Destination, vec![Scripted::object("\"new\"", "")]);
    s3.put(&at(), Payload::Whole("123456789".into()), &attributes(9), &Expected::Any).await.unwrap();
    let seen = &peer.received()[0];
    assert_eq!(seen.headers["content-md5"], "JfnnlDI7RTiF9RgfG2JNCw==");
    assert!(!seen.headers.contains_key("x-amz-checksum-crc32c"));
}

#[tokio::test]
async fn an_empty_object_is_put_with_its_length() {
    let (peer, s3) =
        start("aws", Side::Destination, vec![Scripted::object("\"new\"", ""), Scripted::object("\"new\"", "")]);
    s3.put(&at(), Payload::Whole(Bytes::new()), &attributes(0), &Expected::Any).await.unwrap();
    s3.put(&at(), Payload::Stream { length: 0, chunks: chunks(&[]), crc32c: None }, &attributes(0), &Expected::Any)
        .await
        .unwrap();
    assert!(peer.received().iter().all(|seen| seen.headers["content-length"] == "0"));
}

#[tokio::test]
async fn an_upload_is_begun_and_ended_with_one_checksum_of_the_whole() {
    let begun =
        Scripted::new(200, "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>");
    let ended = Scripted::new(
        200,
        "<CompleteMultipartUploadResult><ETag>\"e-1\"</ETag><ChecksumCRC32C>4waSgw==</ChecksumCRC32C>\
         <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>",
    );
    let (peer, s3) = start("aws-cn", Side::Destination, vec![begun, Scripted::object("\"p1\"", ""), ended]);
    let upload = s3.begin(&at(), &attributes(9)).await.unwrap();
    let part = s3.part(&at(), &upload, 1, Payload::Whole("123456789".into())).await.unwrap();
    assert_eq!((part.size, &*part.etag), (9, "p1"));
    let whole = Digests::of(b"123456789", DigestSelection::default());
    let parts = [CompletedPart { number: 1, etag: part.etag, crc32c: whole.crc32c }];
    let published = s3.finish(&at(), &upload, &parts, &whole, &Expected::Absent).await.unwrap();
    assert_eq!(published.stored.crc32c, Some(Checksum::Full(whole.crc32c)));
    let seen = peer.received();
    assert_eq!((&seen[0].method, seen[0].headers["content-length"].to_str().unwrap()), (&Method::POST, "0"));
    assert_eq!(seen[0].headers["x-amz-checksum-type"], "FULL_OBJECT");
    assert_eq!(seen[1].target, "/bucket/a/../b%20c?partNumber=1&uploadId=u%2F1");
    assert_eq!(seen[2].headers["x-amz-mp-object-size"], "9");
    assert_eq!(seen[2].headers["x-amz-checksum-crc32c"], "4waSgw==");
    assert_eq!(seen[2].headers["if-none-match"], "*");
}

#[tokio::test]
async fn writes_are_sent_once_and_an_unclear_end_is_a_lost_answer() {
    let (upload, whole) = (UploadId("u".into()), Digests::of(b"", DigestSelection::default()));
    for (answer, expected) in [
        (Scripted::error(200, "InternalError"), ErrorKind::LostAnswer),
        (Scripted::error(500, "InternalError"), ErrorKind::LostAnswer),
        (Scripted::new(200, "<Compl"), ErrorKind::LostAnswer),
        (Scripted::error(409, "ConditionalRequestConflict"), ErrorKind::Precondition),
        (Scripted::new(200, ""), ErrorKind::LostAnswer),
        (Scripted::new(200, "<html/>"), ErrorKind::LostAnswer),
        (Scripted::error(404, "NoSuchUpload"), ErrorKind::UploadGone),
    ] {
        let (peer, s3) = start("aws", Side::Destination, vec![answer]);
        assert_eq!(kind(s3.finish(&at(), &upload, &[], &whole, &Expected::Absent).await), expected);
        let sent = peer.received().into_iter().filter(|request| request.method == Method::POST);
        assert_eq!(sent.count(), 1);
    }
}

#[tokio::test]
async fn fault_a2_a_source_object_is_gone_only_when_a_listing_shows_it_neither() {
    let at = at();
    for (answers, expected) in [
        (vec![Scripted::new(404, ""), Scripted::listing(&[])], Ok(false)),
        (vec![Scripted::new(404, ""), Scripted::listing(&[("a/../b c", 5)])], Err(ErrorKind::InvalidAnswer)),
        (vec![Scripted::new(404, ""), Scripted::listing(&[("a/../b c/d", 5)])], Ok(false)),
        (vec![Scripted::new(404, ""), Scripted::error(404, "NoSuchBucket")], Err(ErrorKind::BucketMissing)),
        // Who may not list believes the GET.
        (
            vec![Scripted::new(404, ""), Scripted::error(403, "AccessDenied"), Scripted::error(404, "NoSuchKey")],
            Ok(false),
        ),
        (vec![Scripted::new(403, ""), Scripted::error(403, "AccessDenied")], Err(ErrorKind::Denied)),
        (vec![Scripted::new(403, ""), Scripted::object("\"e\"", "12345")], Ok(true)),
    ] {
        let count = answers.len();
        let (peer, s3) = start("aws", Side::Source, answers);
        let found = Source::head(&s3, &at, &Pin::Newest).await;
        let found = found.map(|object| object.is_some()).map_err(|error| error.kind);
        assert_eq!((found, peer.received().len()), (expected, count));
    }
    for (answers, expected) in [
        (vec![Scripted::error(404, "NoSuchKey"), Scripted::listing(&[])], Ok(false)),
        (vec![Scripted::error(404, "NoSuchKey"), Scripted::listing(&[("a/../b c", 5)])], Err(ErrorKind::InvalidAnswer)),
        (vec![Scripted::error(404, "NoSuchKey"), Scripted::error(403, "AccessDenied")], Ok(false)),
    ] {
        let (_peer, s3) = start("aws", Side::Source, answers);
        let opened = Source::open(&s3, &at, &Pin::Newest, None).await;
        assert_eq!(opened.map(|opened| opened.is_some()).map_err(|error| error.kind), expected);
    }
}

#[tokio::test]
async fn a_destination_s_404_is_believed_as_a_write_follows() {
    let (peer, s3) = start("aws", Side::Destination, vec![Scripted::new(404, "")]);
    assert!(Sink::head(&s3, &at()).await.unwrap().is_none());
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_read_is_tried_again_after_a_passing_failure() {
    let answers = vec![Scripted::error(503, "SlowDown"), Scripted::new(502, ""), Scripted::object("\"e\"", "12345")];
    let (peer, s3) = start("aws", Side::Source, answers);
    assert!(Source::open(&s3, &at(), &Pin::Newest, None).await.unwrap().is_some());
    assert_eq!(peer.received().len(), 3);
}

#[tokio::test]
async fn a_part_s_checksum_is_not_taken_for_the_object_s() {
    let answer = Scripted::object("\"e-3\"", "12345").header("content-range", "bytes 0-4/15");
    let answer = answer.header("x-amz-checksum-crc32c", "4waSgw==");
    let (peer, s3) = start("aws", Side::Source, vec![answer]);
    let opened = Source::open(&s3, &at(), &Pin::Newest, Some(0..5)).await.unwrap().unwrap();
    assert_eq!((opened.length, opened.object.identity.size), (5, 15));
    assert_eq!(opened.object.stored.crc32c, None);
    assert_eq!(peer.received()[0].headers["range"], "bytes=0-4");
}

#[tokio::test]
async fn an_answer_never_leads_to_another_endpoint_than_the_settings_name() {
    let moved =
        Scripted::new(301, "").header("x-amz-bucket-region", "eu-west-1").header("location", "http://evil.example/");
    let (peer, s3) = start("aws", Side::Source, vec![moved]);
    let error = Source::open(&s3, &at(), &Pin::Newest, None).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::WrongRegion);
    assert!(error.answer.contains("eu-west-1"), "{error}");
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn keys_that_s3_cannot_have_are_never_sent() {
    let (peer, s3) = start("aws", Side::Destination, vec![]);
    for key in [&b""[..], b"a\xff"] {
        let at = Location::new("bucket", Key::new(key.to_vec()));
        assert_eq!(kind(s3.delete(&at, &Expected::Any).await), ErrorKind::CannotHold);
    }
    assert!(peer.received().is_empty(), "an empty key would name the bucket itself");
}

#[tokio::test]
async fn deleting_what_is_gone_is_no_error_and_what_changed_is() {
    let expected = Expected::Revision(Revision("e".into()));
    let gone = || Scripted::error(404, "NoSuchKey");
    for (answers, outcome) in [
        (vec![Scripted::new(204, "")], Ok(())),
        (vec![gone(), Scripted::new(404, ""), Scripted::listing(&[])], Ok(())),
        (vec![gone(), Scripted::object("\"e\"", "12345")], Err(ErrorKind::InvalidAnswer)),
        (vec![gone(), Scripted::new(404, ""), Scripted::listing(&[("a/../b c", 5)])], Err(ErrorKind::InvalidAnswer)),
        (vec![Scripted::error(412, "PreconditionFailed")], Err(ErrorKind::Precondition)),
    ] {
        let (peer, s3) = start("aws", Side::Destination, answers);
        assert_eq!(s3.delete(&at(), &expected).await.map_err(|error| error.kind), outcome);
        assert_eq!(peer.received()[0].headers["if-match"], "\"e\"");
    }
}

#[tokio::test]
async fn no_secret_is_in_an_error_or_in_debug() {
    let (_peer, s3) = start("aws", Side::Source, vec![Scripted::error(403, "SignatureDoesNotMatch")]);
    let error = Source::open(&s3, &at(), &Pin::Newest, None).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    assert!(!format!("{error} {error:?} {s3:?}").contains("SECRETSECRET"));
}
