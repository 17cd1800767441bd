//! In front of a foreign server: passes whole requests on, and lets a test refuse some, hold one back until it has done
//! something, and see what was asked. For services of short texts.

use std::{
    io,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::oneshot};

use crate::http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, lock};

/// A running front. It ends when it is dropped. Weather is scripted as on any desk.
#[derive(Debug)]
pub struct InterceptingProxy {
    peer: HttpPeer,
    porter: Arc<Porter>,
}

#[derive(Debug)]
struct Porter {
    target: SocketAddr,
    held: Mutex<Vec<Held>>,
    /// Operations of DynamoDB or SQS that this service does not know.
    unknown: Mutex<Vec<String>>,
    /// Operations that these keys may not use.
    denied: Mutex<Vec<String>>,
    /// Where there are some, all others are denied.
    allowed: Mutex<Vec<String>>,
}

/// The n-th request of its kind is to wait.
#[derive(Debug)]
struct Held {
    method: Method,
    path: String,
    left: usize,
    arrived: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// A request that is, or will be, held back.
#[derive(Debug)]
pub struct Hold {
    arrived: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Hold {
    /// Until the request has come. It continues when what is given back is sent to, or dropped.
    pub async fn arrived(self) -> oneshot::Sender<()> {
        let _ = self.arrived.await;
        self.go
    }
}

impl InterceptingProxy {
    /// Must be called within a tokio runtime.
    pub fn start(target: SocketAddr) -> io::Result<InterceptingProxy> {
        let porter = Arc::new(Porter {
            target,
            held: Mutex::default(),
            unknown: Mutex::default(),
            denied: Mutex::default(),
            allowed: Mutex::default(),
        });
        Ok(InterceptingProxy { peer: HttpPeer::start(Arc::clone(&porter))?, porter })
    }

    /// From now on this operation (`UpdateTimeToLive`) is answered as one that the service does not know.
    pub fn unknown(&self, operation: &str) {
        lock(&self.porter.unknown).push(format!(".{operation}"));
    }

    /// From now on this operation is denied, as by a role without it.
    pub fn deny(&self, operation: &str) {
        lock(&self.porter.denied).push(format!(".{operation}"));
    }

    /// From now on every operation but these is denied.
    pub fn allow_only<'a>(&self, operations: impl IntoIterator<Item = &'a str>) {
        *lock(&self.porter.allowed) = operations.into_iter().map(|operation| format!(".{operation}")).collect();
    }

    /// And this one.
    pub fn allow(&self, operation: &str) {
        lock(&self.porter.allowed).push(format!(".{operation}"));
    }

    /// The n-th request from now on, counted from 1, with this method and path waits before it is passed on.
    pub fn hold(&self, method: Method, path: &str, nth: usize) -> Hold {
        let (arrived, comes) = oneshot::channel();
        let (go, goes) = oneshot::channel();
        lock(&self.porter.held).push(Held { method, path: path.to_owned(), left: nth, arrived, go: goes });
        Hold { arrived: comes, go }
    }
}

impl Deref for InterceptingProxy {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

impl PeerHandler for Porter {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        if lock(&self.unknown).iter().any(|operation| asked.header("x-amz-target").ends_with(operation)) {
            let code = "com.amazon.coral.service#UnknownOperationException";
            return PeerReply::json(400, &serde_json::json!({ "__type": code, "message": "" }));
        }
        if self.denies(asked.header("x-amz-target")) {
            let code = "com.amazon.coral.service#AccessDeniedException";
            return PeerReply::json(403, &serde_json::json!({ "__type": code, "message": "not authorized" }));
        }
        let held = due(&mut lock(&self.held), &asked);
        if let Some(Held { arrived, go, .. }) = held {
            let _ = arrived.send(());
            let _ = go.await;
        }
        pass_on(self.target, asked).await.unwrap_or_else(|error| PeerReply::text(502, error.to_string()))
    }
}

impl Porter {
    fn denies(&self, target: &str) -> bool {
        let named = |operations: &[String]| operations.iter().any(|operation| target.ends_with(operation));
        let allowed = lock(&self.allowed);
        named(&lock(&self.denied)) || (!allowed.is_empty() && !target.is_empty() && !named(&allowed))
    }
}

fn due(held: &mut Vec<Held>, asked: &PeerRequest) -> Option<Held> {
    let place = held.iter_mut().position(|held| {
        let this = held.method == asked.method && held.path == asked.path;
        held.left -= usize::from(this);
        this && held.left == 0
    });
    place.map(|place| held.swap_remove(place))
}

pub(crate) async fn pass_on(target: SocketAddr, asked: PeerRequest) -> io::Result<PeerReply> {
    let stream = TcpStream::connect(target).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let PeerRequest { method, target: uri, headers, body, .. } = asked;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    (*request.method_mut(), *request.headers_mut()) = (method, headers);
    *request.uri_mut() = uri.parse().map_err(io::Error::other)?;
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(PeerReply { status, headers: kind.map(|kind| ("content-type", kind)).into_iter().collect(), body })
}
