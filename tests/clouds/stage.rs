//! A cloud with a bucket whose events go to a queue, a destination, and the settings of an agent between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox::{GcsOptions, GcsPeer, Ministack};
use skyferry_agent::config::Settings;
use skyferry_agent::ledger::dynamodb::{self, DynamoOptions};
use skyferry_agent::wiring::Agent;
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
            "destination":{{"aws_access_key_id":"{}","aws_secret_access_key":"{}","region":"auto"}}}}"#,
            Ministack::REGION,
            GcsPeer::ACCESS_ID,
            GcsPeer::SECRET
        );
        std::fs::write(folder.path().join("keys.json"), secret).expect("written");
        Stage { cloud, gcs: GcsPeer::start(gcs).expect("a GCS peer"), folder }
    }

    /// Queue, ledger and their keys are left to their defaults: the predecessors' names, the source's keys.
    pub async fn agent(&self) -> Agent {
        let (cloud, gcs) = (self.cloud.endpoint(), self.gcs.endpoint());
        let text = format!(
            r#"
            mode = "get"
            [credentials]
            source = {{ provider = "file", path = "keys.json", field = "source" }}
            destination = {{ provider = "file", path = "keys.json", field = "destination" }}
            [queue]
            endpoint = "{cloud}"
            [ledger]
            endpoint = "{cloud}"
            [source]
            endpoint = "{cloud}"
            [destination]
            bucket = "{SINK}"
            prefix = "backup"
            endpoint = "{gcs}"
            [[routes]]
            source_bucket = "{SOURCE}"
            [transfer]
            multipart_threshold = "8MiB"
            part_size = "5MiB"
            [status]
            listen = "off"
            "#
        );
        let file = self.folder.path().join("agent.toml");
        let settings = Settings::parse(&file, &text, &BTreeMap::new()).expect("settings");
        Agent::build(&settings).await.expect("an agent")
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

/// Until it holds, looked at now and again.
pub async fn eventually(what: &str, within: Duration, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(within, waiting).await.is_ok(), "within {within:?}: {what}");
}
