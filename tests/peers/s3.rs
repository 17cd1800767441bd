//! The light S3 peer: conditions, checksums, chunked bodies, objects made up on the fly.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm::Crc64Nvme;
use md5::{Digest as _, Md5};
use sandbox::{S3Options, S3Peer};

use crate::client::{Ask, Client, Sign, ask};

const MIB: usize = 1 << 20;

fn peer_with(options: S3Options) -> S3Peer {
    S3Peer::start(S3Options { buckets: vec!["b".to_owned()], ..options }).unwrap()
}

fn peer() -> S3Peer {
    peer_with(S3Options::default())
}

fn client(peer: &S3Peer) -> Client {
    Client {
        endpoint: peer.endpoint(),
        sign: Sign::Aws4,
        access_id: S3Peer::ACCESS_ID.to_owned(),
        secret: S3Peer::SECRET.to_owned(),
        authority: peer.authority().map(|authority| authority.pem().to_owned()),
    }
}

fn crc64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc_fast::checksum(Crc64Nvme, bytes).to_be_bytes())
}

fn crc32c(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

/// A PUT whose body is aws-chunked with a trailing checksum.
fn chunked(path: &str, body: &[u8], kind: &str, checksum: &str) -> Ask {
    let mut framed = Vec::new();
    for chunk in body.chunks(70_000) {
        framed.extend_from_slice(format!("{:x};chunk-signature=00\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("0\r\n{checksum}\r\n\r\n").as_bytes());
    let name = checksum.split(':').next().unwrap();
    ask("PUT", path)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", body.len().to_string())
        .header("x-amz-trailer", name)
        .payload(kind)
        .body(framed)
}

#[tokio::test]
async fn an_object_shows_the_checksum_that_was_stored() {
    let peer = peer();
    let client = client(&peer);
    let put = ask("PUT", "/b/plain").header("x-amz-meta-a", "1").header("content-type", "t/x").body("plain");
    assert_eq!(client.send(put).await.header("etag"), format!("\"{}\"", hex::encode(Md5::digest(b"plain"))));
    let named = ask("PUT", "/b/named").header("x-amz-checksum-crc32c", crc32c(b"named")).body("named");
    assert_eq!(client.send(named).await.status, 200);
    for (key, header, value) in
        [("plain", "x-amz-checksum-crc64nvme", crc64(b"plain")), ("named", "x-amz-checksum-crc32c", crc32c(b"named"))]
    {
        let path = format!("/b/{key}");
        let shown = client.send(ask("GET", &path).header("x-amz-checksum-mode", "ENABLED")).await;
        assert_eq!((shown.header(header), shown.header("x-amz-checksum-type")), (value, "FULL_OBJECT".to_owned()));
        assert_eq!(client.send(ask("HEAD", &path)).await.header(header), "");
        let part = ask("GET", &path).header("x-amz-checksum-mode", "ENABLED").header("range", "bytes=1-2");
        assert_eq!(client.send(part).await.header(header), "");
    }
    let head = client.send(ask("HEAD", "/b/plain")).await;
    assert_eq!((head.header("x-amz-meta-a").as_str(), head.header("content-type").as_str()), ("1", "t/x"));
    assert!(peer.amend("b", "plain", |info| info.checksum = None));
    let shown = client.send(ask("HEAD", "/b/plain").header("x-amz-checksum-mode", "ENABLED")).await;
    assert_eq!(shown.header("x-amz-checksum-crc64nvme"), "");
}

#[tokio::test]
async fn a_chunked_body_with_a_wrong_trailer_publishes_nothing() {
    let peer = peer();
    let client = client(&peer);
    let body: Vec<u8> = (0..200_000u32).map(|n| (n / 3) as u8).collect();
    for kind in ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"] {
        for (name, value) in [("crc64nvme", crc64(&body)), ("crc32c", crc32c(&body))] {
            let trailer = format!("x-amz-checksum-{name}:{value}");
            let reply = client.send(chunked("/b/good", &body, kind, &trailer)).await;
            assert_eq!(
                (reply.status, reply.header(&format!("x-amz-checksum-{name}"))),
                (200, value),
                "{}",
                reply.text()
            );
        }
        let wrong = format!("x-amz-checksum-crc64nvme:{}", crc64(b"other"));
        assert_eq!(client.send(chunked("/b/bad", &body, kind, &wrong)).await.verdict(), "400 BadDigest");
    }
    assert!(peer.read("b", "good").unwrap() == body);
    assert!(!peer.object("b", "good").unwrap().attributes.content.contains_key("content-encoding"));
    assert!(peer.history("b", "bad").is_empty());
    let trailer = format!("x-amz-checksum-crc64nvme:{}", crc64(&body));
    let mut unmeasured = chunked("/b/streamed", &body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", &trailer);
    unmeasured = unmeasured.header("transfer-encoding", "chunked");
    unmeasured.length = false;
    assert_eq!(client.send(unmeasured).await.status, 200);
    assert!(peer.read("b", "streamed").unwrap() == body);
    let cut = ask("PUT", "/b/bad").payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER").body("5\r\nhel");
    assert_eq!(client.send(cut).await.verdict(), "400 IncompleteBody");
}

#[tokio::test]
async fn writes_and_deletes_keep_their_conditions() {
    let peer = peer();
    let client = client(&peer);
    let put = |name: &str, value: &str| ask("PUT", "/b/k").header(name, value).body("x");
    assert_eq!(client.send(put("if-match", "\"a\"")).await.verdict(), "404 NoSuchKey");
    let etag = client.send(put("if-none-match", "*")).await.header("etag");
    assert_eq!(client.send(put("if-none-match", "*")).await.verdict(), "412 PreconditionFailed");
    assert_eq!(client.send(put("if-match", "\"a\"")).await.verdict(), "412 PreconditionFailed");
    assert_eq!(client.send(put("if-match", &etag)).await.status, 200);
    assert_eq!(client.send(ask("GET", "/b/k").header("if-match", "\"a\"")).await.status, 412);
    assert_eq!(client.send(ask("DELETE", "/b/k").header("if-match", "\"a\"")).await.status, 412);
    for _ in 0..2 {
        assert_eq!(client.send(ask("DELETE", "/b/k")).await.status, 204);
    }
}

async fn upload(client: &Client, begin: Ask, parts: &[&[u8]]) -> (String, String) {
    let path = begin.path.trim_end_matches("?uploads").to_owned();
    let id = client.send(begin).await.element("UploadId");
    let mut listed = String::new();
    for (index, part) in parts.iter().enumerate() {
        let number = index + 1;
        let put = ask("PUT", &format!("{path}?partNumber={number}&uploadId={id}")).body(*part);
        let etag = client.send(put).await.header("etag");
        listed.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    (format!("{path}?uploadId={id}"), format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"))
}

#[tokio::test]
async fn a_complete_checks_the_wholes_checksum_size_and_condition() {
    let peer = peer();
    let client = client(&peer);
    let whole = vec![7u8; 6 * MIB];
    let begin = ask("POST", "/b/k?uploads")
        .header("x-amz-checksum-algorithm", "CRC64NVME")
        .header("x-amz-checksum-type", "FULL_OBJECT");
    let (path, body) = upload(&client, begin, &[&whole[..5 * MIB], &whole[5 * MIB..]]).await;
    let complete = |name: &str, value: &str| ask("POST", &path).header(name, value).body(body.clone());
    let wrong = complete("x-amz-checksum-crc64nvme", &crc64(b"other"));
    assert_eq!(client.send(wrong).await.verdict(), "400 BadDigest");
    assert_eq!(client.send(complete("x-amz-mp-object-size", "7")).await.verdict(), "400 InvalidRequest");
    peer.set_object("b", "k", "in the way").unwrap();
    assert_eq!(client.send(complete("if-none-match", "*")).await.status, 412);
    peer.remove_object("b", "k");
    let right = complete("x-amz-checksum-crc64nvme", &crc64(&whole)).header("if-none-match", "*");
    let reply = client.send(right).await;
    assert_eq!((reply.status, reply.element("ChecksumCRC64NVME")), (200, crc64(&whole)), "{}", reply.text());
    assert!(reply.element("ETag").contains("-2"));
    assert_eq!(client.send(ask("DELETE", &path)).await.verdict(), "404 NoSuchUpload");
    let begin = ask("POST", "/b/c?uploads").header("x-amz-checksum-algorithm", "CRC32C");
    let (path, body) = upload(&client, begin, &[&whole[..5 * MIB], b"last"]).await;
    assert_eq!(client.send(ask("POST", &path).body(body)).await.status, 200);
    let of_parts = [crc32c::crc32c(&whole[..5 * MIB]).to_be_bytes(), crc32c::crc32c(b"last").to_be_bytes()].concat();
    let shown = client.send(ask("HEAD", "/b/c").header("x-amz-checksum-mode", "ENABLED")).await;
    assert_eq!(shown.header("x-amz-checksum-crc32c"), format!("{}-2", crc32c(&of_parts)));
    assert_eq!(shown.header("x-amz-checksum-type"), "COMPOSITE");
}

#[tokio::test]
async fn a_synthetic_object_of_20_gib_is_read_at_any_range() {
    let peer = peer();
    let client = client(&peer);
    let size = 20u64 << 30;
    let info = peer.put_synthetic("b", "huge", size, 3).unwrap();
    let get = |range: &str| ask("GET", "/b/huge").header("range", range);
    let first = client.send(get("bytes=19000000000-19000300000")).await;
    assert_eq!(first.body.len(), 300_001);
    assert_eq!(first.body[1..], client.send(get("bytes=19000000001-19000300000")).await.body[..]);
    let head = client.send(ask("HEAD", "/b/huge").header("x-amz-checksum-mode", "ENABLED")).await;
    assert_eq!(head.header("content-length"), size.to_string());
    assert_eq!(head.header("x-amz-checksum-crc64nvme"), BASE64_STANDARD.encode(info.crc64nvme.unwrap().to_be_bytes()));
    let small = peer.put_synthetic("b", "small", 1_000_003, 3).unwrap();
    let body = client.send(ask("GET", "/b/small")).await.body;
    assert_eq!((crc32c::crc32c(&body), body.len()), (small.crc32c, 1_000_003));
}

#[tokio::test]
async fn an_object_changed_between_reads_fails_a_pinned_one() {
    let peer = peer_with(S3Options { versioning: true, ..S3Options::default() });
    let client = client(&peer);
    let old = peer.set_object("b", "k", "old").unwrap();
    let pinned = ask("GET", "/b/k").header("if-match", format!("\"{}\"", old.etag));
    assert_eq!(client.send(pinned.clone()).await.text(), "old");
    peer.set_object("b", "k", "new").unwrap();
    assert_eq!(client.send(pinned).await.verdict(), "412 PreconditionFailed");
    let version = old.version_id.clone().unwrap();
    let reply = client.send(ask("GET", &format!("/b/k?versionId={version}"))).await;
    assert_eq!((reply.text().as_str(), reply.header("x-amz-version-id")), ("old", version));
}

#[tokio::test]
async fn the_signature_is_checked_unless_told_otherwise() {
    let peer = peer();
    let wrong = Client { secret: "wrong".to_owned(), ..client(&peer) };
    assert_eq!(wrong.send(ask("GET", "/b/k")).await.verdict(), "403 SignatureDoesNotMatch");
    let unknown = Client { access_id: "AKIA".to_owned(), ..client(&peer) };
    assert_eq!(unknown.send(ask("GET", "/b/k")).await.verdict(), "403 InvalidAccessKeyId");
    let owner = ask("GET", "/b/k").header("x-amz-expected-bucket-owner", "1");
    assert_eq!(client(&peer).send(owner).await.verdict(), "403 AccessDenied");
    let lax = peer_with(S3Options { check_signatures: false, tls: true, ..S3Options::default() });
    let wrong = Client { secret: "wrong".to_owned(), ..client(&lax) };
    assert_eq!(wrong.send(ask("GET", "/b/k")).await.verdict(), "404 NoSuchKey");
}

#[tokio::test]
async fn an_archived_object_is_not_read() {
    let peer = peer();
    let put = ask("PUT", "/b/k").header("x-amz-storage-class", "GLACIER").body("x");
    assert_eq!(client(&peer).send(put).await.status, 200);
    assert_eq!(client(&peer).send(ask("GET", "/b/k")).await.verdict(), "403 InvalidObjectState");
    assert_eq!(client(&peer).send(ask("HEAD", "/b/k")).await.header("x-amz-storage-class"), "GLACIER");
}
