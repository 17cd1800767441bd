//! A signature of version 4, Amazon's or Google's of the same make: what makes them differ is in a [`SigningScheme`].
//!
//! This runs for every request, so the signing key is derived once a day and credential. The body is never hashed for the
//! signature: its checksum goes in a header of its own or behind it, at far less.

use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use sha2::{Digest, Sha256};
use skyferry_providers::{Credentials, Grant};

const SECONDS_A_DAY: i64 = 86_400;

/// The credentials hold a byte that no header can carry. Says nothing of which.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials hold characters that cannot be sent in a header")]
pub struct InvalidCredential;

/// One make of the signature.
pub struct SigningScheme {
    /// The first word of the header: `AWS4-HMAC-SHA256`.
    pub algorithm: &'static str,
    /// What stands before the secret in the first key.
    pub before_secret: &'static str,
    /// The scope's third word.
    pub service: &'static str,
    /// The last word of the scope.
    pub request: &'static str,
    /// The header for the time of signing.
    pub date: HeaderName,
    /// The header for the body's hash, or for why there is none.
    pub content: HeaderName,
    /// What stands between the fields of the header. The services take both forms, what imitates them may not.
    pub comma: &'static str,
    /// Which headers are signed.
    pub signs: fn(&HeaderName, &HeaderValue) -> bool,
}

/// Remembers the day's signing key.
pub struct Keys {
    scheme: &'static SigningScheme,
    today: Mutex<Option<Arc<SigningKey>>>,
}

/// Derived from one secret for one day and region. Holds the credentials themselves, so that the comparison by address is
/// sound.
pub struct SigningKey {
    scheme: &'static SigningScheme,
    credentials: Arc<Credentials>,
    day: i64,
    region: Box<str>,
    mac: Hmac<Sha256>,
    /// `<key id>/<yyyymmdd>/<region>/<service>/<request>`
    credential: String,
    /// Where the scope begins in `credential`.
    scope: usize,
}

impl Keys {
    /// Of no day yet.
    pub const fn new(scheme: &'static SigningScheme) -> Self {
        Keys { scheme, today: Mutex::new(None) }
    }

    /// `None`: these credentials are no pair of keys. `now` is in seconds since the epoch; the services allow fifteen
    /// minutes of difference.
    pub fn key(&self, credentials: &Arc<Credentials>, region: &str, now: i64) -> Option<Arc<SigningKey>> {
        let Grant::Keys { access_key_id, secret_access_key, .. } = &credentials.grant else { return None };
        let day = now.div_euclid(SECONDS_A_DAY);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let known = today.as_ref().filter(|key| key.is_of(credentials, region, day));
        if let Some(key) = known {
            return Some(key.clone());
        }
        let (mac, date) = self.scheme.derive(secret_access_key.expose(), region, day);
        let SigningScheme { service, request, .. } = self.scheme;
        let key = Arc::new(SigningKey {
            scheme: self.scheme,
            credentials: credentials.clone(),
            day,
            region: region.into(),
            mac,
            credential: format!("{access_key_id}/{date}/{region}/{service}/{request}"),
            scope: access_key_id.len() + 1,
        });
        *today = Some(key.clone());
        Some(key)
    }
}

impl SigningScheme {
    /// The day's key, and the day as it is written.
    fn derive(&self, secret: &str, region: &str, day: i64) -> (Hmac<Sha256>, String) {
        let mut date = timestamp(day * SECONDS_A_DAY);
        date.truncate(8);
        let secret = zeroize::Zeroizing::new(format!("{}{secret}", self.before_secret));
        let mut mac = keyed(secret.as_bytes());
        for word in [&date, region, self.service, self.request] {
            mac.update(word.as_bytes());
            mac = keyed(&mac.finalize().into_bytes());
        }
        (mac, date)
    }
}

impl SigningKey {
    fn is_of(&self, credentials: &Arc<Credentials>, region: &str, day: i64) -> bool {
        self.day == day && *self.region == *region && Arc::ptr_eq(&self.credentials, credentials)
    }

    /// Adds the headers of the scheme and the signature. Every other header must be there already. `content`: why the body
    /// is not hashed.
    pub fn sign(
        &self,
        now: i64,
        content: &'static str,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), InvalidCredential> {
        let date = timestamp(now);
        headers.insert(&self.scheme.date, HeaderValue::from_str(&date).map_err(|_| InvalidCredential)?);
        headers.insert(&self.scheme.content, HeaderValue::from_static(content));
        let mut signed: Vec<(&str, &HeaderValue)> = Vec::with_capacity(headers.len());
        let chosen = headers.iter().filter(|(name, value)| (self.scheme.signs)(name, value));
        signed.extend(chosen.map(|(name, value)| (name.as_str(), value)));
        signed.sort_unstable_by_key(|(name, _)| *name);
        let text = self.authorization(&date, &signed, &canonical_request(method, uri, &signed, content));
        let mut value = HeaderValue::try_from(text).map_err(|_| InvalidCredential)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    fn authorization(&self, date: &str, signed: &[(&str, &HeaderValue)], canonical: &[u8; 32]) -> String {
        let mut mac = self.mac.clone();
        for line in [self.scheme.algorithm, date, &self.credential[self.scope..]] {
            mac.update(line.as_bytes());
            mac.update(b"\n");
        }
        let mut digits = [0u8; 64];
        mac.update(hex_of(canonical, &mut digits).as_bytes());
        let signature = mac.finalize().into_bytes();

        let mut text = String::with_capacity(512);
        let SigningScheme { algorithm, comma, .. } = self.scheme;
        for piece in [*algorithm, " Credential=", &self.credential, comma, "SignedHeaders="] {
            text.push_str(piece);
        }
        for (i, (name, _)) in signed.iter().enumerate() {
            if i > 0 {
                text.push(';');
            }
            text.push_str(name);
        }
        text.push_str(comma);
        text.push_str("Signature=");
        text.push_str(hex_of(&signature, &mut digits));
        text
    }
}

/// SHA-256 of the canonical request. The path is signed as it is sent: the client percent-encodes everything but
/// unreserved characters and `/`, which is the canonical form. The query is sent sorted by name.
fn canonical_request(method: &Method, uri: &Uri, signed: &[(&str, &HeaderValue)], content: &str) -> [u8; 32] {
    // In one piece: a hash that takes in a hundred small ones costs more than they do.
    let mut text = Vec::with_capacity(2048);
    for line in [method.as_str(), uri.path()] {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    for (i, pair) in uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if i > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(pair.as_bytes());
        if !pair.contains('=') {
            text.push(b'=');
        }
    }
    text.push(b'\n');
    for (name, value) in signed {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        single_spaced(value.as_bytes(), &mut text);
        text.push(b'\n');
    }
    text.push(b'\n');
    for (i, (name, _)) in signed.iter().enumerate() {
        if i > 0 {
            text.push(b';');
        }
        text.extend_from_slice(name.as_bytes());
    }
    text.push(b'\n');
    text.extend_from_slice(content.as_bytes());
    Sha256::digest(&text).into()
}

/// A header's value as it is signed: no blanks around it, one blank for each run of them.
fn single_spaced(value: &[u8], into: &mut Vec<u8>) {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    if !value.iter().any(blank) {
        into.extend_from_slice(value);
        return;
    }
    for (i, word) in value.split(blank).filter(|word| !word.is_empty()).enumerate() {
        if i > 0 {
            into.push(b' ');
        }
        into.extend_from_slice(word);
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes a key of any length"),
    }
}

fn hex_of<'a>(bytes: &[u8], digits: &'a mut [u8; 64]) -> &'a str {
    match hex::encode_to_slice(bytes, digits) {
        Ok(()) => std::str::from_utf8(digits).unwrap_or_default(),
        Err(_) => unreachable!("a SHA-256 has 32 bytes"),
    }
}

/// `20260102T030405Z`. The epoch for a clock that is out of range: refused as skewed, which is the truth.
fn timestamp(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}
