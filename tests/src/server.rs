//! One peer's life on the wire: listen on a free port of 127.0.0.1, read requests, let the faults act, ask the dialect for
//! the effect, answer. Dropping the server ends every connection at once.
//!
//! A dialect prepares (reads the body, checks) and hands back a commit that runs in one step. So a fault can put any
//! delay, or the client's absence, between a request and its effect.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    body::{Body, Outgoing, RequestBody},
    call::Call,
    counters::Counters,
    faults::{Fault, Faults, Met, Reply},
    refusal::{Failure, Refusal},
    store::{Store, data::Data},
    tls::{Authority, authority},
};

/// What a peer answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The bytes and the range of them to send; `None`: no body.
    pub(crate) body: Option<(Data, u64, u64)>,
    /// Leave the length out: it is not known before the end.
    pub(crate) unsized_body: bool,
}

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        Answer { status, headers: HeaderMap::new(), body: None, unsized_body: false }
    }

    pub(crate) fn xml(status: StatusCode, text: String) -> Self {
        let body = Data::Memory(text.into());
        let length = body.len();
        let answer = Answer { body: Some((body, 0, length)), ..Answer::new(status) };
        answer.with("content-type", "application/xml; charset=UTF-8")
    }

    /// Adds a header; a value that HTTP cannot carry is left out.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.add(name, value);
        self
    }

    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::from_bytes(value.as_ref().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            self.headers.append(name, value);
        }
    }
}

/// The effect of a prepared request.
pub(crate) type Commit = Box<dyn FnOnce() -> Result<Answer, Refusal> + Send>;

/// A cloud's way of speaking.
pub(crate) trait Dialect: Send + Sync + Sized + 'static {
    /// Checks the request and reads its body; nothing is visible before the commit runs.
    fn prepare(self: Arc<Self>, call: Call, body: RequestBody) -> impl Future<Output = Result<Commit, Failure>> + Send;

    /// The error's XML.
    fn error(&self, refusal: &Refusal) -> String;
}

/// What a dialect and its server share.
#[derive(Debug)]
pub(crate) struct PeerState {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) counters: Arc<Counters>,
}

impl PeerState {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(PeerState { store, faults: Faults::default(), counters: Arc::default() })
    }
}

/// A listening peer; dropping it closes the port and all connections.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    authority: Option<Authority>,
    pipes: mpsc::UnboundedSender<DuplexStream>,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens on a free port. Must be called within a tokio runtime.
    pub(crate) fn start<D: Dialect>(dialect: Arc<D>, hall: Arc<PeerState>, tls: bool) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (authority, acceptor) =
            if tls { authority().map(|(ca, acceptor)| (Some(ca), Some(acceptor)))? } else { (None, None) };
        let (pipes, piped) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(accept(listener, piped, acceptor, dialect, hall));
        Ok(Server { address, authority, pipes, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections in memory are handed in.
    pub(crate) fn pipes(&self) -> mpsc::UnboundedSender<DuplexStream> {
        self.pipes.clone()
    }

    pub(crate) fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }
}

async fn accept<D: Dialect>(
    listener: TcpListener,
    mut piped: mpsc::UnboundedReceiver<DuplexStream>,
    tls: Option<TlsAcceptor>,
    dialect: Arc<D>,
    hall: Arc<PeerState>,
) {
    // Owned by this task: when it is aborted, so are the connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(pipe) = piped.recv() => {
                hall.counters.connections.fetch_add(1, Relaxed);
                connections.spawn(serve(pipe, Arc::clone(&dialect), Arc::clone(&hall)));
                continue;
            }
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: wait for some to close.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        hall.counters.connections.fetch_add(1, Relaxed);
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&dialect), Arc::clone(&hall)));
    }
}

async fn connection<D: Dialect>(stream: TcpStream, tls: Option<TlsAcceptor>, dialect: Arc<D>, hall: Arc<PeerState>) {
    match tls {
        None => serve(stream, dialect, hall).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, dialect, hall).await;
            }
        }
    }
}

async fn serve<D: Dialect>(stream: impl AsyncRead + AsyncWrite + Unpin, dialect: Arc<D>, hall: Arc<PeerState>) {
    let service = service_fn(move |request| respond(request, Arc::clone(&dialect), Arc::clone(&hall)));
    // A connection that ends with an error is the client's affair, or a fault's.
    let _ = http1::Builder::new().max_buf_size(512 << 10).serve_connection(TokioIo::new(stream), service).await;
}

/// Dropping the connection, to hyper, is a service that fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct HungUp;

async fn respond<D: Dialect>(
    request: Request<Incoming>,
    dialect: Arc<D>,
    hall: Arc<PeerState>,
) -> Result<Response<Body>, HungUp> {
    let (head, incoming) = request.into_parts();
    let method = head.method.clone();
    let (met, outcome) = match Call::read(head) {
        Ok(call) => {
            hall.counters.request(call.operation);
            let met = hall.faults.take(&call);
            let body = RequestBody::new(incoming, Arc::clone(&hall.counters), met.request());
            let outcome = work(Arc::clone(&dialect), call, body, &met).await;
            (met, outcome)
        }
        Err(refusal) => (Met::default(), Err(refusal.into())),
    };
    let answer = match outcome {
        Ok(answer) => answer,
        Err(Failure::Refused(refusal)) => refused(&*dialect, &refusal, refusal.status),
        Err(Failure::Dropped) => return Err(HungUp),
    };
    Ok(to_response(answer, &method, &met, &hall))
}

/// The request's way through its faults to its effect.
async fn work<D: Dialect>(dialect: Arc<D>, mut call: Call, body: RequestBody, met: &Met) -> Result<Answer, Failure> {
    for fault in &met.0 {
        match fault {
            Fault::Stall(wait) => tokio::time::sleep(*wait).await,
            Fault::Refuse { status, code, retry_after } => {
                let mut refusal = scripted(*status, code);
                refusal.retry_after = *retry_after;
                return Err(refusal.into());
            }
            Fault::ErrorInOk { code } => {
                let refusal = scripted(500, code);
                return Ok(refused(&*dialect, &refusal, StatusCode::OK));
            }
            Fault::WithoutRequestHeader(name) => drop(call.headers.remove(*name)),
            Fault::Instead(reply) => return Ok(made_up(reply)),
            _ => {}
        }
    }
    let prepared = Arc::clone(&dialect).prepare(call, body).await;
    if let (Err(_), Some(reply)) = (&prepared, met.after()) {
        return Ok(made_up(reply));
    }
    let commit = prepared?;
    for fault in &met.0 {
        match fault {
            Fault::NoEffect => return Err(Failure::Dropped),
            Fault::LateEffect(wait) => {
                let wait = *wait;
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    // Nobody is there to hear what became of it.
                    let _ = commit();
                });
                return Err(Failure::Dropped);
            }
            _ => {}
        }
    }
    let mut answer = commit();
    for fault in &met.0 {
        match fault {
            Fault::After(reply) => return Ok(made_up(reply)),
            Fault::Rewrite(change) => answer = answer.and_then(|answer| rewritten(answer, *change)),
            Fault::LateAnswer(wait) => tokio::time::sleep(*wait).await,
            Fault::LostAnswer => return Err(Failure::Dropped),
            Fault::RefuseAfterEffect { status, code } => return Err(scripted(*status, code).into()),
            _ => {}
        }
    }
    Ok(answer?)
}

fn made_up(reply: &Reply) -> Answer {
    let body = Data::Memory(reply.body.clone().into());
    let (length, status) =
        (body.len(), StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let mut answer = Answer { body: Some((body, 0, length)), ..Answer::new(status) };
    reply.headers.iter().for_each(|(name, value)| answer.add(name, value));
    answer
}

/// An answer whose body is a document, with another text.
fn rewritten(mut answer: Answer, change: fn(&str) -> String) -> Result<Answer, Refusal> {
    if !answer.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/xml")) {
        return Ok(answer);
    }
    if let Some((data, start, end)) = answer.body.take() {
        let bytes = data.read_at(start, usize::try_from(end - start).unwrap_or(usize::MAX))?;
        let body = Data::Memory(change(&String::from_utf8_lossy(&bytes)).into());
        let length = body.len();
        answer.body = Some((body, 0, length));
    }
    Ok(answer)
}

fn scripted(status: u16, code: &str) -> Refusal {
    Refusal::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, "as scripted")
}

fn refused<D: Dialect>(dialect: &D, refusal: &Refusal, status: StatusCode) -> Answer {
    let answer = match status {
        StatusCode::NOT_MODIFIED => Answer::new(status),
        _ => Answer::xml(status, dialect.error(refusal)),
    };
    match refusal.retry_after {
        Some(seconds) => answer.with("retry-after", seconds.to_string()),
        None => answer,
    }
}

/// The answer as hyper wants it, with the faults of the way out.
fn to_response(answer: Answer, method: &Method, met: &Met, hall: &PeerState) -> Response<Body> {
    let head_only = *method == Method::HEAD;
    let length = answer.body.as_ref().map_or(0, |(_, start, end)| end - start);
    let body = match answer.body {
        Some((data, start, end)) if !head_only => {
            Outgoing { data, start, end, faults: met.response(), counters: Arc::clone(&hall.counters) }.into_body()
        }
        _ => Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let bodiless = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && !answer.unsized_body {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    for fault in &met.0 {
        match fault {
            Fault::Header(name, value) => {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.headers_mut().insert(HeaderName::from_static(name), value);
                }
            }
            Fault::WithoutHeader(name) => {
                response.headers_mut().remove(*name);
            }
            _ => {}
        }
    }
    response
}
