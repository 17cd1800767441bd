//! The stage: two peers, a cloud with queue and table, one settings file between them, the program and the agent.

use std::path::PathBuf;
use std::process::Stdio;

use fixture::{AgentFolder, AgentSettings, ProgramOutput};
pub use fixture::{SINK, SOURCE};
use sandbox::{Fault, GcsPeer, Ministack, S3Peer};
use serde_json::Value;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::{Agent, RunReport, RunUntil};
use skyferry_config::Settings;
use tokio::process::Command;

pub const QUEUE: &str = "list";

pub struct Fixture {
    pub s3: S3Peer,
    pub gcs: GcsPeer,
    pub cloud: Ministack,
    folder: AgentFolder,
    settings: AgentSettings,
}

pub fn refusal() -> Fault {
    Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None }
}

impl Fixture {
    /// One route from the source's bucket, with this much more in its table and in the settings.
    pub async fn new(route: &str, more: &str) -> Fixture {
        let mut fixture = Fixture {
            s3: fixture::s3(),
            gcs: fixture::gcs(),
            cloud: Ministack::start().await.expect("ministack"),
            folder: AgentFolder::default(),
            settings: AgentSettings::default(),
        };
        fixture.cloud.create_queue_with_dead_letters(QUEUE, 60, 12).await.expect("a queue");
        let settings = AgentSettings::s3_to_gcs(&fixture.s3, &fixture.gcs).cloud(&fixture.cloud, QUEUE);
        fixture.settings = settings
            .with(&format!("source.region = \"{}\"", Ministack::REGION))
            .with(&format!("routes = [{{ source_bucket = \"{SOURCE}\"{route} }}]\n{more}"));
        fixture.settings("");
        let made = fixture.run(&["table", "create", "--config", "agent.toml"]).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        fixture
    }

    /// Writes the settings with these merged into them.
    pub fn settings(&self, more: &str) {
        self.write("agent.toml", &self.settings.clone().with(more).text());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        self.folder.write(name, text);
    }

    pub fn put(&self, key: &str, body: &str) {
        self.s3.set_object(SOURCE, key, body).expect("an object");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        command.args(arguments).current_dir(self.path("")).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> ProgramOutput {
        fixture::ended(self.command(arguments).spawn().expect("started")).await
    }

    pub async fn scan(&self, more: &[&str]) -> ProgramOutput {
        self.run(&[&["scan", "--config", "agent.toml", "--json", "--patience", "2s"], more].concat()).await
    }

    pub async fn verify(&self, more: &[&str]) -> ProgramOutput {
        self.run(&[&["verify", "--config", "agent.toml", "--json", "--patience", "2s"], more].concat()).await
    }

    /// An agent that does all jobs there are.
    pub async fn drain(&self) -> RunReport {
        let settings = Settings::load(&self.path("agent.toml"), std::env::vars_os()).expect("settings");
        let agent = Agent::build(&settings).await.expect("an agent");
        agent.run(RunUntil::Empty, Shutdown::default()).await.expect("a run")
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
