//! The servers, on free ports of 127.0.0.1, and clients of the demo's own to fill them and to read them back. They are the
//! tests' own servers of both kinds: they check signatures and checksums, and are as strict as what was measured of the real ones.

use std::collections::BTreeMap;
use std::ops::Deref as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::{GcsOptions, GcsPeer, S3Peer, StorePeer};
use serde_json::json;
use skyferry_core::error::Side;
use skyferry_core::model::Key;
use skyferry_core::store::{ListFrom, Sink};
use skyferry_providers::{Cached, File};
use skyferry_stores::gcs::{self, Gcs};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options};

/// What plays S3.
pub const S3_SERVER: &str = "sandbox, S3 API";
const GCS_SERVER: &str = "sandbox, XML API";
pub const DESTINATIONS: usize = 2;
/// The source's bucket.
pub const BUCKET: &str = "photos";
/// The bucket at either destination.
pub const FERRIED: &str = "photos-ferried";
/// Every server's keys, in the form of the predecessors' secret.
pub const KEYS: &str = "keys.json";

/// What stands as long as the demo lasts.
pub struct DemoServers {
    directory: PathBuf,
    pub source: DemoServer,
}

impl DemoServers {
    pub fn set(directory: &Path) -> anyhow::Result<DemoServers> {
        let key = |(id, secret): (&str, &str)| json!({ "aws_access_key_id": id, "aws_secret_access_key": secret, "region": "us-east-1" });
        let keys = json!({ "s3": key((S3Peer::ACCESS_ID, S3Peer::SECRET)), "gcs": key((GcsPeer::ACCESS_ID, GcsPeer::SECRET)) });
        std::fs::write(directory.join(KEYS), keys.to_string())?;
        let source = DemoServer::start(directory, BUCKET)?;
        Ok(DemoServers { directory: directory.to_owned(), source })
    }

    /// The first is GCS, the second S3.
    pub fn destination(&mut self, number: usize) -> anyhow::Result<DemoDestination> {
        if number == 0 {
            let peer = GcsPeer::start(GcsOptions { buckets: vec![FERRIED.into()], ..GcsOptions::default() })?;
            let options = gcs::GcsOptions { endpoint: Some(peer.endpoint()) };
            let client = Gcs::new(&options, keys(&self.directory, "gcs"), Side::Destination, transport()?)?;
            return Ok(DemoDestination {
                name: "Google Cloud Storage",
                field: "gcs",
                kind: "gcs",
                server: GCS_SERVER,
                peer: Kind::Gcs(peer),
                client: Arc::new(client),
            });
        }
        let DemoServer { peer, client } = DemoServer::start(&self.directory, FERRIED)?;
        Ok(DemoDestination { name: "S3", field: "s3", kind: "s3", server: S3_SERVER, peer: Kind::S3(peer), client })
    }
}

/// An S3, listening.
pub struct DemoServer {
    pub peer: S3Peer,
    pub client: Arc<S3>,
}

impl DemoServer {
    fn start(directory: &Path, bucket: &str) -> anyhow::Result<DemoServer> {
        let peer = S3Peer::start(sandbox::S3Options { buckets: vec![bucket.into()], ..sandbox::S3Options::default() })?;
        let options = S3Options { endpoint: Some(peer.endpoint()), ..S3Options::default() };
        let client = S3::new(options, keys(directory, "s3"), Side::Destination, transport()?)?;
        Ok(DemoServer { peer, client: Arc::new(client) })
    }
}

enum Kind {
    Gcs(GcsPeer),
    S3(S3Peer),
}

/// One destination: its server, what the agent's settings say of it, and a client that is not the agent's. The server ends, and
/// what it stored goes, when this is dropped.
pub struct DemoDestination {
    pub name: &'static str,
    /// Of the file of keys.
    pub field: &'static str,
    /// As the setting of this name wants it.
    pub kind: &'static str,
    /// What plays it.
    pub server: &'static str,
    peer: Kind,
    pub client: Arc<dyn Sink>,
}

impl DemoDestination {
    fn peer(&self) -> &StorePeer {
        match &self.peer {
            Kind::Gcs(peer) => peer.deref(),
            Kind::S3(peer) => peer.deref(),
        }
    }

    pub fn endpoint(&self) -> String {
        self.peer().endpoint()
    }

    /// Keys and sizes.
    pub async fn objects(&self) -> anyhow::Result<BTreeMap<Key, u64>> {
        let (mut found, mut token) = (BTreeMap::new(), None::<String>);
        loop {
            let from = token.as_deref().map_or(ListFrom::Start, ListFrom::Token);
            let page = self.client.list(FERRIED, &Key::default(), from).await?;
            found.extend(page.objects.into_iter().map(|row| (row.key, row.size)));
            token = page.next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    pub fn open_uploads(&self) -> usize {
        self.peer().open_uploads(FERRIED).len()
    }

    /// Bytes so far: for the progress alone.
    pub fn arrived(&self) -> u64 {
        self.peer().counts().bytes_received
    }
}

fn keys(directory: &Path, field: &str) -> Arc<Cached> {
    Arc::new(Cached::new(File { path: directory.join(KEYS), field: Some(field.into()) }))
}

fn transport() -> anyhow::Result<Transport> {
    Ok(Transport::new(&TransportOptions { allow_http: true, ..TransportOptions::default() })?)
}
