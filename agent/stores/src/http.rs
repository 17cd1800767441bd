//! The transport that the S3 and the GCS client share: HTTP/1.1 over pooled connections, bytes untouched.
//!
//! Why not an SDK's or reqwest: object paths must stay as they are (`a/../b`, `a//b`), a write must be known to have
//! been sent or not, a body must have exactly its length, and a small object may cost some tens of microseconds.
//! Knows nothing of signing, verbs or dialects; a status is not an error here.

mod body;
mod connector;
mod stall;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{self, AsHeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use body::HttpBody;
use connector::Connector;
pub use connector::Pipes;
use stall::{IncomingBody, watch};

use skyferry_core::ca_roots;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::Location;
use skyferry_core::store::Chunks;

/// Read and write buffers of one connection. Bounds the memory of a transfer; larger ones save no CPU.
const CONNECTION_BUFFER: usize = 128 * 1024;
/// What is sent is copied once into each record. Pieces of 8 KiB and more are copied by glibc with an instruction that is
/// several times slower on AMD's processors than what it uses below; twice as many records cost far less than that.
const TLS_RECORD: usize = 8 * 1024;
/// Shorter than the services keep an idle connection, so that a request rarely meets one that is being closed.
const IDLE: Duration = Duration::from_secs(15);
/// An answer that is read whole (XML, an error) is refused above this.
pub const SMALL_BODY: usize = 8 << 20;
/// Headers of an answer. The first costs nothing, as hyper has room for so many at hand; a source's objects may have more.
const MANY_HEADERS: usize = 2_000;
/// What an error's body may hold.
const ERROR_BODY: usize = 64 << 10;

static USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("skyferry/", env!("CARGO_PKG_VERSION")));

/// How to connect.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Plain `http://` endpoints are refused unless the settings allowed them.
    pub allow_http: bool,
    /// No byte in either direction for so long ends a request.
    pub stall_timeout: Duration,
    /// For a connection, with TLS.
    pub connect_timeout: Duration,
    /// PEM files with certificate authorities to trust beside the machine's own.
    pub extra_roots: Vec<PathBuf>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            allow_http: false,
            stall_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            extra_roots: Vec::new(),
        }
    }
}

impl TransportOptions {
    /// Adds the files that `SSL_CERT_FILE` and `AWS_CA_BUNDLE` name.
    pub fn with_environment(mut self) -> Self {
        self.extra_roots.extend(ca_roots::from_environment());
        self
    }
}

/// Why there is no transport; said at start-up.
#[derive(Debug, thiserror::Error)]
#[error("trusted certificates: {0}")]
pub struct CaRootsError(String);

/// What a request is for: the words of its errors.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose request it is.
    pub side: Side,
    /// As the service names the verb.
    pub operation: &'static str,
    /// The object or prefix that it is about.
    pub at: Location,
}

impl Call {
    /// One request; its errors name the operation and the object.
    pub fn new(side: Side, operation: &'static str, at: &Location) -> Self {
        Call { side, operation, at: at.clone() }
    }
    /// An error of this request, with what the service answered.
    pub fn error(&self, kind: ErrorKind, answer: impl Into<String>) -> CopyError {
        CopyError::new(self.side, kind, self.operation, &self.at, answer)
    }
}

/// What a request does at the far side, if it arrives and its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEffect {
    /// Nothing, or the same when sent again: a lost answer is `Unavailable`.
    Idempotent,
    /// It may have taken effect: a lost answer is `LostAnswer`.
    Write,
}

/// A pool of connections; clones share it.
#[derive(Clone)]
pub struct Transport {
    pool: Arc<Pool>,
    stall: Duration,
}

struct Pool {
    client: Client<Connector, HttpBody>,
    /// The same with room for more headers, taken once an answer had too many.
    roomy: Client<Connector, HttpBody>,
    needs_room: AtomicBool,
    allow_http: bool,
    answered: AtomicBool,
}

/// The most that is waited for the very first answer: an endpoint that has never answered is a wrong one.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

impl Transport {
    /// Reads the trusted certificates of the system and of the environment.
    pub fn new(options: &TransportOptions) -> Result<Self, CaRootsError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        tcp.enforce_http(false);
        let mut tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|e| CaRootsError(e.to_string()))?
            .with_root_certificates(root_store(&options.extra_roots)?)
            .with_no_client_auth();
        tls.max_fragment_size = Some(TLS_RECORD);
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = connector.https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self::with_connector(Connector::Network(connector), options))
    }

    /// Over pipes in memory instead of the network: for tests in paused time.
    pub fn in_memory(pipes: Pipes, options: &TransportOptions) -> Self {
        Self::with_connector(Connector::Memory(pipes), options)
    }

    fn with_connector(connector: Connector, options: &TransportOptions) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).http1_max_buf_size(CONNECTION_BUFFER);
        let client = builder.build(connector.clone());
        let roomy = builder.http1_max_headers(MANY_HEADERS).build(connector);
        let (allow_http, stall) = (options.allow_http, options.stall_timeout);
        let (needs_room, answered) = (AtomicBool::new(false), AtomicBool::new(false));
        Transport { pool: Arc::new(Pool { client, roomy, needs_room, allow_http, answered }), stall }
    }

    /// The same connections with more patience: completing a large upload may take minutes without a byte.
    pub fn with_min_stall_timeout(&self, patience: Duration) -> Self {
        Transport { pool: self.pool.clone(), stall: self.stall.max(patience) }
    }

    /// Sends one request and waits for the head of its answer. Whatever status comes back is an `Ok`.
    ///
    /// An error of the body's source comes out as itself. A request that was cut off before its last byte, or never
    /// reached a connection, is `Unavailable` (or `Stalled`): the far side cannot have acted on it.
    pub async fn send(
        &self,
        call: &Call,
        mut request: Request<HttpBody>,
        effect: RequestEffect,
    ) -> Result<HttpResponse, CopyError> {
        let Pool { client, roomy, needs_room, allow_http, answered } = &*self.pool;
        if !allow_http && request.uri().scheme_str() != Some("https") {
            return Err(call.error(ErrorKind::Refused, "plain http is not allowed for this endpoint (allow_http)"));
        }
        request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| USER_AGENT.clone());
        if matches!(*request.method(), Method::PUT | Method::POST) {
            // hyper leaves it out for an empty body, and GCS answers that with 411.
            let length = request.body().length();
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let client = if needs_room.load(Ordering::Relaxed) { roomy } else { client };
        let (sending, uri) = (request.body().sending(), request.uri().clone());
        let stall = if answered.load(Ordering::Relaxed) { self.stall } else { self.stall.min(FIRST_ANSWER) };
        let sent = tokio::select! {
            biased;
            answer = client.request(request) => answer,
            () = watch(&sending, stall) => {
                let kind = lost_answer_kind(effect, sending.is_complete()).unwrap_or(ErrorKind::Stalled);
                return Err(call.error(kind, format!("{}: nothing moved for {} s", host(&uri), stall.as_secs())));
            }
        };
        match sent {
            Ok(answer) => {
                answered.store(true, Ordering::Relaxed);
                let (parts, body) = answer.into_parts();
                let (status, headers) = (parts.status, parts.headers);
                Ok(HttpResponse { status, headers, body, call: call.clone(), uri, stall: self.stall })
            }
            Err(error) => {
                if let Some(own) = sending.failure() {
                    return Err(own);
                }
                let hyper = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<hyper::Error>());
                // The connection ended before hyper wrote anything of this request.
                let unsent = error.is_connect() || hyper.is_some_and(hyper::Error::is_canceled);
                if hyper.is_some_and(hyper::Error::is_parse_too_large) {
                    needs_room.store(true, Ordering::Relaxed);
                }
                let kind = lost_answer_kind(effect, !unsent && sending.is_complete()).unwrap_or(ErrorKind::Unavailable);
                let verb = if error.is_connect() { "no connection to " } else { "" };
                Err(call.error(kind, format!("{verb}{}: {}", host(&uri), cause(&error))))
            }
        }
    }
}

fn lost_answer_kind(effect: RequestEffect, arrived_whole: bool) -> Option<ErrorKind> {
    (effect == RequestEffect::Write && arrived_whole).then_some(ErrorKind::LostAnswer)
}

/// Host and port, the scheme's own included: what a person looks for in a wrong endpoint.
fn host(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}

/// hyper's errors say little by themselves: the last of the chain is the cause.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// The machine's authorities and the extra ones. The loader of the machine's own takes `SSL_CERT_FILE` as a
/// replacement, which Skyferry promises not to: then the machine's bundle is read by its usual names.
fn root_store(extra: &[PathBuf]) -> Result<rustls::RootCertStore, CaRootsError> {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(Ok(found)) = ca_roots::overridden().map(CertificateDer::pem_file_iter) {
        store.add_parsable_certificates(found.flatten());
    }
    for path in extra {
        let wrong = |e: &dyn std::fmt::Display| CaRootsError(format!("{}: {e}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
            store.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        }
    }
    Ok(store)
}

/// An answer whose body has not been read. Dropping it ends the connection if bytes are left.
pub struct HttpResponse {
    /// As the service sent it.
    pub status: StatusCode,
    /// As the service sent them.
    pub headers: HeaderMap,
    body: Incoming,
    call: Call,
    uri: Uri,
    stall: Duration,
}

impl HttpResponse {
    /// A header's text, where it is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What Content-Length says (for an answer to HEAD: of the object).
    pub fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
    }

    /// There is no body, or none that is left.
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// A body whose length nobody says: its first bytes, `most` or a little more, and the rest where it has not ended.
    pub async fn start(self, most: usize) -> Result<(Bytes, Option<RemainingBody>), CopyError> {
        let mut incomings = IncomingBody::new(self.body, self.call, self.uri, self.stall, None);
        let mut head = BytesMut::new();
        while head.len() < most {
            match incomings.next().await.transpose()? {
                Some(more) => head.extend_from_slice(&more),
                None => return Ok((head.freeze(), None)),
            }
        }
        Ok((head.freeze(), Some(RemainingBody(incomings))))
    }

    /// The body as it arrives, of exactly `length` bytes.
    pub fn chunks(self, length: u64) -> Chunks {
        Box::pin(IncomingBody::new(self.body, self.call, self.uri, self.stall, Some(length)))
    }

    /// A small body whole. More than `SMALL_BODY` is refused.
    pub async fn read(self) -> Result<Bytes, CopyError> {
        self.read_up_to(SMALL_BODY).await
    }

    /// An error's body, for its words: what cannot be read is left out, the connection is kept where that is cheap.
    pub async fn read_error(self) -> Bytes {
        self.read_up_to(ERROR_BODY).await.unwrap_or_default()
    }

    async fn read_up_to(self, most: usize) -> Result<Bytes, CopyError> {
        let call = self.call.clone();
        let too_long = || call.error(ErrorKind::InvalidAnswer, format!("an answer of more than {most} bytes"));
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > most {
            return Err(too_long());
        }
        let mut incomings = IncomingBody::new(self.body, self.call, self.uri, self.stall, None);
        let Some(first) = incomings.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let mut whole: Option<BytesMut> = None;
        while let Some(more) = incomings.next().await.transpose()? {
            let whole = whole.get_or_insert_with(|| {
                // All at once where the length is known: a listing's page is half a MiB, and growing to it touches as much again.
                let mut whole = BytesMut::with_capacity(announced.max(first.len()));
                whole.extend_from_slice(&first);
                whole
            });
            if whole.len() + more.len() > most {
                return Err(too_long());
            }
            whole.extend_from_slice(&more);
        }
        Ok(whole.map_or(first, BytesMut::freeze))
    }
}

/// What follows the start of a body.
pub struct RemainingBody(IncomingBody);

impl RemainingBody {
    /// Exactly so many bytes.
    pub fn of(mut self, left: u64) -> Chunks {
        self.0.left = Some(left);
        Box::pin(self.0)
    }
}

/// What stays as it is in a path or, with `/` encoded too, in a query: the unreserved characters of RFC 3986.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_IN_PATH: AsciiSet = RESERVED.remove(b'/');

/// A key as a path: every byte but the unreserved ones and `/` as `%XX`, nothing normalised (`a//b`, `a/../b` stay).
/// It is also what the signers call the canonical path.
pub fn encode_path(key: &[u8], into: &mut String) {
    into.extend(percent_encode(key, &RESERVED_IN_PATH));
}

/// A name or value of a query, as the signers want it.
pub fn encode_query(text: &[u8], into: &mut String) {
    into.extend(percent_encode(text, &RESERVED));
}

/// Tries an idempotent request up to three times within seconds. Not for writes: whether a lost write took effect is
/// the protocol's question.
///
/// (Not an `AsyncFnMut`: behind the traits' boxed futures the compiler cannot see that such a one is `Send`.)
pub async fn retry_idempotent<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, CopyError>
where
    F: Future<Output = Result<T, CopyError>>,
{
    for pause in [100, 700] {
        match attempt().await {
            Err(error)
                if error.retry_after.is_none()
                    && matches!(
                        error.kind,
                        ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::InvalidAnswer
                    ) =>
            {
                let jittered = rand::random_range(pause / 2..=pause);
                tokio::time::sleep(Duration::from_millis(jittered)).await;
            }
            settled => return settled,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests;
