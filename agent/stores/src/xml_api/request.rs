//! One request's way: place, headers, signature, transport, and what its answer is; at most one more try where the answer
//! names the bucket's region or refuses credentials that have been replaced meanwhile.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use skyferry_providers::Credentials;

use super::super::http::{Call, HttpBody, HttpResponse, RequestEffect};
use super::answers::RequestKind;
use super::document::{self, XmlDocument};
use super::{Place, XmlClient, chunked, endpoint, error};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::Location;
use skyferry_core::store::{Chunks, Payload, Result};

/// How often a request is sent again that was refused because there are too many, while others pass.
const THROTTLED: u32 = 6;

/// A request before its place and signature are known.
pub struct RequestDraft {
    /// For its errors.
    pub call: Call,
    pub(super) method: Method,
    pub(super) asked: RequestKind,
    /// The request is for the bucket, not for the key.
    of_bucket: bool,
    query: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) headers: HeaderMap,
    /// What it carries.
    pub payload: Option<Payload>,
    /// How long its answer may take without a byte, where that is more than the settings allow a transfer.
    pub(super) patience: Duration,
}

impl RequestDraft {
    /// Adds a header; an error names one that no request can hold.
    pub fn header(&mut self, name: HeaderName, value: &str) -> Result<()> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| self.call.error(ErrorKind::CannotHold, format!("{name} cannot be sent as a header")))?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// Adds a parameter; encoding is done when it is sent.
    pub fn query(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.query.push((name, value.into()));
    }
}

/// A body that can be sent again, or once.
enum Sendable {
    Whole(Bytes),
    Once { length: u64, chunks: Chunks },
    Gone,
}

/// Tells objects apart.
fn hash(at: &Location) -> u64 {
    let mut hasher = DefaultHasher::new();
    at.hash(&mut hasher);
    hasher.finish()
}

impl XmlClient {
    /// A request for an object. Its key is checked here, before anything is sent: some would not be refused but understood
    /// as something else, and an empty one names the bucket.
    pub fn object(
        &self,
        method: Method,
        operation: &'static str,
        at: &Location,
        asked: RequestKind,
    ) -> Result<RequestDraft> {
        let call = Call::new(self.side, operation, at);
        if let Some(why) = self.dialect.rejection(&at.key) {
            return Err(call.error(ErrorKind::CannotHold, why));
        }
        let (query, headers) = (Vec::new(), HeaderMap::with_capacity(24));
        let (payload, patience) = (None, Duration::ZERO);
        Ok(RequestDraft { call, method, asked, of_bucket: false, query, headers, payload, patience })
    }

    /// A request for a bucket; its prefix is only for the words of an error.
    pub fn bucket(&self, method: Method, operation: &'static str, at: &Location) -> RequestDraft {
        let (call, asked) = (Call::new(self.side, operation, at), RequestKind::Control);
        let (query, headers) = (Vec::new(), HeaderMap::with_capacity(8));
        let (payload, patience) = (None, Duration::ZERO);
        RequestDraft { call, method, asked, of_bucket: true, query, headers, payload, patience }
    }

    /// Sends it. Only success is `Ok`.
    pub async fn send(&self, outgoing: RequestDraft) -> Result<HttpResponse> {
        let RequestDraft { call, method, asked, of_bucket, mut query, mut headers, payload, patience } = outgoing;
        let transport = self.transport.with_min_stall_timeout(patience);
        self.dialect.common_headers(&mut headers);
        query.sort_by_key(|(name, _)| *name);
        let key = (!of_bucket).then(|| call.at.key.as_bytes());
        let mut trailer = false;
        let mut body = match payload {
            None => Sendable::Whole(Bytes::new()),
            Some(Payload::Whole(bytes)) => Sendable::Whole(bytes),
            Some(Payload::Stream { length, chunks, crc32c }) if self.traits().trailers && length > 0 => {
                trailer = true;
                chunked::describe(&mut headers, length);
                Sendable::Once { length: chunked::length(length), chunks: chunked::frame(length, chunks, crc32c) }
            }
            Some(Payload::Stream { length, chunks, .. }) => Sendable::Once { length, chunks },
        };
        let effect = if asked.changes() { RequestEffect::Write } else { RequestEffect::Idempotent };
        let (mut moved, mut renewed, mut throttled) = (false, false, 0);
        let mut credentials = self.granted(&call).await?;
        loop {
            self.rate.admit().await;
            let place = self.bucket_place(&call, &credentials)?;
            let uri = place.endpoint.uri(&call.at.bucket, key, &query);
            let uri = uri.ok_or_else(|| call.error(ErrorKind::CannotHold, "bucket and key do not form a URI"))?;
            let mut request = Request::new(match std::mem::replace(&mut body, Sendable::Gone) {
                Sendable::Whole(bytes) => {
                    body = Sendable::Whole(bytes.clone());
                    HttpBody::whole(bytes)
                }
                Sendable::Once { length, chunks } => HttpBody::stream(length, chunks, &call),
                Sendable::Gone => return Err(call.error(ErrorKind::Unavailable, "a stream cannot be sent again")),
            });
            *request.method_mut() = method.clone();
            *request.headers_mut() = headers.clone();
            if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
                request.headers_mut().insert(header::HOST, host);
            }
            *request.uri_mut() = uri;
            self.dialect
                .sign(&mut request, &credentials, &place.region, trailer)
                .map_err(|words| call.error(ErrorKind::Credentials, words))?;
            let timer = self.meter.get().map(|meter| meter.start(call.operation));
            let answer = transport.send(&call, request, effect).await;
            if let Some(timer) = timer {
                timer.end(answer.as_ref().ok().map(|answer| answer.status.as_u16()));
            }
            let answer = answer?;
            if answer.status.is_success() {
                self.rate.on_success(call.operation);
                return Ok(answer);
            }
            // What is rare is boxed, here and around here: every request in flight keeps room for the largest of what it may do.
            let refusal = Box::pin(error::read(&call, answer, asked)).await;
            let again = matches!(body, Sendable::Whole(_));
            match refusal.error.kind {
                ErrorKind::Throttled => {
                    self.rate.on_throttled(hash(&call.at), refusal.error.retry_after);
                    throttled += 1;
                    // Refused is not lost: it had no effect. While others pass it is sent again, in its turn.
                    if !again || throttled > THROTTLED || !self.rate.is_admitted(call.operation) {
                        return Err(refusal.error);
                    }
                }
                ErrorKind::WrongRegion if !moved && self.learn(&call, &place, refusal.region.as_deref()) && again => {
                    moved = true
                }
                ErrorKind::Credentials => {
                    self.credentials.refused(&credentials);
                    let newer = Box::pin(self.granted(&call)).await;
                    let newer = newer.ok().filter(|newer| again && !renewed && !Arc::ptr_eq(newer, &credentials));
                    credentials = newer.ok_or(refusal.error)?;
                    renewed = true;
                }
                _ => {
                    if !matches!(refusal.error.kind, ErrorKind::Unavailable | ErrorKind::InvalidAnswer) {
                        self.rate.on_success(call.operation);
                    }
                    return Err(refusal.error);
                }
            }
        }
    }

    /// The document that a success must be; anything else is what it says, or nonsense.
    pub async fn document<T: XmlDocument>(&self, call: &Call, asked: RequestKind, answer: HttpResponse) -> Result<T> {
        let status = answer.status.as_u16();
        let body = answer.read().await?;
        match error::error_in_success(call, &body, asked) {
            Some(error) => Err(error),
            None => {
                document::read(&body).map_err(|why| call.error(ErrorKind::InvalidAnswer, format!("{status}: {why}")))
            }
        }
    }

    /// The same, as the text that it is.
    pub async fn raw_document(&self, call: &Call, root: &str, answer: HttpResponse) -> Result<String> {
        let body = answer.read().await?;
        match error::error_in_success(call, &body, RequestKind::Control) {
            Some(error) => Err(error),
            None if document::root(&body) != Some(root) => {
                Err(call.error(ErrorKind::InvalidAnswer, format!("an answer that is not <{root}>")))
            }
            None => {
                String::from_utf8(body.into()).map_err(|error| call.error(ErrorKind::InvalidAnswer, error.to_string()))
            }
        }
    }

    /// A success that needs no words. Some come with a body all the same: an error is one, a page of something else is not
    /// the service's answer.
    pub async fn settled(&self, call: &Call, asked: RequestKind, answer: HttpResponse) -> Result<HeaderMap> {
        match answer.is_empty() {
            true => Ok(answer.headers),
            false => Box::pin(self.settled_with_words(call, asked, answer)).await,
        }
    }

    async fn settled_with_words(&self, call: &Call, asked: RequestKind, answer: HttpResponse) -> Result<HeaderMap> {
        let headers = answer.headers.clone();
        let body = answer.read().await?;
        let page = document::root(&body).is_some_and(|root| root.eq_ignore_ascii_case("html"));
        match error::error_in_success(call, &body, asked) {
            Some(error) => Err(error),
            None if page => {
                Err(call.error(ErrorKind::InvalidAnswer, "a page of HTML in place of the service's answer"))
            }
            None => Ok(headers),
        }
    }

    async fn granted(&self, call: &Call) -> Result<Arc<Credentials>> {
        self.credentials.get().await.map_err(|error| {
            let kind = if error.passing { ErrorKind::Unavailable } else { ErrorKind::Credentials };
            call.error(kind, error.to_string())
        })
    }

    /// Where the bucket is, as far as known.
    fn bucket_place(&self, call: &Call, credentials: &Credentials) -> Result<Arc<Place>> {
        let known = self.places.read().unwrap_or_else(|e| e.into_inner()).get(&call.at.bucket).cloned();
        if let Some(place) = known {
            return Ok(place);
        }
        let region = self.dialect.region().or(credentials.region.as_deref()).unwrap_or("us-east-1");
        let place = Arc::new(self.place_in(call, region)?);
        self.remember_place(&call.at.bucket, place.clone());
        Ok(place)
    }

    fn place_in(&self, call: &Call, region: &str) -> Result<Place> {
        if !endpoint::is_bucket(&call.at.bucket) {
            return Err(call.error(ErrorKind::BucketMissing, "not a valid bucket name"));
        }
        let endpoint = self.dialect.endpoint(region);
        let endpoint =
            endpoint.ok_or_else(|| call.error(ErrorKind::Refused, format!("no endpoint for region {region}")))?;
        Ok(Place { region: region.into(), endpoint })
    }

    /// Remembers a bucket's region that the service named. Its hosts are always made from the region's name, never taken
    /// from the answer; and an endpoint of the settings is never left.
    fn learn(&self, call: &Call, tried: &Place, region: Option<&str>) -> bool {
        let Some(region) = region.filter(|region| *region != &*tried.region) else { return false };
        if !self.traits().learns_regions {
            return false;
        }
        let Ok(place) = self.place_in(call, region) else { return false };
        tracing::info!(bucket = %call.at.bucket, region, "the bucket is in another region than the settings specify");
        self.remember_place(&call.at.bucket, Arc::new(place));
        true
    }

    fn remember_place(&self, bucket: &Arc<str>, place: Arc<Place>) {
        self.places.write().unwrap_or_else(|e| e.into_inner()).insert(bucket.clone(), place);
    }

    /// A bucket's region, if an answer or a request has settled it.
    pub fn region_of(&self, bucket: &str) -> Option<Arc<str>> {
        let places = self.places.read().unwrap_or_else(|e| e.into_inner());
        places.get(bucket).map(|place| place.region.clone())
    }
}
