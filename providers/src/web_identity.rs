//! A role of Amazon taken with this machine's Google identity: an identity token from the metadata server, exchanged by an
//! unsigned AssumeRoleWithWebIdentity. Keyless. The role's trust policy names `accounts.google.com`, which Amazon knows by
//! itself, and pins `aud` (the service account's unique id), `oaud` (the audience) and `sub`.

use async_trait::async_trait;
use aws_credential_types::Credentials as Pair;
use aws_sdk_sts::config::{BehaviorVersion, Region};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use google_cloud_auth::credentials::idtoken::mds::{Builder, Format};
use zeroize::Zeroizing;

use crate::{Credentials, Provider, ProviderError, aws, error_chain};

/// What the token is for, where the settings do not say.
const AUDIENCE: &str = "skyferry";

/// A role of AWS that is taken with a token of Google's identity.
#[derive(Debug, Clone, Default)]
pub struct WebIdentity {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub role_arn: String,
    /// Of the token; the role's trust policy pins it as `oaud`. `None`: `skyferry`.
    pub audience: Option<String>,
    /// Of STS, and of what the role reads; `None`: STS's own in the role's partition.
    pub region: Option<String>,
    /// Of STS.
    pub endpoint: Option<String>,
    /// Of Google's metadata server.
    pub metadata: Option<String>,
}

impl WebIdentity {
    async fn token(&self) -> Result<Zeroizing<String>, ProviderError> {
        let audience = self.audience.as_deref().unwrap_or(AUDIENCE);
        let mut builder = Builder::new(audience).with_format(Format::Full);
        if let Some(endpoint) = &self.metadata {
            builder = builder.with_endpoint(endpoint);
        }
        let unbuilt =
            |error: &dyn std::error::Error| ProviderError::permanent(self, error_chain(error), "correct the audience");
        let tokens = builder.build().map_err(|error| unbuilt(&error))?;
        tokens.id_token().await.map(Zeroizing::new).map_err(|error| {
            let problem = format!("this machine's Google identity is not available: {}", error_chain(&error));
            let advice = "run on Google Cloud with a service account, or name another provider";
            ProviderError { passing: error.is_transient(), ..ProviderError::permanent(self, problem, advice) }
        })
    }

    fn sts_region(&self) -> String {
        let of_partition = if self.role_arn.starts_with("arn:aws-cn:") { "cn-north-1" } else { "us-east-1" };
        self.region.clone().unwrap_or_else(|| of_partition.into())
    }
}

/// Whose token it is, which a trust policy has to name: told with every refusal, because it can be read nowhere else.
fn token_subject(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: serde_json::Value = claims.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let claim = |name: &str| claims[name].as_str().unwrap_or("unknown").to_owned();
    format!("the token is of {}: sub and aud {}, oaud {}", claim("email"), claim("sub"), claim("aud"))
}

fn advice(code: &str) -> &'static str {
    match code {
        "AccessDenied" => {
            "let the role's trust policy allow sts:AssumeRoleWithWebIdentity to accounts.google.com with this service account's id as aud and sub"
        }
        "InvalidIdentityToken" => "check the audience against the trust policy's oaud, and this machine's clock",
        "ExpiredTokenException" => "check this machine's clock",
        _ => "check role_arn, audience and region",
    }
}

#[async_trait]
impl Provider for WebIdentity {
    fn describe(&self) -> String {
        let audience = self.audience.as_deref().unwrap_or(AUDIENCE);
        format!("role {}, taken with this machine's Google identity (audience {audience})", self.role_arn)
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let token = self.token().await?;
        let mut config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.sts_region()))
            .retry_config(aws::retries())
            .timeout_config(aws::timeouts());
        config.set_endpoint_url(self.endpoint.clone());
        let request = aws_sdk_sts::Client::from_conf(config.build())
            .assume_role_with_web_identity()
            .role_arn(&self.role_arn)
            .role_session_name("skyferry")
            .web_identity_token(token.as_str());
        let answer = request.send().await.map_err(|error| {
            let failure = aws::failure(self, "STS", &error, advice);
            ProviderError { problem: format!("{} ({})", failure.problem, token_subject(&token)), ..failure }
        })?;
        let given = answer
            .credentials
            .ok_or_else(|| ProviderError::temporary(self, "STS answered without credentials", "it is asked again"))?;
        let expires = std::time::SystemTime::try_from(given.expiration).ok();
        let pair = Pair::new(given.access_key_id, given.secret_access_key, Some(given.session_token), expires, "STS");
        Ok(aws::from_sdk(&pair, self.region.clone()))
    }
}
