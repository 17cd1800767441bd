//! What is removed at the source: carried over where it is asked for, and never a whole bucket by mistake.

use sandbox::S3Options;
use skyferry_agent::notice::{Reason, Shutdown};
use skyferry_agent::wiring::Until;

use crate::running::{SINK, SOURCE, Stage, created, event};

#[tokio::test]
async fn a_removed_object_that_comes_back_is_copied_again_whatever_the_order_of_events() {
    let stage = Stage::with("[transfer]\ndeletes = true").await;
    stage.put("k", b"one");
    stage.drain(&[created("k")]).await;
    stage.s3.remove_object(SOURCE, "k");
    let removed =
        stage.drain(&[event("ObjectRemoved:Delete", "k")].map(|event| crate::running::message(&[event]))).await;
    assert_eq!((removed.deleted, stage.copy("k")), (1, None));
    stage.put("k", b"two");
    // The late event of the removal comes after the one of the writing, and finds an object.
    let late = crate::running::message(&[event("ObjectRemoved:DeleteMarkerCreated", "k")]);
    let summary = stage.drain(&[created("k"), late]).await;
    assert_eq!((summary.deleted, stage.copy("k").as_deref()), (0, Some(&b"two"[..])));
}

#[tokio::test]
async fn the_fuse_stops_deletions_when_a_bucket_is_emptied_and_keeps_their_messages() {
    let stage = Stage::with("[transfer]\ndeletes = true\nmax_delete_share = \"20%\"").await;
    let keys: Vec<String> = (0..300).map(|n| format!("k{n:03}")).collect();
    for key in &keys {
        stage.put(key, b"x");
    }
    stage.drain(&keys.iter().map(|key| created(key)).collect::<Vec<_>>()).await;
    for key in &keys {
        stage.s3.remove_object(SOURCE, key);
    }
    let agent = stage.agent().await;
    let (queue, metrics) = (agent.queue().clone(), agent.metrics().clone());
    let removals: Vec<String> =
        keys.iter().map(|key| crate::running::message(&[event("ObjectRemoved:Delete", key)])).collect();
    queue.send(&removals).await.expect("sent");
    let shutdown = Shutdown::default();
    let until_it_blows = async {
        loop {
            let depth = queue.depth().await.expect("asked");
            if metrics.summary().deleted >= 100 && depth.visible + depth.in_flight == 0 {
                break shutdown.request(Reason::Terminate);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let both = async { tokio::join!(agent.run(Until::Stopped, shutdown.clone()), until_it_blows) };
    let (report, ()) = tokio::time::timeout(std::time::Duration::from_secs(60), both).await.expect("it blows");
    let summary = report.expect("a run").summary;
    assert_eq!((summary.deleted, summary.parked), (100, 0), "as many as are never too many");
    assert_eq!(queue.depth().await.expect("asked").delayed, 200, "the rest waits");
    assert_eq!(stage.gcs.objects(SINK).len(), 200);
}

#[tokio::test]
async fn fault_b6_a_creation_that_comes_after_its_delete_marker_copies_nothing() {
    let versioned = S3Options { versioning: true, ..S3Options::default() };
    let stage = Stage::of(versioned, "[transfer]\nversions = \"exact\"\ndeletes = true").await;
    let event = |name: &str, version: &str| {
        let key = format!(r#""key":"k","versionId":"{version}""#);
        crate::running::message(&[event(name, "k").replace(r#""key":"k""#, &key)])
    };
    let version = stage.s3.set_object(SOURCE, "k", b"one").expect("an object").version_id.clone().expect("a version");
    let creation = event("ObjectCreated:Put", &version);
    assert_eq!(stage.drain(std::slice::from_ref(&creation)).await.copied, 1);
    stage.s3.remove_object(SOURCE, "k");
    assert_eq!(stage.drain(&[event("ObjectRemoved:DeleteMarkerCreated", "marker")]).await.deleted, 1);
    // Delivered again; and for the first time, of a version that was never copied.
    assert_eq!(stage.drain(std::slice::from_ref(&creation)).await.gone, 1);
    assert_eq!(stage.copy("k"), None);
    let late = stage.s3.set_object(SOURCE, "k", b"two").expect("an object").version_id.clone().expect("a version");
    stage.s3.remove_object(SOURCE, "k");
    assert_eq!(stage.drain(&[event("ObjectCreated:Put", &late)]).await.gone, 1);
    assert_eq!(stage.copy("k"), None);
    // A key that lives again is copied again, whatever comes late.
    let again = stage.s3.set_object(SOURCE, "k", b"three").expect("an object").version_id.clone().expect("a version");
    assert_eq!(stage.drain(&[event("ObjectCreated:Put", &again)]).await.copied, 1);
    assert_eq!(stage.drain(&[creation]).await.unchanged, 1);
    assert_eq!(stage.copy("k").as_deref(), Some(&b"three"[..]));
}
