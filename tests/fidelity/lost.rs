//! Answers that are lost, late or wrong, on every verb that a copy uses: it ends copied once, with nothing else ever shown and no
//! upload left.

use std::time::Duration;

use sandbox::{Fault, Operation, Rule};

use skyferry_agent::janitor::{SweepReport, SweepScope};

use crate::running::{Fixture, SINK, created};
use fixture::{bytes, only_ever_showed};

const MULTIPART: &str = "[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"";

fn faults() -> Vec<Fault> {
    let refused = |status, code: &str| Fault::Refuse { status, code: code.into(), retry_after: None };
    vec![
        Fault::LostAnswer,
        Fault::NoEffect,
        Fault::LateAnswer(Duration::from_millis(300)),
        Fault::LateEffect(Duration::from_millis(300)),
        Fault::RefuseAfterEffect { status: 500, code: "InternalError".into() },
        refused(500, "InternalError"),
        refused(503, "SlowDown"),
        refused(429, "SlowDown"),
        refused(408, "RequestTimeout"),
    ]
}

async fn survives(fault: &Fault, operation: Operation, at_source: bool, size: usize) {
    let what = format!("{fault:?} on {operation:?} of {size} bytes");
    let fixture = Fixture::with(MULTIPART).await;
    let body = bytes(size, 5);
    fixture.put("k", &body);
    let faults = if at_source { fixture.s3.faults() } else { fixture.gcs.faults() };
    faults.add(Rule::on(operation, fault.clone()));
    // Delivered twice: the second is what the redelivery of a message whose delete was lost would be.
    let summary = fixture.drain(&[created("k"), created("k")]).await;
    assert_eq!((summary.parked, summary.gone), (0, 0), "{what}");
    assert_eq!(summary.copied + summary.unchanged, 2, "{what}");
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&body], &what);
    assert!(fixture.copy("k") == Some(body), "{what}");
    // An upload whose id never arrived is known to nobody: it is found by listing.
    let left = fixture.gcs.open_uploads(SINK).len();
    assert!(left == 0 || operation == Operation::CreateUpload, "{what}: an upload is left");
    let swept = fixture.agent().await.janitor().sweep(SweepScope::OlderThan(Duration::ZERO)).await.expect("swept");
    assert_eq!(swept, SweepReport { aborted: left, live: 0, foreign: 0 }, "{what}");
    assert!(fixture.gcs.open_uploads(SINK).is_empty(), "{what}");
}

#[tokio::test]
async fn a_lost_late_or_failing_answer_on_any_verb_ends_in_one_right_copy() {
    use Operation::*;
    let verbs: [(Operation, bool, usize); 9] = [
        (GetObject, true, 10_000),
        (GetObject, true, 12 << 20),
        (HeadObject, true, 12 << 20),
        (HeadObject, false, 10_000),
        (PutObject, false, 10_000),
        (PutObject, false, 3 << 20),
        (CreateUpload, false, 12 << 20),
        (UploadPart, false, 12 << 20),
        (CompleteUpload, false, 12 << 20),
    ];
    let cases: Vec<_> = faults().into_iter().flat_map(|fault| verbs.map(|verb| (fault.clone(), verb))).collect();
    let count = cases.len();
    // Most of a case is waiting.
    let mut running = tokio::task::JoinSet::new();
    for (fault, (operation, at_source, size)) in cases {
        if running.len() == 8 {
            running.join_next().await.expect("one").expect("it ended");
        }
        running.spawn(async move { survives(&fault, operation, at_source, size).await });
    }
    running.join_all().await;
    eprintln!("{count} cases");
}

#[tokio::test]
async fn an_error_within_a_200_of_a_complete_is_an_error() {
    for code in ["InternalError", "SlowDown"] {
        survives(&Fault::ErrorInOk { code: code.into() }, Operation::CompleteUpload, false, 12 << 20).await;
    }
}

#[tokio::test]
async fn the_janitor_leaves_young_recorded_and_foreign_uploads_alone() {
    let fixture = Fixture::with(MULTIPART).await;
    fixture.put("ours", &bytes(12 << 20, 1));
    fixture.gcs.faults().add(Rule::on(Operation::CreateUpload, Fault::LostAnswer));
    assert_eq!(fixture.drain(&[created("ours")]).await.copied, 1);
    // Somebody else's upload, at a key that no message ever spoke of.
    fixture.gcs.begin_upload(SINK, "theirs").expect("begun");
    let sweep =
        async |age: Duration| fixture.agent().await.janitor().sweep(SweepScope::OlderThan(age)).await.expect("swept");
    let young = sweep(Duration::from_secs(3600)).await;
    assert_eq!(young, SweepReport { aborted: 0, live: 2, foreign: 0 });
    assert_eq!(sweep(Duration::ZERO).await, SweepReport { aborted: 1, live: 0, foreign: 1 });
    let left: Vec<String> = fixture.gcs.open_uploads(SINK).into_iter().map(|upload| upload.key).collect();
    assert_eq!(left, ["theirs"]);
}

/// Nobody comes for it: its message is gone. And one that cannot be ended keeps no other from it.
#[tokio::test]
async fn the_upload_of_an_object_that_was_parked_while_its_abort_was_refused_is_ended_later() {
    let fixture = Fixture::with(MULTIPART).await;
    fixture.put("k", &bytes(12 << 20, 1));
    fixture.put("lost", &bytes(12 << 20, 2));
    let retained = Fault::Refuse { status: 403, code: "RetentionPolicyNotMet".into(), retry_after: None };
    for operation in [Operation::CompleteUpload, Operation::AbortUpload] {
        fixture.gcs.faults().add(Rule::on(operation, retained.clone()).key("k").always());
    }
    fixture.gcs.faults().add(Rule::on(Operation::CreateUpload, Fault::LostAnswer).key("lost"));
    let summary = fixture.drain(&[created("k"), created("lost")]).await;
    assert_eq!((summary.copied, summary.parked), (1, 1));
    let left = || fixture.gcs.open_uploads(SINK).into_iter().map(|upload| upload.key).collect::<Vec<_>>();
    assert_eq!(left(), ["k", "lost"]);
    let sweep = async || fixture.agent().await.janitor().sweep(SweepScope::OlderThan(Duration::ZERO)).await;
    let refused = sweep().await.expect_err("one abort is refused still");
    assert!(refused.to_string().contains("AbortMultipartUpload copies/k"), "{refused}");
    assert_eq!(left(), ["k"]);
    fixture.gcs.faults().clear();
    assert_eq!(sweep().await.expect("swept"), SweepReport { aborted: 1, live: 0, foreign: 0 });
    assert!(left().is_empty());
}
