//! A key pair in a SecureString of SSM's parameter store, where the predecessors keep the other partition's key.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ssm::config::{BehaviorVersion, Region};
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use zeroize::Zeroizing;

use crate::keyfile::{SHAPE, parse};
use crate::{Cached, Credentials, Provider, ProviderError, aws};

/// A SecureString of the SSM Parameter Store.
pub struct Ssm {
    /// The parameter's name.
    pub name: String,
    /// Of the parameter store; `None`: the reader's.
    pub region: Option<String>,
    /// Instead of the region's own.
    pub endpoint: Option<String>,
    /// Who reads it.
    pub reader: Arc<Cached>,
}

impl Ssm {
    /// The parameter's text, decrypted.
    pub async fn text(&self) -> Result<Zeroizing<String>, ProviderError> {
        let reader = self.reader.get().await.map_err(|error| ProviderError { from: self.describe(), ..error })?;
        let pair = aws::to_sdk(&reader).ok_or_else(|| {
            ProviderError::permanent(
                self,
                "its reader has a Bearer token instead of a key pair",
                "use an AWS identity to read it",
            )
        })?;
        let region = self.region.clone().or_else(|| reader.region.clone()).or_else(aws::region_of_environment);
        let region = region.ok_or_else(|| {
            ProviderError::permanent(
                self,
                "its region is not known",
                "give the provider's table a region, or set AWS_REGION",
            )
        })?;
        let mut config = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(pair)
            .retry_config(aws::retries())
            .timeout_config(aws::timeouts());
        config.set_endpoint_url(self.endpoint.clone());
        let client = aws_sdk_ssm::Client::from_conf(config.build());
        let answer = client.get_parameter().name(&self.name).with_decryption(true).send().await.map_err(|error| {
            let denied = error.code() == Some("AccessDeniedException");
            let failure = ProviderError { denied, ..aws::failure(self, "SSM", &error, advice) };
            if !failure.passing {
                self.reader.refused(&reader);
            }
            failure
        })?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        value.map(Zeroizing::new).ok_or_else(|| ProviderError::permanent(self, "the parameter has no value", SHAPE))
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "ParameterNotFound" => "create the parameter (a SecureString) in that region, or correct its name",
        "AccessDeniedException" => "allow the reader ssm:GetParameter on it, and kms:Decrypt on its key",
        "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException" => {
            "the reader's own credentials are refused: check them, and this machine's clock"
        }
        _ => "check the parameter and the reader's permissions",
    }
}

#[async_trait]
impl Provider for Ssm {
    fn describe(&self) -> String {
        let region = self.region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        format!("SSM parameter {}{region}{endpoint}, read with {}", self.name, self.reader.describe())
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let value = self.text().await?;
        parse(value.as_bytes(), None).map_err(|problem| ProviderError::permanent(self, problem, SHAPE))
    }
}
