//! The gateway of JuiceFS as a child process: MinIO's S3 in front of a file system, strict about signatures.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::foreign::{self, WATCHDOG, peers_directory};

const KEY: (&str, &str) = (Juice::ACCESS_ID, Juice::SECRET);
/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway; ended when dropped.
#[derive(Debug)]
pub struct Juice {
    watchdog: Child,
    port: u16,
    _directory: TempDir,
}

impl Juice {
    /// The access key id.
    pub const ACCESS_ID: &'static str = "JUICESANDBOX00000001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+juice";

    /// Formats a volume, starts the gateway on a free port and waits until it answers (about 2 s).
    ///
    /// # Panics
    /// If the binary is missing: a test never passes by not running.
    pub async fn start() -> io::Result<Self> {
        let binary = peers_directory().join("bin/juicefs");
        assert!(binary.is_file(), "no {}: run tests/run once, it installs the peers", binary.display());
        let directory = tempfile::tempdir()?;
        let (log, volume) = (directory.path().join("juicefs.log"), directory.path().join("volume.db"));
        let (output, volume) = (File::create(&log)?, format!("sqlite3://{}", volume.display()));
        let data = format!("{}/data/", directory.path().display());
        let mut format = Command::new(&binary);
        format
            .args(["format", "--storage", "file", "--bucket", &data, &volume, "sandbox"])
            .current_dir(directory.path());
        let formatted = format.stdout(output.try_clone()?).stderr(output.try_clone()?).status()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut gateway = Command::new("sh");
        gateway.args(["-c", WATCHDOG, "watchdog"]).arg(&binary);
        gateway.args([
            "gateway",
            "--multi-buckets",
            "--keep-etag",
            "--object-meta",
            "--object-tag",
            "--no-usage-report",
        ]);
        gateway.args([volume, format!("127.0.0.1:{port}")]).current_dir(directory.path());
        gateway.env("MINIO_ROOT_USER", Juice::ACCESS_ID).env("MINIO_ROOT_PASSWORD", Juice::SECRET);
        let watchdog = gateway.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).spawn()?;
        let mut juice = Juice { watchdog, port, _directory: directory };
        let started = Instant::now();
        while let Err(error) = juice.create_bucket("sandbox-ready").await {
            let ended = juice.watchdog.try_wait()?.is_some() || !formatted.success();
            if started.elapsed() > PATIENCE || ended {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("JuiceFS is not ready: {error}\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(juice)
    }

    /// Makes a bucket; one that is there stays.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        foreign::create_bucket(self.port, KEY, bucket).await.map_err(io::Error::other)
    }

    /// `http://127.0.0.1:PORT`. Path style; any region.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Juice {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
