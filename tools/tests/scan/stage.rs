//! The stage: two peers, a cloud with queue and table, one settings file between them, the program and the agent.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use sandbox::{Fault, GcsOptions, GcsPeer, Ministack, S3Options, S3Peer};
use serde_json::{Value, json};
use skyferry_agent::notice::Shutdown;
use skyferry_agent::wiring::{Agent, Report, Until};
use skyferry_config::Settings;
use tokio::process::Command;

pub const SOURCE: &str = "photos";
pub const SINK: &str = "copies";
pub const QUEUE: &str = "list";
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Stage {
    pub s3: S3Peer,
    pub gcs: GcsPeer,
    pub cloud: Ministack,
    folder: tempfile::TempDir,
}

pub fn refusal() -> Fault {
    Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None }
}

/// What a run said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    /// The last line of stdout, where it is JSON.
    pub json: Value,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn count(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl Stage {
    /// One route from the source's bucket, with this much more in its table and in the settings.
    pub async fn new(route: &str, more: &str) -> Stage {
        let s3 = S3Options { buckets: vec![SOURCE.into()], ..S3Options::default() };
        let gcs = GcsOptions { buckets: vec![SINK.into()], ..GcsOptions::default() };
        let stage = Stage {
            s3: S3Peer::start(s3).expect("an S3 peer"),
            gcs: GcsPeer::start(gcs).expect("a GCS peer"),
            cloud: Ministack::start().await.expect("ministack"),
            folder: tempfile::tempdir().expect("a folder"),
        };
        stage.cloud.create_queue_with_dead_letters(QUEUE, 60, 12).await.expect("a queue");
        let keys = |id: &str, secret: &str| json!({"aws_access_key_id": id, "aws_secret_access_key": secret, "region": Ministack::REGION});
        let keys = json!({
            "s3": keys(S3Peer::ACCESS_ID, S3Peer::SECRET),
            "gcs": keys(GcsPeer::ACCESS_ID, GcsPeer::SECRET),
            "cloud": keys("SANDBOX", "sandbox"),
        });
        stage.write("keys.json", &keys.to_string());
        let (from, to, cloud) = (stage.s3.endpoint(), stage.gcs.endpoint(), stage.cloud.endpoint());
        stage.write(
            "agent.toml",
            &format!(
                r#"
                credentials.source = {{ provider = "file", path = "keys.json", field = "s3" }}
                credentials.destination = {{ provider = "file", path = "keys.json", field = "gcs" }}
                credentials.queue = {{ provider = "file", path = "keys.json", field = "cloud" }}
                queue = {{ name = "{QUEUE}", endpoint = "{cloud}" }}
                ledger = {{ table = "list", endpoint = "{cloud}" }}
                credentials.ledger = {{ provider = "file", path = "keys.json", field = "cloud" }}
                source = {{ endpoint = "{from}" }}
                destination = {{ bucket = "{SINK}", storage_class = "", endpoint = "{to}" }}
                routes = [{{ source_bucket = "{SOURCE}"{route} }}]
                status = {{ listen = "off" }}
                {more}
                "#
            ),
        );
        let made = stage.run(&["table", "create", "--config", "agent.toml"]).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn put(&self, key: &str, body: &str) {
        self.s3.set_object(SOURCE, key, body).expect("an object");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        command.args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await;
        let output = output.expect("it ended").expect("it ran");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let stdout = text(output.stdout);
        let json = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        Said { code: output.status.code(), json, stdout, stderr: text(output.stderr) }
    }

    pub async fn scan(&self, more: &[&str]) -> Said {
        self.run(&[&["scan", "--config", "agent.toml", "--json", "--patience", "2s"], more].concat()).await
    }

    pub async fn verify(&self, more: &[&str]) -> Said {
        self.run(&[&["verify", "--config", "agent.toml", "--json", "--patience", "2s"], more].concat()).await
    }

    /// An agent that does all jobs there are.
    pub async fn drain(&self) -> Report {
        let settings = Settings::load(&self.path("agent.toml"), std::env::vars_os()).expect("settings");
        let agent = Agent::build(&settings).await.expect("an agent");
        agent.run(Until::Empty, Shutdown::default()).await.expect("a run")
    }

    /// What waits in the queue, as it was sent.
    pub async fn jobs(&self) -> Vec<Value> {
        let mut jobs = Vec::new();
        for message in self.cloud.peek(QUEUE).await.expect("peeked") {
            let body = message["Body"].as_str().expect("a body");
            jobs.push(serde_json::from_str(body).expect("JSON"));
        }
        jobs
    }

    pub async fn waiting(&self) -> u64 {
        self.cloud.depth(QUEUE).await.expect("a depth").iter().sum()
    }

    pub fn copy(&self, key: &str) -> Option<String> {
        self.gcs.object(SINK, key)?;
        Some(String::from_utf8(self.gcs.read(SINK, key).expect("readable")).expect("text"))
    }
}
