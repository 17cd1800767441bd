//! AWS Signature Version 4, set the way S3 wants it: the path as it is, never normalised.

use std::sync::Arc;

use http::Request;
use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};
use skyferry_providers::{Credentials, Grant};

use super::super::signature::{InvalidCredential, Keys, SigningScheme};

const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

static AMAZON: SigningScheme = SigningScheme {
    algorithm: "AWS4-HMAC-SHA256",
    before_secret: "AWS4",
    service: "s3",
    request: "aws4_request",
    date: HeaderName::from_static("x-amz-date"),
    content: HeaderName::from_static("x-amz-content-sha256"),
    comma: ", ",
    signs,
};

/// A front may change Accept-Encoding. Beyond ASCII and with tabs, services and their fronts read a header's value in more
/// than one way: those that must be signed have none. (Blanks in a row are one in the signature, and stay in the header.)
fn signs(name: &HeaderName, value: &HeaderValue) -> bool {
    let text = value.to_str().is_ok_and(|text| name.as_str().starts_with("x-amz-") || !text.contains('\t'));
    text && *name != ACCEPT_ENCODING
}

pub(super) struct S3Signer(Keys);

impl Default for S3Signer {
    fn default() -> Self {
        S3Signer(Keys::new(&AMAZON))
    }
}

impl S3Signer {
    /// Adds date, token and signature; every other header must be there already. `now` is in seconds since the epoch. An
    /// error says why, without a secret.
    pub fn sign<B>(
        &self,
        request: &mut Request<B>,
        credentials: &Arc<Credentials>,
        region: &str,
        trailer: bool,
        now: i64,
    ) -> Result<(), String> {
        if matches!(credentials.grant, Grant::Anonymous) {
            return Ok(());
        }
        let mut headers = std::mem::take(request.headers_mut());
        if let Grant::Keys { session_token: Some(token), .. } = &credentials.grant {
            let mut token = HeaderValue::from_str(token.expose()).map_err(|_| InvalidCredential.to_string())?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        let key = self.0.key(credentials, region, now);
        let key = key.ok_or("S3 needs an access key pair, and the provider gave a bearer token")?;
        // Never the body's hash: the checksum headers and TLS guard the bytes, at far less.
        let content = if trailer { "STREAMING-UNSIGNED-PAYLOAD-TRAILER" } else { "UNSIGNED-PAYLOAD" };
        let signed = key.sign(now, content, request.method(), request.uri(), &mut headers);
        *request.headers_mut() = headers;
        signed.map_err(|unsendable| unsendable.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials as Pair;
    use aws_sigv4::http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    };
    use aws_sigv4::sign::v4::SigningParams;
    use aws_smithy_runtime_api::client::identity::Identity;
    use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
    use skyferry_providers::Secret;

    use super::*;

    const AT: i64 = 1_767_323_045;

    fn keys(token: Option<&str>) -> Arc<Credentials> {
        let grant = Grant::Keys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
        };
        Arc::new(Credentials { grant, region: None, expires: None })
    }

    fn request(method: &str, path: &str) -> Request<()> {
        let uri = format!("https://bucket.s3.us-east-1.amazonaws.com{path}");
        let host = "bucket.s3.us-east-1.amazonaws.com";
        let request = Request::builder().method(method).uri(uri).header(HOST, host).header(ACCEPT_ENCODING, "gzip");
        let request = request.header("x-amz-meta-note", " two   words").header("x-amz-checksum-crc32c", "AAAAAA==");
        request.header(CONTENT_TYPE, "text/plain; charset=utf-8").header("content-language", "de\tfr").body(()).unwrap()
    }

    /// The signature by Amazon's own signer.
    fn by_amazon(request: &Request<()>, token: Option<&str>, region: &str, trailer: bool, now: i64) -> String {
        let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let identity = Identity::from(Pair::new(id, secret, token.map(str::to_owned), None, "test"));
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now as u64);
        let params = SigningParams::builder().identity(&identity).region(region).name("s3").time(time);
        let params = params.settings(settings).build().unwrap().into();
        let body = match trailer {
            false => SignableBody::UnsignedPayload,
            true => SignableBody::StreamingUnsignedPayloadTrailer,
        };
        let headers = request.headers().iter().filter(|(name, value)| signs(name, value));
        let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let signable = SignableRequest::new(request.method().as_str(), request.uri().to_string(), headers, body);
        let output = aws_sigv4::http_request::sign(signable.unwrap(), &params).unwrap();
        let mut signed = request.clone();
        output.into_parts().0.apply_to_request_http1x(&mut signed);
        signed.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_signature_is_the_one_that_amazon_s_own_signer_makes() {
        let signer = S3Signer::default();
        for (method, path) in [
            ("GET", "/some/key.jpg"),
            ("HEAD", "/a%20b/../c%2Bd%25//%C3%A9"),
            ("PUT", "/key?partNumber=7&uploadId=a%2Fb%3D"),
            ("POST", "/key?uploads="),
            ("GET", "/?list-type=2&prefix=a%2Fb"),
        ] {
            for (token, region, trailer, now) in [
                (None, "us-east-1", false, AT),
                (Some("a/session+token=="), "us-east-1", false, AT),
                (None, "cn-north-1", true, AT),
                (None, "us-east-1", false, AT + 86_400),
            ] {
                let mut request = request(method, path);
                let amazon = by_amazon(&request, token, region, trailer, now);
                signer.sign(&mut request, &keys(token), region, trailer, now).unwrap();
                assert_eq!(request.headers()[AUTHORIZATION], amazon, "{method} {path} {region}");
            }
        }
    }

    #[test]
    fn neither_key_nor_token_is_shown_by_the_headers() {
        let mut request = request("GET", "/key");
        S3Signer::default().sign(&mut request, &keys(Some("the-token")), "us-east-1", false, AT).unwrap();
        let shown = format!("{:?}", request.headers());
        assert!(!shown.contains("the-token") && !shown.contains("Signature="), "{shown}");
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_refused_without_being_shown() {
        let refused = S3Signer::default().sign(&mut request("GET", "/key"), &keys(Some("line\nbreak")), "r", false, AT);
        assert!(!refused.unwrap_err().contains("break"));
    }
}
