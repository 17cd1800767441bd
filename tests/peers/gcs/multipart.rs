//! Multipart uploads: no preconditions, no MD5 of the whole, and what is aborted stays gone.

use super::*;

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
