//! The servers, on free ports of 127.0.0.1, and clients of the demo's own to fill them and to read them back.
//!
//! The source and the S3 destination are s3s-fs, somebody else's S3 server: it checks signatures and checksums, and would not
//! share a misunderstanding with Skyferry. Nobody ships a GCS with an XML API; that one is the sandbox's, as strict as what
//! was measured of the real one.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use sandbox::{GcsOptions, GcsPeer, S3Files};
use serde_json::json;
use skyferry_core::error::Side;
use skyferry_core::model::Key;
use skyferry_core::store::{ListFrom, Sink};
use skyferry_providers::{Cached, File};
use skyferry_stores::gcs::{self, Gcs};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

pub const S3_SERVER: &str = S3Files::NAME;
pub const DESTINATIONS: usize = 2;
/// The source's bucket.
pub const BUCKET: &str = "photos";
/// The bucket at either destination.
pub const FERRIED: &str = "photos-ferried";
/// Every server's keys, in the form of the predecessors' secret.
pub const KEYS: &str = "keys.json";
const SOURCE_PROFILE: &str = "aws";
const DESTINATION_PROFILE: &str = "generic";

/// What stands as long as the demo lasts.
pub struct DemoServers {
    directory: PathBuf,
    pub source: DemoServer,
}

impl DemoServers {
    pub fn set(directory: &Path) -> anyhow::Result<DemoServers> {
        let key = |(id, secret): (&str, &str)| json!({ "aws_access_key_id": id, "aws_secret_access_key": secret, "region": "us-east-1" });
        let keys = json!({ "s3": key((S3Files::ACCESS_ID, S3Files::SECRET)), "gcs": key((GcsPeer::ACCESS_ID, GcsPeer::SECRET)) });
        std::fs::write(directory.join(KEYS), keys.to_string())?;
        let source = DemoServer::s3(directory, "source", BUCKET, SOURCE_PROFILE)?;
        Ok(DemoServers { directory: directory.to_owned(), source })
    }

    /// The first is GCS, the second S3.
    pub fn destination(&mut self, number: usize) -> anyhow::Result<DemoDestination> {
        if number == 0 {
            let peer = GcsPeer::start(GcsOptions { buckets: vec![FERRIED.into()], ..GcsOptions::default() })?;
            let options = gcs::GcsOptions { endpoint: Some(peer.endpoint()) };
            let client = Gcs::new(&options, keys(&self.directory, "gcs"), Side::Destination, transport()?)?;
            let settings = format!("kind = \"gcs\"\nendpoint = \"{}\"", peer.endpoint());
            let server = Kind::Gcs(peer);
            return Ok(DemoDestination {
                name: "Google Cloud Storage",
                field: "gcs",
                settings,
                server,
                client: Arc::new(client),
            });
        }
        let server = DemoServer::s3(&self.directory, "destination", FERRIED, DESTINATION_PROFILE)?;
        let settings =
            format!("kind = \"s3\"\nprofile = \"{DESTINATION_PROFILE}\"\nendpoint = \"{}\"", server.endpoint);
        let client = Arc::clone(&server.client);
        Ok(DemoDestination { name: "S3", field: "s3", settings, server: Kind::S3(server), client })
    }
}

/// s3s-fs, listening.
pub struct DemoServer {
    pub endpoint: String,
    root: PathBuf,
    pub client: Arc<S3>,
    _files: S3Files,
}

impl DemoServer {
    fn s3(directory: &Path, name: &str, bucket: &str, profile: &str) -> anyhow::Result<DemoServer> {
        let root = directory.join(name);
        std::fs::create_dir_all(root.join(bucket))?;
        let files = S3Files::start(&root)?;
        let endpoint = files.endpoint();
        let profile = S3Profile::named(profile).context("no such profile")?;
        let options = S3Options { profile, endpoint: Some(endpoint.clone()), ..S3Options::default() };
        let client = S3::new(options, keys(directory, "s3"), Side::Destination, transport()?)?;
        Ok(DemoServer { endpoint, root, client: Arc::new(client), _files: files })
    }

    /// Its files are its objects. (Asked for a listing, it says that keys are encoded, and does not encode them.)
    fn objects(&self, bucket: &str) -> anyhow::Result<BTreeMap<Key, u64>> {
        let (top, mut found) = (self.root.join(bucket), BTreeMap::new());
        let mut directories = vec![top.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                    continue;
                }
                let path = entry.path();
                let key = path.strip_prefix(&top)?.as_os_str().as_encoded_bytes().to_vec();
                found.insert(Key::new(key), entry.metadata()?.len());
            }
        }
        Ok(found)
    }

    /// s3s-fs lists no uploads; their files lie beside the buckets.
    fn upload_files(&self) -> std::io::Result<Vec<DirEntry>> {
        let mut entries = std::fs::read_dir(&self.root)?.collect::<Result<Vec<_>, _>>()?;
        let begun = |name: &[u8]| name.starts_with(b".upload") || name.starts_with(b".tmp.");
        entries.retain(|entry| begun(entry.file_name().as_encoded_bytes()));
        Ok(entries)
    }
}

enum Kind {
    Gcs(GcsPeer),
    S3(DemoServer),
}

/// One destination: its server, what the agent's settings say of it, and a client that is not the agent's.
pub struct DemoDestination {
    pub name: &'static str,
    /// Of the file of keys.
    pub field: &'static str,
    pub settings: String,
    server: Kind,
    pub client: Arc<dyn Sink>,
}

impl DemoDestination {
    /// Who plays it.
    pub fn server(&self) -> &'static str {
        match self.server {
            Kind::Gcs(_) => "sandbox, XML API",
            Kind::S3(_) => S3_SERVER,
        }
    }

    /// Keys and sizes.
    pub async fn objects(&self) -> anyhow::Result<BTreeMap<Key, u64>> {
        if let Kind::S3(server) = &self.server {
            return server.objects(FERRIED);
        }
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

    /// As the server itself knows them.
    pub fn open_uploads(&self) -> anyhow::Result<usize> {
        match &self.server {
            Kind::Gcs(peer) => Ok(peer.open_uploads(FERRIED).len()),
            Kind::S3(server) => Ok(server.upload_files()?.len()),
        }
    }

    /// Bytes so far, of which `published` are in finished objects: for the progress alone.
    pub fn arrived(&self, published: u64) -> u64 {
        match &self.server {
            Kind::Gcs(peer) => peer.counts().bytes_received,
            Kind::S3(server) => {
                let sizes = server.upload_files().unwrap_or_default();
                published + sizes.iter().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum::<u64>()
            }
        }
    }

    /// Stops the server and gives the disk back.
    pub fn end(self) -> anyhow::Result<()> {
        if let Kind::S3(server) = self.server {
            let root = server.root.clone();
            drop(server);
            std::fs::remove_dir_all(root)?;
        }
        Ok(())
    }
}

fn keys(directory: &Path, field: &str) -> Arc<Cached> {
    Arc::new(Cached::new(File { path: directory.join(KEYS), field: Some(field.into()) }))
}

fn transport() -> anyhow::Result<Transport> {
    Ok(Transport::new(&TransportOptions { allow_http: true, ..TransportOptions::default() })?)
}
