//! The agent in process, between a made-up S3 and the strict GCS peer: what the faults need to be shown end to end.

use fixture::{AgentFolder, AgentSettings};
pub use fixture::{SINK, SOURCE, message};
use sandbox::{GcsPeer, S3Options, S3Peer};
use skyferry_agent::wiring::Agent;
use skyferry_core::metrics::Summary;

/// Two peers, and the settings of an agent between them.
pub struct Fixture {
    pub s3: S3Peer,
    pub gcs: GcsPeer,
    folder: AgentFolder,
    settings: AgentSettings,
}

impl Fixture {
    pub async fn new() -> Fixture {
        Fixture::with("").await
    }

    /// `more`: further settings, as TOML.
    pub async fn with(more: &str) -> Fixture {
        Fixture::of(S3Options::default(), more).await
    }

    /// `source`: what kind of S3 stands there.
    pub async fn of(source: S3Options, more: &str) -> Fixture {
        let s3 = S3Options { buckets: vec![SOURCE.into()], ..source };
        let (s3, gcs) = (S3Peer::start(s3).expect("an S3 peer"), fixture::gcs());
        let settings = AgentSettings::s3_to_gcs(&s3, &gcs).embedded().with(more);
        Fixture { s3, gcs, folder: AgentFolder::default(), settings }
    }

    pub async fn agent(&self) -> Agent {
        self.folder.agent(&self.settings).await
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

pub async fn finish(agent: Agent) -> Summary {
    fixture::finish(agent).await.summary
}

pub fn event(name: &str, key: &str) -> String {
    fixture::event(name, SOURCE, key)
}

pub fn created(key: &str) -> String {
    fixture::created(SOURCE, key)
}
