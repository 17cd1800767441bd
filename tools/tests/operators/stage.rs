//! A cloud with a bucket whose events go to a queue, a GCS peer, the settings between them, and perhaps an agent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use sandbox::{GcsOptions, GcsPeer, Ministack};
use skyferry_agent::notice::{Reason, Shutdown};
use skyferry_agent::status::Recent;
use skyferry_agent::wiring::{Agent, Until, create_table};
use skyferry_config::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub const SOURCE: &str = "photos";
pub const SINK: &str = "copies";
/// Queue and table.
pub const LIST: &str = "list";

pub struct Stage {
    pub cloud: Ministack,
    pub gcs: GcsPeer,
    pub folder: tempfile::TempDir,
    /// Where the agent tells its status.
    pub port: u16,
}

/// An agent that runs in this process.
pub struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::with(GcsOptions::default()).await
    }

    pub async fn with(gcs: GcsOptions) -> Stage {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters(LIST, 30, 12).await.expect("a queue");
        cloud.create_bucket_with_events(SOURCE, LIST).await.expect("a bucket");
        let gcs = GcsPeer::start(GcsOptions { buckets: vec![SINK.into()], ..gcs }).expect("a GCS peer");
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound").port();
        let stage = Stage { cloud, gcs, folder, port };
        let keys = format!(
            r#"{{"source":{{"aws_access_key_id":"SANDBOX","aws_secret_access_key":"sandbox","region":"{}"}},
            "destination":{{"aws_access_key_id":"{}","aws_secret_access_key":"{}"}}}}"#,
            Ministack::REGION,
            GcsPeer::ACCESS_ID,
            GcsPeer::SECRET
        );
        std::fs::write(stage.folder.path().join("keys.json"), keys).expect("written");
        stage.write(&stage.settings());
        create_table(&stage.parsed()).await.expect("a table");
        stage
    }

    pub fn settings(&self) -> String {
        let (cloud, gcs, port) = (self.cloud.endpoint(), self.gcs.endpoint(), self.port);
        format!(
            r#"
            mode = "get"
            [credentials]
            source = {{ provider = "file", path = "keys.json", field = "source" }}
            destination = {{ provider = "file", path = "keys.json", field = "destination" }}
            [queue]
            name = "{LIST}"
            endpoint = "{cloud}"
            [ledger]
            table = "{LIST}"
            endpoint = "{cloud}"
            [source]
            endpoint = "{cloud}"
            [destination]
            bucket = "{SINK}"
            prefix = "backup"
            endpoint = "{gcs}"
            [[routes]]
            source_bucket = "{SOURCE}"
            [status]
            listen = "127.0.0.1:{port}"
            "#
        )
    }

    pub fn write(&self, settings: &str) {
        std::fs::write(self.folder.path().join("agent.toml"), settings).expect("written");
    }

    fn parsed(&self) -> Settings {
        let file = self.folder.path().join("agent.toml");
        let text = std::fs::read_to_string(&file).expect("settings");
        Settings::parse(&file, &text, &BTreeMap::new()).expect("settings")
    }

    /// `skyferry` with these words and the settings.
    pub fn run(&self, words: &[&str]) -> Output {
        skyferry(self.folder.path(), &[words, &["--config", "agent.toml"]].concat())
    }

    /// The same with `--json`; the last line of stdout.
    pub fn told(&self, words: &[&str]) -> serde_json::Value {
        let output = self.run(&[words, &["--json"]].concat());
        last_line(&output)
    }

    /// Answers when it serves its status.
    pub async fn agent(&self) -> Running {
        let agent = Agent::build(&self.parsed()).await.expect("an agent").with_recent(recent());
        let shutdown = Shutdown::default();
        let run = agent.run(Until::Stopped, shutdown.clone());
        let task = tokio::spawn(async move { run.await.map(|_| ()).expect("a run") });
        eventually("the agent serves its status", async || self.get("/healthz").await.is_some()).await;
        Running { shutdown, task }
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

impl Running {
    pub async fn stop(self) {
        self.shutdown.request(Reason::Terminate);
        self.task.await.expect("it ended");
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
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "within a minute: {what}");
}
