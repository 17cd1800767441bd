//! A server whose every answer a test writes: for what real ones answer too seldom to wait for. Whole requests in, any
//! answer out, in order or by a rule. On a free port of 127.0.0.1; it ends when it is dropped.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: Method,
    /// Path and query as they were sent.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Scripted {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    is_chunked: bool,
}

impl Scripted {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Scripted { status, headers: Vec::new(), body: Bytes::from(body.into()), is_chunked: false }
    }

    /// An `<Error>` of this code.
    pub fn error(status: u16, code: &str) -> Self {
        Scripted::new(status, format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
    }

    /// An object as GET shows it; an empty ETag leaves the header out.
    pub fn object(etag: &str, body: &str) -> Self {
        let object = Scripted::new(200, body).header("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT");
        if etag.is_empty() { object } else { object.header("etag", etag) }
    }

    /// A listing that ends here, of objects of these sizes, each with the ETag `e`; its last-modified is that of `object`.
    pub fn listing(rows: &[(&str, u64)]) -> Self {
        Scripted::page(rows, None)
    }

    /// A page of a listing; `next`: the token to continue with.
    pub fn page(rows: &[(&str, u64)], next: Option<&str>) -> Self {
        let rows = rows.iter().map(|(key, size)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>\"e\"</ETag>\
                 <Size>{size}</Size><Generation>7</Generation></Contents>"
            )
        });
        let rows = rows.collect::<String>();
        let token = next.map(|next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
        let (truncated, token) = (next.is_some(), token.unwrap_or_default());
        Scripted::new(
            200,
            format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{rows}</ListBucketResult>"),
        )
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    /// A value of any bytes that HTTP allows.
    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Without a Content-Length.
    pub fn chunked(mut self) -> Self {
        self.is_chunked = true;
        self
    }

    fn response(self) -> Response<BoxBody<Bytes, Infallible>> {
        let body = match self.is_chunked {
            true => StreamBody::new(stream::iter([Ok(Frame::data(self.body))])).boxed(),
            false => Full::new(self.body).boxed(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status.try_into().unwrap_or_default();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

type Rule = Box<dyn Fn(&Received) -> Scripted + Send + Sync>;

struct Script {
    received: Mutex<Vec<Received>>,
    rule: Rule,
}

/// The server.
pub struct ScriptedPeer {
    endpoint: String,
    script: Arc<Script>,
    _serving: AbortOnDropHandle<()>,
}

impl ScriptedPeer {
    /// Answers every request by a rule. Must be called within a tokio runtime.
    pub fn by(rule: impl Fn(&Received) -> Scripted + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (listener, endpoint) =
            (TcpListener::from_std(listener.try_clone()?)?, format!("http://{}", listener.local_addr()?));
        let script = Arc::new(Script { received: Mutex::default(), rule: Box::new(rule) });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, script.clone())));
        Ok(ScriptedPeer { endpoint, script, _serving: serving })
    }

    /// Answers in this order, and with 500 when there is no answer left.
    pub fn in_order(answers: impl IntoIterator<Item = Scripted>) -> std::io::Result<Self> {
        let answers: Mutex<VecDeque<Scripted>> = Mutex::new(answers.into_iter().collect());
        ScriptedPeer::by(move |_| locked(&answers).pop_front().unwrap_or_else(|| Scripted::new(500, "")))
    }

    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// What came, since this was last asked.
    pub fn received(&self) -> Vec<Received> {
        std::mem::take(&mut locked(&self.script.received))
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let script = script.clone();
        let service = service_fn(move |request| answer(script.clone(), request));
        connections.spawn(http1::Builder::new().max_headers(2_000).serve_connection(TokioIo::new(connection), service));
    }
}

async fn answer(
    script: Arc<Script>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let received = Received { method: head.method, target: head.uri.to_string(), headers: head.headers, body };
    let answer = (script.rule)(&received);
    locked(&script.received).push(received);
    Ok(answer.response())
}
