//! A cloud with a bucket whose events go to a queue, a destination, and the settings of an agent between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox::{GcsOptions, GcsPeer, Ministack, S3Peer};
use skyferry_agent::wiring::Agent;
use skyferry_aws::dynamodb::{self, DynamoOptions};
use skyferry_config::Settings;
use skyferry_providers::{Cached, Credentials, Grant, Provider, ProviderError, Secret};

pub const SOURCE: &str = "photos";
pub const SINK: &str = "copies";
/// Queue and table, as the predecessors call them.
pub const LIST: &str = "s3_migration_file_list";

pub struct Stage {
    pub cloud: Ministack,
    pub gcs: GcsPeer,
    folder: tempfile::TempDir,
}

pub struct Keys;

#[async_trait]
impl Provider for Keys {
    fn describe(&self) -> String {
        "the cloud's keys".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        let secret_access_key = Secret::new("sandbox");
        let grant = Grant::Keys { access_key_id: "SANDBOX".into(), secret_access_key, session_token: None };
        Ok(Credentials { grant, region: Some(Ministack::REGION.into()), expires: None })
    }
}

impl Stage {
    pub async fn new(visibility: u64, max_receives: u32) -> Stage {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters(LIST, visibility, max_receives).await.expect("a queue");
        cloud.create_bucket_with_events(SOURCE, LIST).await.expect("a bucket");
        let table = DynamoOptions {
            table: LIST.into(),
            region: None,
            endpoint: Some(cloud.endpoint()),
            machine: "i-sandbox".into(),
        };
        dynamodb::create(table, Arc::new(Cached::new(Keys))).await.expect("a table");
        let gcs = GcsOptions { buckets: vec![SINK.into()], ..GcsOptions::default() };
        let folder = tempfile::tempdir().expect("a folder");
        let secret = format!(
            r#"{{"source":{{"aws_access_key_id":"SANDBOX","aws_secret_access_key":"sandbox","region":"{}"}},
            "gcs":{{"aws_access_key_id":"{}","aws_secret_access_key":"{}","region":"auto"}},
            "s3":{{"aws_access_key_id":"{}","aws_secret_access_key":"{}","region":"us-east-1"}}}}"#,
            Ministack::REGION,
            GcsPeer::ACCESS_ID,
            GcsPeer::SECRET,
            S3Peer::ACCESS_ID,
            S3Peer::SECRET
        );
        std::fs::write(folder.path().join("keys.json"), secret).expect("written");
        Stage { cloud, gcs: GcsPeer::start(gcs).expect("a GCS peer"), folder }
    }

    pub async fn agent(&self) -> Agent {
        self.agent_with("", "").await
    }

    pub async fn agent_with(&self, destination: &str, transfer: &str) -> Agent {
        let text = self.text(destination, transfer);
        let settings = Settings::parse(&self.folder.path().join("agent.toml"), &text, &BTreeMap::new());
        Agent::build(&settings.expect("settings")).await.expect("an agent")
    }

    /// With the predecessors' bucket pairs: the route's own destination, and a second one of the same source, under `second/`.
    pub async fn agent_with_pairs(&self, transfer: &str) -> Agent {
        let pair = |prefix: &str| {
            format!(r#"{{"src_bucket":"{SOURCE}","src_prefix":"","des_bucket":"{SINK}","des_prefix":"{prefix}"}}"#)
        };
        let pairs = self.folder.path().join("pairs.json");
        std::fs::write(&pairs, format!("{}\n{}\n", pair("backup"), pair("second"))).expect("written");
        let environment = BTreeMap::from([("SKYFERRY__BUCKET_PAIRS".to_owned(), pairs.display().to_string())]);
        let text = self.text("", transfer);
        let settings = Settings::parse(&self.folder.path().join("agent.toml"), &text, &environment);
        Agent::build(&settings.expect("settings")).await.expect("an agent")
    }

    /// The same as a file, for agents that are processes.
    pub fn settings(&self, destination: &str, transfer: &str) -> PathBuf {
        let file = self.folder.path().join("agent.toml");
        std::fs::write(&file, self.text(destination, transfer)).expect("written");
        file
    }

    /// Queue, ledger and their keys are left to their defaults: the predecessors' names, the source's keys. `destination`:
    /// where that is not the GCS peer.
    fn text(&self, destination: &str, transfer: &str) -> String {
        let (cloud, gcs) = (self.cloud.endpoint(), format!("endpoint = \"{}\"", self.gcs.endpoint()));
        let (field, destination) = if destination.is_empty() { ("gcs", &*gcs) } else { ("s3", destination) };
        format!(
            r#"
            mode = "get"
            [credentials]
            source = {{ provider = "file", path = "keys.json", field = "source" }}
            destination = {{ provider = "file", path = "keys.json", field = "{field}" }}
            [queue]
            endpoint = "{cloud}"
            [ledger]
            endpoint = "{cloud}"
            [source]
            endpoint = "{cloud}"
            [destination]
            bucket = "{SINK}"
            prefix = "backup"
            {destination}
            [[routes]]
            source_bucket = "{SOURCE}"
            [transfer]
            multipart_threshold = "8MiB"
            part_size = "5MiB"
            {transfer}
            [status]
            listen = "off"
            "#
        )
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
    program_named("skyferry-agent")
}

pub fn program_named(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a path");
    tests.parent().and_then(|deps| deps.parent()).expect("target").join(name)
}

/// Until it holds, looked at now and again.
pub async fn eventually(what: &str, within: Duration, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(within, waiting).await.is_ok(), "within {within:?}: {what}");
}
