//! What the servers of other people have in common here: where they are installed, how they end, how a bucket is made.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{call::Call, signature::Keys};

/// The child runs under a shell that ends it when our end of its stdin closes: when this value is dropped, and also when
/// this process dies in any way.
pub(crate) const WATCHDOG: &str = "\"$@\" </dev/null & pid=$!; read -r never; kill -9 $pid; wait $pid 2>/dev/null";

/// Where the foreign peers are installed: `$SKYFERRY_PEERS`, or `target/peers` of the workspace.
pub fn peers_directory() -> PathBuf {
    match std::env::var_os("SKYFERRY_PEERS") {
        Some(directory) => directory.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    }
}

/// The path of an installed program.
///
/// # Panics
/// If it is missing: a test never passes by not running.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = peers_directory().join("bin").join(name);
    assert!(path.is_file(), "{} is missing: run tests/run once, it installs the peers", path.display());
    path
}

/// An S3 server as a child process on one port, with a directory of its own; ended when dropped.
#[derive(Debug)]
pub(crate) struct S3Server {
    watchdog: Child,
    pub(crate) port: u16,
    directory: TempDir,
}

impl S3Server {
    /// How long it may take to be ready.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A free port, so that the arguments can name it. Another process may take it before the server does: rare.
    pub(crate) fn free_port() -> io::Result<u16> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
    }

    /// Starts the program in `directory` and waits until it makes a bucket.
    pub(crate) async fn start(
        directory: TempDir,
        name: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &str)],
        port: u16,
        key: (&str, &str),
    ) -> io::Result<Self> {
        let log = directory.path().join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(program(name))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut server = S3Server { watchdog, port, directory };
        let started = Instant::now();
        while let Err(error) = create_bucket(port, key, "sandbox-ready").await {
            if started.elapsed() > Self::PATIENCE || server.watchdog.try_wait()?.is_some() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("{name} is not ready: {error}\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Makes a bucket by a signed request; one that is there stays.
pub(crate) async fn create_bucket(port: u16, key: (&str, &str), bucket: &str) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let host = format!("127.0.0.1:{port}");
    let stream = TcpStream::connect(&host).await.map_err(|error| text(&error))?;
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("/{bucket}"))
        .header("host", host)
        .header("content-length", 0)
        .body(Empty::<Bytes>::new());
    let (mut head, body) = request.map_err(|error| text(&error))?.into_parts();
    let keys = Keys { access_id: key.0.to_owned(), secret: key.1.to_owned(), ..Keys::default() };
    let call = Call::read(head.clone()).map_err(|error| text(&error))?;
    head.headers = keys.sign(call).map_err(|error| text(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(head, body)).await.map_err(|error| text(&error));
    connection.abort();
    match answer?.status() {
        status if status.is_success() || status == http::StatusCode::CONFLICT => Ok(()),
        status => Err(format!("creating {bucket}: {status}")),
    }
}
