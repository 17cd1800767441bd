//! Single objects: hashes, generations, ranges, names, listings.

use super::*;

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
