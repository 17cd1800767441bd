//! Who is asking: a GOOG4-HMAC-SHA256 signature made with an interoperability key, or a Bearer token.
//!
//! The AWS SDK signs SigV4, and under SigV4 this service silently ignores every precondition. The same key signing
//! GOOG4 gets them. Signed are `host` and every `x-goog-*` header, nothing else: a front end rewrites
//! `Accept-Encoding`, and a header that is not signed cannot break a signature.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use skyferry_providers::{Credentials, Grant};

use super::super::signature::{InvalidCredential, Keys, SigningScheme};

static GOOGLE: SigningScheme = SigningScheme {
    algorithm: "GOOG4-HMAC-SHA256",
    before_secret: "GOOG4",
    service: "storage",
    request: "goog4_request",
    date: HeaderName::from_static("x-goog-date"),
    content: HeaderName::from_static("x-goog-content-sha256"),
    comma: ",",
    signs: |name, _| *name == HOST || name.as_str().starts_with("x-goog-"),
};

/// Puts the `Authorization` on requests.
pub struct GcsSigner(Keys);

impl Default for GcsSigner {
    fn default() -> Self {
        GcsSigner(Keys::new(&GOOGLE))
    }
}

impl GcsSigner {
    /// Adds `host` and what proves the identity. Every other header must be there already. `now` is in seconds
    /// since the epoch.
    pub fn authorise(
        &self,
        credentials: &Arc<Credentials>,
        now: i64,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), InvalidCredential> {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| InvalidCredential)?);
        if let Some(key) = self.0.key(credentials, "auto", now) {
            return key.sign(now, "UNSIGNED-PAYLOAD", method, uri, headers);
        }
        if let Grant::Bearer(token) = &credentials.grant {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| InvalidCredential)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_providers::Secret;

    const SECONDS_A_DAY: i64 = 86_400;
    const AT: i64 = 1_767_323_045;

    fn keys(secret: &str) -> Arc<Credentials> {
        let grant = Grant::Keys {
            access_key_id: "GOOGTS7C7FUP3AIRVJTE".into(),
            secret_access_key: Secret::new(secret),
            session_token: None,
        };
        Arc::new(Credentials { grant, region: None, expires: None })
    }

    fn authorisation(signer: &GcsSigner, at: i64, method: Method, uri: &str, headers: &mut HeaderMap) -> String {
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
            authorisation(&GcsSigner::default(), AT, Method::GET, uri, &mut headers),
            "GOOG4-HMAC-SHA256 Credential=GOOGTS7C7FUP3AIRVJTE/20260102/auto/storage/goog4_request,\
             SignedHeaders=host;x-goog-content-sha256;x-goog-date,\
             Signature=eebe13688e1280bf3e808e0f7399c33f3f9e51600eaa6cf03526900a4231d391"
        );
        assert_eq!(headers["x-goog-date"], "20260102T030405Z");
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
            authorisation(&GcsSigner::default(), AT, Method::PUT, uri, &mut headers),
            "GOOG4-HMAC-SHA256 Credential=GOOGTS7C7FUP3AIRVJTE/20260102/auto/storage/goog4_request,\
             SignedHeaders=host;x-goog-content-sha256;x-goog-date;x-goog-hash;x-goog-if-generation-match;x-goog-meta-note,\
             Signature=475e10d35bc17270ceda69ffb453abf2c8f499ff83f633d6f6c20cb005ffc494"
        );
    }

    #[test]
    fn a_parameter_without_a_value_is_signed_as_an_empty_one() {
        let uri = "https://storage.googleapis.com/bucket/key?uploads";
        let value = authorisation(&GcsSigner::default(), AT, Method::POST, uri, &mut HeaderMap::new());
        assert!(value.ends_with("c338f0613733db546f3967394131bdbc699cc1e946c6459d39b53d16b3243ad6"), "{value}");
    }

    #[test]
    fn the_signing_key_changes_with_the_day_and_with_the_credentials() {
        let signer = GcsSigner::default();
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
        GcsSigner::default().authorise(&credentials, AT, &Method::GET, &uri, &mut headers).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer ya29.token");
        assert!(!format!("{headers:?}").contains("ya29"), "headers are printed in traces");
        assert!(!headers.contains_key("x-goog-date"));
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_refused_without_being_shown() {
        let grant = Grant::Bearer(Secret::new("line\nbreak"));
        let credentials = Arc::new(Credentials { grant, region: None, expires: None });
        let uri = "https://storage.googleapis.com/b/k".parse().unwrap();
        let refused = GcsSigner::default().authorise(&credentials, AT, &Method::GET, &uri, &mut HeaderMap::new());
        assert_eq!(refused, Err(InvalidCredential));
        assert!(!InvalidCredential.to_string().contains("break"));
    }

    #[test]
    fn signing_costs_microseconds() {
        let signer = GcsSigner::default();
        let credentials = keys("secret");
        let uri: Uri = "https://storage.googleapis.com/bucket/some/key/of/usual/length.jpg".parse().unwrap();
        let begin = std::time::Instant::now();
        for _ in 0..1000 {
            signer.authorise(&credentials, AT, &Method::GET, &uri, &mut HeaderMap::new()).unwrap();
        }
        assert!(begin.elapsed().as_millis() < 200, "{:?} for a thousand", begin.elapsed());
    }
}
