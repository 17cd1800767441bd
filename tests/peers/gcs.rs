//! The GCS peer is as strict as facts/gcs-xml.md says of the cloud.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use md5::{Digest as _, Md5};
use sandbox::{Access, Fault, GcsOptions, GcsPeer, Operation, Rule};

use crate::client::{Ask, Client, Reply, Sign, ask};

const MIB: usize = 1 << 20;

fn peer_with(options: GcsOptions) -> GcsPeer {
    GcsPeer::start(GcsOptions { buckets: vec!["b".to_owned()], ..options }).unwrap()
}

fn peer() -> GcsPeer {
    peer_with(GcsOptions::default())
}

fn client(peer: &GcsPeer, sign: Sign) -> Client {
    Client {
        endpoint: peer.endpoint(),
        sign,
        access_id: GcsPeer::ACCESS_ID.to_owned(),
        secret: GcsPeer::SECRET.to_owned(),
        authority: peer.authority().map(|authority| authority.pem().to_owned()),
    }
}

fn goog(peer: &GcsPeer) -> Client {
    client(peer, Sign::Goog4)
}

fn aws(peer: &GcsPeer) -> Client {
    client(peer, Sign::Aws4)
}

fn crc(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 253) as u8).collect()
}

async fn put(client: &Client, path: &str, body: &[u8]) -> Reply {
    client.send(ask("PUT", path).body(body)).await
}

async fn begin(client: &Client, path: &str) -> String {
    let reply = client.send(ask("POST", &format!("{path}?uploads"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.element("UploadId")
}

async fn part(client: &Client, path: &str, id: &str, number: u32, body: &[u8]) -> String {
    let reply = client.send(ask("PUT", &format!("{path}?partNumber={number}&uploadId={id}")).body(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("x-goog-hash").contains(&crc(body)));
    reply.header("etag")
}

fn completion(path: &str, id: &str, parts: &[(u32, String)]) -> Ask {
    let listed: String = parts
        .iter()
        .map(|(number, etag)| {
            let etag = etag.replace('"', "&quot;");
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        })
        .collect();
    let body = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
    ask("POST", &format!("{path}?uploadId={id}")).body(body)
}

#[tokio::test]
async fn an_object_comes_back_with_its_hashes_and_its_metadata() {
    let peer = peer();
    let request = ask("PUT", "/b/k")
        .header("x-goog-meta-token", "t1")
        .header("content-type", "text/x")
        .header("cache-control", "no-store")
        .header("x-goog-storage-class", "NEARLINE")
        .body("hello");
    let reply = goog(&peer).send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let md5 = Md5::digest(b"hello");
    let hashes = format!("crc32c={},md5={}", crc(b"hello"), BASE64_STANDARD.encode(md5));
    assert_eq!(reply.header("x-goog-hash"), hashes);
    assert_eq!(reply.header("etag"), format!("\"{}\"", hex::encode(md5)));
    let generation = reply.header("x-goog-generation");
    for method in ["GET", "HEAD"] {
        let reply = goog(&peer).send(ask(method, "/b/k")).await;
        let body = if method == "GET" { "hello" } else { "" };
        assert_eq!((reply.status, reply.text().as_str()), (200, body));
        assert_eq!(reply.header("x-goog-hash"), hashes);
        assert_eq!(reply.header("x-goog-generation"), generation);
        assert_eq!(reply.header("x-goog-metageneration"), "1");
        assert_eq!(reply.header("x-goog-stored-content-length"), "5");
        assert_eq!(reply.header("x-goog-stored-content-encoding"), "identity");
        assert_eq!(reply.header("x-goog-storage-class"), "NEARLINE");
        assert_eq!(reply.header("x-goog-meta-token"), "t1");
        assert_eq!(reply.header("content-type"), "text/x");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("content-length"), "5");
    }
    let reply = aws(&peer).send(ask("HEAD", "/b/k")).await;
    assert_eq!((reply.header("x-amz-meta-token").as_str(), reply.header("x-goog-meta-token").as_str()), ("t1", ""));
    let info = peer.object("b", "k").unwrap();
    assert_eq!(
        (info.size, info.crc32c, info.attributes.metadata["token"].as_str()),
        (5, crc32c::crc32c(b"hello"), "t1")
    );
    assert_eq!(peer.read("b", "k").unwrap(), b"hello");
}

#[tokio::test]
async fn a_wrong_crc32c_is_refused_before_anything_is_published() {
    let peer = peer();
    let good = format!("crc32c={}", crc(b"right"));
    let reply = goog(&peer).send(ask("PUT", "/b/k").header("x-goog-hash", &good).body("wrong")).await;
    assert_eq!(reply.verdict(), "400 BadDigest");
    let md5 = BASE64_STANDARD.encode(Md5::digest(b"right"));
    for header in [("x-goog-hash", format!("{good},md5={md5}")), ("content-md5", md5)] {
        let reply = goog(&peer).send(ask("PUT", "/b/k").header(header.0, &header.1).body("wrong")).await;
        assert_eq!(reply.verdict(), "400 BadDigest");
        let reply = goog(&peer).send(ask("PUT", "/b/right").header(header.0, &header.1).body("right")).await;
        assert_eq!(reply.status, 200);
    }
    assert!(peer.history("b", "k").is_empty());
    let reply = goog(&peer).send(ask("PUT", "/b/k").header("content-md5", "short").body("x")).await;
    assert_eq!(reply.verdict(), "400 InvalidDigest");
}

#[tokio::test]
async fn only_who_proves_himself_is_let_in() {
    let peer = peer();
    for sign in [Sign::Goog4, Sign::Aws4, Sign::Bearer(GcsPeer::TOKEN.to_owned())] {
        assert_eq!(put(&client(&peer, sign), "/b/k", b"x").await.status, 200);
    }
    for sign in [Sign::Nobody, Sign::Bearer("stolen".to_owned())] {
        assert_eq!(put(&client(&peer, sign), "/b/k", b"x").await.verdict(), "401 AuthenticationRequired");
    }
    for client in [goog(&peer), aws(&peer)] {
        let wrong = Client { secret: "wrong".to_owned(), ..client.clone() };
        assert_eq!(put(&wrong, "/b/k", b"x").await.verdict(), "403 SignatureDoesNotMatch");
        let unknown = Client { access_id: "GOOGX".to_owned(), ..client.clone() };
        assert_eq!(put(&unknown, "/b/k", b"x").await.verdict(), "403 InvalidSecurity");
        let mut late = ask("GET", "/b/k");
        late.clock = -16 * 60;
        assert_eq!(client.send(late.clone()).await.verdict(), "403 RequestTimeTooSkewed");
        late.clock = -14 * 60;
        assert_eq!(client.send(late).await.status, 200);
        let unsigned = ask("PUT", "/b/k").body("y").payload("UNSIGNED-PAYLOAD");
        assert_eq!(client.send(unsigned).await.status, 200);
        let other = ask("PUT", "/b/k").body("y").payload(&"0".repeat(64));
        assert_eq!(client.send(other).await.status, 400);
        let encoding = ask("GET", "/b/k").header("accept-encoding", "gzip");
        assert_eq!(client.send(encoding).await.verdict(), "403 SignatureDoesNotMatch");
    }
}

#[tokio::test]
async fn what_the_aws_sdk_would_send_is_refused() {
    let peer = peer();
    let mixed = ask("PUT", "/b/k").header("x-goog-if-generation-match", "0").body("x");
    assert_eq!(aws(&peer).send(mixed).await.verdict(), "400 ExcessHeaderValues");
    let mut lengthless = ask("POST", "/b/k?uploads");
    lengthless.length = false;
    assert_eq!(goog(&peer).send(lengthless).await.status, 411);
    let chunked = ask("PUT", "/b/k").payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER").body("x");
    assert_eq!(aws(&peer).send(chunked).await.verdict(), "400 InvalidArgument");
    let acl = ask("PUT", "/b/k").header("x-amz-acl", "private").body("x");
    assert_eq!(aws(&peer).send(acl).await.verdict(), "400 InvalidArgument");
    let class = ask("PUT", "/b/k").header("x-amz-storage-class", "STANDARD_IA").body("x");
    assert_eq!(aws(&peer).send(class).await.verdict(), "400 InvalidStorageClass");
    let large = ask("PUT", "/b/k").header("x-goog-meta-large", "m".repeat(8200)).body("x");
    assert_eq!(goog(&peer).send(large).await.verdict(), "400 MetadataTooLarge");
    let wrong = ask("PUT", "/b/k").header("x-amz-checksum-crc32", "AAAAAA==").body("x");
    assert_eq!(aws(&peer).send(wrong).await.status, 200);
    assert_eq!(peer.objects("b").len(), 1);
}

#[tokio::test]
async fn generations_guard_writes_only_where_the_signature_allows_it() {
    let peer = peer();
    let matching = |value: &str| ask("PUT", "/b/k").header("x-goog-if-generation-match", value).body("x");
    assert_eq!(goog(&peer).send(matching("7")).await.verdict(), "412 PreconditionFailed");
    let first = goog(&peer).send(matching("0")).await.header("x-goog-generation");
    assert_eq!(goog(&peer).send(matching("0")).await.status, 412);
    let second = goog(&peer).send(matching(&first)).await.header("x-goog-generation");
    assert!(second.parse::<u64>().unwrap() > first.parse().unwrap());
    assert_eq!(goog(&peer).send(matching(&first)).await.status, 412);
    let blind = ask("PUT", "/b/k").header("if-none-match", "*").body("y");
    assert_eq!(aws(&peer).send(blind).await.status, 200);
    let now = peer.object("b", "k").unwrap().generation.to_string();

    let copy = |value: &str| {
        ask("PUT", "/b/copy").header("x-goog-copy-source", "/b/k").header("x-goog-if-generation-match", value)
    };
    assert_eq!(goog(&peer).send(copy("1")).await.status, 412);
    assert_eq!(goog(&peer).send(copy("0")).await.status, 200);
    assert_eq!(peer.read("b", "copy").unwrap(), b"y");
    for (value, status) in [(first.as_str(), 412), (now.as_str(), 200)] {
        let get = ask("GET", "/b/k").header("x-goog-if-generation-match", value);
        assert_eq!(goog(&peer).send(get).await.status, status);
    }
    for (value, status) in [(first.as_str(), 412), (now.as_str(), 204), (now.as_str(), 404)] {
        let delete = ask("DELETE", "/b/k").header("x-goog-if-generation-match", value);
        assert_eq!(goog(&peer).send(delete).await.status, status);
    }
    let history = peer.history("b", "k");
    assert_eq!(history.len(), 4);
    assert!(history[3].is_none());
}

#[tokio::test]
async fn reads_take_ranges_and_conditions() {
    let peer = peer();
    let body = bytes(700_000);
    let etag = put(&goog(&peer), "/b/k", &body).await.header("etag");
    for (range, expected) in [
        ("bytes=0-0", &body[..1]),
        ("bytes=300000-599999", &body[300_000..600_000]),
        ("bytes=699990-", &body[699_990..]),
        ("bytes=-5", &body[699_995..]),
    ] {
        let reply = goog(&peer).send(ask("GET", "/b/k").header("range", range)).await;
        assert_eq!((reply.status, &reply.body[..] == expected), (206, true), "{range}");
        assert!(reply.header("content-range").ends_with("/700000"));
    }
    let beyond = ask("GET", "/b/k").header("range", "bytes=700000-");
    assert_eq!(goog(&peer).send(beyond).await.verdict(), "416 InvalidRange");
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"other\"", 200),
    ] {
        let reply = goog(&peer).send(ask("GET", "/b/k").header(name, value)).await;
        assert_eq!(reply.status, status, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_multipart_object_has_a_crc32c_and_no_md5() {
    let peer = peer();
    let whole = bytes(6 * MIB);
    let id = begin(&goog(&peer), "/b/large").await;
    let second = part(&goog(&peer), "/b/large", &id, 7, &whole[5 * MIB..]).await;
    let first = part(&goog(&peer), "/b/large", &id, 2, &whole[..5 * MIB]).await;
    let open = peer.open_uploads("b");
    assert_eq!(open[0].parts, [(2, 5 * MIB as u64), (7, MIB as u64)]);
    assert!(peer.object("b", "large").is_none());
    let reply = goog(&peer).send(completion("/b/large", &id, &[(2, first), (7, second)])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let head = goog(&peer).send(ask("HEAD", "/b/large")).await;
    assert_eq!(head.header("x-goog-hash"), format!("crc32c={}", crc(&whole)));
    assert_ne!(head.header("etag"), format!("\"{}\"", hex::encode(Md5::digest(&whole))));
    assert!(peer.read("b", "large").unwrap() == whole);
    assert!(peer.open_uploads("b").is_empty());
}

#[tokio::test]
async fn a_multipart_upload_takes_no_precondition() {
    let peer = peer();
    put(&goog(&peer), "/b/k", b"here").await;
    let begun = ask("POST", "/b/k?uploads").header("x-goog-if-generation-match", "0");
    assert_eq!(goog(&peer).send(begun).await.verdict(), "400 NotImplemented");
    let id = begin(&goog(&peer), "/b/k").await;
    let etag = part(&goog(&peer), "/b/k", &id, 1, b"there").await;
    let complete = completion("/b/k", &id, &[(1, etag)]).header("x-goog-if-generation-match", "0");
    assert_eq!(goog(&peer).send(complete).await.status, 200);
    assert_eq!(peer.read("b", "k").unwrap(), b"there");
}

#[tokio::test]
async fn a_complete_with_wrong_parts_is_refused_and_the_upload_lives_on() {
    let peer = peer();
    let goog = goog(&peer);
    let id = begin(&goog, "/b/k").await;
    let small = part(&goog, "/b/k", &id, 1, b"small").await;
    let last = part(&goog, "/b/k", &id, 2, b"last").await;
    let cases = [
        (vec![], "400 MalformedXML"),
        (vec![(1, "\"wrong\"".to_owned())], "400 InvalidPart"),
        (vec![(3, small.clone())], "400 InvalidPart"),
        (vec![(2, last.clone()), (1, small.clone())], "400 InvalidPartOrder"),
        (vec![(1, small.clone()), (2, last.clone())], "400 EntityTooSmall"),
        (vec![(10_001, small.clone())], "400 InvalidArgument"),
    ];
    for (parts, verdict) in cases {
        assert_eq!(goog.send(completion("/b/k", &id, &parts)).await.verdict(), verdict);
    }
    for number in ["0", "10001", "x"] {
        let path = format!("/b/k?partNumber={number}&uploadId={id}");
        assert_eq!(goog.send(ask("PUT", &path).body("x")).await.verdict(), "400 InvalidArgument");
    }
    let copy = ask("PUT", &format!("/b/k?partNumber=1&uploadId={id}")).header("x-goog-copy-source", "/b/x");
    assert_eq!(goog.send(copy).await.verdict(), "501 NotImplemented");
    assert_eq!(goog.send(completion("/b/k", &id, &[(1, small)])).await.status, 200);
}

#[tokio::test]
async fn an_aborted_upload_is_gone_for_good() {
    let peer = peer();
    let goog = goog(&peer);
    let id = begin(&goog, "/b/k").await;
    let etag = part(&goog, "/b/k", &id, 1, b"x").await;
    let upload = format!("/b/k?uploadId={id}");
    assert_eq!(goog.send(ask("GET", &upload)).await.elements("PartNumber"), ["1"]);
    for _ in 0..2 {
        assert_eq!(goog.send(ask("DELETE", &upload)).await.status, 204);
    }
    assert_eq!(goog.send(ask("GET", &upload)).await.verdict(), "404 NoSuchUpload");
    assert_eq!(goog.send(completion("/b/k", &id, &[(1, etag)])).await.verdict(), "404 NoSuchUpload");
    let late = ask("PUT", &format!("/b/k?partNumber=2&uploadId={id}")).body("x");
    assert_eq!(goog.send(late).await.verdict(), "404 NoSuchUpload");
    assert!(peer.objects("b").is_empty());
}

#[tokio::test]
async fn the_bytes_of_a_key_are_used_as_sent() {
    let peer = peer();
    let keys =
        ["a//b", "a/../b", "/abs", "a/./b", "a/%2e%2e/b", "a%20b+c", "%E2%82%AC", "e%CC%81", "%C3%A9", "x%2Fy", "t/"];
    for (number, key) in keys.into_iter().enumerate() {
        let body = number.to_string();
        let path = format!("/b/{key}");
        let signed = if key.contains("%2e") || key.contains("%2F") || key.contains('+') {
            // What V4 signs is the canonical spelling; a Bearer token does not care.
            client(&peer, Sign::Bearer(GcsPeer::TOKEN.to_owned()))
        } else {
            goog(&peer)
        };
        assert_eq!(put(&signed, &path, body.as_bytes()).await.status, 200, "{key}");
    }
    let found: Vec<String> = peer.objects("b").iter().map(|info| info.key.clone()).collect();
    let mut expected = vec!["a//b", "a/../b", "/abs", "a/./b", "a b+c", "\u{20ac}", "e\u{301}", "\u{e9}", "x/y", "t/"];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(peer.read("b", "a/../b").unwrap(), b"4");
    for (key, verdict) in [
        (".", "400 InvalidObjectName"),
        ("..", "400 InvalidObjectName"),
        (".well-known/acme-challenge/x", "400 InvalidObjectName"),
        ("a%0Db", "400 InvalidObjectName"),
        ("a%FFb", "400 InvalidURI"),
        ("a%2", "400 InvalidURI"),
        (&"k".repeat(1025), "400 KeyTooLong"),
    ] {
        assert_eq!(put(&goog(&peer), &format!("/b/{key}"), b"x").await.verdict(), verdict, "{key}");
    }
    assert_eq!(put(&goog(&peer), &format!("/b/{}", "k".repeat(1024)), b"x").await.status, 200);
}

#[tokio::test]
async fn a_listing_is_complete_whatever_its_pages() {
    let peer = peer();
    for key in ["a/1", "a/2", "a/b/3", "a b", "b", "c/4", "c/5", "d"] {
        peer.set_object("b", key, key).unwrap();
    }
    for most in 1..9 {
        let (mut keys, mut prefixes, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let next = if token.is_empty() { String::new() } else { format!("continuation-token={token}&") };
            let path = format!("/b?{next}delimiter=%2F&encoding-type=url&list-type=2&max-keys={most}");
            let reply = goog(&peer).send(ask("GET", &path)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            keys.extend(reply.elements("Key"));
            prefixes.extend(reply.elements("CommonPrefixes"));
            token = reply.element("NextContinuationToken");
            assert_eq!(reply.element("IsTruncated"), (!token.is_empty()).to_string());
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(keys, ["a%20b", "b", "d"], "{most}");
        assert_eq!(prefixes, ["<Prefix>a/</Prefix>", "<Prefix>c/</Prefix>"]);
    }
    let reply = goog(&peer).send(ask("GET", "/b?list-type=2&prefix=a%2F&start-after=a%2F1")).await;
    assert_eq!(reply.elements("Key"), ["a/2", "a/b/3"]);
    assert_eq!(goog(&peer).send(ask("GET", "/nowhere?list-type=2")).await.verdict(), "404 NoSuchBucket");
}

#[tokio::test]
async fn uploads_and_parts_are_listed_in_pages() {
    let peer = peer();
    let goog = goog(&peer);
    let mut ids = Vec::new();
    for key in ["p/a", "p/a", "p/b", "q"] {
        ids.push(begin(&goog, &format!("/b/{key}")).await);
    }
    let (mut found, mut marker) = (Vec::new(), String::new());
    loop {
        let path = format!("/b?{marker}max-uploads=1&prefix=p%2F&uploads");
        let reply = goog.send(ask("GET", &path)).await;
        found.extend(reply.elements("UploadId"));
        if reply.element("IsTruncated") == "false" {
            break;
        }
        let (key, id) = (reply.element("NextKeyMarker"), reply.element("NextUploadIdMarker"));
        marker = format!("key-marker={}&upload-id-marker={id}&", key.replace('/', "%2F"));
    }
    found.sort();
    let mut expected = ids[..3].to_vec();
    expected.sort();
    assert_eq!(found, expected);
    let path = "/b?key-marker=p%2Fa&uploads";
    assert_eq!(goog.send(ask("GET", path)).await.elements("UploadId"), ids[2..]);
    for number in [1, 3, 5] {
        part(&goog, "/b/q", &ids[3], number, b"x").await;
    }
    let path = format!("/b/q?max-parts=1&part-number-marker=1&uploadId={}", ids[3]);
    let reply = goog.send(ask("GET", &path)).await;
    assert_eq!(reply.elements("PartNumber"), ["3"]);
    assert_eq!((reply.element("IsTruncated").as_str(), reply.element("NextPartNumberMarker").as_str()), ("true", "3"));
}

#[tokio::test]
async fn many_keys_are_deleted_at_once() {
    let peer = peer();
    for key in ["one", "t<w>o", " blank "] {
        peer.set_object("b", key, "x").unwrap();
    }
    let body = "<Delete><Object><Key>one</Key></Object><Object><Key>t&lt;w&gt;o</Key></Object>\
        <Object><Key> blank </Key></Object><Object><Key>never</Key></Object></Delete>";
    let reply = goog(&peer).send(ask("POST", "/b?delete").body(body)).await;
    assert_eq!(reply.elements("Key"), ["one", "t&lt;w&gt;o", " blank ", "never"]);
    assert!(peer.objects("b").is_empty());
    assert_eq!(goog(&peer).send(ask("POST", "/b?delete").body("<Del")).await.verdict(), "400 MalformedXML");
    let without = peer_with(GcsOptions { multi_delete: false, ..GcsOptions::default() });
    assert_eq!(goog(&without).send(ask("POST", "/b?delete").body(body)).await.status, 501);
}

#[tokio::test]
async fn a_denied_bucket_answers_403_and_changes_nothing() {
    let peer = peer();
    peer.set_object("b", "k", "x").unwrap();
    for (access, read, write) in [
        (Access::ReadOnly, 200, 403),
        (Access::WriteOnly, 403, 200),
        (Access::Denied, 403, 403),
        (Access::Full, 200, 200),
    ] {
        peer.set_access("b", access);
        assert_eq!(goog(&peer).send(ask("GET", "/b/k")).await.status, read);
        assert_eq!(goog(&peer).send(ask("GET", "/b?list-type=2")).await.status, read);
        assert_eq!(put(&goog(&peer), "/b/k", b"y").await.status, write);
    }
    assert_eq!(put(&goog(&peer), "/none/k", b"y").await.verdict(), "404 NoSuchBucket");
}

#[tokio::test]
async fn a_gzip_object_read_without_asking_for_gzip_has_no_length() {
    let peer = peer();
    let stored = ask("PUT", "/b/z").header("content-encoding", "gzip").body("not really gzip");
    assert_eq!(goog(&peer).send(stored).await.status, 200);
    let bearer = client(&peer, Sign::Bearer(GcsPeer::TOKEN.to_owned()));
    let head = bearer.send(ask("HEAD", "/b/z")).await;
    assert_eq!(
        (head.header("content-length"), head.header("x-goog-stored-content-length")),
        (String::new(), "15".into())
    );
    let reply = bearer.send(ask("GET", "/b/z").header("accept-encoding", "gzip")).await;
    assert_eq!((reply.header("content-encoding").as_str(), reply.text().as_str()), ("gzip", "not really gzip"));
    assert_eq!(bearer.send(ask("GET", "/b/z")).await.status, 501);
}

#[tokio::test]
async fn tls_speaks_http_1_only_and_its_authority_can_be_trusted() {
    let peer = peer_with(GcsOptions { tls: true, ..GcsOptions::default() });
    assert!(peer.endpoint().starts_with("https://127.0.0.1:"));
    assert_eq!(put(&goog(&peer), "/b/k", &bytes(2 * MIB)).await.status, 200);
    let pem = std::fs::read_to_string(peer.authority().unwrap().path()).unwrap();
    assert_eq!(pem, peer.authority().unwrap().pem());
    assert_eq!(peer.read("b", "k").unwrap(), bytes(2 * MIB));
}

#[tokio::test]
async fn a_discarding_peer_knows_checksums_and_refuses_to_be_read() {
    let peer = peer_with(GcsOptions { discard: true, ..GcsOptions::default() });
    let body = bytes(3 * MIB);
    put(&goog(&peer), "/b/k", &body).await;
    let head = goog(&peer).send(ask("HEAD", "/b/k")).await;
    assert!(head.header("x-goog-hash").contains(&crc(&body)));
    assert_eq!(goog(&peer).send(ask("GET", "/b/k")).await.status, 500);
    assert!(peer.read("b", "k").is_err());
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let peer = peer();
    put(&goog(&peer), "/b/k", &bytes(1000)).await;
    goog(&peer).send(ask("GET", "/b/k")).await;
    goog(&peer).send(ask("HEAD", "/b/k")).await;
    let counts = peer.counts();
    assert_eq!((counts.of(Operation::PutObject), counts.of(Operation::GetObject), counts.total()), (1, 1, 3));
    assert_eq!((counts.bytes_received, counts.bytes_sent, counts.connections), (1000, 1000, 3));
}

#[tokio::test]
async fn a_dropped_peer_is_gone() {
    let peer = peer();
    let goog = goog(&peer);
    peer.faults().add(Rule::any(Fault::Stall(std::time::Duration::from_secs(60))));
    let waiting = tokio::spawn(async move { goog.try_send(ask("GET", "/b/k")).await.map(|reply| reply.status) });
    while peer.faults().met() == 0 {
        tokio::task::yield_now().await;
    }
    let address = peer.address();
    drop(peer);
    assert!(waiting.await.unwrap().is_err());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
