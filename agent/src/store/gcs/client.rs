//! One request: checked, signed, sent, and its refusal turned into an error. Says what is asked again: only what the
//! service refused for its credentials, once, with fresh ones, and with a body that is still at hand. Such a refusal
//! took no effect, so this holds for writes too.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use skyferry_providers::{Cached, Credentials};

use super::keys::{self, Endpoint, Parameter};
use super::refusal::Refusal;
use super::sign::Signer;
use crate::error::{CopyError, Kind, Side};
use crate::object::{Key, Location};
use crate::store::http::{Answer, Body, Call, Effect, Transport};
use crate::store::{Payload, Result};

pub struct Client {
    endpoint: Endpoint,
    credentials: Arc<Cached>,
    side: Side,
    transport: Transport,
    signer: Signer,
}

/// Whose client and where it speaks to; nothing of the credentials.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("side", &self.side).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One request but for its credentials and its body.
pub struct Ask {
    pub call: Call,
    pub method: Method,
    uri: Uri,
    pub headers: HeaderMap,
    pub effect: Effect,
}

impl Client {
    pub fn new(endpoint: Endpoint, credentials: Arc<Cached>, side: Side, transport: Transport) -> Self {
        Client { endpoint, credentials, side, transport, signer: Signer::default() }
    }

    /// A request about an object. The key is checked here, before anything is sent.
    pub fn about(
        &self,
        operation: &'static str,
        at: &Location,
        method: Method,
        query: &[Parameter<'_>],
        effect: Effect,
    ) -> Result<Ask> {
        let call = Call::new(self.side, operation, at);
        match keys::refusal(&at.key) {
            Some(why) => Err(call.error(Kind::CannotHold, why)),
            None => self.ask(call, method, query, effect),
        }
    }

    /// A request about a bucket: a listing.
    pub fn about_bucket(&self, operation: &'static str, bucket: &str, query: &[Parameter<'_>]) -> Result<Ask> {
        let call = Call::new(self.side, operation, &Location::new(bucket, Key::default()));
        self.ask(call, Method::GET, query, Effect::Idempotent)
    }

    fn ask(&self, call: Call, method: Method, query: &[Parameter<'_>], effect: Effect) -> Result<Ask> {
        if !keys::is_bucket(&call.at.bucket) {
            return Err(call.error(Kind::BucketMissing, "this cannot be a bucket's name"));
        }
        match self.endpoint.uri(&call.at.bucket, &call.at.key, query) {
            Some(uri) => Ok(Ask { call, method, uri, headers: HeaderMap::new(), effect }),
            None => Err(call.error(Kind::CannotHold, "no URI can name it")),
        }
    }

    /// An answer of success, or why there is none.
    pub async fn send(&self, ask: &Ask, payload: Payload) -> Result<Answer> {
        let again = match &payload {
            Payload::Whole(bytes) => Some(bytes.clone()),
            Payload::Stream { .. } => None,
        };
        let credentials = self.granted(ask).await?;
        let refused = match self.once(ask, &credentials, payload).await {
            Err(error) if error.kind == Kind::Credentials => error,
            settled => return settled,
        };
        self.credentials.refused(&credentials);
        match (again, self.granted(ask).await) {
            (Some(bytes), Ok(fresh)) if !Arc::ptr_eq(&fresh, &credentials) => {
                self.once(ask, &fresh, Payload::Whole(bytes)).await
            }
            _ => Err(refused),
        }
    }

    /// The same for a request without a body.
    pub async fn send_bare(&self, ask: &Ask) -> Result<Answer> {
        self.send(ask, Payload::Whole(Bytes::new())).await
    }

    /// The same, and a small answer whole.
    pub async fn document(&self, ask: &Ask) -> Result<Bytes> {
        self.send_bare(ask).await?.read().await
    }

    async fn granted(&self, ask: &Ask) -> Result<Arc<Credentials>> {
        self.credentials.get().await.map_err(|error| {
            let kind = if error.passing { Kind::Unavailable } else { Kind::Credentials };
            ask.call.error(kind, error.to_string())
        })
    }

    async fn once(&self, ask: &Ask, credentials: &Arc<Credentials>, payload: Payload) -> Result<Answer> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        // The transport adds the length, without which a bodiless POST or PUT is refused (411).
        let mut headers = ask.headers.clone();
        self.signer
            .authorise(credentials, now, &ask.method, &ask.uri, &mut headers)
            .map_err(|unsendable| ask.call.error(Kind::Credentials, unsendable.to_string()))?;
        let mut request = Request::new(Body::of(payload, &ask.call));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.uri.clone();
        *request.headers_mut() = headers;
        let answer = self.transport.send(&ask.call, request, ask.effect).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(refusal(ask, answer).await)
    }
}

async fn refusal(ask: &Ask, answer: Answer) -> CopyError {
    let (status, headers) = (answer.status, answer.headers.clone());
    let body = answer.read_error().await;
    Refusal::read(status, &headers, &body).into_error(&ask.call, ask.effect)
}
