//! A destination that takes so many requests a second and refuses the others. What is counted holds on a machine of any speed.

use std::time::Duration;

use sandbox::Operation;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::RunUntil;

use crate::running::{Fixture, created};

const OBJECTS: usize = 3_000;
const LIMIT: u32 = 400;
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_requests_to_a_service_that_throttles_few_are_refused_and_no_object_is_lost() {
    let fixture = Fixture::with("").await;
    let keys: Vec<String> = (0..OBJECTS).map(|n| format!("k{n:04}")).collect();
    keys.iter().for_each(|key| fixture.put(key, key.as_bytes()));
    fixture.gcs.faults().limit(LIMIT);
    let agent = fixture.agent().await;
    let events: Vec<String> = keys.iter().map(|key| created(key)).collect();
    agent.queue().send(&events).await.expect("sent");
    let run = tokio::spawn(agent.run(RunUntil::Empty, Shutdown::default()));
    let report = tokio::time::timeout(PATIENCE, run).await.expect("it ends").expect("no panic").expect("a run");
    // One whose first PUT was refused before the limit was known comes again.
    assert_eq!((report.summary.copied, report.summary.parked), (OBJECTS as u64, 0));
    assert!(keys.iter().all(|key| fixture.copy(key).as_deref() == Some(key.as_bytes())));
    let refused = fixture.gcs.faults().refused();
    // On a machine that stands still for moments more are refused than the one in twenty that the rate's own test shows.
    assert!(refused * 8 <= OBJECTS as u64, "{refused} refused");
    let gets = fixture.s3.counts().requests[&Operation::GetObject];
    assert!(gets <= OBJECTS as u64 + refused / 2, "{gets} GETs: what is held is not read again");
}
