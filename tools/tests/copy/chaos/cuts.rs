//! Answers cut at every byte. Each connection through the proxy ends after one byte more than the one before it, so that a
//! single copy of many objects meets every offset of every kind of answer; what was cut was done or not, nobody knows.

use sandbox::{Direction, Fault, Operation, Proxy, Rule, StorePeer, Wire};

use super::{Rng, ValidStates, times};
use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, gcs, objects, s3, tree};

/// Cuts one connection after the other, each a byte later than the last; between them one that lives for some answers, so
/// that it is not all outage.
fn cut_them_all(proxy: &Proxy, offsets: u64) {
    for n in 0..offsets {
        proxy.script(2 * n..=2 * n, Direction::Down, Wire::Cut(1500));
        proxy.script(2 * n + 1..=2 * n + 1, Direction::Down, Wire::Cut(n));
    }
}

fn fill(fixture: &Fixture, count: usize, size: usize) -> ValidStates {
    let mut right = ValidStates::default();
    for n in 0..count {
        let body = bytes(size + n, n as u64);
        right.had(&format!("{n}"), &body);
        fixture.write(&format!("tree/{n}"), &body);
    }
    right
}

/// Whatever a copy with faults ended with, the next one without ends the work; then everything is checked.
async fn through(fixture: &Fixture, proxy: &Proxy, peer: &StorePeer, arguments: &[&str], right: &ValidStates) {
    let output = fixture.copy(arguments).await;
    assert!(matches!(output.code, Some(0 | 1)), "{output:?}");
    assert!(proxy.counts().connections > 3, "the proxy was not met");
    right_so_far(peer, right);
    proxy.clear();
    let output = fixture.copy(arguments).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    assert!(objects(peer, "") == tree(&fixture.path("tree")), "the bucket differs");
    right.check(peer);
}

fn right_so_far(peer: &StorePeer, right: &ValidStates) {
    for shown in peer.publications() {
        let Some(object) = shown.object else { continue };
        assert!(right.0[&shown.key].contains(&(object.size, object.crc32c)), "published wrong: {object:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_small_objects_may_be_cut_at_every_byte() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let right = fill(&fixture, times(1500, 4000), 40);
    let proxy = Proxy::start(gcs.address()).expect("a proxy");
    // The answer to a PUT is shorter than that.
    cut_them_all(&proxy, times(600, 1400) as u64);
    let endpoint = proxy.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    through(&fixture, &proxy, &gcs, &all(&["tree", "gs://photos", "--patience", "60s"], &[&to]), &right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_may_be_cut_at_every_byte() {
    let (fixture, s3) = (Fixture::new(), s3());
    let count = times(500, 2000);
    for n in 0..count {
        s3.set_object(BUCKET, &format!("{n:04}"), bytes(300 + n, n as u64)).expect("an object");
    }
    let proxy = Proxy::start(s3.address()).expect("a proxy");
    let endpoint = proxy.endpoint();
    // The first tells what SRC is.
    for n in 1..count as u64 {
        proxy.script(n..=n, Direction::Down, Wire::Cut(n * 2));
    }
    let from = at("source", &endpoint, "S3_");
    let arguments = all(&["s3://photos", "to"], &[&from]);
    let output = fixture.copy(&arguments).await;
    assert!(matches!(output.code, Some(0 | 1)), "{output:?}");
    for (key, bytes) in tree(&fixture.path("to")) {
        let key = std::str::from_utf8(&key).expect("UTF-8");
        assert!(s3.read(BUCKET, key).expect("there") == bytes, "{key} differs");
    }
    proxy.clear();
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    assert!(tree(&fixture.path("to")) == objects(&s3, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_uploads_may_be_cut_anywhere() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let mut chance = Rng::new();
    let right = fill(&fixture, times(6, 30), 11 << 20);
    let proxy = Proxy::start(gcs.address()).expect("a proxy");
    for n in 0..times(120, 900) as u64 {
        proxy.script(n..=n, Direction::Down, Wire::Cut(chance.below(1500)));
    }
    let endpoint = proxy.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos", "--patience", "60s"], &[&to])[..], &PARTS].concat();
    through(&fixture, &proxy, &gcs, &arguments, &right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_answer_may_be_lost_whether_or_not_it_was_done() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let mut right = fill(&fixture, 20, 1000);
    for n in 0..3 {
        let body = bytes((11 << 20) + n, n as u64);
        right.had(&format!("large{n}"), &body);
        fixture.write(&format!("tree/large{n}"), &body);
    }
    use Operation::*;
    for operation in [
        ListObjects,
        HeadObject,
        PutObject,
        CreateUpload,
        UploadPart,
        CompleteUpload,
        ListParts,
        ListUploads,
        AbortUpload,
    ] {
        for (nth, fault) in [
            (1, Fault::LostAnswer),
            (2, Fault::NoEffect),
            (3, Fault::LateEffect(std::time::Duration::from_millis(300))),
            (4, Fault::RefuseAfterEffect { status: 500, code: "InternalError".into() }),
            (5, Fault::Refuse { status: 503, code: "SlowDown".into(), retry_after: None }),
        ] {
            gcs.faults().add(Rule::on(operation, fault).nth(nth));
        }
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    let output = fixture.copy(&arguments).await;
    assert!(gcs.faults().met() > 15, "only {} faults were met: {output:?}", gcs.faults().met());
    right_so_far(&gcs, &right);
    gcs.faults().clear();
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
    right.check(&gcs);
}
