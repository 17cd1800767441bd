//! Who is let in, what is refused outright, and the peer as a server.

use super::*;

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
    peer.set_object("b", "arranged", "kept").unwrap();
    assert_eq!(goog(&peer).send(ask("GET", "/b/arranged")).await.text(), "kept");
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
