//! Faults happen where they say and nowhere else: inside a peer, and on the wire in front of one.

use std::time::{Duration, Instant};

use sandbox::{Direction, Fault, GcsOptions, GcsPeer, Operation, Proxy, Rule, Wire};

use crate::client::{Client, Sign, ask};

const SOON: Duration = Duration::from_millis(300);

fn start() -> (GcsPeer, Client) {
    let peer = GcsPeer::start(GcsOptions { create_buckets: true, ..GcsOptions::default() }).unwrap();
    let client = Client {
        endpoint: peer.endpoint(),
        sign: Sign::Goog4,
        access_id: GcsPeer::ACCESS_ID.to_owned(),
        secret: GcsPeer::SECRET.to_owned(),
        authority: None,
    };
    (peer, client)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[tokio::test]
async fn a_scripted_refusal_meets_the_request_it_names_and_no_other() {
    let (peer, client) = start();
    let busy = Fault::Refuse { status: 429, code: "SlowDown".to_owned(), retry_after: Some(3) };
    peer.faults().add(Rule::on(Operation::PutObject, busy).key("k").nth(2).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        assert_eq!(client.send(ask("PUT", "/b/other").body("x")).await.status, 200);
        let reply = client.send(ask("PUT", "/b/k").body("x")).await;
        seen.push((reply.status, reply.header("retry-after")));
    }
    let (fine, busy) = ((200, String::new()), (429, "3".to_owned()));
    assert_eq!(seen, [fine.clone(), busy.clone(), busy, fine]);
    assert_eq!(peer.faults().met(), 2);
    assert_eq!(peer.history("b", "k").len(), 2);
}

#[tokio::test]
async fn a_lost_answer_has_its_effect_and_a_late_effect_comes_later() {
    let (peer, client) = start();
    peer.faults().add(Rule::on(Operation::PutObject, Fault::LostAnswer).key("lost"));
    peer.faults().add(Rule::on(Operation::PutObject, Fault::NoEffect).key("none"));
    peer.faults().add(Rule::on(Operation::PutObject, Fault::LateEffect(SOON)).key("late"));
    for key in ["lost", "none", "late"] {
        assert!(client.try_send(ask("PUT", &format!("/b/{key}")).body("x")).await.is_err());
    }
    let keys = |peer: &GcsPeer| peer.objects("b").iter().map(|info| info.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&peer), ["lost"]);
    tokio::time::sleep(3 * SOON).await;
    assert_eq!(keys(&peer), ["late", "lost"]);
}

#[tokio::test]
async fn a_late_effect_still_meets_its_precondition() {
    let (peer, client) = start();
    peer.faults().add(Rule::on(Operation::PutObject, Fault::LateEffect(SOON)));
    let first = ask("PUT", "/b/k").header("x-goog-if-generation-match", "0").body("late");
    assert!(client.try_send(first.clone()).await.is_err());
    assert_eq!(client.send(first.body("soon")).await.status, 200);
    tokio::time::sleep(3 * SOON).await;
    assert_eq!(peer.history("b", "k").len(), 1);
    assert_eq!(peer.read("b", "k").unwrap(), b"soon");
}

#[tokio::test]
async fn a_complete_can_land_after_its_abort_was_answered_and_then_finds_nothing() {
    let (peer, client) = start();
    let id = client.send(ask("POST", "/b/k?uploads")).await.element("UploadId");
    let part = ask("PUT", &format!("/b/k?partNumber=1&uploadId={id}")).body("x");
    let etag = client.send(part).await.header("etag");
    peer.faults().add(Rule::on(Operation::CompleteUpload, Fault::LateEffect(SOON)));
    let body = format!("<C><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></C>");
    let upload = format!("/b/k?uploadId={id}");
    assert!(client.try_send(ask("POST", &upload).body(body)).await.is_err());
    assert_eq!(client.send(ask("DELETE", &upload)).await.status, 204);
    tokio::time::sleep(3 * SOON).await;
    assert!(peer.publications().is_empty());
}

#[tokio::test]
async fn a_response_is_cut_and_flipped_at_the_byte_that_was_named() {
    let (peer, client) = start();
    let body = bytes(600_000);
    peer.set_object("b", "k", &body).unwrap();
    peer.faults().add(Rule::on(Operation::GetObject, Fault::FlipResponse(400_000)));
    let mut expected = body.clone();
    expected[400_000] ^= 1;
    assert!(client.send(ask("GET", "/b/k")).await.body == expected);
    peer.faults().add(Rule::on(Operation::GetObject, Fault::CutResponse(400_000)));
    let before = peer.counts().bytes_sent;
    assert!(client.try_send(ask("GET", "/b/k")).await.is_err());
    assert_eq!(peer.counts().bytes_sent - before, 400_000);
    assert!(client.send(ask("GET", "/b/k")).await.body == body);
    peer.faults().add(Rule::on(Operation::GetObject, Fault::SlowResponse(2_000_000)));
    let started = Instant::now();
    assert!(client.send(ask("GET", "/b/k")).await.body == body);
    assert!(started.elapsed() >= SOON, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_is_cut_publishes_nothing() {
    let (peer, client) = start();
    for at in [0, 1, 299_999] {
        peer.faults().add(Rule::on(Operation::PutObject, Fault::CutRequest(at)));
        assert!(client.try_send(ask("PUT", "/b/k").body(bytes(300_000))).await.is_err());
    }
    assert!(peer.publications().is_empty());
    peer.faults().add(Rule::on(Operation::PutObject, Fault::FlipRequest(5)));
    assert_eq!(client.send(ask("PUT", "/b/k").body("0123456789").payload("UNSIGNED-PAYLOAD")).await.status, 200);
    assert_eq!(peer.read("b", "k").unwrap(), b"0123446789");
}

#[tokio::test]
async fn an_answer_can_lie() {
    let (peer, client) = start();
    peer.set_object("b", "k", "0123456789").unwrap();
    for (name, value) in [("etag", "\"lie\""), ("x-goog-hash", "crc32c=AAAAAA=="), ("content-length", "4")] {
        peer.faults().add(Rule::on(Operation::GetObject, Fault::Header(name, value.to_owned())));
        let reply = client.send(ask("GET", "/b/k")).await;
        assert_eq!(reply.header(name), value);
    }
    let longer = Fault::Header("content-length", "11".to_owned());
    peer.faults().add(Rule::on(Operation::GetObject, longer));
    assert!(client.try_send(ask("GET", "/b/k")).await.is_err());
    let error = Fault::ErrorInOk { code: "InternalError".to_owned() };
    peer.faults().add(Rule::any(error));
    assert_eq!(client.send(ask("PUT", "/b/k").body("x")).await.verdict(), "200 InternalError");
    peer.faults().add(Rule::any(Fault::RefuseAfterEffect { status: 503, code: "ServiceUnavailable".to_owned() }));
    assert_eq!(client.send(ask("PUT", "/b/after").body("x")).await.status, 503);
    assert!(peer.object("b", "after").is_some());
}

#[tokio::test]
async fn the_wire_has_weather_by_connection_and_byte() {
    let (peer, client) = start();
    let proxy = Proxy::start(peer.address()).unwrap();
    let client = Client { endpoint: proxy.endpoint(), ..client };
    let body = bytes(300_000);
    peer.set_object("b", "k", &body).unwrap();
    proxy.script(0..1, Direction::Down, Wire::Cut(100_000));
    proxy.script(1..2, Direction::Up, Wire::Cut(50_000));
    proxy.script(2..3, Direction::Down, Wire::Flip(200_000));
    proxy.script(3..4, Direction::Up, Wire::Refuse);
    proxy.script(4..5, Direction::Up, Wire::Delay(SOON));
    proxy.script(5..6, Direction::Down, Wire::Stall(1000, SOON));
    assert!(client.try_send(ask("GET", "/b/k")).await.is_err());
    assert_eq!(proxy.counts().down, 100_000);
    assert!(client.try_send(ask("PUT", "/b/cut").body(body.clone())).await.is_err());
    let flipped = client.send(ask("GET", "/b/k")).await.body;
    assert_eq!(flipped.iter().zip(&body).filter(|(one, other)| one != other).count(), 1);
    assert!(client.try_send(ask("GET", "/b/k")).await.is_err());
    for _ in 0..2 {
        let started = Instant::now();
        assert!(client.send(ask("GET", "/b/k")).await.body == body);
        assert!(started.elapsed() >= SOON);
    }
    assert!(peer.object("b", "cut").is_none());
    assert_eq!(proxy.counts().connections, 6);
}

#[tokio::test]
async fn a_closed_proxy_refuses_and_opens_again() {
    let (peer, client) = start();
    peer.set_object("b", "k", "x").unwrap();
    let proxy = Proxy::start(peer.address()).unwrap();
    let client = Client { endpoint: proxy.endpoint(), ..client };
    proxy.set_open(false);
    while client.try_send(ask("GET", "/b/k")).await.is_ok() {}
    proxy.set_open(true);
    while client.try_send(ask("GET", "/b/k")).await.is_err() {}
    peer.faults().add(Rule::any(Fault::Stall(Duration::from_secs(60))));
    let waiting = tokio::spawn(async move { client.try_send(ask("GET", "/b/k")).await.is_err() });
    while peer.faults().met() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.cut_all();
    assert!(waiting.await.unwrap());
}
