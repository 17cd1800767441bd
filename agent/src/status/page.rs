//! The page, and what it asks: one file of HTML with its style and script in it, named in the policy by their digests, so
//! that nothing else runs there. Live by server-sent events; a page that has no place among those asks by itself.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::actions::{self, Actions};
use super::{Charts, STEP};

/// Pages that are sent events at one time: each holds a connection.
const LIVE: usize = 16;
/// Between two reports.
const TICK: Duration = Duration::from_secs(1);

const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// What a page shows: one agent, or a fleet.
#[async_trait]
pub trait PageSource: Send + Sync + 'static {
    /// `/status.json`.
    async fn report(&self) -> Value;
    fn charts(&self) -> Charts;
    /// What the ledger has of all: asked seldom, for it costs requests.
    async fn fleet(&self) -> Value;
    /// What was given up whose key or reason has this in it.
    async fn parked(&self, search: &str) -> Value;
}

struct Served {
    source: Arc<dyn PageSource>,
    live: Arc<Semaphore>,
}

/// Page and policy.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    let page = include_str!("page.html").replace("/*style*/", STYLE).replace("/*script*/", SCRIPT);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    (page, policy)
});

/// Without actions it is read-only.
pub fn page_router(source: Arc<dyn PageSource>, actions: Option<Actions>) -> Router {
    let served = Arc::new(Served { source, live: Arc::new(Semaphore::new(LIVE)) });
    let router = Router::new()
        .route("/", get(page))
        .route("/status.json", get(status))
        .route("/charts.json", get(charts))
        .route("/fleet.json", get(fleet))
        .route("/parked.json", get(parked))
        .route("/events", get(events))
        .with_state(served);
    actions.into_iter().fold(router, |router, actions| router.merge(actions::router(actions)))
}

async fn page() -> impl IntoResponse {
    let (page, policy) = &*PAGE;
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page.as_str())
}

fn fresh(value: impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], Json(value)).into_response()
}

async fn status(State(served): State<Arc<Served>>) -> Response {
    fresh(served.source.report().await)
}

async fn charts(State(served): State<Arc<Served>>) -> Response {
    fresh(served.source.charts())
}

async fn fleet(State(served): State<Arc<Served>>) -> Response {
    fresh(served.source.fleet().await)
}

/// `?search=`, encoded as scripts do it.
async fn parked(State(served): State<Arc<Served>>, uri: Uri) -> Response {
    let search = uri.query().and_then(|query| query.strip_prefix("search=")).unwrap_or_default();
    fresh(served.source.parked(&percent_decode_str(search).decode_utf8_lossy()).await)
}

/// `report` every second, `charts` when there is a new sample.
async fn events(State(served): State<Arc<Served>>) -> Response {
    let Ok(place) = served.live.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "enough pages are open; ask for /status.json\n").into_response();
    };
    let next = |(served, place, tick): (Arc<Served>, OwnedSemaphorePermit, u64)| async move {
        // Both on one line of each tick that has both: a page draws once.
        if tick > 0 {
            tokio::time::sleep(TICK).await;
        }
        let mut event = json!({ "report": served.source.report().await });
        if tick.is_multiple_of(STEP) {
            event["charts"] = json!(served.source.charts());
        }
        // A value of ours: it has no line breaks, and nothing in it can fail to serialise.
        let event = Event::default().data(event.to_string());
        Some((Ok::<_, Infallible>(event), (served, place, tick + 1)))
    };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Sse::new(stream::unfold((served, place, 0), next))).into_response()
}
