//! A cloud with a bucket whose events go to a queue, a GCS peer, the settings between them, and perhaps an agent.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use fixture::{AgentFolder, AgentSettings, RunningAgent};
pub use fixture::{SINK, SOURCE};
use sandbox::{GcsOptions, GcsPeer, Ministack};
use serde_json::{Value, json};
use skyferry_agent::status::Recent;
use skyferry_agent::wiring::create_table;
use skyferry_config::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Queue and table.
pub const LIST: &str = "list";

pub struct Fixture {
    pub cloud: Ministack,
    pub gcs: GcsPeer,
    pub folder: AgentFolder,
    /// Where the agent tells its status.
    pub port: u16,
}

impl Fixture {
    pub async fn new() -> Fixture {
        Fixture::with(GcsOptions::default()).await
    }

    pub async fn set(&self, queue: &str, attributes: Value) {
        set(&self.cloud, queue, attributes).await;
    }

    pub async fn with(gcs: GcsOptions) -> Fixture {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters(LIST, 30, 12).await.expect("a queue");
        cloud.create_bucket_with_events(SOURCE, LIST).await.expect("a bucket");
        // As `skyferry trigger` sets it.
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": Ministack::queue_arn(LIST),
            "Condition": { "ArnLike": { "aws:SourceArn": format!("arn:aws:s3:::{SOURCE}") } },
        }]});
        set(&cloud, LIST, json!({ "Policy": policy.to_string() })).await;
        let gcs = GcsPeer::start(GcsOptions { buckets: vec![SINK.into()], ..gcs }).expect("a GCS peer");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound").port();
        let fixture = Fixture { cloud, gcs, folder: AgentFolder::default(), port };
        fixture.settings("");
        create_table(&fixture.parsed()).await.expect("a table");
        fixture
    }

    fn agent_settings(&self) -> AgentSettings {
        let port = self.port;
        AgentSettings::cloud_to_gcs(&self.cloud, &self.gcs).with(&format!(
            r#"
            queue.name = "{LIST}"
            ledger.table = "{LIST}"
            destination.prefix = "backup"
            status.listen = "127.0.0.1:{port}"
            "#
        ))
    }

    /// Writes the settings with these merged into them.
    pub fn settings(&self, more: &str) {
        self.folder.write("agent.toml", self.agent_settings().with(more).text());
    }

    fn parsed(&self) -> Settings {
        Settings::load(&self.folder.path("agent.toml"), std::iter::empty::<(String, String)>()).expect("settings")
    }

    /// `skyferry` with these words and the settings.
    pub fn run(&self, words: &[&str]) -> Output {
        skyferry(&self.folder.path(""), &[words, &["--config", "agent.toml"]].concat())
    }

    /// The same with `--json`; the last line of stdout.
    pub fn reported(&self, words: &[&str]) -> serde_json::Value {
        let output = self.run(&[words, &["--json"]].concat());
        last_line(&output)
    }

    /// Answers when it serves its status.
    pub async fn agent(&self) -> RunningAgent {
        let agent = RunningAgent::start(fixture::build(&self.parsed()).await.with_recent(recent()));
        eventually("the agent serves its status", async || self.get("/healthz").await.is_some()).await;
        agent
    }

    /// Status and body of a page of the agent; `None` if nobody answers.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }

    pub fn is_copied(&self, key: &str) -> bool {
        self.gcs.object(SINK, &format!("backup/{key}")).is_some()
    }
}

/// The log's last lines, for the status page. A process has one log.
fn recent() -> Recent {
    static RECENT: LazyLock<Recent> = LazyLock::new(|| {
        let recent = Recent::default();
        tracing_subscriber::registry().with(recent.clone()).init();
        recent
    });
    RECENT.clone()
}

pub fn skyferry(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(words).current_dir(folder).output().expect("it ran")
}

pub fn last_line(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {text}{}", errors(output)))
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Until it holds, looked at now and again, a minute at most.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    fixture::eventually(what, Duration::from_secs(60), holds).await;
}

async fn set(cloud: &Ministack, queue: &str, attributes: Value) {
    let asked = json!({ "QueueUrl": cloud.queue_url(queue), "Attributes": attributes });
    cloud.call("AmazonSQS.SetQueueAttributes", asked).await.expect("set");
}
