//! A destination that denies everything for a while, on a queue that gives up a message after three deliveries of five
//! seconds each. Without care everything would be in the dead letters, several times over.

use std::time::{Duration, Instant};

use sandbox::{Fault, Rule};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::RunUntil;

use crate::fixture::{Fixture, eventually};

const VISIBILITY: u64 = 5;
const MAX_RECEIVES: u32 = 3;
/// Many times the 15 s after which the queue would have given up.
const DENIED: Duration = Duration::from_secs(40);
const OBJECTS: usize = 30;
/// Each is tried once or twice before the storm is seen, and then one now and then.
const REQUESTS: u64 = 2 * OBJECTS as u64 + 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_denies_for_long_costs_no_message_on_ministack_and_few_requests() {
    let fixture = Fixture::new(VISIBILITY, MAX_RECEIVES).await;
    for n in 0..OBJECTS {
        fixture.cloud.put_object(&format!("/photos/{n}"), format!("object {n}")).await.expect("put");
    }
    let denied = Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None };
    fixture.gcs.faults().add(Rule::any(denied).always());
    let (agent, shutdown) = (fixture.agent().await, Shutdown::default());
    let run = tokio::spawn(agent.run(RunUntil::Stopped, shutdown.clone()));
    let started = Instant::now();
    let mut second_half = 0;
    while started.elapsed() < DENIED {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if started.elapsed() < DENIED / 2 {
            second_half = fixture.gcs.counts().total();
        }
        assert_eq!(fixture.dead_letters().await, 0, "after {:?}", started.elapsed());
    }
    let requests = fixture.gcs.counts().total();
    second_half = requests - second_half;
    fixture.gcs.faults().clear();
    let calm = Instant::now();
    eventually("everything has arrived", Duration::from_secs(150), async || {
        (0..OBJECTS).all(|n| fixture.copy(&n.to_string()).is_some())
    })
    .await;
    let arrived = calm.elapsed();
    eventually("the queue is empty", Duration::from_secs(30), async || fixture.messages().await == 0).await;
    shutdown.request(ShutdownReason::Terminate);
    let report = run.await.expect("no panic").expect("a run");
    eprintln!("{requests} requests while denied, {second_half} in the second half; all arrived {arrived:?} after it");
    assert!(requests <= REQUESTS, "{requests} requests while denied");
    assert!(second_half <= 15, "{second_half} requests in the second half of the storm");
    assert_eq!((report.summary.copied, report.summary.parked), (OBJECTS as u64, 0));
    assert_eq!((report.drained.aborted, fixture.dead_letters().await), (0, 0));
    for n in 0..OBJECTS {
        assert_eq!(fixture.copy(&n.to_string()), Some(format!("object {n}").into_bytes()));
    }
}
