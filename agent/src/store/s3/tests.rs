//! The client against a scripted peer: what it sends, and what it makes of answers that real servers seldom give.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use skyferry_providers::{Credentials, Grant, Provider, ProviderError, Secret};

use super::*;
use crate::digest::{Select, Sum};
use crate::error::{CopyError, Kind};
use crate::object::{Revision, SourceIdentity, Token};
use crate::store::http::TransportOptions;
use crate::store::{Chunks, Metadata, Provenance};

/// A new key pair at every load, so that a refused one can be told from its successor.
struct Rotating(AtomicUsize, String, String);

#[async_trait]
impl Provider for Rotating {
    fn describe(&self) -> String {
        "rotating".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let grant = Grant::Keys {
            access_key_id: self.1.clone(),
            secret_access_key: Secret::new(self.2.clone()),
            session_token: None,
        };
        Ok(Credentials { grant, region: None, expires: None })
    }
}

fn store(endpoint: &str, profile: &str, side: Side, pair: (&str, &str)) -> S3 {
    let options = S3Options {
        profile: Profile::named(profile).unwrap(),
        endpoint: Some(endpoint.to_owned()),
        request_payer: true,
        ..Default::default()
    };
    let credentials = Cached::new(Rotating(AtomicUsize::new(0), pair.0.to_owned(), pair.1.to_owned()));
    let transport =
        Transport::new(&TransportOptions { allow_http: true, ..Default::default() }.with_environment()).unwrap();
    S3::new(options, Arc::new(credentials), side, transport).unwrap()
}

struct Seen {
    method: Method,
    uri: String,
    headers: http::HeaderMap,
    body: Bytes,
}

/// Answers in order; keeps what came.
struct Peer {
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<VecDeque<Response<Full<Bytes>>>>,
}

impl Peer {
    async fn start(profile: &str, side: Side, answers: Vec<Response<Full<Bytes>>>) -> (Arc<Peer>, S3) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let peer = Arc::new(Peer { seen: Mutex::default(), answers: Mutex::new(answers.into()) });
        let serving = peer.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let peer = serving.clone();
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let peer = peer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let (method, uri, headers) = (head.method, head.uri.to_string(), head.headers);
                        peer.seen.lock().unwrap().push(Seen { method, uri, headers, body });
                        let answer = peer.answers.lock().unwrap().pop_front();
                        Ok::<_, hyper::Error>(answer.unwrap_or_else(|| answer_of(500, &[], "")))
                    }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service);
                tokio::spawn(connection);
            }
        });
        (peer, store(&endpoint, profile, side, ("AKID", "SECRETSECRET")))
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn answer_of(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

const MODIFIED: (&str, &str) = ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT");

fn object_of(etag: &str, body: &str) -> Response<Full<Bytes>> {
    answer_of(200, &[("etag", etag), MODIFIED], body)
}

fn refusal_of(status: u16, code: &str) -> Response<Full<Bytes>> {
    answer_of(status, &[], &format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}

fn at() -> Location {
    Location::new("bucket", "a/../b c")
}

fn attributes(size: u64) -> Attributes {
    let identity = SourceIdentity { etag: "e".into(), size, last_modified: 1_700_000_000, version: None };
    let user = [("owner", "照"), ("skyferry-token", "forged")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let metadata = Metadata { content_type: Some("text/plain".into()), user: user.into(), ..Default::default() };
    let provenance = Provenance { source: Location::new("photos", "照片"), identity, token: Token(7), crc32c: None };
    Attributes { metadata, provenance, size }
}

fn chunks(parts: &[&'static str]) -> Chunks {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from(*part))).collect::<Vec<Result<Bytes>>>()).boxed()
}

fn kind<T>(result: Result<T>) -> Kind {
    result.err().map(|error: CopyError| error.kind).unwrap()
}

#[tokio::test]
async fn a_pinned_read_asks_by_etag_and_refuses_a_state_that_only_looks_the_same() {
    let (peer, s3) =
        Peer::start("aws", Side::Source, vec![object_of("\"e\"", "12345"), object_of("\"e\"", "12345")]).await;
    let mut identity = SourceIdentity { etag: "e".into(), size: 5, last_modified: 1_700_000_000, version: None };
    let opened = s3.open_pinned(&at(), &Pin::State { identity: identity.clone(), by_version: true }, None).await;
    let body: Vec<Bytes> = opened.unwrap().unwrap().chunks.try_collect().await.unwrap();
    assert_eq!(body.concat(), b"12345");
    identity.last_modified += 1;
    let opened = s3.open_pinned(&at(), &Pin::State { identity, by_version: false }, None).await;
    assert_eq!(kind(opened.map(|_| ())), Kind::SourceChanged);
    let seen = peer.seen();
    assert_eq!(seen[0].headers["if-match"], "\"e\"");
    assert_eq!(seen[0].headers["x-amz-checksum-mode"], "ENABLED");
    assert_eq!(seen[0].headers["x-amz-request-payer"], "requester");
    assert_eq!(seen[0].uri, "/bucket/a/../b%20c");
}

#[tokio::test]
async fn a_whole_body_goes_with_its_checksum_and_provenance_before_it() {
    let (peer, s3) = Peer::start("aws", Side::Destination, vec![object_of("\"new\"", "")]).await;
    let expected = Expected::Revision(Revision("old".into()));
    let published = s3.put(&at(), Payload::Whole("123456789".into()), &attributes(9), &expected).await.unwrap();
    assert_eq!(published.revision, Some(Revision("new".into())));
    let seen = &peer.seen()[0];
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
        let (peer, s3) = Peer::start(profile, Side::Destination, vec![object_of("\"new\"", "")]).await;
        let payload = Payload::Stream { length: 9, chunks: chunks(&["1234", "56789"]) };
        s3.put(&at(), payload, &attributes(9), &Expected::Absent).await.unwrap();
        let seen = &peer.seen()[0];
        assert_eq!((seen.headers["content-length"].to_str().unwrap(), &seen.body[..]), (length, body.as_bytes()));
        assert_eq!(seen.headers.contains_key("if-none-match"), profile == "aws");
    }
}

#[tokio::test]
async fn a_dialect_without_checksums_gets_the_md5_of_a_whole_body() {
    let (peer, s3) = Peer::start("generic", Side::Destination, vec![object_of("\"new\"", "")]).await;
    s3.put(&at(), Payload::Whole("123456789".into()), &attributes(9), &Expected::Any).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.headers["content-md5"], "JfnnlDI7RTiF9RgfG2JNCw==");
    assert!(!seen.headers.contains_key("x-amz-checksum-crc32c"));
}

#[tokio::test]
async fn an_empty_object_is_put_with_its_length() {
    let (peer, s3) =
        Peer::start("aws", Side::Destination, vec![object_of("\"new\"", ""), object_of("\"new\"", "")]).await;
    s3.put(&at(), Payload::Whole(Bytes::new()), &attributes(0), &Expected::Any).await.unwrap();
    s3.put(&at(), Payload::Stream { length: 0, chunks: chunks(&[]) }, &attributes(0), &Expected::Any).await.unwrap();
    assert!(peer.seen().iter().all(|seen| seen.headers["content-length"] == "0"));
}

#[tokio::test]
async fn an_upload_is_begun_and_ended_with_one_checksum_of_the_whole() {
    let begun =
        answer_of(200, &[], "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>");
    let ended = answer_of(
        200,
        &[],
        "<CompleteMultipartUploadResult><ETag>\"e-1\"</ETag><ChecksumCRC32C>4waSgw==</ChecksumCRC32C>\
         <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>",
    );
    let (peer, s3) = Peer::start("aws-cn", Side::Destination, vec![begun, object_of("\"p1\"", ""), ended]).await;
    let upload = s3.begin(&at(), &attributes(9)).await.unwrap();
    let part = s3.part(&at(), &upload, 1, Payload::Whole("123456789".into())).await.unwrap();
    assert_eq!((part.size, &*part.etag), (9, "p1"));
    let whole = Digests::of(b"123456789", Select::default());
    let parts = [FinishedPart { number: 1, etag: part.etag, crc32c: whole.crc32c }];
    let published = s3.finish(&at(), &upload, &parts, &whole, &Expected::Absent).await.unwrap();
    assert_eq!(published.stored.crc32c, Some(Sum::Full(whole.crc32c)));
    let seen = peer.seen();
    assert_eq!((&seen[0].method, seen[0].headers["content-length"].to_str().unwrap()), (&Method::POST, "0"));
    assert_eq!(seen[0].headers["x-amz-checksum-type"], "FULL_OBJECT");
    assert_eq!(seen[1].uri, "/bucket/a/../b%20c?partNumber=1&uploadId=u%2F1");
    assert_eq!(seen[2].headers["x-amz-mp-object-size"], "9");
    assert_eq!(seen[2].headers["x-amz-checksum-crc32c"], "4waSgw==");
    assert_eq!(seen[2].headers["if-none-match"], "*");
}

#[tokio::test]
async fn writes_are_sent_once_and_an_unclear_end_is_a_lost_answer() {
    let (upload, whole) = (UploadId("u".into()), Digests::of(b"", Select::default()));
    for (answer, expected) in [
        (refusal_of(200, "InternalError"), Kind::LostAnswer),
        (refusal_of(500, "InternalError"), Kind::LostAnswer),
        (answer_of(200, &[], "<Compl"), Kind::LostAnswer),
        (refusal_of(409, "ConditionalRequestConflict"), Kind::Precondition),
        (refusal_of(404, "NoSuchUpload"), Kind::UploadGone),
    ] {
        let (peer, s3) = Peer::start("aws", Side::Destination, vec![answer]).await;
        assert_eq!(kind(s3.finish(&at(), &upload, &[], &whole, &Expected::Absent).await), expected);
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_head_without_an_answer_s_reason_asks_by_get() {
    for (status, code, side, requests, expected) in [
        (404, "NoSuchKey", Side::Source, 2, Ok(false)),
        (404, "NoSuchBucket", Side::Source, 2, Err(Kind::BucketMissing)),
        (404, "NoSuchBucket", Side::Destination, 1, Ok(false)),
        (403, "AccessDenied", Side::Destination, 2, Err(Kind::Denied)),
    ] {
        let (peer, s3) = Peer::start("aws", side, vec![answer_of(status, &[], ""), refusal_of(status, code)]).await;
        let found = s3.head_pinned(&at(), &Pin::Newest).await;
        assert_eq!(found.map(|object| object.is_some()).map_err(|error| error.kind), expected, "{code}");
        assert_eq!(peer.seen().len(), requests);
    }
}

#[tokio::test]
async fn a_read_is_tried_again_after_a_passing_failure() {
    let answers = vec![refusal_of(503, "SlowDown"), answer_of(502, &[], ""), object_of("\"e\"", "12345")];
    let (peer, s3) = Peer::start("aws", Side::Source, answers).await;
    assert!(s3.open_pinned(&at(), &Pin::Newest, None).await.unwrap().is_some());
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn a_part_s_checksum_is_not_taken_for_the_object_s() {
    let headers =
        [("etag", "\"e-3\""), MODIFIED, ("content-range", "bytes 0-4/15"), ("x-amz-checksum-crc32c", "4waSgw==")];
    let (peer, s3) = Peer::start("aws", Side::Source, vec![answer_of(206, &headers, "12345")]).await;
    let opened = s3.open_pinned(&at(), &Pin::Newest, Some(0..5)).await.unwrap().unwrap();
    assert_eq!((opened.length, opened.object.identity.size), (5, 15));
    assert_eq!(opened.object.stored.crc32c, None);
    assert_eq!(peer.seen()[0].headers["range"], "bytes=0-4");
}

#[tokio::test]
async fn an_answer_never_leads_to_another_endpoint_than_the_settings_name() {
    let moved = answer_of(301, &[("x-amz-bucket-region", "eu-west-1"), ("location", "http://evil.example/")], "");
    let (peer, s3) = Peer::start("aws", Side::Source, vec![moved]).await;
    let error = s3.open_pinned(&at(), &Pin::Newest, None).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind, Kind::WrongRegion);
    assert!(error.answer.contains("eu-west-1"), "{error}");
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn keys_that_s3_cannot_have_are_never_sent() {
    let (peer, s3) = Peer::start("aws", Side::Destination, vec![]).await;
    for key in [&b""[..], b"a\xff"] {
        let at = Location::new("bucket", Key::new(key.to_vec()));
        assert_eq!(kind(s3.delete(&at, &Expected::Any).await), Kind::CannotHold);
    }
    assert!(peer.seen().is_empty(), "an empty key would name the bucket itself");
}

#[tokio::test]
async fn deleting_what_is_gone_is_no_error_and_what_changed_is() {
    let expected = Expected::Revision(Revision("e".into()));
    for (answer, outcome) in [
        (answer_of(204, &[], ""), Ok(())),
        (refusal_of(404, "NoSuchKey"), Ok(())),
        (refusal_of(412, "PreconditionFailed"), Err(Kind::Precondition)),
    ] {
        let (peer, s3) = Peer::start("aws", Side::Destination, vec![answer]).await;
        assert_eq!(s3.delete(&at(), &expected).await.map_err(|error| error.kind), outcome);
        assert_eq!(peer.seen()[0].headers["if-match"], "\"e\"");
    }
}

#[tokio::test]
async fn no_secret_is_in_an_error_or_in_debug() {
    let (_peer, s3) = Peer::start("aws", Side::Source, vec![refusal_of(403, "SignatureDoesNotMatch")]).await;
    let error = s3.open_pinned(&at(), &Pin::Newest, None).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind, Kind::Credentials);
    assert!(!format!("{error} {error:?} {s3:?}").contains("SECRETSECRET"));
}
