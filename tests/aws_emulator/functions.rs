//! The agent as a Lambda function: ministack's queue, an event source mapping between, and the program as Lambda starts it.

use std::path::Path;
use std::time::Duration;

use fixture::bytes;
use sandbox::{Delivered, EventSource, Fault, LambdaError, LambdaOptions, LambdaPeer, Ministack, Operation, Rule};
use skyferry_agent::pause::Pause;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::RunUntil;

use crate::fixture::{Fixture, LIST, SINK, eventually};

/// A worker with the stage's settings in its package.
fn worker(fixture: &Fixture, timeout: Duration, transfer: &str) -> LambdaPeer {
    let root = fixture.settings("", transfer);
    function(root.parent().expect("a folder"), "worker", timeout, &[])
}

pub fn function(root: &Path, handler: &str, timeout: Duration, environment: &[(&str, &str)]) -> LambdaPeer {
    let options = LambdaOptions {
        program: fixture::program("skyferry-lambda"),
        handler: handler.into(),
        timeout,
        memory: 512,
        region: Ministack::REGION.into(),
        root: root.into(),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    LambdaPeer::start(options).expect("a function")
}

pub fn source<'a>(fixture: &'a Fixture, function: &'a LambdaPeer) -> EventSource<'a> {
    EventSource { cloud: &fixture.cloud, queue: LIST, function, batch: 10 }
}

/// Polls until the queue holds nothing, visible or not; back come all invocations.
pub async fn drain(fixture: &Fixture, source: &EventSource<'_>) -> Vec<Delivered> {
    let mut all = Vec::new();
    let emptied = async {
        while fixture.messages().await > 0 {
            match source.poll().await.expect("a poll") {
                Some(delivered) => all.push(delivered),
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(180), emptied).await;
    assert!(ended.is_ok(), "the queue is not empty:\n{}", source.function.log());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_copies_what_events_bring_and_parks_what_is_malformed_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let function = worker(&fixture, Duration::from_secs(20), "");
    let large = bytes(12 << 20, 0);
    fixture.cloud.put_object("/photos/small%20one", "hello").await.expect("put");
    fixture.cloud.put_object("/photos/large", large.clone()).await.expect("put");
    fixture.cloud.send_message(LIST, "not a job").await.expect("sent");
    let delivered = drain(&fixture, &source(&fixture, &function)).await;
    assert!(
        delivered.iter().all(|one| one.error.is_none() && one.kept.is_empty()),
        "{delivered:?}\n{}",
        function.log()
    );
    assert_eq!(fixture.copy("small one"), Some(b"hello".to_vec()));
    assert!(fixture.copy("large").is_some_and(|copy| copy == large));
    assert_eq!(fixture.dead_letters().await, 1);
    let letters = fixture.cloud.peek(&format!("{LIST}-dead")).await.expect("a look");
    assert_eq!(letters[0]["Body"], "not a job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_what_failed_comes_back_alone_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let function = worker(&fixture, Duration::from_secs(20), "");
    let refused = Fault::Refuse { status: 503, code: "SlowDown".into(), retry_after: None };
    fixture.gcs.faults().add(Rule::on(Operation::PutObject, refused).key("backup/two").times(1));
    for key in ["one", "two", "three"] {
        fixture.cloud.put_object(&format!("/photos/{key}"), key).await.expect("put");
    }
    let delivered = drain(&fixture, &source(&fixture, &function)).await;
    let failed: Vec<&Delivered> = delivered.iter().filter(|one| !one.kept.is_empty()).collect();
    assert_eq!(failed.len(), 1, "{delivered:?}\n{}", function.log());
    assert!(failed[0].error.is_none() && failed[0].kept.len() == 1, "{delivered:?}");
    // It was visible again long before its visibility would have ended.
    let again = delivered.last().expect("invocations");
    assert_eq!((&again.ids, again.kept.len()), (&failed[0].kept, 0));
    for key in ["one", "two", "three"] {
        assert_eq!(fixture.copy(key), Some(key.as_bytes().to_vec()));
    }
    assert_eq!((fixture.gcs.counts().of(Operation::PutObject), fixture.dead_letters().await), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_takes_longer_than_a_function_has_ends_after_several_invocations_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let function = worker(&fixture, Duration::from_secs(20), "max_bandwidth = \"6MiB\"");
    let large = bytes(200 << 20, 0);
    fixture.cloud.put_object("/photos/large", large.clone()).await.expect("put");
    let delivered = drain(&fixture, &source(&fixture, &function)).await;
    assert!(delivered.iter().all(|one| one.error.is_none()), "{delivered:?}\n{}", function.log());
    let with_it = delivered.iter().filter(|one| !one.kept.is_empty()).count();
    assert!(with_it >= 2, "{with_it} invocations were not enough for it: {delivered:?}");
    assert!(fixture.copy("large").is_some_and(|copy| copy == large), "200 MiB, byte for byte");
    let counts = fixture.gcs.counts();
    assert_eq!((counts.of(Operation::CreateUpload), counts.of(Operation::CompleteUpload)), (1, 1));
    // What was in flight when an invocation ended may be sent again, and nothing else.
    let (parts, in_flight) = (40, 16 * with_it as u64);
    let sent = counts.of(Operation::UploadPart);
    assert!((parts..=parts + in_flight).contains(&sent), "{sent} parts were sent for {parts}\n{}", function.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_is_killed_in_the_middle_loses_nothing_on_ministack() {
    let fixture = Fixture::new(30, 60).await;
    let function = worker(&fixture, Duration::from_secs(30), "max_bandwidth = \"3MiB\"");
    let large = bytes(50 << 20, 0);
    fixture.cloud.put_object("/photos/large", large.clone()).await.expect("put");
    fixture.cloud.put_object("/photos/small", "hello").await.expect("put");
    let source = source(&fixture, &function);
    let killed = async {
        eventually("parts are sent", Duration::from_secs(60), async || {
            fixture.gcs.counts().of(Operation::UploadPart) >= 3
        })
        .await;
        // A checkpoint or two later.
        tokio::time::sleep(Duration::from_secs(6)).await;
        function.kill();
    };
    let (first, ()) = tokio::join!(async { source.poll().await.expect("a poll").expect("messages") }, killed);
    assert!(matches!(first.error, Some(LambdaError::Killed)), "{first:?}\n{}", function.log());
    assert_eq!(fixture.messages().await, 3, "both objects' and the bucket's test event");
    drain(&fixture, &source).await;
    assert!(fixture.copy("large").is_some_and(|copy| copy == large));
    assert_eq!(fixture.copy("small"), Some(b"hello".to_vec()));
    let counts = fixture.gcs.counts();
    assert_eq!(
        (counts.of(Operation::CreateUpload), counts.of(Operation::CompleteUpload)),
        (1, 1),
        "{}",
        function.log()
    );
    assert_eq!(fixture.dead_letters().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_functions_and_two_agents_on_one_queue_end_with_the_source_on_ministack() {
    let fixture = Fixture::new(60, 60).await;
    let (one, two) = (worker(&fixture, Duration::from_secs(20), ""), worker(&fixture, Duration::from_secs(20), ""));
    let agents = [fixture.agent().await, fixture.agent().await];
    let shutdowns = [Shutdown::default(), Shutdown::default()];
    let running: Vec<_> = agents
        .into_iter()
        .zip(shutdowns.clone())
        .map(|(agent, shutdown)| tokio::spawn(agent.run(RunUntil::Stopped, shutdown)))
        .collect();
    let (first, second) = (source(&fixture, &one), source(&fixture, &two));
    let put = async {
        for round in 0..3 {
            for key in 0..20 {
                fixture.cloud.put_object(&format!("/photos/{key}"), format!("{round} of {key}")).await.expect("put");
            }
        }
    };
    tokio::join!(put, async { drain(&fixture, &first).await }, async { drain(&fixture, &second).await });
    drain(&fixture, &first).await;
    for shutdown in &shutdowns {
        shutdown.stop.cancel();
    }
    for agent in running {
        assert_eq!(agent.await.expect("it ends").expect("a run").summary.parked, 0);
    }
    for key in 0..20 {
        assert_eq!(fixture.copy(&key.to_string()), Some(format!("2 of {key}").into_bytes()), "{key}");
    }
    assert_eq!((fixture.messages().await, fixture.dead_letters().await), (0, 0));
    assert_eq!(fixture.gcs.counts().of(Operation::UploadPart), 0, "{SINK} has small ones only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_a_paused_fleet_puts_its_messages_away_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let agent = fixture.agent().await;
    Pause::write(&**agent.ledger(), Some(&Pause::new(None, None))).await.expect("paused");
    fixture.cloud.put_object("/photos/k", "hello").await.expect("put");
    let function = worker(&fixture, Duration::from_secs(20), "");
    let mut kept = 0;
    while let Some(delivered) = source(&fixture, &function).poll().await.expect("a poll") {
        assert!(delivered.error.is_none() && delivered.kept.len() == delivered.ids.len(), "{delivered:?}");
        kept += delivered.kept.len();
    }
    // For a quarter of an hour nobody gets the object's message, nor the bucket's test event.
    assert_eq!((kept, fixture.messages().await, fixture.copy("k")), (2, 2, None));
    assert!(function.log().contains("are put away"), "{}", function.log());
}
