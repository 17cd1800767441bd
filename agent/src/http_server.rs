//! HTTP/1.1 for routers that strangers may reach: who connects and sends nothing, or sends without end, is closed, and the
//! number of connections is limited. So a page or a listener for events costs a bounded number of descriptors, and objects
//! continue whatever is done to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// At once; more wait in the system's own queue until one is closed.
const CONNECTIONS: usize = 128;
/// For the head of a request, from when the connection is opened or the request before has ended.
const HEAD: Duration = Duration::from_secs(5);
/// For its body and its answer's head.
const REQUEST: Duration = Duration::from_secs(30);
/// After a connection that could not be accepted: most often there are no descriptors, and trying at once finds none either.
const REFUSED: Duration = Duration::from_millis(100);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "the address {address} of {setting} is in use by another process: choose another port, 0 for any free one{off}"
    )]
    Taken { address: SocketAddr, setting: &'static str, off: &'static str },
    #[error("cannot listen on {address}, the address of {setting}: {error}")]
    Refused { address: SocketAddr, setting: &'static str, error: std::io::Error },
}

/// A listening socket, and its address with the real port: 0 takes any free one. `setting`: for the error, with what may
/// be set instead (`off`).
pub async fn bind(
    wanted: SocketAddr,
    setting: &'static str,
    off: &'static str,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => ListenError::Taken { address: wanted, setting, off },
        _ => ListenError::Refused { address: wanted, setting, error },
    };
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Serves until `end`, which closes what is open.
pub async fn serve(listener: TcpListener, router: Router, end: CancellationToken) {
    let router = router.layer(middleware::from_fn(in_time));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = end.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, end) = (router.clone(), end.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection(stream, router) => {}
                        () = end.cancelled() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(REFUSED).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let answer = service_fn(move |request| router.clone().call(request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to this agent ended early");
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn served() -> SocketAddr {
        let (listener, address) = bind(([127, 0, 0, 1], 0).into(), "[test] listen", "").await.expect("a port");
        let router = Router::new().route("/", get(|| async { "ok" }));
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        address
    }

    #[tokio::test(start_paused = true)]
    async fn fault_d7_connections_that_send_nothing_are_closed_and_others_are_then_served() {
        let address = served().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS + 8 {
            silent.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let mut nothing = Vec::new();
        silent[0].read_to_end(&mut nothing).await.expect("closed by the server");
    }

    /// Of this process; the test's own ends are as many again.
    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").expect("a listing").count()
    }

    #[tokio::test]
    async fn fault_d7_half_open_connections_by_the_thousand_cost_a_bounded_number_of_descriptors() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).expect("enough for both ends");
        let address = served().await;
        let before = descriptors();
        let mut half = Vec::new();
        for _ in 0..1_100 {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(b"GET /healthz HTTP/1.1\r\nX-").await.expect("sent");
            half.push(stream);
        }
        let served_ends = descriptors() - before - half.len();
        assert!(served_ends <= CONNECTIONS, "{served_ends} descriptors for connections that send nothing");
        // Their time runs out, lot after lot, and whoever has something to ask is answered.
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("sent");
        tokio::time::pause();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_its_setting() {
        let taken = served().await;
        let error = bind(taken, "[status] listen", ", or \"off\"").await.expect_err("taken").to_string();
        assert!(error.contains("[status] listen") && error.contains("or \"off\""), "{error}");
    }
}
