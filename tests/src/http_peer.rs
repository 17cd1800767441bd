//! A peer that speaks in short texts: the metadata servers of machines, and the services that keep keys. Whole requests in,
//! whole answers out, every request counted, and faults where a test scripts them. On a free port of 127.0.0.1; it ends when
//! it is dropped.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// More than any request to such a service.
const MOST: usize = 1 << 20;

/// A whole request.
pub(crate) struct PeerRequest {
    pub(crate) method: Method,
    /// Path and query as sent.
    pub(crate) target: String,
    /// As sent, without the query.
    pub(crate) path: String,
    /// Decoded, in order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl PeerRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The body as a form's fields.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }
}

pub(crate) fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let read = text.split('&').filter(|pair| !pair.is_empty());
    read.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct PeerReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl PeerReply {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> PeerReply {
        PeerReply { status, headers: vec![("content-type", "text/plain".into())], body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> PeerReply {
        PeerReply { status, headers: vec![("content-type", "application/json".into())], body: body.to_string() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> PeerReply {
        self.headers.push((name, value.into()));
        self
    }
}

/// Who answers.
pub(crate) trait PeerHandler: Send + Sync + 'static {
    fn answer(self: Arc<Self>, asked: PeerRequest) -> impl Future<Output = PeerReply> + Send;
}

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// This status, and nothing else.
    Status(u16),
    /// No answer while the connection is kept.
    Hang,
    /// The connection ends.
    Drop,
}

#[derive(Debug, Default)]
struct Book {
    /// Method and path of every request.
    asked: Vec<String>,
    /// For requests of which this is a part, and how often still.
    weather: Vec<(String, PeerFault, usize)>,
}

/// A running peer: where it listens, what it was asked, which faults it has.
#[derive(Debug)]
pub struct HttpPeer {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    _accepting: AbortOnDropHandle<()>,
}

impl HttpPeer {
    /// Must be called within a tokio runtime.
    pub(crate) fn start<C: PeerHandler>(clerk: Arc<C>) -> io::Result<HttpPeer> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let book: Arc<Mutex<Book>> = Arc::default();
        let accepting = tokio::spawn(accept(listener, clerk, Arc::clone(&book)));
        Ok(HttpPeer { address, book, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How many requests had this in their `METHOD /path`.
    pub fn count(&self, part: &str) -> usize {
        lock(&self.book).asked.iter().filter(|asked| asked.contains(part)).count()
    }

    /// The next `times` requests that have `part` in their `METHOD /path` meet this.
    pub fn inject(&self, part: &str, weather: PeerFault, times: usize) {
        lock(&self.book).weather.push((part.to_owned(), weather, times));
    }

    /// From here on there are no faults.
    pub fn clear(&self) {
        lock(&self.book).weather.clear();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept<C: PeerHandler>(listener: TcpListener, clerk: Arc<C>, book: Arc<Mutex<Book>>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (clerk, book) = (Arc::clone(&clerk), Arc::clone(&book));
        let service = service_fn(move |request| respond(request, Arc::clone(&clerk), Arc::clone(&book)));
        connections.spawn(async move {
            // A connection that ends with an error is the client's affair, or a fault's.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Dropping the connection, to hyper, is a service that fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct HungUp;

async fn respond<C: PeerHandler>(
    request: Request<Incoming>,
    clerk: Arc<C>,
    book: Arc<Mutex<Book>>,
) -> Result<Response<Full<Bytes>>, HungUp> {
    let (head, body) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri.path());
    let weather = next_fault(&mut lock(&book), line);
    match weather {
        Some(PeerFault::Status(status)) => return Ok(to_response(PeerReply::text(status, "as scripted"))),
        Some(PeerFault::Hang) => return std::future::pending().await,
        Some(PeerFault::Drop) => return Err(HungUp),
        None => {}
    }
    let body = Limited::new(body, MOST).collect().await.map_err(|_| HungUp)?.to_bytes();
    let asked = PeerRequest {
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default()),
        method: head.method,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    Ok(to_response(clerk.answer(asked).await))
}

fn next_fault(book: &mut Book, line: String) -> Option<PeerFault> {
    let found = book.weather.iter_mut().find(|(part, _, times)| *times > 0 && line.contains(part.as_str()));
    let weather = found.map(|(_, weather, times)| {
        *times -= 1;
        *weather
    });
    book.asked.push(line);
    weather
}

fn to_response(reported: PeerReply) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(reported.status);
    for (name, value) in reported.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(reported.body.into())).unwrap_or_else(|_| {
        let mut broken = Response::new(Full::default());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
