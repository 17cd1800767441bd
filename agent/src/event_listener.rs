//! Events over HTTP, for an embedded queue: what S3-compatible stores push to a webhook (Ceph RGW, MinIO), what Pub/Sub
//! pushes for Google Cloud Storage, and Skyferry's own jobs. What is answered with 200 is on the disk. What is not an event
//! is answered with 400 and the reason, so that the sender keeps it and somebody learns of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::http_server::{self, ListenError};
use crate::token::{self, Token, TokenError};
use skyferry_core::event::{self, ParsedMessage, ParsedRecord};
use skyferry_core::queue::Queue;

/// Seconds until a sender should try again when the queue did not take an event.
const RETRY_AFTER: &str = "5";

/// Why a listener for events cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EventListenerError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A listening socket that takes no event yet.
pub struct EventListener {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

impl EventListener {
    /// Port 0 takes any free one.
    pub async fn bind(wanted: SocketAddr, token: Option<Token>) -> Result<EventListener, EventListenerError> {
        let (listener, address) = http_server::bind(wanted, "[queue] listen", "").await?;
        tracing::info!(address = %address, token = token.is_some(), "events are accepted at http://{address}/");
        Ok(EventListener { listener, address, token })
    }

    /// With the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends every event that comes to `queue`, until `end`.
    pub async fn serve(self, queue: Arc<dyn Queue>, end: CancellationToken) {
        http_server::serve(self.listener, router(queue, self.token), end).await;
    }
}

fn router(queue: Arc<dyn Queue>, token: Option<Token>) -> Router {
    Router::new()
        .route("/", post(receive))
        .route("/events", post(receive))
        .layer(DefaultBodyLimit::max(event::MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::new(token), authorize))
        .with_state(queue)
}

/// `Authorization: Bearer`, the password of `Basic`, or `?token=`: stores differ in what they can send.
async fn authorize(State(token): State<Arc<Option<Token>>>, request: Request, next: Next) -> Response {
    let Some(token) = &*token else { return next.run(request).await };
    let given = from_header(request.headers()).or_else(|| from_query(request.uri().query()?));
    if given.is_some_and(|given| token.is(&given)) {
        return next.run(request).await;
    }
    let answer = json!({ "error": "the token is missing or wrong: send it as `Authorization: Bearer TOKEN`" });
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], Json(answer)).into_response()
}

fn from_header(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    token::bearer(headers).or_else(|| token::password(headers))
}

/// As it is written: a token has no character that an address would encode.
fn from_query(query: &str) -> Option<Zeroizing<String>> {
    query.split('&').find_map(|pair| pair.strip_prefix("token=")).map(|token| Zeroizing::new(token.to_owned()))
}

async fn receive(State(queue): State<Arc<dyn Queue>>, body: Bytes) -> Response {
    let records = match event::parse(&body) {
        ParsedMessage::Malformed(reason) => return refused(&reason),
        ParsedMessage::Nothing(why) => {
            return Json(json!({ "accepted": 0, "reason": why.to_string() })).into_response();
        }
        ParsedMessage::Records(records) => records,
    };
    // One that can be read makes the message worth keeping: the agent parks the others by themselves.
    let readable = records.iter().filter(|entry| matches!(entry, ParsedRecord::Record(_))).count();
    let first = records.iter().find_map(|entry| match entry {
        ParsedRecord::Malformed(record) => Some(record.reason.clone()),
        ParsedRecord::Record(_) => None,
    });
    if let (0, Some(reason)) = (readable, first) {
        return refused(&reason);
    }
    let Ok(body) = String::from_utf8(body.into()) else { return refused("the body is not UTF-8") };
    match queue.send(&[body]).await {
        Ok(()) => Json(json!({ "accepted": readable })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "an event received over HTTP was not queued; its sender was asked to send it again");
            let answer = Json(json!({ "error": "the queue did not accept the event: send it again" }));
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER)], answer).into_response()
        }
    }
}

fn refused(reason: &str) -> Response {
    tracing::warn!(reason, "a request over HTTP was not an event and was refused");
    (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response()
}

#[cfg(test)]
mod tests;
