//! The gateway of JuiceFS as a child process: MinIO's S3 in front of a file system, strict about signatures.

use std::{fs::File, io, process::Command};

use crate::foreign::{self, S3Server};

const KEY: (&str, &str) = (JuiceFs::ACCESS_ID, JuiceFs::SECRET);

/// A running gateway; ended when dropped.
#[derive(Debug)]
pub struct JuiceFs(S3Server);

impl JuiceFs {
    /// The access key id.
    pub const ACCESS_ID: &'static str = "JUICESANDBOX00000001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+juice";

    /// Formats a volume, starts the gateway on a free port and waits until it answers (about 2 s).
    ///
    /// # Panics
    /// If the binary is missing: a test never passes by not running.
    pub async fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let output = File::create(directory.path().join("juicefs.log"))?;
        let volume = format!("sqlite3://{}", directory.path().join("volume.db").display());
        let data = format!("{}/data/", directory.path().display());
        let formatted = Command::new(foreign::program("juicefs"))
            .args(["format", "--storage", "file", "--bucket", &data, &volume, "sandbox"])
            .current_dir(directory.path())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        if !formatted.success() {
            let log = std::fs::read_to_string(directory.path().join("juicefs.log")).unwrap_or_default();
            return Err(io::Error::other(format!("juicefs format: {formatted}\n{log}")));
        }
        let port = S3Server::free_port()?;
        let address = format!("127.0.0.1:{port}");
        let flags = ["--multi-buckets", "--keep-etag", "--object-meta", "--object-tag", "--no-usage-report"];
        let arguments = ["gateway"].into_iter().chain(flags).chain([&*volume, &*address]);
        let environment = [("MINIO_ROOT_USER", Self::ACCESS_ID), ("MINIO_ROOT_PASSWORD", Self::SECRET)];
        Ok(JuiceFs(S3Server::start(directory, "juicefs", arguments, &environment, port, KEY).await?))
    }

    /// Makes a bucket; one that is there stays.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        foreign::create_bucket(self.0.port, KEY, bucket).await.map_err(io::Error::other)
    }

    /// `http://127.0.0.1:PORT`. Path style; any region.
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}
