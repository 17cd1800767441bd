//! Writes whose end is not seen at once: a Complete that takes its time or whose answer is lost, an upload that stays although
//! it was aborted, wrong bytes whose removal fails.

use std::time::Duration;

use sandbox::{Fault, Operation, Rule};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::RunUntil;
use skyferry_core::ledger::Subject;
use skyferry_core::metrics::Outcome;
use skyferry_core::model::Location;

use crate::running::{Fixture, SINK, SOURCE, created, finish};
use crate::stopped::stopped_when;

/// In five parts, by an agent that gives a transfer up when nothing moves for a second.
const LARGE: &str = "[transfer]\nmultipart_threshold = \"6MiB\"\npart_size = \"5MiB\"\nstall_timeout = \"1s\"";
const SIZE: usize = 24 << 20;

fn body() -> Vec<u8> {
    (0..SIZE).map(|n| (n / 7 % 251) as u8).collect()
}

async fn with_large() -> Fixture {
    let fixture = Fixture::with(LARGE).await;
    fixture.put("k", &body());
    fixture
}

fn outage() -> Fault {
    Fault::Refuse { status: 503, code: "ServiceUnavailable".into(), retry_after: None }
}

/// Everything was sent once, in one upload, and nothing is left over.
fn sent_once(fixture: &Fixture) {
    let counts = fixture.gcs.counts();
    assert_eq!((counts.of(Operation::CreateUpload), counts.of(Operation::UploadPart)), (1, 5));
    assert_eq!((counts.of(Operation::CompleteUpload), counts.of(Operation::AbortUpload)), (1, 0));
    assert!(fixture.copy("k") == Some(body()));
    assert!(fixture.gcs.open_uploads(SINK).is_empty());
}

/// A Complete that meets this, once.
async fn completes(fault: Fault) {
    let fixture = with_large().await;
    fixture.gcs.faults().add(Rule::on(Operation::CompleteUpload, fault));
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.parked, fixture.gcs.faults().met()), (1, 0, 1));
    sent_once(&fixture);
}

#[tokio::test]
async fn fault_b3_a_complete_that_takes_longer_than_the_stall_timeout_is_waited_for() {
    completes(Fault::LateAnswer(Duration::from_secs(4))).await;
}

#[tokio::test]
async fn fault_b3_a_complete_whose_answer_is_lost_is_looked_for_before_its_upload_is_aborted() {
    completes(Fault::LateEffect(Duration::from_secs(3))).await;
}

#[tokio::test]
async fn fault_b3_an_agent_that_is_stopped_at_a_long_complete_leaves_it_to_its_successor() {
    let fixture = with_large().await;
    fixture.gcs.faults().add(Rule::on(Operation::CompleteUpload, Fault::Stall(Duration::from_secs(15))));
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    stopped_when(agent, || fixture.gcs.faults().met() > 0).await;
    let summary = finish(fixture.agent().await).await;
    assert_eq!((summary.copied + summary.unchanged, summary.parked), (1, 0));
    let counts = fixture.gcs.counts();
    assert_eq!(
        (counts.of(Operation::CreateUpload), counts.of(Operation::UploadPart)),
        (1, 5),
        "no byte was sent again"
    );
    assert!(fixture.copy("k") == Some(body()));
}

/// An upload of an older state of the object, which whoever copies the new one has to end.
async fn with_an_upload_that_stays() -> Fixture {
    let fixture = with_large().await;
    let stall = Fault::Stall(Duration::from_secs(30));
    fixture.gcs.faults().add(Rule::on(Operation::UploadPart, stall).part(5).always());
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let shutdown = Shutdown::default();
    let stop = async {
        while fixture.gcs.open_uploads(SINK).iter().all(|upload| upload.parts.len() < 4) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.request(ShutdownReason::Terminate);
    };
    let (report, ()) = tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), stop);
    report.expect("a run");
    fixture.gcs.faults().clear();
    fixture.put("k", b"newer, and small");
    let taken = Fault::Instead(sandbox::Reply { status: 204, ..Default::default() });
    fixture.gcs.faults().add(Rule::on(Operation::AbortUpload, taken).always());
    fixture
}

#[tokio::test]
async fn fault_b4_an_upload_that_stays_after_its_abort_is_aborted_a_few_times_and_the_message_released() {
    let fixture = with_an_upload_that_stays().await;
    let agent = fixture.agent().await;
    let run = tokio::spawn(agent.run(RunUntil::Empty, Shutdown::default()));
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (aborts, looks) =
        (fixture.gcs.counts().of(Operation::AbortUpload), fixture.gcs.counts().of(Operation::ListParts));
    assert!((1..=8).contains(&aborts) && looks <= 10, "{aborts} aborts and {looks} looks in eight seconds");
    fixture.gcs.faults().clear();
    let report = tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").expect("no panic");
    assert_eq!(report.expect("a run").summary.copied, 1);
    assert_eq!(fixture.copy("k").as_deref(), Some(&b"newer, and small"[..]));
    assert!(fixture.gcs.open_uploads(SINK).is_empty());
}

#[tokio::test]
async fn fault_b4_a_stopped_agent_gives_such_a_message_back_at_once() {
    let fixture = with_an_upload_that_stays().await;
    stopped_when(fixture.agent().await, || fixture.gcs.counts().of(Operation::AbortUpload) > 0).await;
}

#[tokio::test]
async fn fault_b5_wrong_bytes_whose_removal_fails_by_an_outage_keep_their_message_until_they_are_gone() {
    let fixture = Fixture::new().await;
    // Beyond what is held whole, so that no digest goes before it.
    let body = &body()[..2 << 20];
    fixture.put("k", body);
    fixture.gcs.faults().add(Rule::on(Operation::PutObject, Fault::FlipRequest(2)).times(2));
    fixture.gcs.faults().add(Rule::on(Operation::DeleteObject, outage()).times(1));
    let agent = fixture.agent().await;
    let ledger = agent.ledger().clone();
    agent.queue().send(&[created("k")]).await.expect("sent");
    let summary = finish(agent).await;
    assert_eq!(fixture.gcs.counts().of(Operation::DeleteObject), 1, "it was to be removed");
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert!(fixture.copy("k").as_deref() == Some(body));
    let at = |bucket: &str| Location::new(bucket, "k");
    let subject = Subject { source: at(SOURCE), destination: at(SINK), primary: true };
    let record = ledger.lookup(&subject).await.expect("looked up").expect("there");
    assert_eq!((record.outcome, record.ended), (Some(Outcome::Copied), true));
}
