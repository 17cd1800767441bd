//! moto as a child process: the emulator that most Python projects test against. It checks neither signatures nor most
//! digests, and shows a checksum of a multipart object that is not the checksum of its bytes.

use std::io;

use crate::foreign::{self, S3Server};

const KEY: (&str, &str) = (Moto::ACCESS_ID, Moto::SECRET);

/// A running moto server, empty; ended when dropped.
#[derive(Debug)]
pub struct Moto(S3Server);

impl Moto {
    /// An access key id; any is taken.
    pub const ACCESS_ID: &'static str = "MOTOSANDBOX000000001";
    /// A secret; any is taken.
    pub const SECRET: &'static str = "sandbox+secret/of+moto";

    /// Starts it on a free port and waits until it answers (about 2 s).
    ///
    /// # Panics
    /// If the program is missing: a test never passes by not running.
    pub async fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = S3Server::free_port()?.to_string();
        let spool = directory.path().display().to_string();
        let arguments = ["-H", "127.0.0.1", "-p", &*port];
        let number = port.parse().map_err(io::Error::other)?;
        Ok(Moto(S3Server::start(directory, "moto_server", arguments, &[("TMPDIR", &*spool)], number, KEY).await?))
    }

    /// Makes a bucket; one that is there stays.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        foreign::create_bucket(self.0.port, KEY, bucket).await.map_err(io::Error::other)
    }

    /// `http://127.0.0.1:PORT`. Path style.
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}
