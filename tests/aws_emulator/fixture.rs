//! A cloud with a bucket whose events go to a queue, a destination, and the settings of an agent between them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fixture::{AgentFolder, AgentSettings, create_table};
pub use fixture::{SINK, SOURCE, eventually};
use sandbox::{GcsPeer, Ministack};
use skyferry_agent::wiring::Agent;

/// Queue and table, as the predecessors call them.
pub const LIST: &str = "s3_migration_file_list";

pub struct Fixture {
    pub cloud: Ministack,
    pub gcs: GcsPeer,
    folder: AgentFolder,
}

impl Fixture {
    pub async fn new(visibility: u64, max_receives: u32) -> Fixture {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters(LIST, visibility, max_receives).await.expect("a queue");
        cloud.create_bucket_with_events(SOURCE, LIST).await.expect("a bucket");
        create_table(&cloud, LIST).await;
        Fixture { cloud, gcs: fixture::gcs(), folder: AgentFolder::default() }
    }

    pub async fn agent(&self) -> Agent {
        self.agent_with("", "").await
    }

    pub async fn agent_with(&self, destination: &str, transfer: &str) -> Agent {
        self.folder.agent(&self.agent_settings(destination, transfer)).await
    }

    /// With the predecessors' bucket pairs: the route's own destination, and a second one of the same source, under `second/`.
    pub async fn agent_with_pairs(&self, transfer: &str) -> Agent {
        let pair = |prefix: &str| {
            format!(r#"{{"src_bucket":"{SOURCE}","src_prefix":"","des_bucket":"{SINK}","des_prefix":"{prefix}"}}"#)
        };
        let pairs = self.folder.write("pairs.json", format!("{}\n{}\n", pair("backup"), pair("second")));
        let environment = BTreeMap::from([("SKYFERRY__BUCKET_PAIRS".to_owned(), pairs.display().to_string())]);
        fixture::build(&self.folder.parse(&self.agent_settings("", transfer), &environment)).await
    }

    /// The same as a file, for agents that are processes.
    pub fn settings(&self, destination: &str, transfer: &str) -> PathBuf {
        self.folder.write("agent.toml", self.agent_settings(destination, transfer).text())
    }

    /// `destination`: where that is not the GCS peer.
    fn agent_settings(&self, destination: &str, transfer: &str) -> AgentSettings {
        let field = if destination.is_empty() { "gcs" } else { "s3" };
        AgentSettings::cloud_to_gcs(&self.cloud, &self.gcs).with(&format!(
            r#"
            mode = "get"
            credentials.destination.field = "{field}"
            [destination]
            prefix = "backup"
            {destination}
            [transfer]
            multipart_threshold = "8MiB"
            part_size = "5MiB"
            {transfer}
            "#
        ))
    }

    pub fn copy(&self, key: &str) -> Option<Vec<u8>> {
        let key = format!("backup/{key}");
        self.gcs.object(SINK, &key).map(|_| self.gcs.read(SINK, &key).expect("readable"))
    }

    pub async fn dead_letters(&self) -> u64 {
        self.cloud.depth(&format!("{LIST}-dead")).await.expect("a depth").iter().sum()
    }

    pub async fn messages(&self) -> u64 {
        self.cloud.depth(LIST).await.expect("a depth").iter().sum()
    }
}

/// The agent as it is built beside the tests.
pub fn program() -> PathBuf {
    fixture::program("skyferry-agent")
}
