//! SeaweedFS as a child process: an S3 server by other people that checks signatures, and so a second opinion on ours.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::foreign::{self, WATCHDOG, peers_directory};

/// What SeaweedFS adds to a port for its gRPC.
const GRPC: u16 = 10_000;
const KEY: (&str, &str) = (SeaweedFs::ACCESS_ID, SeaweedFs::SECRET);
/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running SeaweedFS with S3 signatures enforced; ended when dropped.
#[derive(Debug)]
pub struct SeaweedFs {
    watchdog: Child,
    s3: u16,
    _directory: TempDir,
}

impl SeaweedFs {
    /// The access key id.
    pub const ACCESS_ID: &'static str = "WEEDSANDBOX000000001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+weed";

    /// Starts it on free ports, waits until it answers (about 4 s), makes the buckets.
    ///
    /// # Panics
    /// If the binary is missing: a test never passes by not running.
    pub async fn start(buckets: &[&str]) -> io::Result<Self> {
        let binary = peers_directory().join("bin/weed");
        assert!(binary.is_file(), "no {}: run tests/run once, it installs the peers", binary.display());
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("weed.log");
        let (mut watchdog, s3) = spawn(&binary, directory.path(), &log)?;
        let started = Instant::now();
        for bucket in ["sandbox-ready"].iter().chain(buckets) {
            while let Err(error) = foreign::create_bucket(s3, KEY, bucket).await {
                if started.elapsed() > PATIENCE || watchdog.try_wait()?.is_some() {
                    let log = std::fs::read_to_string(&log).unwrap_or_default();
                    drop(SeaweedFs { watchdog, s3, _directory: directory });
                    return Err(io::Error::other(format!("SeaweedFS is not ready: {error}\n{log}")));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(SeaweedFs { watchdog, s3, _directory: directory })
    }

    /// Makes a bucket; one that is there stays.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        foreign::create_bucket(self.s3, KEY, bucket).await.map_err(io::Error::other)
    }

    /// `http://127.0.0.1:PORT` of the S3 gateway. Path style; any region.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address to put a [`crate::Proxy`] in front of.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.s3))
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn spawn(binary: &Path, directory: &Path, log: &Path) -> io::Result<(Child, u16)> {
    let [master, volume, filer, s3] = free_ports()?;
    let config = directory.join("s3.json");
    let identity = serde_json::json!({"identities": [{
        "name": "sandbox",
        "credentials": [{"accessKey": SeaweedFs::ACCESS_ID, "secretKey": SeaweedFs::SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    std::fs::write(&config, identity.to_string())?;
    let data = directory.join("data");
    std::fs::create_dir(&data)?;
    let output = File::create(log)?;
    let child = Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(binary)
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=0"])
        .args(["-filer", "-s3", "-s3.port.lance=0", "-s3.port.iceberg=0"])
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-filer.port={filer}"))
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-s3.config={}", config.display()))
        // One volume a bucket is enough; else a few buckets take all the room that there is for volumes.
        .env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")
        // Without a key of its own it refuses SSE-S3.
        .env("WEED_S3_SSE_KEK", "0123456789abcdef".repeat(4))
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    Ok((child, s3))
}

/// Four ports that are free, and free 10,000 higher too. Another process may take one before SeaweedFS does: rare.
fn free_ports() -> io::Result<[u16; 4]> {
    let mut held = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let found = (0..1000).find_map(|_| {
            let candidate = rand::random_range(15_000..50_000);
            let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            Some((candidate, bind(candidate)?, bind(candidate + GRPC)?))
        });
        let (candidate, low, high) = found.ok_or_else(|| io::Error::other("no free ports"))?;
        *port = candidate;
        held.push((low, high));
    }
    Ok(ports)
}
