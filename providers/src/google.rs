//! Google's own identity: Application Default Credentials (a service account's or federation's file, else the machine's
//! metadata server), or the role of an Amazon machine exchanged by workload identity federation. A Bearer token, keyless.

use std::time::Duration;

use async_trait::async_trait;
use google_cloud_auth::credentials::{AccessTokenCredentials, Builder, external_account, mds};
use google_cloud_auth::errors::CredentialsError;
use serde_json::json;

use crate::{Credentials, Grant, Provider, ProviderError, Secret, error_chain};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const EXCHANGE: &str = "https://sts.googleapis.com";
const AMAZON: &str = "http://169.254.169.254";

/// The identity of a machine of Google's, or (with an audience) of one of Amazon's.
#[derive(Debug, Clone, Default)]
pub struct Google {
    /// The provider of a workload identity pool that trusts the machine's Amazon role; `None`: Application Default Credentials.
    pub audience: Option<String>,
    /// Of the metadata server, or with `audience` of the token exchange.
    pub endpoint: Option<String>,
    /// Of the Amazon machine's metadata service, with `audience`.
    pub amazon: Option<String>,
}

impl Google {
    /// Asks for a token at every load, so that a file or a role that was changed counts at once.
    pub(crate) fn source(&self) -> Result<AccessTokenCredentials, ProviderError> {
        let built = match (&self.audience, &self.endpoint) {
            (Some(audience), _) => external_account::Builder::new(self.federation(audience))
                .with_scopes([SCOPE])
                .build_access_token_credentials(),
            (None, Some(endpoint)) if std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_none() => {
                mds::Builder::default().with_endpoint(endpoint).build_access_token_credentials()
            }
            (None, _) => Builder::default().with_scopes([SCOPE]).build_access_token_credentials(),
        };
        built.map_err(|error| {
            ProviderError::permanent(
                self,
                error_chain(&error),
                "correct the file that GOOGLE_APPLICATION_CREDENTIALS names",
            )
        })
    }

    /// What `gcloud iam workload-identity-pools create-cred-config --aws --enable-imdsv2` would write.
    fn federation(&self, audience: &str) -> serde_json::Value {
        let exchange = self.endpoint.as_deref().unwrap_or(EXCHANGE);
        let amazon = self.amazon.as_deref().unwrap_or(AMAZON);
        json!({
            "type": "external_account",
            "audience": audience,
            "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
            "token_url": format!("{exchange}/v1/token"),
            "credential_source": {
                "environment_id": "aws1",
                "region_url": format!("{amazon}/latest/meta-data/placement/availability-zone"),
                "url": format!("{amazon}/latest/meta-data/iam/security-credentials"),
                "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
                "imdsv2_session_token_url": format!("{amazon}/latest/api/token"),
            },
        })
    }

    pub(crate) fn failure(&self, from: &dyn Provider, error: &CredentialsError) -> ProviderError {
        let problem = error_chain(error);
        match (error.is_transient(), &self.audience) {
            (true, None) => ProviderError::temporary(
                from,
                format!("this machine's Google identity is not available: {problem}"),
                "run on Google Cloud with a service account, or name a credentials file with GOOGLE_APPLICATION_CREDENTIALS",
            ),
            (true, Some(_)) => ProviderError::temporary(
                from,
                format!("the token exchange does not answer: {problem}"),
                "it will be retried; check the network",
            ),
            (false, None) => ProviderError::permanent(
                from,
                format!("this machine's Google identity is refused: {problem}"),
                "see that the machine has a service account, or name a credentials file with GOOGLE_APPLICATION_CREDENTIALS",
            ),
            (false, Some(_)) => ProviderError::permanent(
                from,
                format!("the token exchange is refused: {problem}"),
                "check `audience`, and that the pool's provider trusts this machine's Amazon account and role",
            ),
        }
    }
}

#[async_trait]
impl Provider for Google {
    fn describe(&self) -> String {
        match &self.audience {
            Some(audience) => format!("the machine's Amazon role, exchanged at Google for {audience}"),
            None => "Google's Application Default Credentials".into(),
        }
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let token = self.source()?.access_token().await.map_err(|error| self.failure(self, &error))?;
        Ok(Credentials { grant: Grant::Bearer(Secret::new(token.token)), region: None, expires: None })
    }

    /// The library does not say when its token ends. The metadata server gives none with less than five minutes left.
    fn period(&self) -> Duration {
        Duration::from_secs(240)
    }
}
