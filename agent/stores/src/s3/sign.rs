//! AWS Signature Version 4 by Amazon's own signer, set the way S3 wants it: the path as it is, never normalised.

use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use aws_credential_types::Credentials as Pair;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::Request;
use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};
use skyferry_providers::{Credentials, Grant};

use super::super::http::Body;

/// Headers that are signed. A front may change Accept-Encoding. Beyond ASCII and with tabs, services and their fronts read
/// a header's value in more than one way: those that must be signed have none. (Blanks in a row are one in the signature,
/// and stay in the header.)
fn signed<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> Option<(&'a str, &'a str)> {
    let text = value.to_str().ok().filter(|text| name.as_str().starts_with("x-amz-") || !text.contains('\t'))?;
    (*name != ACCEPT_ENCODING).then_some((name.as_str(), text))
}

/// Keeps the signer's form of the credentials, as long as they are the same.
#[derive(Default)]
pub(super) struct Signer(RwLock<Option<(Arc<Credentials>, Identity)>>);

impl Signer {
    /// Adds date, token and signature. An error says why, without a secret.
    pub fn sign(
        &self,
        request: &mut Request<Body>,
        credentials: &Arc<Credentials>,
        region: &str,
        trailer: bool,
    ) -> Result<(), String> {
        if matches!(credentials.grant, Grant::Anonymous) {
            return Ok(());
        }
        let identity = self.identity(credentials)?;
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|e| e.to_string())?
            .into();
        // Never the body's hash: the checksum headers and TLS guard the bytes, at far less.
        let body = match trailer {
            false => SignableBody::UnsignedPayload,
            true => SignableBody::StreamingUnsignedPayloadTrailer,
        };
        let headers = request.headers().iter().filter_map(signed);
        let signable = SignableRequest::new(request.method().as_str(), request.uri().to_string(), headers, body)
            .map_err(|e| e.to_string())?;
        let (instructions, _) = sign(signable, &params).map_err(|e| e.to_string())?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    fn identity(&self, credentials: &Arc<Credentials>) -> Result<Identity, String> {
        let held = self.0.read().unwrap_or_else(|e| e.into_inner());
        if let Some((of, identity)) = held.as_ref().filter(|(of, _)| Arc::ptr_eq(of, credentials)) {
            let _ = of;
            return Ok(identity.clone());
        }
        drop(held);
        let Grant::Keys { access_key_id, secret_access_key, session_token } = &credentials.grant else {
            return Err("S3 needs an access key pair, and the provider gave a bearer token".into());
        };
        let token = session_token.as_ref().map(|token| token.expose().to_owned());
        let identity = Identity::from(Pair::new(access_key_id, secret_access_key.expose(), token, None, "skyferry"));
        *self.0.write().unwrap_or_else(|e| e.into_inner()) = Some((credentials.clone(), identity.clone()));
        Ok(identity)
    }
}
