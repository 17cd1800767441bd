//! The agent in process, between a made-up S3 and the strict GCS peer: what the faults need to be shown end to end.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::{GcsOptions, GcsPeer, S3Options, S3Peer};
use skyferry_agent::notice::Shutdown;
use skyferry_agent::wiring::{Agent, Until, WiringError};
use skyferry_config::Settings;
use skyferry_core::metrics::Summary;

pub const SOURCE: &str = "photos";
pub const SINK: &str = "copies";

/// Two peers, and the settings of an agent between them.
pub struct Stage {
    pub s3: S3Peer,
    pub gcs: GcsPeer,
    folder: tempfile::TempDir,
    more: String,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::with("").await
    }

    /// `more`: further settings, as TOML.
    pub async fn with(more: &str) -> Stage {
        Stage::of(S3Options::default(), more).await
    }

    /// `source`: what kind of S3 stands there.
    pub async fn of(source: S3Options, more: &str) -> Stage {
        let s3 = S3Options { buckets: vec![SOURCE.into()], ..source };
        let gcs = GcsOptions { buckets: vec![SINK.into()], ..GcsOptions::default() };
        let folder = tempfile::tempdir().expect("a folder");
        let key =
            |id: &str, secret: &str| format!(r#"{{"aws_access_key_id":"{id}","aws_secret_access_key":"{secret}"}}"#);
        let secret = format!(
            r#"{{"source":{},"destination":{}}}"#,
            key(S3Peer::ACCESS_ID, S3Peer::SECRET),
            key(GcsPeer::ACCESS_ID, GcsPeer::SECRET)
        );
        std::fs::write(folder.path().join("keys.json"), secret).expect("written");
        Stage {
            s3: S3Peer::start(s3).expect("an S3 peer"),
            gcs: GcsPeer::start(gcs).expect("a GCS peer"),
            folder,
            more: more.to_owned(),
        }
    }

    pub async fn agent(&self) -> Agent {
        let text = format!(
            r#"
            mode = "get"
            [credentials]
            source = {{ provider = "file", path = "keys.json", field = "source" }}
            destination = {{ provider = "file", path = "keys.json", field = "destination" }}
            [queue]
            kind = "embedded"
            path = "skyferry.db"
            [ledger]
            kind = "embedded"
            path = "skyferry.db"
            [source]
            kind = "s3"
            region = "us-west-2"
            endpoint = "{}"
            [destination]
            kind = "gcs"
            bucket = "{SINK}"
            storage_class = ""
            endpoint = "{}"
            [[routes]]
            source_bucket = "{SOURCE}"
            [status]
            listen = "off"
            {}
            "#,
            self.s3.endpoint(),
            self.gcs.endpoint(),
            self.more
        );
        let settings =
            Settings::parse(&self.folder.path().join("agent.toml"), &text, &BTreeMap::new()).expect("settings");
        // The tasks of an agent that has just ended let go of the file within moments.
        for _ in 0..100 {
            match Agent::build(&settings).await {
                Err(WiringError::Embedded(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                built => return built.expect("an agent"),
            }
        }
        panic!("the embedded file stays in use");
    }

    /// Sends these bodies and lets an agent drain the queue.
    pub async fn drain(&self, bodies: &[String]) -> Summary {
        let agent = self.agent().await;
        agent.queue().send(bodies).await.expect("sent");
        finish(agent).await
    }

    pub fn put(&self, key: &str, body: &[u8]) {
        self.s3.set_object(SOURCE, key, body).expect("an object at the source");
    }

    pub fn copy(&self, key: &str) -> Option<Vec<u8>> {
        self.gcs.object(SINK, key).map(|_| self.gcs.read(SINK, key).expect("readable"))
    }
}

/// Until the queue is empty, two minutes at most: a Complete that is lost is looked for during most of one.
pub async fn finish(agent: Agent) -> Summary {
    let run = agent.run(Until::Empty, Shutdown::default());
    tokio::time::timeout(Duration::from_secs(120), run).await.expect("the queue empties").expect("a run").summary
}

pub fn event(name: &str, key: &str) -> String {
    let key: String = key.bytes().map(encoded).collect();
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"{name}","s3":{{"s3SchemaVersion":"1.0",
        "bucket":{{"name":"{SOURCE}"}},"object":{{"key":"{key}"}}}}}}"#
    )
}

/// As S3 encodes the keys of its events.
fn encoded(byte: u8) -> String {
    match byte {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

pub fn message(records: &[String]) -> String {
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

pub fn created(key: &str) -> String {
    message(&[event("ObjectCreated:Put", key)])
}
