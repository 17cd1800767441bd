//! A profile of the AWS configuration files (`~/.aws/config`, `~/.aws/credentials`): keys, a role taken with another one's, single
//! sign-on (after `aws sso login`), or a command that prints keys (`credential_process`).

use async_trait::async_trait;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

use crate::{Credentials, Provider, ProviderError, aws, error_chain};

/// A profile of the AWS configuration files, with single sign-on and `credential_process`.
#[derive(Debug, Clone)]
pub struct Profile {
    /// As in `[profile NAME]`.
    pub name: String,
}

#[async_trait]
impl Provider for Profile {
    fn describe(&self) -> String {
        format!("profile {}", self.name)
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let config =
            ProviderConfig::without_region().with_retry_config(aws::retries()).with_timeout_config(aws::timeouts());
        let region = ProfileFileRegionProvider::builder().configure(&config).profile_name(&self.name).build();
        let region = aws_config::meta::region::ProvideRegion::region(&region).await;
        let config = config.with_region(region.clone());
        let keys = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(&self.name).build();
        let pair = keys.provide_credentials().await.map_err(|error| ProviderError {
            passing: matches!(error, CredentialsError::ProviderTimedOut(_)),
            ..ProviderError::permanent(
                self,
                error_chain(&error),
                "check ~/.aws/config and ~/.aws/credentials (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE); with single sign-on run `aws sso login` first",
            )
        })?;
        Ok(aws::from_sdk(&pair, region.map(|region| region.to_string())))
    }
}
