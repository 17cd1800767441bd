//! A queue that takes some messages of a batch and fails others: a front before ministack, for which no setting does that.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Fails every third entry of a batch, so many of them in all.
#[derive(Clone)]
pub struct Front {
    to: SocketAddr,
    failing: Arc<AtomicU64>,
}

impl Front {
    /// Its endpoint, and how many entries it will fail still.
    pub async fn start(to: SocketAddr, failing: u64) -> (String, Arc<AtomicU64>) {
        let failing = Arc::new(AtomicU64::new(failing));
        let front = Front { to, failing: failing.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let front = front.clone();
                let answer = service_fn(move |request| {
                    let front = front.clone();
                    async move { Ok::<_, Infallible>(front.answer(request).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(serving);
            }
        });
        (endpoint, failing)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (mut parts, body) = request.into_parts();
        let mut body = body.collect().await.expect("a body").to_bytes();
        let batch = parts.headers.get("x-amz-target").is_some_and(|target| target == "AmazonSQS.SendMessageBatch");
        let mut failed = Vec::new();
        if batch {
            (body, failed) = self.fail(&body);
            parts.headers.remove("content-length");
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("http://{}{path}", self.to).parse::<Uri>().expect("an address");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(Request::from_parts(parts, Full::new(body))).await.expect("an answer");
        let (mut parts, body) = answer.into_parts();
        let mut body = body.collect().await.expect("a body").to_bytes();
        if !failed.is_empty() {
            let mut reported: Value = serde_json::from_slice(&body).expect("JSON");
            reported["Failed"] = failed.into();
            body = reported.to_string().into();
            parts.headers.remove("content-length");
        }
        Response::from_parts(parts, Full::new(body))
    }

    fn fail(&self, body: &[u8]) -> (Bytes, Vec<Value>) {
        let mut asked: Value = serde_json::from_slice(body).expect("JSON");
        let (mut taken, mut failed) = (Vec::new(), Vec::new());
        for (place, entry) in asked["Entries"].as_array().cloned().unwrap_or_default().into_iter().enumerate() {
            let fails = place % 3 == 1 && self.failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            match fails {
                true => failed.push(json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError"})),
                false => taken.push(entry),
            }
        }
        asked["Entries"] = taken.into();
        (asked.to_string().into(), failed)
    }
}
