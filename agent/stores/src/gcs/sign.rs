//! Who is asking: a GOOG4-HMAC-SHA256 signature made with an interoperability key, or a Bearer token.
//!
//! The AWS SDK signs SigV4, and under SigV4 this service silently ignores every precondition. The same key signing
//! GOOG4 gets them. Signed are `host` and every `x-goog-*` header, nothing else: a front end rewrites
//! `Accept-Encoding`, and a header that is not signed cannot break a signature. The body is never hashed for the
//! signature (`UNSIGNED-PAYLOAD`): its CRC32C goes in a header of its own.
//!
//! This runs for every request, so the signing key is derived once a day and credential, and the canonical request
//! goes straight into the hash instead of into a string.

use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use sha2::{Digest, Sha256};
use skyferry_providers::{Credentials, Grant};

const X_GOOG_DATE: HeaderName = HeaderName::from_static("x-goog-date");
const X_GOOG_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-goog-content-sha256");
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
const SECONDS_A_DAY: i64 = 86_400;

/// The credentials hold a byte that no header can carry. Says nothing of which.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials hold characters that cannot be sent in a header")]
pub struct Unsendable;

/// Puts the `Authorization` on requests and remembers the day's signing key.
#[derive(Default)]
pub struct Signer {
    today: Mutex<Option<Arc<SigningKey>>>,
}

/// Derived from one secret for one day. Holds the credentials themselves, so that the comparison by address is sound.
struct SigningKey {
    credentials: Arc<Credentials>,
    day: i64,
    mac: Hmac<Sha256>,
    /// `<key id>/<yyyymmdd>/auto/storage/goog4_request`
    credential: String,
    /// Where the scope begins in `credential`.
    scope: usize,
}

impl Signer {
    /// Adds `host` and what proves the identity. Every other header must be there already. `now` is in seconds
    /// since the epoch; the service allows fifteen minutes of difference.
    pub fn authorise(
        &self,
        credentials: &Arc<Credentials>,
        now: i64,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), Unsendable> {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| Unsendable)?);
        let text = match &credentials.grant {
            Grant::Bearer(token) => format!("Bearer {}", token.expose()),
            Grant::Keys { access_key_id, secret_access_key, .. } => {
                let key = self.key(credentials, access_key_id, secret_access_key.expose(), now);
                key.sign(now, method, uri, headers)
            }
            Grant::Anonymous => return Ok(()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| Unsendable)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    fn key(&self, credentials: &Arc<Credentials>, id: &str, secret: &str, now: i64) -> Arc<SigningKey> {
        let day = now.div_euclid(SECONDS_A_DAY);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        match &*today {
            Some(key) if key.day == day && Arc::ptr_eq(&key.credentials, credentials) => key.clone(),
            _ => {
                let key = Arc::new(SigningKey::derive(credentials.clone(), id, secret, day));
                *today = Some(key.clone());
                key
            }
        }
    }
}

impl SigningKey {
    fn derive(credentials: Arc<Credentials>, id: &str, secret: &str, day: i64) -> Self {
        let date = &timestamp(day * SECONDS_A_DAY)[..8];
        let secret = zeroize::Zeroizing::new(format!("GOOG4{secret}"));
        let mut mac = keyed(secret.as_bytes());
        for word in [date, "auto", "storage", "goog4_request"] {
            mac.update(word.as_bytes());
            mac = keyed(&mac.finalize().into_bytes());
        }
        let credential = format!("{id}/{date}/auto/storage/goog4_request");
        SigningKey { credentials, day, mac, credential, scope: id.len() + 1 }
    }

    /// Adds the two headers of the scheme and returns the value of `Authorization`.
    fn sign(&self, now: i64, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> String {
        let date = timestamp(now);
        if let Ok(value) = HeaderValue::from_str(&date) {
            headers.insert(X_GOOG_DATE, value);
        }
        headers.insert(X_GOOG_CONTENT_SHA256, HeaderValue::from_static(UNSIGNED_PAYLOAD));
        let mut signed: Vec<(&str, &HeaderValue)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| *name == "host" || name.starts_with("x-goog-"))
            .collect();
        signed.sort_unstable_by_key(|(name, _)| *name);
        let canonical = canonical_request(method, uri, &signed);

        let mut mac = self.mac.clone();
        mac.update(b"GOOG4-HMAC-SHA256\n");
        mac.update(date.as_bytes());
        mac.update(b"\n");
        mac.update(&self.credential.as_bytes()[self.scope..]);
        mac.update(b"\n");
        let mut digits = [0u8; 64];
        mac.update(hex_of(&canonical, &mut digits).as_bytes());
        let signature = mac.finalize().into_bytes();

        let mut text = String::with_capacity(320);
        text.push_str("GOOG4-HMAC-SHA256 Credential=");
        text.push_str(&self.credential);
        text.push_str(",SignedHeaders=");
        for (i, (name, _)) in signed.iter().enumerate() {
            if i > 0 {
                text.push(';');
            }
            text.push_str(name);
        }
        text.push_str(",Signature=");
        text.push_str(hex_of(&signature, &mut digits));
        text
    }
}

/// SHA-256 of the canonical request. The path is signed as it is sent: the client percent-encodes everything but
/// unreserved characters and `/`, which is the canonical form. The query is sent sorted by name.
fn canonical_request(method: &Method, uri: &Uri, signed: &[(&str, &HeaderValue)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(method.as_str());
    hash.update(b"\n");
    hash.update(uri.path());
    hash.update(b"\n");
    for (i, pair) in uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if i > 0 {
            hash.update(b"&");
        }
        hash.update(pair);
        if !pair.contains('=') {
            hash.update(b"=");
        }
    }
    hash.update(b"\n");
    for (name, value) in signed {
        hash.update(name);
        hash.update(b":");
        single_spaced(value.as_bytes(), |piece| hash.update(piece));
        hash.update(b"\n");
    }
    hash.update(b"\n");
    for (i, (name, _)) in signed.iter().enumerate() {
        if i > 0 {
            hash.update(b";");
        }
        hash.update(name);
    }
    hash.update(b"\n");
    hash.update(UNSIGNED_PAYLOAD);
    hash.finalize().into()
}

/// A header's value as it is signed: no blanks around it, one blank for each run of them.
fn single_spaced(value: &[u8], mut with: impl FnMut(&[u8])) {
    let mut first = true;
    for word in value.split(|b| *b == b' ' || *b == b'\t').filter(|word| !word.is_empty()) {
        if !first {
            with(b" ");
        }
        with(word);
        first = false;
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

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_providers::Secret;

    const AT: i64 = 1_767_323_045;

    fn keys(secret: &str) -> Arc<Credentials> {
        let grant = Grant::Keys {
            access_key_id: "GOOGTS7C7FUP3AIRVJTE".into(),
            secret_access_key: Secret::new(secret),
            session_token: None,
        };
        Arc::new(Credentials { grant, region: None, expires: None })
    }

    fn authorisation(signer: &Signer, at: i64, method: Method, uri: &str, headers: &mut HeaderMap) -> String {
        let credentials = keys("bGoa+V7g/yqDXvKRqq+JTFn4uQZbPiQJo4pf9RzJ");
        signer.authorise(&credentials, at, &method, &uri.parse().unwrap(), headers).unwrap();
        headers[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    // The signatures below were computed with Python's hmac and hashlib.

    #[test]
    fn a_key_with_dots_plus_percent_and_unicode_is_signed_as_it_is_sent() {
        let mut headers = HeaderMap::new();
        let uri = "https://storage.googleapis.com/bucket/a%20b/../c%2Bd%25//%C3%A9";
        assert_eq!(
            authorisation(&Signer::default(), AT, Method::GET, uri, &mut headers),
            "GOOG4-HMAC-SHA256 Credential=GOOGTS7C7FUP3AIRVJTE/20260102/auto/storage/goog4_request,\
             SignedHeaders=host;x-goog-content-sha256;x-goog-date,\
             Signature=eebe13688e1280bf3e808e0f7399c33f3f9e51600eaa6cf03526900a4231d391"
        );
        assert_eq!(headers[X_GOOG_DATE], "20260102T030405Z");
    }

    #[test]
    fn every_goog_header_is_signed_and_no_other() {
        let mut headers = HeaderMap::new();
        headers.insert("x-goog-if-generation-match", HeaderValue::from_static("0"));
        headers.insert("x-goog-meta-note", HeaderValue::from_static(" two   words"));
        headers.insert("x-goog-hash", HeaderValue::from_static("crc32c=AAAAAA=="));
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let uri = "https://storage.googleapis.com/bucket/key?partNumber=7&uploadId=a%2Fb%3D";
        assert_eq!(
            authorisation(&Signer::default(), AT, Method::PUT, uri, &mut headers),
            "GOOG4-HMAC-SHA256 Credential=GOOGTS7C7FUP3AIRVJTE/20260102/auto/storage/goog4_request,\
             SignedHeaders=host;x-goog-content-sha256;x-goog-date;x-goog-hash;x-goog-if-generation-match;x-goog-meta-note,\
             Signature=475e10d35bc17270ceda69ffb453abf2c8f499ff83f633d6f6c20cb005ffc494"
        );
    }

    #[test]
    fn a_parameter_without_a_value_is_signed_as_an_empty_one() {
        let uri = "https://storage.googleapis.com/bucket/key?uploads";
        let value = authorisation(&Signer::default(), AT, Method::POST, uri, &mut HeaderMap::new());
        assert!(value.ends_with("c338f0613733db546f3967394131bdbc699cc1e946c6459d39b53d16b3243ad6"), "{value}");
    }

    #[test]
    fn the_signing_key_changes_with_the_day_and_with_the_credentials() {
        let signer = Signer::default();
        let uri = "https://storage.googleapis.com/bucket/key";
        let first = authorisation(&signer, AT, Method::GET, uri, &mut HeaderMap::new());
        let next_day = authorisation(&signer, AT + SECONDS_A_DAY, Method::GET, uri, &mut HeaderMap::new());
        assert!(next_day.contains("/20260103/auto/"), "{next_day}");
        assert_eq!(authorisation(&signer, AT, Method::GET, uri, &mut HeaderMap::new()), first);
        let mut headers = HeaderMap::new();
        signer.authorise(&keys("another"), AT, &Method::GET, &uri.parse().unwrap(), &mut headers).unwrap();
        assert_ne!(headers[AUTHORIZATION].to_str().unwrap(), first);
    }

    #[test]
    fn a_bearer_token_is_sent_and_marked_sensitive() {
        let grant = Grant::Bearer(Secret::new("ya29.token"));
        let credentials = Arc::new(Credentials { grant, region: None, expires: None });
        let mut headers = HeaderMap::new();
        let uri = "https://storage.googleapis.com/bucket/key".parse().unwrap();
        Signer::default().authorise(&credentials, AT, &Method::GET, &uri, &mut headers).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer ya29.token");
        assert!(!format!("{headers:?}").contains("ya29"), "headers are printed in traces");
        assert!(!headers.contains_key(X_GOOG_DATE));
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_refused_without_being_shown() {
        let grant = Grant::Bearer(Secret::new("line\nbreak"));
        let credentials = Arc::new(Credentials { grant, region: None, expires: None });
        let uri = "https://storage.googleapis.com/b/k".parse().unwrap();
        let refused = Signer::default().authorise(&credentials, AT, &Method::GET, &uri, &mut HeaderMap::new());
        assert_eq!(refused, Err(Unsendable));
        assert!(!Unsendable.to_string().contains("break"));
    }

    #[test]
    fn signing_costs_microseconds() {
        let signer = Signer::default();
        let credentials = keys("secret");
        let uri: Uri = "https://storage.googleapis.com/bucket/some/key/of/usual/length.jpg".parse().unwrap();
        let begin = std::time::Instant::now();
        for _ in 0..1000 {
            signer.authorise(&credentials, AT, &Method::GET, &uri, &mut HeaderMap::new()).unwrap();
        }
        assert!(begin.elapsed().as_millis() < 200, "{:?} for a thousand", begin.elapsed());
    }
}
