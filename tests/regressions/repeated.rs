//! One key that fails again and again, and what stays behind of it.

use std::time::Duration;

use sandbox::{Fault, Operation, Rule};
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::RunUntil;
use skyferry_core::ledger::Subject;
use skyferry_core::model::Location;

use crate::running::{Fixture, SINK, SOURCE, created};

/// How many writers may be open on one key: those that are waited for, and those that began at the same time.
const MOST: usize = 110;
/// What failed often is left alone for long.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b2_four_hundred_events_on_one_key_that_is_refused_leave_a_small_record() {
    let fixture = Fixture::with("[transfer]\nmax_objects = 32").await;
    fixture.put("k", b"hello");
    let refuse = Fault::Refuse { status: 500, code: "InternalError".into(), retry_after: None };
    fixture.gcs.faults().add(Rule::on(Operation::PutObject, refuse).always());
    let agent = fixture.agent().await;
    agent.queue().send(&vec![created("k"); 400]).await.expect("sent");
    let ledger = agent.ledger().clone();
    let at = |bucket: &str| Location::new(bucket, "k");
    let subject = Subject { source: at(SOURCE), destination: at(SINK), primary: true };
    let run = tokio::spawn(agent.run(RunUntil::Empty, Shutdown::default()));
    for _ in 0..80 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let open = ledger.lookup(&subject).await.expect("looked up").map_or(0, |record| record.open_writers);
        assert!(open <= MOST, "{open} writers are open");
    }
    fixture.gcs.faults().clear();
    let report =
        tokio::time::timeout(PATIENCE, run).await.expect("all messages end").expect("no panic").expect("a run");
    let summary = report.summary;
    // The one that copies it may be looked at again, because others are open.
    assert_eq!((summary.copied + summary.unchanged, summary.parked), (400, 0));
    assert_eq!(fixture.copy("k").as_deref(), Some(&b"hello"[..]));
    let record = ledger.lookup(&subject).await.expect("looked up").expect("there");
    assert_eq!((record.open_writers, record.ended), (0, true));
}
