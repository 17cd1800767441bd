//! The HTTP client of the exporters. They run on threads of their own, without a runtime: requests are spawned on the agent's.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// An answer is a few words.
const ANSWER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct OtlpClient {
    client: reqwest::Client,
    runtime: Handle,
    endpoint: String,
    /// The receiver did not take what was sent last: reported once.
    failing: AtomicBool,
}

impl OtlpClient {
    pub(super) fn new(endpoint: &str, runtime: &Handle, patience: Duration) -> Result<OtlpClient, String> {
        let client = reqwest::Client::builder().timeout(patience).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| error.to_string())?;
        let (runtime, endpoint) = (runtime.clone(), endpoint.to_owned());
        Ok(OtlpClient { client, runtime, endpoint, failing: AtomicBool::new(false) })
    }

    fn settled(&self, failure: Option<String>) {
        let endpoint = &self.endpoint;
        match (self.failing.swap(failure.is_some(), Relaxed), failure) {
            (false, Some(error)) => tracing::warn!(
                %endpoint, error,
                "traces and metrics are not taken by [telemetry] otlp, and are lost; check that it is a receiver of OTLP over HTTP"
            ),
            (true, None) => tracing::info!(%endpoint, "traces and metrics are taken again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { answer(&client, request).await }).await;
        let sent = sent.map_err(HttpError::from).and_then(|answered| answered);
        self.settled(match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body()))),
            Err(error) => Some(last_cause(&**error)),
        });
        sent
    }
}

async fn answer(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        std::mem::swap(headers, answer.headers_mut());
    }
    let mut body = Vec::new();
    while let Some(more) = answer.chunk().await? {
        body.extend_from_slice(&more);
        if body.len() > ANSWER {
            return Err("an answer of more than 64 KiB".into());
        }
    }
    Ok(response.body(body.into())?)
}

/// reqwest's errors say little by themselves.
fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
