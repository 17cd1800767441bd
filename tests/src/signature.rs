//! Who asks, proved: GOOG4-HMAC-SHA256 and AWS4-HMAC-SHA256 in the Authorization header, or a Bearer token. Computed from
//! the request as it arrived, apart from any client's code, so that a client's mistake shows.
//!
//! Sources: the V4 signing pages of Cloud Storage and of S3; docs/gcs-xml.md for what was measured.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::{
    call::{Call, decode},
    google_tokens::GoogleTokens,
    refusal::Refusal,
};

/// Every byte but A-Z a-z 0-9 `-` `.` `_` `~`.
pub(crate) const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// The content-sha256 of a body that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// How far a client's clock may be off, in seconds: 15 minutes.
const SKEW: i64 = 900;

/// What a peer knows of its one customer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) access_id: String,
    pub(crate) secret: String,
    /// A valid Bearer token; `None`: this cloud takes none.
    pub(crate) bearer: Option<String>,
    /// Whose tokens are valid, too.
    pub(crate) mint: Option<GoogleTokens>,
    /// Whether GOOG4 is taken beside AWS4.
    pub(crate) goog4: bool,
    /// Whether an AWS4 signature's value is checked and not only the access key id.
    pub(crate) check: bool,
    /// Seconds that the peer's clock is ahead of the machine's.
    pub(crate) clock: i64,
}

/// How a request was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Goog4,
    Aws4,
    Bearer,
}

/// What the signature says of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Unsigned,
    Sha256([u8; 32]),
    /// aws-chunked.
    Streaming,
}

#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) scheme: Scheme,
    pub(crate) payload: Payload,
}

/// The two families of names that a V4 signature can use.
struct Family {
    scheme: Scheme,
    algorithm: &'static str,
    key_prefix: &'static str,
    service: &'static str,
    terminator: &'static str,
    headers: &'static str,
}

const GOOG4: Family = Family {
    scheme: Scheme::Goog4,
    algorithm: "GOOG4-HMAC-SHA256",
    key_prefix: "GOOG4",
    service: "storage",
    terminator: "goog4_request",
    headers: "x-goog-",
};
const AWS4: Family = Family {
    scheme: Scheme::Aws4,
    algorithm: "AWS4-HMAC-SHA256",
    key_prefix: "AWS4",
    service: "s3",
    terminator: "aws4_request",
    headers: "x-amz-",
};

fn unauthenticated(details: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "AuthenticationRequired", details)
}

fn mismatch(details: impl Into<String>) -> Refusal {
    Refusal::forbidden("SignatureDoesNotMatch", details)
}

impl Keys {
    /// Proves the request's sender, or refuses.
    pub(crate) fn prove(&self, call: &Call) -> Result<Identity, Refusal> {
        let header = call.header("authorization").ok_or_else(|| unauthenticated("no Authorization header"))?;
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            return match &self.bearer {
                Some(token)
                    if token == rest.trim() || self.mint.as_ref().is_some_and(|mint| mint.accepts(rest.trim())) =>
                {
                    Ok(Identity { scheme: Scheme::Bearer, payload: Payload::Unsigned })
                }
                Some(_) => Err(unauthenticated("the token is not valid")),
                None => Err(Refusal::argument("this store takes no Bearer tokens")),
            };
        }
        let family = [GOOG4, AWS4].into_iter().find(|family| family.algorithm == scheme);
        match family {
            Some(family) if family.scheme == Scheme::Aws4 || self.goog4 => self.signed(call, &family, rest),
            _ => Err(Refusal::argument(format!("unknown Authorization scheme {scheme}"))),
        }
    }

    fn signed(&self, call: &Call, family: &Family, fields: &str) -> Result<Identity, Refusal> {
        let field = |name: &str| {
            let mut all = fields.split(',').filter_map(|field| field.trim().split_once('='));
            all.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let malformed = || Refusal::bad("AuthorizationHeaderMalformed", fields.to_owned());
        let credential = field("Credential").ok_or_else(malformed)?;
        let signed_headers = field("SignedHeaders").ok_or_else(malformed)?;
        let signature = field("Signature").ok_or_else(malformed)?;
        let (access_id, scope) = credential.split_once('/').ok_or_else(malformed)?;
        let time = self.time(call, family)?;
        let region = scope_region(scope, &time, family).ok_or_else(malformed)?;
        let content = format!("{}content-sha256", family.headers);
        let payload_name = call
            .header(&content)
            .ok_or_else(|| Refusal::bad("MissingSecurityHeader", format!("{content} is missing")))?;
        let payload = payload(payload_name)?;
        if access_id != self.access_id {
            let code = if self.goog4 { "InvalidSecurity" } else { "InvalidAccessKeyId" };
            return Err(Refusal::forbidden(code, "unknown access id"));
        }
        all_signed(call, family, signed_headers)?;
        if self.check || family.scheme == Scheme::Goog4 {
            let canonical = canonical_request(call, signed_headers, payload_name)?;
            let text = format!("{}\n{time}\n{scope}\n{}", family.algorithm, hex::encode(Sha256::digest(&canonical)));
            let key = self.signing_key(family, &time[..8], region);
            if hex::encode(hmac(&key, text.as_bytes())) != signature {
                return Err(mismatch(format!("the canonical request is\n{canonical}")));
            }
        }
        Ok(Identity { scheme: family.scheme, payload })
    }

    /// The headers of a request without a body, signed AWS4 for us-east-1: for the sandbox's own errands to a foreign
    /// peer.
    pub(crate) fn sign(&self, mut call: Call) -> Result<HeaderMap, Refusal> {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/us-east-1/s3/aws4_request", &time[..8]);
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let own = [("x-amz-content-sha256", UNSIGNED), ("x-amz-date", &time)];
        insert(&mut call.headers, &own)?;
        let canonical = canonical_request(&call, signed, UNSIGNED)?;
        let text = format!("{}\n{time}\n{scope}\n{}", AWS4.algorithm, hex::encode(Sha256::digest(&canonical)));
        let signature = hex::encode(hmac(&self.signing_key(&AWS4, &time[..8], "us-east-1"), text.as_bytes()));
        let credential = format!("{}/{scope}", self.access_id);
        let header =
            format!("{} Credential={credential}, SignedHeaders={signed}, Signature={signature}", AWS4.algorithm);
        insert(&mut call.headers, &[("authorization", &header)])?;
        Ok(call.headers)
    }

    /// The date header's text, if the clock behind it is right.
    fn time(&self, call: &Call, family: &Family) -> Result<String, Refusal> {
        let name = format!("{}date", family.headers);
        let text =
            call.header(&name).ok_or_else(|| Refusal::bad("MissingSecurityHeader", format!("{name} is missing")))?;
        let broken = |_| Refusal::forbidden("AccessDenied", format!("{name}: {text} is no date"));
        let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).map_err(broken)?;
        let then = civil.to_zoned(TimeZone::UTC).map_err(broken)?.timestamp().as_second();
        if (Timestamp::now().as_second() + self.clock - then).abs() > SKEW {
            return Err(Refusal::forbidden("RequestTimeTooSkewed", format!("{text} is off by more than 15 minutes")));
        }
        Ok(text.to_owned())
    }

    fn signing_key(&self, family: &Family, day: &str, region: &str) -> [u8; 32] {
        let secret = format!("{}{}", family.key_prefix, self.secret);
        let mut key = hmac(secret.as_bytes(), day.as_bytes());
        for step in [region, family.service, family.terminator] {
            key = hmac(&key, step.as_bytes());
        }
        key
    }
}

fn insert(headers: &mut HeaderMap, own: &[(&'static str, &str)]) -> Result<(), Refusal> {
    for (name, value) in own {
        let value = HeaderValue::from_str(value).map_err(|_| Refusal::argument(format!("header {name}")))?;
        headers.insert(*name, value);
    }
    Ok(())
}

/// The region of `DAY/REGION/SERVICE/TERMINATOR`, if the rest is right.
fn scope_region<'a>(scope: &'a str, time: &str, family: &Family) -> Option<&'a str> {
    let fields: Vec<&str> = scope.split('/').collect();
    match fields[..] {
        [day, region, service, terminator]
            if time.get(..8) == Some(day)
                && !region.is_empty()
                && service == family.service
                && terminator == family.terminator =>
        {
            Some(region)
        }
        _ => None,
    }
}

fn payload(name: &str) -> Result<Payload, Refusal> {
    if name == UNSIGNED {
        return Ok(Payload::Unsigned);
    }
    if name.starts_with("STREAMING-") {
        return Ok(Payload::Streaming);
    }
    let mut digest = [0; 32];
    match hex::decode_to_slice(name, &mut digest) {
        Ok(()) => Ok(Payload::Sha256(digest)),
        Err(_) => Err(Refusal::argument(format!("content-sha256: {name}"))),
    }
}

/// `host` and the family's own headers must be signed; Google's front end rewrites accept-encoding, so signing that
/// never matches there.
fn all_signed(call: &Call, family: &Family, signed_headers: &str) -> Result<(), Refusal> {
    let signed: Vec<&str> = signed_headers.split(';').collect();
    if !signed.contains(&"host") {
        return Err(mismatch("host is not signed"));
    }
    if !signed.is_sorted() {
        return Err(mismatch("the signed headers are not sorted"));
    }
    for name in call.headers.keys().map(|name| name.as_str()) {
        if name.starts_with(family.headers) && !signed.contains(&name) {
            return Err(Refusal::forbidden("AccessDenied", format!("there is a header that was not signed: {name}")));
        }
    }
    Ok(())
}

/// Whether the request signs this header.
pub(crate) fn signs(call: &Call, name: &str) -> bool {
    let fields = call.header("authorization").unwrap_or_default();
    let signed = fields.split(',').find_map(|field| field.trim().strip_prefix("SignedHeaders="));
    signed.is_some_and(|signed| signed.split(';').any(|known| known == name))
}

fn canonical_request(call: &Call, signed_headers: &str, payload: &str) -> Result<String, Refusal> {
    let path = utf8_percent_encode(&decode(&call.raw_path)?, PATH).to_string();
    let encode = |text: &str| utf8_percent_encode(text, STRICT).to_string();
    let mut pairs: Vec<(String, String)> =
        call.query.pairs().iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let query: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed_headers.split(';') {
        let values: Vec<String> = call.headers.get_all(name).iter().map(|value| trimmed(value.as_bytes())).collect();
        if values.is_empty() {
            return Err(mismatch(format!("the signed header {name} is not there")));
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    Ok(format!("{}\n{path}\n{}\n{headers}\n{signed_headers}\n{payload}", call.method, query.join("&")))
}

/// Without blanks around it, and single ones within.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    // Any length of key is good for HMAC: the error cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(text);
    mac.finalize().into_bytes().into()
}
