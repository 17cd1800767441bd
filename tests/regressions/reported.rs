//! What an operator is told when a side refuses all: which bucket and key, what the far side answered, what to do. The
//! message is kept meanwhile, and the object arrives when the cause is repaired.

use std::time::Duration;

use sandbox::{Access, Fault, Operation, Rule};
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::status::Recent;
use skyferry_agent::wiring::RunUntil;
use skyferry_core::metrics::Summary;
use tracing_subscriber::layer::SubscriberExt;

use crate::running::{Fixture, SINK, SOURCE, created};

/// Runs an agent over one object until something is reported, mends the cause, and lets it end.
async fn reported(fixture: &Fixture, mend: impl FnOnce()) -> (String, Summary) {
    fixture.put("a/k", b"body");
    let agent = fixture.agent().await;
    agent.queue().send(&[created("a/k")]).await.expect("sent");
    let recent = Recent::default();
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(recent.clone()));
    let listen = async {
        let text = loop {
            if let Some(first) = recent.list().last() {
                break first.text.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        mend();
        text
    };
    let run = agent.run(RunUntil::Empty, Shutdown::default());
    let both = async { tokio::join!(run, listen) };
    let (report, text) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
    (text, report.expect("a run").summary)
}

/// The parts of a good error, and an object that has arrived.
fn assert_told((text, summary): (String, Summary), fixture: &Fixture, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    assert_eq!((summary.copied, summary.parked), (1, 0), "{text}");
    assert_eq!(fixture.copy("a/k").as_deref(), Some(&b"body"[..]));
}

#[tokio::test]
async fn a_refusing_source_is_told_with_its_answer_and_what_to_do() {
    for (status, code, what, advice) in [
        (403, "AccessDenied", "access denied", "grant the source credentials s3:GetObject"),
        (404, "NoSuchBucket", "no such bucket", "check the bucket's name"),
        (301, "PermanentRedirect", "in another region", "set region"),
        (400, "ExpiredToken", "credentials refused", "its expiry"),
        (403, "RequestTimeTooSkewed", "credentials refused", "machine's clock"),
        (403, "InvalidAccessKeyId", "credentials refused", "check the key"),
    ] {
        let fixture = Fixture::new().await;
        let refusal = Fault::Refuse { status, code: code.into(), retry_after: None };
        fixture.s3.faults().add(Rule::on(Operation::GetObject, refusal).always());
        let reported = reported(&fixture, || fixture.s3.faults().clear()).await;
        assert_told(reported, &fixture, &["source GetObject", &format!("{SOURCE}/a/k"), what, code, advice]);
    }
}

#[tokio::test]
async fn a_denying_destination_is_told_with_its_answer_and_what_to_do() {
    let fixture = Fixture::new().await;
    fixture.gcs.set_access(SINK, Access::Denied);
    let reported = reported(&fixture, || fixture.gcs.set_access(SINK, Access::Full)).await;
    let parts = ["destination", &format!("{SINK}/a/k"), "access denied", "AccessDenied", "grant the destination"];
    assert_told(reported, &fixture, &parts);
}

#[tokio::test]
async fn a_missing_destination_bucket_is_told_and_the_object_arrives_when_it_is_made() {
    let fixture = Fixture::new().await;
    let refusal = Fault::Refuse { status: 404, code: "NoSuchBucket".into(), retry_after: None };
    fixture.gcs.faults().add(Rule::any(refusal).always());
    let reported = reported(&fixture, || fixture.gcs.faults().clear()).await;
    assert_told(reported, &fixture, &[SINK, "no such bucket", "NoSuchBucket", "create the bucket"]);
}
