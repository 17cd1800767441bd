//! What the servers of other people have in common here: where they are installed, how they end, how a bucket is made.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
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
