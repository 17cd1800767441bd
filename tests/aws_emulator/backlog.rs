//! The backlog as Google's autoscaler reads it: of two agents one writes it, and when that one is killed the other.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::{GcePeer, MonitoringPeer, PointTaken};
use tokio::process::{Child, Command};

use crate::fixture::{Fixture, LIST, eventually, program};

/// Bears three periods and a term.
const SOON: Duration = Duration::from_secs(60);

struct Fleet {
    fixture: Fixture,
    machines: [GcePeer; 2],
    monitoring: MonitoringPeer,
}

impl Fleet {
    async fn new() -> Fleet {
        let machines = [(); 2].map(|()| GcePeer::start().expect("a metadata server"));
        let monitoring = MonitoringPeer::start(&[&machines[0], &machines[1]]).expect("a Monitoring");
        Fleet { fixture: Fixture::new(60, 5).await, machines, monitoring }
    }

    /// Nothing may be copied, so that the backlog stays what it is.
    fn start(&self, machine: usize, settings: &Path) -> Child {
        let mut agent = Command::new(program());
        agent
            .arg("--config")
            .arg(settings)
            .env("GCE_METADATA_HOST", self.machines[machine].host())
            .env("SKYFERRY__STATUS__BACKLOG_METRIC", "true")
            .env("SKYFERRY__STATUS__BACKLOG_PERIOD", "6s")
            .env("SKYFERRY__STATUS__ENDPOINT", self.monitoring.endpoint());
        let log = std::fs::File::create(log(settings, machine)).expect("a log");
        agent.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().expect("an agent")
    }

    /// The agent says all of this.
    async fn until_said(&self, settings: &Path, machine: usize, words: &[&str]) {
        let output = || std::fs::read_to_string(log(settings, machine)).expect("a log");
        eventually("it says why", SOON, async || words.iter().all(|word| output().contains(word))).await;
    }

    fn written_by(&self, machine: usize) -> usize {
        self.monitoring.points().iter().filter(|point| point.writer == machine).count()
    }

    async fn until_written_by(&self, machine: usize, points: usize) {
        eventually("it publishes", SOON, async || self.written_by(machine) >= points).await;
    }
}

fn log(settings: &Path, machine: usize) -> PathBuf {
    settings.with_extension(format!("{machine}.log"))
}

fn signal(agent: &Child, signal: Signal) {
    let id = agent.id().expect("it runs");
    kill(Pid::from_raw(id as i32), signal).expect("a signal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_publishes_the_backlog_and_when_it_is_killed_another_does() {
    let fleet = Fleet::new().await;
    let denied = sandbox::Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None };
    fleet.fixture.gcs.faults().add(sandbox::Rule::any(denied).always());
    for n in 0..3 {
        fleet.fixture.cloud.put_object(&format!("/photos/{n}"), "waits").await.expect("put");
    }
    let settings = fleet.fixture.settings("", "");
    let mut first = fleet.start(0, &settings);
    fleet.until_written_by(0, 1).await;
    let mut second = fleet.start(1, &settings);
    fleet.until_written_by(0, 3).await;
    assert_eq!(fleet.written_by(1), 0, "one at a time");

    signal(&first, Signal::SIGKILL);
    first.wait().await.expect("it ends");
    fleet.until_written_by(1, 2).await;
    let points = fleet.monitoring.points();
    let turned = points.iter().position(|point| point.writer == 1).expect("the second one's");
    assert!(points[turned..].iter().all(|point| point.writer == 1), "{points:?}");
    let series = |point: &PointTaken| (point.metric.clone(), point.resource.clone(), point.labels.clone());
    assert!(
        points.iter().all(|point| series(point) == series(&points[0])),
        "who leads is not in the labels: {points:?}"
    );
    assert_eq!(points[0].metric, "custom.googleapis.com/skyferry/backlog");
    assert_eq!((points[0].resource.as_str(), points[0].labels["job"].as_str()), ("generic_task", LIST));
    assert_eq!(points.last().map(|point| point.value), Some(3), "all that is not done");

    // Asked to end, it gives its place up while it drains, and nobody waits for its term.
    let mut third = fleet.start(0, &settings);
    let before = fleet.written_by(0);
    signal(&second, Signal::SIGTERM);
    assert_eq!(second.wait().await.expect("it ends").code(), Some(143));
    fleet.until_written_by(0, before + 1).await;
    signal(&third, Signal::SIGTERM);
    assert_eq!(third.wait().await.expect("it ends").code(), Some(143));
    let note = fleet.fixture.cloud.item(LIST, "/note/backlog").await.expect("asked").expect("an item");
    assert!(note.get("sfNote").is_none(), "the last one leaves no holder: {note}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_may_not_publish_says_what_to_grant_and_goes_on_copying() {
    let fleet = Fleet::new().await;
    fleet.monitoring.deny(true);
    fleet.fixture.cloud.put_object("/photos/a", "arrives").await.expect("put");
    let settings = fleet.fixture.settings("", "");
    let mut agent = fleet.start(0, &settings);
    eventually("it copies", SOON, async || fleet.fixture.copy("a").is_some()).await;
    fleet
        .until_said(
            &settings,
            0,
            &[GcePeer::PROJECT, "Permission monitoring.timeSeries.create denied", "roles/monitoring.metricWriter"],
        )
        .await;
    assert_eq!(fleet.written_by(0), 0);
    fleet.monitoring.deny(false);
    fleet.until_written_by(0, 1).await;
    signal(&agent, Signal::SIGTERM);
    assert_eq!(agent.wait().await.expect("it ends").code(), Some(143));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_a_project_is_told_where_it_was_asked_for() {
    let fleet = Fleet::new().await;
    fleet.machines[0].inject("project/project-id", sandbox::PeerFault::Status(404), usize::MAX);
    let settings = fleet.fixture.settings("", "");
    let _agent = fleet.start(0, &settings);
    let asked = fleet.machines[0].endpoint();
    fleet.until_said(&settings, 0, &["this machine's project", &asked, "404", "backlog_metric"]).await;
    fleet.machines[0].clear();
    fleet.until_written_by(0, 1).await;
}
