//! What the journeys need: a place of one's own, settings, the program, and what came into the queue.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use fixture::{ProgramOutput, ended};
use sandbox::Ministack;
use skyferry_agent::wiring::EMBEDDED_QUEUE;
use skyferry_core::event::{self, EventRecord, ParsedMessage, ParsedRecord};
use skyferry_core::queue::{Queue as _, QueueTraits};
use skyferry_sqlite::SqliteFile;
use tokio::process::{Child, Command};

/// On ministack.
pub const QUEUE: &str = "jobs";

pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub cloud: Option<Ministack>,
}

/// Of the routes of these settings: all of `photos`, to `copies/backup/`.
const SIDES: &str = r#"
    [ledger]
    kind = "none"
    [destination]
    kind = "directory"
    bucket = "copies"
    path = "copies"
    prefix = "backup"
    [[routes]]
    source_bucket = "photos"
"#;

impl Fixture {
    /// All on this machine: a queue in a file, and a source that is never asked.
    pub fn new() -> Fixture {
        let fixture = Fixture { folder: tempfile::tempdir().expect("a folder"), cloud: None };
        std::fs::create_dir(fixture.path("photos")).expect("a folder");
        fixture.settings("");
        fixture
    }

    /// With a queue and buckets on ministack.
    pub async fn with_cloud() -> Fixture {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue(QUEUE, &[]).await.expect("a queue");
        for bucket in ["photos", "reports"] {
            cloud.put_object(&format!("/{bucket}"), "").await.expect("a bucket");
        }
        let fixture = Fixture { cloud: Some(cloud), ..Fixture::new() };
        fixture.settings("");
        fixture
    }

    /// `transfer`: more lines of that section.
    pub fn settings(&self, transfer: &str) {
        let ends = match &self.cloud {
            None => {
                "[queue]\nkind = \"embedded\"\npath = \"queue.db\"\n[source]\nkind = \"directory\"\npath = \"photos\"\n"
                    .into()
            }
            Some(cloud) => {
                let (region, endpoint) = (Ministack::REGION, cloud.endpoint());
                let at = format!("region = \"{region}\"\nendpoint = \"{endpoint}\"\n");
                let keys = "[credentials]\nsource = { provider = \"environment\" }\n";
                format!("{keys}[queue]\nname = \"{QUEUE}\"\n{at}[source]\n{at}")
            }
        };
        self.write("agent.toml", format!("{ends}{SIDES}[transfer]\n{transfer}\n").as_bytes());
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.spawn(&[&["inventory", "--config", "agent.toml", "--json"], arguments].concat())
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        command.args(arguments).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        command.env("AWS_ACCESS_KEY_ID", "SANDBOX").env("AWS_SECRET_ACCESS_KEY", "sandbox");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("started")
    }

    pub async fn run(&self, arguments: &[&str]) -> ProgramOutput {
        ended(self.start(arguments)).await
    }

    /// Another command than `inventory`.
    pub async fn skyferry(&self, arguments: &[&str]) -> ProgramOutput {
        ended(self.spawn(arguments)).await
    }

    /// What came into the queue, and is taken out of it, by the keys.
    pub async fn jobs(&self) -> Vec<EventRecord> {
        let mut jobs: Vec<EventRecord> = match &self.cloud {
            None => self.embedded().await,
            Some(cloud) => {
                let mut bodies = Vec::new();
                loop {
                    let some = cloud.peek(QUEUE).await.expect("messages");
                    if some.is_empty() {
                        break;
                    }
                    bodies.extend(some.iter().map(|message| message["Body"].as_str().expect("a body").to_owned()));
                }
                bodies.iter().map(|body| record(body)).collect()
            }
        };
        jobs.sort_by(|a, b| (&a.source, &a.version).cmp(&(&b.source, &b.version)));
        jobs
    }

    pub async fn keys(&self) -> Vec<String> {
        self.jobs().await.iter().map(|job| job.source.key.as_str().expect("UTF-8").to_owned()).collect()
    }

    async fn embedded(&self) -> Vec<EventRecord> {
        let minute = Duration::from_secs(60);
        let traits = QueueTraits { visibility: minute, retention: minute, max_receives: None, dead_letters: None };
        let file = SqliteFile::open(&self.path("queue.db")).expect("a file");
        let queue = file.queue(EMBEDDED_QUEUE, traits).await.expect("a queue");
        let mut jobs = Vec::new();
        loop {
            let messages = queue.receive(10, Duration::ZERO).await.expect("received");
            if messages.is_empty() {
                return jobs;
            }
            for message in messages {
                jobs.push(record(&message.body));
                queue.delete(&message.receipt).await.expect("deleted");
            }
        }
    }
}

/// The one that a message holds.
pub fn record(body: &str) -> EventRecord {
    match event::parse(body.as_bytes()) {
        ParsedMessage::Records(entries) => match &entries[..] {
            [ParsedRecord::Record(record)] => record.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
