//! What an agent shows over HTTP, on loopback unless the settings name another address: `/healthz` (this process lives,
//! nothing else), `/readyz`, `/metrics`, `/status.json` and a page for people. It holds no secret, and changes nothing unless
//! the settings name a token.

mod actions;
mod history;
mod metrics_format;
mod page;
mod parked;
mod recent;
mod report;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fleet::{self, FleetRegistration};
use crate::http_server::{self, ListenError};
use skyferry_core::ambient;
use skyferry_core::ledger::Ledger;

pub use actions::Actions;
pub use history::{Charts, History, STEP, Sample, Totals};
pub use page::{PageSource, page_router};
pub use parked::letters;
pub use recent::{ParkedObject, Recent, RecentError};
pub use report::{LetterSource, Report, StatusView};

/// What the last `check` found, in the ledger.
pub const CHECKED: &str = "promises";

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

    /// Serves until `end`, and keeps this agent's place in its fleet. `actions`: what may be changed from the page.
    pub async fn serve(self, view: StatusView, actions: Option<Actions>, end: CancellationToken) {
        let samples = {
            let (view, end) = (view.clone(), end.clone());
            async move { end.run_until_cancelled(sample(&view)).await }
        };
        let registered = view.ledger.clone().map(|ledger| {
            let (view, url) = (view.clone(), fleet::address_for_others(self.address));
            FleetRegistration::new(ledger).run(move || Report::of(&view).member(&url), end.clone())
        });
        let at = self.address.ip();
        let served = http_server::serve(self.listener, router(view, actions, at), end);
        tokio::join!(served, samples, async {
            if let Some(registered) = registered {
                registered.await;
            }
        });
    }
}

/// Fills the charts.
async fn sample(view: &StatusView) {
    loop {
        view.history.add(ambient::since_epoch().as_secs(), Report::of(view).totals());
        tokio::time::sleep(Duration::from_secs(STEP)).await;
    }
}

fn router(view: StatusView, actions: Option<Actions>, at: IpAddr) -> Router {
    let view = Arc::new(view);
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(view.clone())
        .merge(page_router(view, actions));
    own_names(router, at)
}

/// A page from elsewhere can have its own name resolved to loopback and then read what is served there: on loopback only
/// loopback's names are answered.
pub fn own_names(router: Router, at: IpAddr) -> Router {
    if at.is_loopback() { router.layer(middleware::from_fn(by_own_name)) } else { router }
}

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

#[async_trait]
impl PageSource for StatusView {
    async fn report(&self) -> Value {
        json!(Report::of(self))
    }

    fn charts(&self) -> Charts {
        self.history.charts()
    }

    async fn fleet(&self) -> Value {
        match &self.ledger {
            Some(ledger) => shared(&**ledger).await,
            None => json!({ "agents": [], "checked": null }),
        }
    }

    async fn parked(&self, search: &str) -> Value {
        match &self.letters {
            Some(open) => letters(&*open(), search).await,
            None => parked::since_start(&self.recent, search),
        }
    }
}

/// What the ledger has for all to see: who works, and what the last `check` found.
pub async fn shared(ledger: &dyn Ledger) -> Value {
    let (agents, checked) = tokio::join!(fleet::members(ledger), ledger.note(CHECKED));
    let checked: Option<Value> = checked.ok().flatten().and_then(|note| serde_json::from_slice(&note).ok());
    match agents {
        Ok(agents) => json!({ "agents": agents, "checked": checked }),
        Err(error) => json!({ "agents": [], "checked": checked, "error": error.to_string() }),
    }
}
