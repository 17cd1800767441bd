//! An agent that is told to stop in the middle of a large object: out in time, nothing lost, and the next one continues at
//! the next part.

use std::time::{Duration, Instant};

use sandbox::{Fault, Operation, Rule};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::{Agent, RunUntil};

use crate::running::{Fixture, SINK, SOURCE, created, finish};

const PART: usize = 5 << 20;
const PARTS: usize = 6;

/// Runs an agent on the queue's one message until `now`, and asks it to stop then: it is out in time, and has given the message
/// back at once.
pub async fn stopped_when(agent: Agent, now: impl Fn() -> bool) {
    assert_eq!(given_back_when(agent, now).await, 1, "the message is given back at once");
}

/// The same; back comes how many messages are visible then.
async fn given_back_when(agent: Agent, now: impl Fn() -> bool) -> u64 {
    let (queue, shutdown) = (agent.queue().clone(), Shutdown::default());
    let stop = async {
        while !now() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.request(ShutdownReason::Terminate);
        Instant::now()
    };
    let (report, stopped) = tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), stop);
    assert!(stopped.elapsed() < Duration::from_secs(25), "{:?}", stopped.elapsed());
    assert_eq!(report.expect("a run").drained.aborted, 0);
    let depth = queue.depth().await.expect("asked");
    assert_eq!((depth.in_flight, depth.delayed), (0, 0), "what is not done is given back at once");
    depth.visible
}

/// A stage whose agent was stopped with one part of `k` missing.
async fn stopped_before_the_last_part(body: &[u8]) -> Fixture {
    let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    fixture.put("k", body);
    let last = Rule::on(Operation::UploadPart, Fault::Stall(Duration::from_secs(60))).part(PARTS as u32);
    fixture.gcs.faults().add(last.always());

    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let held = || fixture.gcs.open_uploads(SINK).iter().map(|upload| upload.parts.len()).sum::<usize>();
    stopped_when(agent, || held() >= PARTS - 1).await;
    fixture.gcs.faults().clear();
    fixture
}

fn body() -> Vec<u8> {
    (0..PART * PARTS).map(|n| (n / 7 % 251) as u8).collect()
}

#[tokio::test]
async fn a_stopped_agent_is_out_in_time_and_its_successor_goes_on_at_the_next_part() {
    let body = body();
    let fixture = stopped_before_the_last_part(&body).await;
    let before = fixture.gcs.counts().of(Operation::UploadPart);
    let summary = finish(fixture.agent().await).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(fixture.gcs.counts().of(Operation::UploadPart) - before, 1, "one part was not there yet");
    assert_eq!(fixture.gcs.counts().of(Operation::CreateUpload), 1, "and the upload was there");
    assert!(fixture.copy("k") == Some(body));
    assert!(fixture.gcs.open_uploads(SINK).is_empty());
}

#[tokio::test]
async fn fault_d2_a_stop_on_a_slow_line_lets_the_parts_in_flight_arrive() {
    const OBJECTS: usize = 9;
    const NEEDED: usize = OBJECTS * 4;
    let fixture =
        Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"\nmax_bandwidth = \"6MiB\"")
            .await;
    let body: Vec<u8> = (0..PART * 4).map(|n| (n / 7 % 251) as u8).collect();
    let jobs: Vec<String> = (0..OBJECTS).map(|n| created(&n.to_string())).collect();
    (0..OBJECTS).for_each(|n| fixture.put(&n.to_string(), &body));
    let agent = fixture.agent().await;
    agent.queue().send(&jobs).await.expect("sent");
    // Were all of them open, none of the 36 parts would be half there.
    let left = given_back_when(agent, || fixture.gcs.counts().bytes_received >= 70 << 20).await;
    let sent = fixture.gcs.counts().of(Operation::UploadPart);
    assert!(left > 0 && (10..30).contains(&sent), "{sent} parts, {left} messages left");

    let summary = finish(fixture.agent().await).await;
    assert_eq!((summary.copied as u64, summary.parked), (left, 0));
    assert!((0..OBJECTS).all(|n| fixture.copy(&n.to_string()).as_ref() == Some(&body)));
    let sent = fixture.gcs.counts().of(Operation::UploadPart);
    assert!(sent <= NEEDED as u64 + 3, "{sent} parts were sent where {NEEDED} are needed");
    assert_eq!(fixture.gcs.counts().of(Operation::CreateUpload), OBJECTS as u64);
}

/// The same bytes put again within the second, with other headers: the state's name is the same, what it would publish is not.
#[tokio::test]
async fn fault_b8_an_upload_that_was_begun_with_other_headers_is_not_gone_on_with() {
    let body = body();
    let fixture = stopped_before_the_last_part(&body).await;
    fixture.s3.amend(SOURCE, "k", |object| {
        object.attributes.content.insert("content-type".to_owned(), "text/css".to_owned());
    });
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let summary = finish(agent).await;
    assert_eq!((summary.copied, summary.unchanged, summary.parked), (1, 1, 0), "the old headers are never published");
    assert_eq!(fixture.gcs.counts().of(Operation::CreateUpload), 2, "the first upload is ended");
    let copy = fixture.gcs.object(SINK, "k").expect("a copy");
    assert_eq!(copy.attributes.content.get("content-type").map(String::as_str), Some("text/css"));
    assert!(fixture.copy("k") == Some(body));
    assert!(fixture.gcs.open_uploads(SINK).is_empty());
}
