//! The notice of a Google machine that it is about to be taken away: a request to its metadata server that is answered when the
//! value changes. Then there are 30 seconds.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::ShutdownReason;

/// The server answers at the latest then, so that a connection that died in silence is noticed.
const WAIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(75);
const WHILE_AWAY: Duration = Duration::from_secs(15);

type Asking = Client<HttpConnector, Empty<Bytes>>;

/// Ends with the notice.
pub(super) async fn notice(endpoint: &str) -> ShutdownReason {
    let client: Asking = Client::builder(TokioExecutor::new()).build_http();
    let mut known = "0".to_owned();
    let mut away = false;
    loop {
        let answer = tokio::time::timeout(PATIENCE, ask(&client, endpoint, &known)).await.ok().flatten();
        match answer {
            Some((value, _)) if value.trim().eq_ignore_ascii_case("TRUE") => return ShutdownReason::Preempted,
            Some((_, etag)) => {
                // Without a mark of what is known the server would answer at once, again and again.
                if etag.is_empty() {
                    tokio::time::sleep(WHILE_AWAY).await;
                }
                (known, away) = (etag, false);
            }
            None => {
                if !away {
                    tracing::info!(
                        endpoint,
                        "the metadata server does not answer, so there is no preemption notice yet"
                    );
                }
                away = true;
                tokio::time::sleep(WHILE_AWAY).await;
            }
        }
    }
}

/// The value and its mark, when it is another than the known one or the wait is over.
async fn ask(client: &Asking, endpoint: &str, known: &str) -> Option<(String, String)> {
    let wait = WAIT.as_secs();
    let uri = format!(
        "{endpoint}/computeMetadata/v1/instance/preempted?wait_for_change=true&last_etag={known}&timeout_sec={wait}"
    );
    let request = Request::get(uri).header("Metadata-Flavor", "Google").body(Empty::new()).ok()?;
    let answer = client.request(request).await.ok()?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Anything else on that name is not the metadata server.
    if !answer.status().is_success() || header("metadata-flavor") != "Google" {
        return None;
    }
    let etag = header("etag").to_owned();
    let body = Limited::new(answer.into_body(), 1024).collect().await.ok()?.to_bytes();
    Some((String::from_utf8_lossy(&body).into_owned(), etag))
}
