//! What an answer is taken for, on both services: an odd one is never a success, an absence or the end of a listing.

use std::sync::Arc;

use bytes::Bytes;
use fixture::PeerKeys;
use futures_util::TryStreamExt;
use sandbox::{Received, Scripted, ScriptedPeer};
use skyferry_core::digest::{DigestSelection, Digests};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, Revision, SourceIdentity, Token, UploadId};
use skyferry_core::store::{
    CompletedPart, ListFrom, Metadata, Object, Payload, Pin, Provenance, Sink, Source, WriteAttributes, WriteResult,
};
use skyferry_providers::Cached;
use skyferry_stores::gcs::{Gcs, GcsOptions};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

fn s3(endpoint: String, profile: &str) -> S3 {
    let profile = S3Profile::named(profile).expect("a profile");
    let options = S3Options { profile, endpoint: Some(endpoint), ..Default::default() };
    S3::new(options, Arc::new(Cached::new(PeerKeys::new("AKID", "secret"))), Side::Source, transport())
        .expect("a client")
}

fn gcs(endpoint: String) -> Gcs {
    let options = GcsOptions { endpoint: Some(endpoint) };
    Gcs::new(&options, Arc::new(Cached::new(PeerKeys::new("AKID", "secret"))), Side::Source, transport())
        .expect("a client")
}

fn transport() -> Transport {
    Transport::new(&TransportOptions { allow_http: true, ..Default::default() }).expect("a transport")
}

/// A service's name, and a client for either end.
type Client = (&'static str, Box<dyn Source>, Box<dyn Sink>);

/// Both services at one peer.
fn both(peer: &ScriptedPeer) -> [Client; 2] {
    let at = || peer.endpoint();
    [("s3", Box::new(s3(at(), "aws")), Box::new(s3(at(), "aws"))), ("gcs", Box::new(gcs(at())), Box::new(gcs(at())))]
}

fn always(answer: Scripted) -> ScriptedPeer {
    ScriptedPeer::by(move |_| answer.clone()).expect("a peer")
}

/// By the method and what the target contains; the first that fits.
fn by(rules: Vec<(&'static str, &'static str, Scripted)>) -> ScriptedPeer {
    let rule = move |request: &Received| {
        let fits =
            |(method, part, _): &&(&str, &str, Scripted)| request.method == *method && request.target.contains(part);
        rules.iter().find(fits).map_or(Scripted::new(500, ""), |(_, _, answer)| answer.clone())
    };
    ScriptedPeer::by(rule).expect("a peer")
}

fn at() -> Location {
    Location::new("bucket", "k")
}

fn attributes(metadata: Metadata) -> WriteAttributes {
    let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
    let source = Location::new("photos", "k");
    WriteAttributes {
        metadata,
        provenance: Provenance { source, identity, token: Token(7), crc32c: None, headers: None },
        size: 3,
        options: Default::default(),
    }
}

async fn put(sink: &dyn Sink, metadata: Metadata, expected: &Expected) -> Result<WriteResult, CopyError> {
    sink.put(&at(), Payload::Whole("abc".into()), &attributes(metadata), expected).await
}

fn kind<T>(result: Result<T, CopyError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

/// A GCS object has its generation beside what S3 shows.
fn object(etag: &str, body: &str) -> Scripted {
    Scripted::object(etag, body).header("x-goog-generation", "7")
}

const ODD: [&str; 5] = [
    "<html><body>Bad day</body></html>",
    "<LocationConstraint/>",
    "",
    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>",
    "{\"error\":{\"code\":503}}",
];

#[tokio::test]
async fn fault_a1_what_is_no_listing_is_never_an_empty_one_nor_the_end_of_one() {
    let each = ODD.map(|body| async move {
        let peer = always(Scripted::new(200, body));
        for (service, source, sink) in both(&peer) {
            for from in [ListFrom::Start, ListFrom::Token("00000000t")] {
                let listed = source.list("bucket", &Key::default(), from).await;
                assert_eq!(kind(listed), Some(ErrorKind::InvalidAnswer), "{service}: {body}");
                assert_eq!(peer.received().len(), 3, "tried again: {body}");
            }
            assert_eq!(
                kind(sink.uploads("bucket", &Key::default()).await),
                Some(ErrorKind::InvalidAnswer),
                "{service}: {body}"
            );
            let upload = UploadId("u".into());
            assert_eq!(kind(sink.parts(&at(), &upload).await), Some(ErrorKind::InvalidAnswer), "{service}: {body}");
            assert_eq!(
                kind(sink.begin(&at(), &attributes(Metadata::default())).await),
                Some(ErrorKind::InvalidAnswer),
                "{body}"
            );
            peer.received();
        }
    });
    futures_util::future::join_all(each).await;
    for (code, expected) in [("SlowDown", ErrorKind::Throttled), ("SomethingNew", ErrorKind::Unavailable)] {
        let peer = always(Scripted::error(200, code));
        for (service, source, _) in both(&peer) {
            let listed = source.list("bucket", &Key::default(), ListFrom::Start).await;
            assert_eq!(kind(listed), Some(expected), "{service}: {code}");
        }
    }
}

#[tokio::test]
async fn fault_a1_an_error_or_a_page_in_place_of_a_write_s_answer_is_no_success() {
    let (upload, small) = (UploadId("u".into()), || Payload::Whole("abc".into()));
    for (answer, written, controlled) in [
        (object("\"e\"", "<html>login</html>"), ErrorKind::LostAnswer, ErrorKind::InvalidAnswer),
        (Scripted::error(200, "InternalError"), ErrorKind::LostAnswer, ErrorKind::Unavailable),
        (Scripted::error(200, "SlowDown"), ErrorKind::Throttled, ErrorKind::Throttled),
        (Scripted::error(200, "AccessDenied"), ErrorKind::Denied, ErrorKind::Denied),
    ] {
        let peer = always(answer);
        for (service, _, sink) in both(&peer) {
            assert_eq!(kind(put(&*sink, Metadata::default(), &Expected::Any).await), Some(written), "{service}");
            assert_eq!(kind(sink.delete(&at(), &Expected::Any).await), Some(written), "{service}");
            assert_eq!(kind(sink.part(&at(), &upload, 1, small()).await), Some(controlled), "{service}");
            assert_eq!(kind(sink.abort(&at(), &upload).await), Some(controlled), "{service}");
        }
    }
}

#[tokio::test]
async fn fault_a2_a_404_without_the_service_s_word_is_no_absence() {
    let each = ["<html><body>404</body></html>", "{\"message\":\"Not Found\"}", ""].map(|page| async move {
        let peer = always(Scripted::new(404, page));
        for (service, source, sink) in both(&peer) {
            assert_eq!(
                kind(source.head(&at(), &Pin::Newest).await),
                Some(ErrorKind::InvalidAnswer),
                "{service}: {page}"
            );
            assert_eq!(
                kind(source.open(&at(), &Pin::Newest, None).await.map(drop)),
                Some(ErrorKind::InvalidAnswer),
                "{page}"
            );
            assert_eq!(
                kind(sink.delete(&at(), &Expected::Any).await),
                Some(ErrorKind::InvalidAnswer),
                "{service}: {page}"
            );
        }
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn fault_a2_what_is_listed_is_not_gone() {
    for (service, listing, expected) in [
        ("s3", Scripted::listing(&[("k", 3)]), Some(ErrorKind::InvalidAnswer)),
        ("gcs", Scripted::listing(&[("k/x", 3)]), None),
    ] {
        let gone = Scripted::error(404, "NoSuchKey");
        let peer = by(vec![("HEAD", "", Scripted::new(404, "")), ("GET", "list-type", listing), ("GET", "", gone)]);
        for (_, source, _) in both(&peer) {
            let looked = source.head(&at(), &Pin::Newest).await.map(|object| assert!(object.is_none()));
            assert_eq!(kind(looked), expected, "{service}");
            assert_eq!(kind(source.open(&at(), &Pin::Newest, None).await.map(drop)), expected, "{service}");
        }
    }
}

#[tokio::test]
async fn fault_a3_a_complete_without_an_etag_names_no_revision_and_one_without_a_document_is_lost() {
    let (upload, whole) = (UploadId("u".into()), Digests::of(b"abc", DigestSelection::default()));
    let parts = [CompletedPart { number: 1, etag: "p".into(), crc32c: whole.crc32c }];
    for body in ["<ETag></ETag>", ""] {
        let document = format!("<CompleteMultipartUploadResult>{body}</CompleteMultipartUploadResult>");
        let peer = always(Scripted::new(200, document));
        for (service, _, sink) in both(&peer) {
            let done = sink.finish(&at(), &upload, &parts, &whole, &Expected::Any).await.expect("published");
            assert_eq!(done.revision, None, "{service}");
        }
    }
    for body in ["", "<html/>", "<CompleteMultipartUploadResult><ETag>"] {
        let peer = always(Scripted::new(200, body));
        for (service, _, sink) in both(&peer) {
            let done = sink.finish(&at(), &upload, &parts, &whole, &Expected::Any).await;
            assert_eq!(kind(done), Some(ErrorKind::LostAnswer), "{service}: {body}");
        }
    }
    let peer = always(Scripted::new(200, "").header("etag", "\"\""));
    let sink = s3(peer.endpoint(), "aws");
    assert_eq!(put(&sink, Metadata::default(), &Expected::Any).await.expect("published").revision, None);
    let part = sink.part(&at(), &upload, 1, Payload::Whole("abc".into())).await;
    assert_eq!(kind(part), Some(ErrorKind::InvalidAnswer), "a part without an ETag cannot be named");
}

#[tokio::test]
async fn fault_a9_a_far_side_hides_nothing_for_longer_than_a_quarter_of_an_hour() {
    for text in ["86400", "100000000", "Fri, 01 Jan 2100 00:00:00 GMT"] {
        let peer = always(Scripted::error(503, "SlowDown").header("retry-after", text));
        for (service, _, sink) in both(&peer) {
            let error = put(&*sink, Metadata::default(), &Expected::Any).await.expect_err("throttled");
            assert_eq!(
                (error.kind, error.retry_after.map(|wait| wait.as_secs())),
                (ErrorKind::Throttled, Some(900)),
                "{service}"
            );
        }
    }
}

#[tokio::test]
async fn fault_a10_a_listing_that_does_not_move_fails_at_its_second_page() {
    let pages = [
        Scripted::page(&[("a", 1)], Some("t")),
        Scripted::page(&[("z", 1)], Some("t")),
        Scripted::page(&[("a", 1)], Some("u")),
    ];
    for second in [1, 2] {
        let (first, second) = (pages[0].clone(), pages[second].clone());
        let peer = by(vec![("GET", "continuation-token", second), ("GET", "", first)]);
        for (service, source, _) in both(&peer) {
            let page = source.list("bucket", &Key::default(), ListFrom::Start).await.expect("the first page");
            let next = page.next.expect("more");
            let page = source.list("bucket", &Key::default(), ListFrom::Token(&next)).await;
            assert_eq!(kind(page), Some(ErrorKind::InvalidAnswer), "{service}");
        }
    }
    let peer = always(Scripted::listing(&[("a", 1), ("b", 1)]));
    for (service, source, _) in both(&peer) {
        assert_eq!(
            kind(source.list("bucket", &"b".into(), ListFrom::Start).await),
            Some(ErrorKind::InvalidAnswer),
            "{service}"
        );
        let after = source.list("bucket", &Key::default(), ListFrom::After(&"c".into())).await;
        assert_eq!(kind(after), Some(ErrorKind::InvalidAnswer), "{service}");
    }
}

async fn read(source: &dyn Source) -> Result<Option<(Object, Bytes)>, CopyError> {
    let Some(opened) = source.open(&at(), &Pin::Newest, None).await? else { return Ok(None) };
    let chunks: Vec<Bytes> = opened.chunks.try_collect().await?;
    Ok(Some((opened.object, chunks.concat().into())))
}

#[tokio::test]
async fn fault_a12_an_answer_without_a_length_is_counted_or_its_length_is_looked_up() {
    let (small, large) = ("x".repeat(1000), "y".repeat(3 << 20));
    for body in [&small, &large] {
        let size = body.len() as u64;
        let answer = object("\"e\"", body).chunked();
        let head = object("\"e\"", "").chunked();
        let peer =
            by(vec![("HEAD", "", head), ("GET", "list-type", Scripted::listing(&[("k", size)])), ("GET", "", answer)]);
        for (service, source, _) in both(&peer) {
            let (object, bytes) = read(&*source).await.expect("read").expect("there");
            assert_eq!((object.identity.size, bytes.len() as u64), (size, size), "{service}");
            let looked = source.head(&at(), &Pin::Newest).await.expect("looked").expect("there");
            assert_eq!(looked.identity.size, size, "{service}");
        }
    }
}

#[tokio::test]
async fn fault_a12_a_front_that_unpacks_is_asked_not_to() {
    // It unpacks for everybody who does not take gzip, as HTTP has it.
    let rule = |request: &Received| match request.headers.get("accept-encoding").map(|value| value.as_bytes()) {
        Some(b"gzip") => object("\"e\"", "packed").header("content-encoding", "gzip"),
        _ => object("W/\"e\"", "unpacked, and longer").chunked(),
    };
    let peer = ScriptedPeer::by(rule).expect("a peer");
    for (service, source, _) in both(&peer) {
        let (object, bytes) = read(&*source).await.expect("read").expect("there");
        assert_eq!(
            (object.metadata.content_encoding.as_deref(), &bytes[..]),
            (Some("gzip"), &b"packed"[..]),
            "{service}"
        );
    }
    for request in peer.received() {
        let signed = request.headers["authorization"].to_str().expect("text");
        assert!(!signed.contains("accept-encoding"), "{signed}");
    }
}

#[tokio::test]
async fn fault_a13_a_range_answered_with_200_is_what_content_range_says() {
    let peer = always(object("\"e\"", "56789").header("content-range", "bytes 5-9/20"));
    for (service, source, _) in both(&peer) {
        let opened = source.open(&at(), &Pin::Newest, Some(5..10)).await.expect("opened").expect("there");
        assert_eq!((opened.length, opened.object.identity.size), (5, 20), "{service}");
        let other = source.open(&at(), &Pin::Newest, Some(6..10)).await.map(drop);
        assert_eq!(kind(other), Some(ErrorKind::InvalidAnswer), "{service}");
    }
}

#[tokio::test]
async fn fault_a14_four_hundred_small_headers_of_metadata_arrive() {
    for service in [0, 1] {
        let meta = ["x-amz-meta-", "x-goog-meta-"][service];
        let many = (0..400).fold(object("\"e\"", "abc"), |answer, n| answer.header(&format!("{meta}n{n}"), "12345678"));
        let peer = always(many);
        let (_, source, _) = &both(&peer)[service];
        let looked = source.head(&at(), &Pin::Newest).await.expect("looked").expect("there");
        assert_eq!(looked.metadata.user.len(), 400);
    }
}

#[tokio::test]
async fn fault_a15_headers_of_http_go_as_they_are() {
    let peer = always(
        object("\"e\"", "abc")
            .header("content-type", "text/html;  charset=utf-8")
            .raw_header("content-disposition", b"attachment; filename=\"Facture\xe9  2024.pdf\"")
            .header("cache-control", "no-cache,\tprivate")
            .header("content-language", "fr,  de"),
    );
    for (service, source, sink) in both(&peer) {
        let object = source.head(&at(), &Pin::Newest).await.expect("looked").expect("there");
        peer.received();
        put(&*sink, object.metadata, &Expected::Any).await.expect("put");
        let sent = &peer.received()[0].headers;
        for (name, value) in [
            ("content-type", &b"text/html;  charset=utf-8"[..]),
            ("content-disposition", b"attachment; filename=\"Facture\xe9  2024.pdf\""),
            ("cache-control", b"no-cache,\tprivate"),
            ("content-language", b"fr,  de"),
        ] {
            assert_eq!(sent[name].as_bytes(), value, "{service}");
        }
    }
}

#[tokio::test]
async fn fault_a16_user_metadata_goes_as_it_is_where_a_header_carries_it() {
    for service in [0, 1] {
        let meta = ["x-amz-meta-", "x-goog-meta-"][service];
        let name = |name: &str| format!("{meta}{name}");
        let answer = object("\"e\"", "abc").header(&name("two"), "a  b").raw_header(&name("latin"), b"caf\xe9");
        let peer = always(answer.header(&name("empty"), "").header(&name("word"), "=?UTF-8?B?w6k=?="));
        let (_, source, sink) = &both(&peer)[service];
        let object = source.head(&at(), &Pin::Newest).await.expect("looked").expect("there");
        assert_eq!(object.metadata.user["word"], "é");
        peer.received();
        put(&**sink, object.metadata, &Expected::Any).await.expect("put");
        let sent = &peer.received()[0].headers;
        // A header beyond ASCII would be mangled there; the form says what its bytes are.
        for (key, value) in
            [("two", "a  b"), ("latin", "=?ISO-8859-1?B?Y2Fm6Q==?="), ("empty", ""), ("word", "=?UTF-8?B?w6k=?=")]
        {
            assert_eq!(sent[&name(key)], value, "{key}");
        }
    }
}

#[tokio::test]
async fn metadata_that_the_service_cannot_show_is_reported_once_an_object() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let writer = Arc::new(log.reopen().expect("the same file"));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    let _quiet = tracing::subscriber::set_default(subscriber);
    let peer = always(Scripted::object("\"e\"", "abc").header("x-amz-missing-meta", "2"));
    let source = s3(peer.endpoint(), "aws");
    let object = Source::head(&source, &at(), &Pin::Newest).await.expect("looked").expect("there");
    let pin = Pin::State { identity: object.identity, by_version: false };
    assert!(Source::open(&source, &at(), &pin, None).await.expect("opened").is_some());
    let text = std::fs::read_to_string(log.path()).expect("text");
    assert_eq!(text.matches("it is not copied").count(), 1, "{text}");
    assert!(text.contains("bucket=bucket key=k missing=\"2\""), "{text}");
}

#[tokio::test]
async fn fault_a18_an_object_that_shows_no_etag_can_be_read_and_pinned() {
    let peer = always(Scripted::object("", "abc"));
    let source = s3(peer.endpoint(), "generic");
    let object = Source::head(&source, &at(), &Pin::Newest).await.expect("looked").expect("there");
    assert_eq!((&*object.identity.etag, object.identity.size), ("", 3));
    peer.received();
    let mut identity = object.identity;
    let pin = |identity: &SourceIdentity| Pin::State { identity: identity.clone(), by_version: false };
    assert!(Source::open(&source, &at(), &pin(&identity), None).await.expect("opened").is_some());
    assert!(!peer.received()[0].headers.contains_key("if-match"));
    identity.last_modified += 1;
    assert_eq!(
        kind(Source::open(&source, &at(), &pin(&identity), None).await.map(drop)),
        Some(ErrorKind::SourceChanged)
    );
    let arrived = put(&source, Metadata::default(), &Expected::Absent).await;
    assert_eq!(arrived.expect("arrived").revision, None);
}

#[tokio::test]
async fn fault_a19_no_such_upload_is_a_listing_of_none() {
    let peer = always(Scripted::error(404, "NoSuchUpload"));
    for (service, _, sink) in both(&peer) {
        assert!(sink.uploads("bucket", &Key::default()).await.expect("none").is_empty(), "{service}");
        assert_eq!(sink.parts(&at(), &UploadId("u".into())).await.expect("none"), None, "{service}");
        sink.abort(&at(), &UploadId("u".into())).await.expect("ended already");
    }
}

#[tokio::test]
async fn a_condition_that_is_refused_though_it_holds_is_told_with_its_remedy() {
    let revision = Expected::Revision(Revision("e".into()));
    for (etag, expected) in [("\"e\"", ErrorKind::Refused), ("\"other\"", ErrorKind::Precondition)] {
        let peer = by(vec![("PUT", "", Scripted::error(412, "PreconditionFailed")), ("HEAD", "", object(etag, "abc"))]);
        let sink = s3(peer.endpoint(), "aws");
        let error = put(&sink, Metadata::default(), &revision).await.expect_err("refused");
        assert_eq!(error.kind, expected);
        assert_eq!(error.to_string().contains("set profile = \"generic\""), expected == ErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn fault_d4_an_endpoint_that_is_not_there_is_named_with_its_port() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let source = s3(format!("http://{unused}"), "generic");
    let error = Source::list(&source, "bucket", &Key::default(), ListFrom::Start).await.expect_err("nobody there");
    assert!(error.answer.starts_with(&format!("no connection to {unused}: Connection refused")), "{error}");
}
