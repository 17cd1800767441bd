//! What is removed at the source: carried over where it is asked for, and never a whole bucket by mistake.

use sandbox::S3Options;
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::RunUntil;

use crate::running::{Fixture, SINK, SOURCE, created, event};

#[tokio::test]
async fn a_removed_object_that_comes_back_is_copied_again_whatever_the_order_of_events() {
    let fixture = Fixture::with("[transfer]\ndeletes = true").await;
    fixture.put("k", b"one");
    fixture.drain(&[created("k")]).await;
    fixture.s3.remove_object(SOURCE, "k");
    let removed =
        fixture.drain(&[event("ObjectRemoved:Delete", "k")].map(|event| crate::running::message(&[event]))).await;
    assert_eq!((removed.deleted, fixture.copy("k")), (1, None));
    fixture.put("k", b"two");
    // The late event of the removal comes after the one of the writing, and finds an object.
    let late = crate::running::message(&[event("ObjectRemoved:DeleteMarkerCreated", "k")]);
    let summary = fixture.drain(&[created("k"), late]).await;
    assert_eq!((summary.deleted, fixture.copy("k").as_deref()), (0, Some(&b"two"[..])));
}

#[tokio::test]
async fn the_fuse_stops_deletions_when_a_bucket_is_emptied_and_keeps_their_messages() {
    let fixture = Fixture::with("[transfer]\ndeletes = true\nmax_delete_share = \"20%\"").await;
    let keys: Vec<String> = (0..300).map(|n| format!("k{n:03}")).collect();
    for key in &keys {
        fixture.put(key, b"x");
    }
    fixture.drain(&keys.iter().map(|key| created(key)).collect::<Vec<_>>()).await;
    for key in &keys {
        fixture.s3.remove_object(SOURCE, key);
    }
    let agent = fixture.agent().await;
    let (queue, metrics) = (agent.queue().clone(), agent.metrics().clone());
    let removals: Vec<String> =
        keys.iter().map(|key| crate::running::message(&[event("ObjectRemoved:Delete", key)])).collect();
    queue.send(&removals).await.expect("sent");
    let shutdown = Shutdown::default();
    let until_it_blows = async {
        loop {
            let depth = queue.depth().await.expect("asked");
            if metrics.summary().deleted >= 100 && depth.visible + depth.in_flight == 0 {
                break shutdown.request(ShutdownReason::Terminate);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let both = async { tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), until_it_blows) };
    let (report, ()) = tokio::time::timeout(std::time::Duration::from_secs(60), both).await.expect("it blows");
    let summary = report.expect("a run").summary;
    assert_eq!((summary.deleted, summary.parked), (100, 0), "as many as are never too many");
    assert_eq!(queue.depth().await.expect("asked").delayed, 200, "the rest waits");
    assert_eq!(fixture.gcs.objects(SINK).len(), 200);
}

#[tokio::test]
async fn fault_b6_a_creation_that_comes_after_its_delete_marker_copies_nothing() {
    let versioned = S3Options { versioning: true, ..S3Options::default() };
    let fixture = Fixture::of(versioned, "[transfer]\nversions = \"exact\"\ndeletes = true").await;
    let event = |name: &str, version: &str| {
        let key = format!(r#""key":"k","versionId":"{version}""#);
        crate::running::message(&[event(name, "k").replace(r#""key":"k""#, &key)])
    };
    let version = fixture.s3.set_object(SOURCE, "k", b"one").expect("an object").version_id.clone().expect("a version");
    let creation = event("ObjectCreated:Put", &version);
    assert_eq!(fixture.drain(std::slice::from_ref(&creation)).await.copied, 1);
    fixture.s3.remove_object(SOURCE, "k");
    assert_eq!(fixture.drain(&[event("ObjectRemoved:DeleteMarkerCreated", "marker")]).await.deleted, 1);
    // Delivered again; and for the first time, of a version that was never copied.
    assert_eq!(fixture.drain(std::slice::from_ref(&creation)).await.gone, 1);
    assert_eq!(fixture.copy("k"), None);
    let late = fixture.s3.set_object(SOURCE, "k", b"two").expect("an object").version_id.clone().expect("a version");
    fixture.s3.remove_object(SOURCE, "k");
    assert_eq!(fixture.drain(&[event("ObjectCreated:Put", &late)]).await.gone, 1);
    assert_eq!(fixture.copy("k"), None);
    // A key that lives again is copied again, whatever comes late.
    let again = fixture.s3.set_object(SOURCE, "k", b"three").expect("an object").version_id.clone().expect("a version");
    assert_eq!(fixture.drain(&[event("ObjectCreated:Put", &again)]).await.copied, 1);
    assert_eq!(fixture.drain(&[creation]).await.unchanged, 1);
    assert_eq!(fixture.copy("k").as_deref(), Some(&b"three"[..]));
}
