//! The faults that only a real queue can show gone: what becomes of a message whose object cannot be copied, and of one
//! whose job takes longer than its visibility. The queue and the ledger are ministack's, the two sides the sandbox's.

use std::time::Duration;

use fixture::{AgentFolder, AgentSettings, MULTIPART, RunningAgent, create_table, eventually};
use sandbox::{Fault, GcsPeer, Ministack, Operation, Rule, S3Peer};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::status::Recent;
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_core::ledger::Subject;
use skyferry_core::metrics::Outcome;
use skyferry_core::model::Location;
use tracing_subscriber::layer::SubscriberExt;

use crate::partial::Front;
use crate::running::{SINK, SOURCE, created};

struct Queued {
    cloud: Ministack,
    s3: S3Peer,
    gcs: GcsPeer,
    folder: AgentFolder,
}

impl Queued {
    async fn new(visibility: u64, max_receives: u32) -> Queued {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters("list", visibility, max_receives).await.expect("a queue");
        create_table(&cloud, "list").await;
        Queued { cloud, s3: fixture::s3(), gcs: fixture::gcs(), folder: AgentFolder::default() }
    }

    async fn agent(&self) -> Agent {
        self.agent_at(&self.cloud.endpoint()).await
    }

    /// `queue`: what stands before the cloud's.
    async fn agent_at(&self, queue: &str) -> Agent {
        let settings = AgentSettings::s3_to_gcs(&self.s3, &self.gcs).cloud(&self.cloud, "list").with(MULTIPART);
        self.folder.agent(&settings.with(&format!("queue.endpoint = \"{queue}\""))).await
    }

    async fn start(&self) -> RunningAgent {
        RunningAgent::start(self.agent().await)
    }

    async fn outcome(&self, key: &str) -> Option<Outcome> {
        let at = |bucket: &str| Location::new(bucket, key);
        let subject = Subject { source: at(SOURCE), destination: at(SINK), primary: true };
        self.agent().await.ledger().lookup(&subject).await.expect("looked up")?.outcome
    }

    async fn count(&self, queue: &str) -> u64 {
        self.cloud.depth(queue).await.expect("a depth").iter().sum()
    }

    fn arrived(&self, key: &str) -> bool {
        self.gcs.object(SINK, key).is_some()
    }
}

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse { status, code: code.into(), retry_after: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_01_no_failure_loses_a_message_on_ministack() {
    let fixture = Queued::new(30, 5).await;
    for key in ["denied", "revoked", "parts", "archived", "fine"] {
        let size = if key == "parts" { 9 << 20 } else { 5 };
        fixture.s3.set_object(SOURCE, key, vec![7; size]).expect("an object");
    }
    let faults = fixture.s3.faults();
    for operation in [Operation::GetObject, Operation::HeadObject] {
        faults.add(Rule::on(operation, refuse(403, "AccessDenied")).key("denied").always());
        faults.add(Rule::on(operation, refuse(403, "InvalidAccessKeyId")).key("revoked").always());
        faults.add(Rule::on(operation, refuse(403, "InvalidObjectState")).key("archived").always());
    }
    fixture.gcs.faults().add(Rule::on(Operation::UploadPart, refuse(503, "ServiceUnavailable")).key("parts").always());
    let bodies = ["denied", "revoked", "parts", "archived", "missing", "fine"].map(created);
    let agent = fixture.agent().await;
    agent.queue().send(&bodies).await.expect("sent");
    drop(agent);
    let running = fixture.start().await;

    eventually("what works is copied", Duration::from_secs(30), async || fixture.arrived("fine")).await;
    eventually("what is archived is a dead letter", Duration::from_secs(30), async || {
        fixture.count("list-dead").await == 1
    })
    .await;
    eventually("what is not there is done", Duration::from_secs(30), async || fixture.count("list").await == 3).await;
    eventually("each has been refused", Duration::from_secs(30), async || {
        fixture.s3.faults().met() >= 3 && fixture.gcs.faults().met() >= 2
    })
    .await;
    assert!(["denied", "revoked", "parts"].iter().all(|key| !fixture.arrived(key)));
    assert_eq!(fixture.count("list").await, 3, "each of the others is still a message");
    fixture.s3.faults().clear();
    fixture.gcs.faults().clear();
    eventually("the rest is copied when it can be", Duration::from_secs(120), async || {
        ["denied", "revoked", "parts"].iter().all(|key| fixture.arrived(key))
    })
    .await;
    eventually("no message is left", Duration::from_secs(30), async || fixture.count("list").await == 0).await;
    let report = running.stop().await;
    assert_eq!((report.summary.copied, report.summary.gone, report.summary.parked), (4, 1, 1));

    assert_eq!(fixture.outcome("archived").await, Some(Outcome::Parked));
    assert_eq!(fixture.outcome("missing").await, Some(Outcome::Gone));
    let letters = fixture.cloud.peek("list-dead").await.expect("peeked");
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert!(letter["Body"].as_str().is_some_and(|body| body.contains("archived")), "{letter}");
    let reason = letter["MessageAttributes"]["SkyferryReason"]["StringValue"].as_str().unwrap_or_default();
    assert!(reason.contains("InvalidObjectState") && reason.contains("restore"), "{letter}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_09_a_job_longer_than_its_visibility_is_done_once_on_ministack() {
    let fixture = Queued::new(4, 3).await;
    // 12 s at this pace: three visibilities.
    fixture.s3.set_object(SOURCE, "slow", vec![7; 3 << 20]).expect("an object");
    fixture.s3.faults().add(Rule::on(Operation::GetObject, Fault::SlowResponse(256 << 10)).always());
    let agent = fixture.agent().await;
    agent.queue().send(&[created("slow")]).await.expect("sent");
    drop(agent);
    let (first, second) = (fixture.start().await, fixture.start().await);
    let started = std::time::Instant::now();
    eventually("it arrives", Duration::from_secs(60), async || fixture.arrived("slow")).await;
    assert!(started.elapsed() > Duration::from_secs(8), "slower than two visibilities: {:?}", started.elapsed());
    eventually("no message is left", Duration::from_secs(30), async || fixture.count("list").await == 0).await;
    let (first, second) = (first.stop().await, second.stop().await);
    assert_eq!(first.summary.copied + second.summary.copied, 1);
    let (read, written) = (fixture.s3.counts().of(Operation::GetObject), fixture.gcs.counts().of(Operation::PutObject));
    assert_eq!((read, written, fixture.count("list-dead").await), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_10_failed_entries_of_a_batch_are_sent_again() {
    let fixture = Queued::new(30, 12).await;
    let (front, failing) = Front::start(fixture.cloud.address(), 7).await;
    let agent = fixture.agent_at(&front).await;
    let bodies: Vec<String> = (0..25).map(|n| created(&format!("k{n}"))).collect();
    agent.queue().send(&bodies).await.expect("sent");
    assert_eq!((fixture.count("list").await, failing.load(std::sync::atomic::Ordering::SeqCst)), (25, 0));
}

#[tokio::test]
async fn fault_c1_what_cannot_be_sent_on_is_parked_in_the_ledger_and_reported_once_on_ministack() {
    let fixture = Queued::new(2, 3).await;
    let front = sandbox::InterceptingProxy::start(fixture.cloud.address()).expect("a front");
    let (agent, recent, shutdown) = (fixture.agent_at(&front.endpoint()).await, Recent::default(), Shutdown::default());
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(recent.clone()));
    // No route takes them.
    let bodies: Vec<String> = (0..3).map(|n| created(&format!("k{n}")).replace(SOURCE, "elsewhere")).collect();
    agent.queue().send(&bodies).await.expect("sent");
    ["SendMessage", "SendMessageBatch"].iter().for_each(|operation| front.deny(operation));
    let ledger = agent.ledger().clone();
    let dead = async {
        eventually("all are dead letters", Duration::from_secs(60), async || fixture.count("list-dead").await == 3)
            .await;
        shutdown.request(ShutdownReason::Terminate);
    };
    let (report, ()) = tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), dead);
    assert_eq!(report.expect("a run").drained.aborted, 0);
    for n in 0..3 {
        let subject = Subject::unrouted(Location::new("elsewhere", &*format!("k{n}")), None);
        let record = ledger.lookup(&subject).await.expect("looked up").expect("a record");
        assert_eq!(record.outcome, Some(Outcome::Parked), "{record:?}");
    }
    let reported = recent.list().iter().filter(|line| line.text.contains("cannot send to this queue")).count();
    assert_eq!(reported, 1, "{:?}", recent.list());
    let others: Vec<_> = recent.list().into_iter().filter(|line| line.text.contains("could not be finished")).collect();
    assert!(others.is_empty(), "{others:?}");
}
