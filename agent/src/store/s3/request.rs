//! One request's way: place, headers, signature, transport; and at most one more try where the answer names the
//! bucket's region or refuses credentials that have been replaced meanwhile.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use skyferry_providers::Credentials;

use super::super::http::{Answer, Body, Call, Effect};
use super::super::{Chunks, Payload, Result};
use super::chunked;
use super::endpoint::Endpoint;
use super::refusal::{self, Asked};
use super::sign::Signed;
use super::{Place, S3};
use crate::error::{CopyError, Kind};
use crate::object::Location;

/// A request before its place and signature are known.
pub(super) struct Outgoing {
    pub call: Call,
    pub method: Method,
    pub asked: Asked,
    /// The request is for the bucket, not for the key.
    pub of_bucket: bool,
    pub query: Vec<(&'static str, Cow<'static, str>)>,
    pub headers: HeaderMap,
    pub payload: Option<Payload>,
}

impl Outgoing {
    pub fn header(&mut self, name: HeaderName, value: &str) -> Result<()> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| self.call.error(Kind::CannotHold, format!("{name} cannot be sent as a header")))?;
        self.headers.insert(name, value);
        Ok(())
    }

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

impl S3 {
    /// A request for an object.
    pub(super) fn object(
        &self,
        method: Method,
        operation: &'static str,
        at: &Location,
        asked: Asked,
    ) -> Result<Outgoing> {
        let call = Call::new(self.side, operation, at);
        if at.key.as_str().is_none_or(str::is_empty) {
            return Err(call.error(Kind::CannotHold, "an S3 key is UTF-8 and not empty"));
        }
        Ok(Outgoing {
            call,
            method,
            asked,
            of_bucket: false,
            query: Vec::new(),
            headers: HeaderMap::with_capacity(24),
            payload: None,
        })
    }

    /// A request for a bucket; `prefix` is only for the words of an error.
    pub(super) fn bucket(&self, method: Method, operation: &'static str, at: &Location) -> Outgoing {
        let (call, asked) = (Call::new(self.side, operation, at), Asked::Control);
        let (query, headers) = (Vec::new(), HeaderMap::with_capacity(8));
        Outgoing { call, method, asked, of_bucket: true, query, headers, payload: None }
    }

    /// Sends it. Only success is `Ok`.
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Answer> {
        let Outgoing { call, method, asked, of_bucket, query, mut headers, payload } = outgoing;
        self.common_headers(&call, &mut headers)?;
        let key = (!of_bucket).then(|| call.at.key.as_bytes());
        let mut signed = Signed::Unsigned;
        let mut body = match payload {
            None => Sendable::Whole(Bytes::new()),
            Some(Payload::Whole(bytes)) => Sendable::Whole(bytes),
            Some(Payload::Stream { length, chunks }) if self.profile.trailers && length > 0 => {
                signed = Signed::Trailer;
                chunked::describe(&mut headers, length);
                Sendable::Once { length: chunked::length(length), chunks: chunked::frame(length, chunks) }
            }
            Some(Payload::Stream { length, chunks }) => Sendable::Once { length, chunks },
        };
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let effect = if matches!(asked, Asked::Publish { .. }) { Effect::Write } else { Effect::Idempotent };
        let (mut moved, mut renewed) = (false, false);
        let mut credentials = self.credentials(&call).await?;
        loop {
            let place = self.place(&call, &credentials)?;
            let uri = place.endpoint.uri(&call.at.bucket, key, &query);
            let uri = uri.ok_or_else(|| call.error(Kind::CannotHold, "bucket and key make no URI"))?;
            let mut request = Request::new(match std::mem::replace(&mut body, Sendable::Gone) {
                Sendable::Whole(bytes) => {
                    body = Sendable::Whole(bytes.clone());
                    Body::whole(bytes)
                }
                Sendable::Once { length, chunks } => Body::stream(length, chunks, &call),
                Sendable::Gone => return Err(call.error(Kind::Unavailable, "a stream cannot be sent again")),
            });
            *request.method_mut() = method.clone();
            *request.headers_mut() = headers.clone();
            if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
                request.headers_mut().insert(header::HOST, host);
            }
            *request.uri_mut() = uri;
            self.signer
                .sign(&mut request, &credentials, &place.region, signed)
                .map_err(|words| call.error(Kind::Credentials, words))?;
            let answer = self.transport.send(&call, request, effect).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let refusal = refusal::read(&call, answer, asked).await;
            let again = matches!(body, Sendable::Whole(_));
            match refusal.error.kind {
                Kind::WrongRegion if !moved && self.learn(&call, &place, refusal.region.as_deref()) && again => {
                    moved = true
                }
                Kind::Credentials => {
                    self.credentials.refused(&credentials);
                    let newer = self.credentials(&call).await?;
                    if renewed || !again || Arc::ptr_eq(&newer, &credentials) {
                        return Err(refusal.error);
                    }
                    renewed = true;
                    credentials = newer;
                }
                _ => return Err(refusal.error),
            }
        }
    }

    fn common_headers(&self, call: &Call, headers: &mut HeaderMap) -> Result<()> {
        if self.options.request_payer {
            headers.insert("x-amz-request-payer", HeaderValue::from_static("requester"));
        }
        if let Some(owner) = &self.options.expected_owner {
            let owner = HeaderValue::from_str(owner)
                .map_err(|_| call.error(Kind::Refused, "expected_owner is no account number"))?;
            headers.insert("x-amz-expected-bucket-owner", owner);
        }
        Ok(())
    }

    async fn credentials(&self, call: &Call) -> Result<Arc<Credentials>> {
        self.credentials.get().await.map_err(|error| {
            let kind = if error.passing { Kind::Unavailable } else { Kind::Credentials };
            call.error(kind, error.to_string())
        })
    }

    /// Where the bucket is, as far as known.
    fn place(&self, call: &Call, credentials: &Credentials) -> Result<Arc<Place>> {
        let known = self.places.read().unwrap_or_else(|e| e.into_inner()).get(&call.at.bucket).cloned();
        if let Some(place) = known {
            return Ok(place);
        }
        let region = self.options.region.as_deref().or(credentials.region.as_deref()).unwrap_or("us-east-1");
        let place = Arc::new(self.place_in(call, region)?);
        self.keep(&call.at.bucket, place.clone());
        Ok(place)
    }

    fn place_in(&self, call: &Call, region: &str) -> Result<Place> {
        let endpoint = match &self.endpoint {
            Some(own) => Some(own.clone()),
            None => Endpoint::of_region(self.profile, region, self.options.path_style),
        };
        let endpoint = endpoint.ok_or_else(|| call.error(Kind::Refused, format!("no endpoint for region {region}")))?;
        Ok(Place { region: region.into(), endpoint })
    }

    /// Remembers a bucket's region that AWS told. Its hosts are always made from the region's name, never taken from
    /// the answer; and an endpoint of the settings is never left.
    fn learn(&self, call: &Call, tried: &Place, region: Option<&str>) -> bool {
        let Some(region) = region.filter(|region| *region != &*tried.region) else { return false };
        if self.endpoint.is_some() || !self.profile.is_aws() {
            return false;
        }
        let Ok(place) = self.place_in(call, region) else { return false };
        tracing::info!(bucket = %call.at.bucket, region, "the bucket is in another region than the settings say");
        self.keep(&call.at.bucket, Arc::new(place));
        true
    }

    fn keep(&self, bucket: &Arc<str>, place: Arc<Place>) {
        self.places.write().unwrap_or_else(|e| e.into_inner()).insert(bucket.clone(), place);
    }

    pub(super) fn nonsense(call: &Call, words: impl Into<String>) -> CopyError {
        call.error(Kind::Nonsense, words)
    }
}
