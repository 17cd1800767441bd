//! What an agent tells over HTTP, on loopback unless the settings say otherwise: `/healthz` (this process lives, nothing
//! else), `/readyz`, `/metrics`, `/status.json` and a page that shows it to people. Read-only, and holds no secret.

mod metrics_format;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fuse::{BlownFuse, Fuse};
use crate::http_server::{self, ListenError};
use crate::limits::Breaker;
use crate::pause::{Pause, PauseWatch};
use crate::shutdown::Shutdown;
use skyferry_core::metrics::{Metrics, Summary};

pub use recent::{Recent, RecentError};

const PAGE: &str = include_str!("status/page.html");
/// The page is one file and asks only its own server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";

/// What the pages are made from.
#[derive(Clone)]
pub struct StatusView {
    pub metrics: Arc<Metrics>,
    pub breaker: Arc<Breaker>,
    pub fuse: Arc<Fuse>,
    pub rest: PauseWatch,
    pub shutdown: Shutdown,
    pub recent: Recent,
    pub queue: Arc<str>,
    pub started: Instant,
}

/// A listening socket that nobody is served on yet.
pub struct Status {
    listener: TcpListener,
    address: SocketAddr,
}

impl Status {
    /// Port 0 takes any free one.
    pub async fn bind(wanted: SocketAddr) -> Result<Status, ListenError> {
        let (listener, address) = http_server::bind(wanted, "[status] listen", ", or \"off\"").await?;
        tracing::info!(address = %address, "status page at http://{address}/");
        Ok(Status { listener, address })
    }

    /// With the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end`.
    pub async fn serve(self, view: StatusView, end: CancellationToken) {
        http_server::serve(self.listener, router(view, self.address.ip()), end).await;
    }
}

fn router(view: StatusView, at: IpAddr) -> Router {
    let router = Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .with_state(Arc::new(view));
    if at.is_loopback() { router.layer(middleware::from_fn(by_own_name)) } else { router }
}

/// A page from elsewhere can have its own name resolved to loopback and then read what is served there: on loopback only
/// loopback's names are answered.
async fn by_own_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let own = host.is_none_or(|host| {
        let host = host.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    });
    if own {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "not served under this name\n").into_response()
    }
}

async fn page() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE)
}

/// Nothing is served before the wiring is done: what is left to say is whether the agent drains.
async fn ready(State(view): State<Arc<StatusView>>) -> impl IntoResponse {
    match (view.shutdown.stop.is_cancelled(), view.rest.pause()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
        (false, Some(pause)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{pause}\n")),
        (false, None) => (StatusCode::OK, "ready\n".to_owned()),
    }
}

/// As the scraper prefers it.
async fn metrics(State(view): State<Arc<StatusView>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = metrics_format::preferred(accept.unwrap_or_default());
    ([(header::CONTENT_TYPE, format.content_type())], view.metrics.render(format))
}

async fn status(State(view): State<Arc<StatusView>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(Report::of(&view)))
}

/// `/status.json`.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    uptime_seconds: f64,
    draining: bool,
    paused: Option<Pause>,
    /// Too many at once, as far as this agent knows.
    deletions_held: Option<BlownFuse>,
    #[serde(flatten)]
    summary: Summary,
    /// These move while a large object does; what is tried again counts again.
    bytes_passed: u64,
    inflight_objects: u64,
    inflight_bytes: u64,
    /// The age of the message whose record ended last.
    lag_seconds: Option<f64>,
    parked_by_reason: BTreeMap<&'static str, u64>,
    queue: Queue,
    storm: Option<Storm>,
    errors: Vec<RecentError>,
}

/// Approximate, and up to ten seconds old.
#[derive(Debug, Serialize)]
struct Queue {
    name: String,
    visible: u64,
    in_flight: u64,
}

/// Nothing succeeds against this side.
#[derive(Debug, Serialize)]
struct Storm {
    side: String,
    cause: &'static str,
    seconds: f64,
    failures: u32,
}

impl Report {
    fn of(view: &StatusView) -> Report {
        let metrics = &view.metrics;
        Report {
            version: skyferry_core::version::long(),
            uptime_seconds: seconds(view.started.elapsed()),
            draining: view.shutdown.stop.is_cancelled(),
            paused: view.rest.pause(),
            deletions_held: view.fuse.blown(),
            summary: metrics.summary(),
            bytes_passed: metrics.bytes_passed(),
            inflight_objects: metrics.inflight_objects.get(),
            inflight_bytes: metrics.inflight_bytes.get(),
            lag_seconds: metrics.lag().map(seconds),
            parked_by_reason: metrics.parked_by_reason(),
            queue: Queue {
                name: view.queue.to_string(),
                visible: metrics.queue_visible.get(),
                in_flight: metrics.queue_in_flight.get(),
            },
            storm: view.breaker.outage().map(|storm| Storm {
                side: storm.channel.side().to_string(),
                cause: storm.cause,
                seconds: seconds(storm.since.elapsed()),
                failures: storm.failures,
            }),
            errors: view.recent.list(),
        }
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
