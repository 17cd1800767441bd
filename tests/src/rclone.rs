//! `rclone serve s3` as a child process: a directory as an S3 server, by the authors of the program that most people would
//! copy with. It answers ranges with 200, and a Complete with another ETag than a look at the object.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::foreign::{self, S3Server};

const KEY: (&str, &str) = (Rclone::ACCESS_ID, Rclone::SECRET);

/// A running `rclone serve s3`; ended when dropped.
#[derive(Debug)]
pub struct Rclone(S3Server);

impl Rclone {
    /// The access key id.
    pub const ACCESS_ID: &'static str = "RCLONESANDBOX0000001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+rclone";

    /// Starts it on a free port over an empty directory and waits until it answers (about half a second).
    ///
    /// # Panics
    /// If the binary is missing: a test never passes by not running.
    pub async fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = Self::root(directory.path());
        std::fs::create_dir(&root)?;
        let port = S3Server::free_port()?;
        let (address, key) = (format!("127.0.0.1:{port}"), format!("{},{}", Self::ACCESS_ID, Self::SECRET));
        // An empty name: neither a user's settings are read nor is there a note about missing ones.
        let arguments = ["serve", "s3", "--config", "", "--addr", &*address, "--auth-key", &*key];
        let arguments = arguments.map(PathBuf::from).into_iter().chain([root]);
        Ok(Rclone(S3Server::start(directory, "rclone", arguments, &[], port, KEY).await?))
    }

    fn root(directory: &Path) -> PathBuf {
        directory.join("buckets")
    }

    /// Makes a bucket; one that is there stays.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        foreign::create_bucket(self.0.port, KEY, bucket).await.map_err(io::Error::other)
    }

    /// The file that holds an object.
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        Self::root(self.0.directory()).join(bucket).join(key)
    }

    /// `http://127.0.0.1:PORT`. Path style; any region.
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}
