//! A key pair in Google's Secret Manager, where the predecessors keep the keys of both sides for machines on GCE. What
//! arrives is compared with the checksum that the service stores.

use std::time::Duration;

use async_trait::async_trait;
use google_cloud_auth::credentials::Credentials as GoogleCredentials;
use google_cloud_gax::client_builder::internal::with_follow_redirects;
use google_cloud_gax::retry_policy::{Aip194Strict, RetryPolicyExt};
use google_cloud_secretmanager_v1::Error;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use zeroize::{Zeroize, Zeroizing};

use crate::keyfile::{SHAPE, parse};
use crate::{Credentials, Google, Provider, ProviderError, error_chain};

/// What a secret's version is called.
const NAME: &str = "name a version: projects/P/secrets/S/versions/latest";

/// A version of a secret in Google's Secret Manager.
#[derive(Debug, Clone)]
pub struct SecretManager {
    /// `projects/P/secrets/S/versions/V`
    pub resource: String,
    /// `source` or `destination` where the secret holds both.
    pub field: Option<String>,
    /// Instead of Google's own.
    pub endpoint: Option<String>,
    /// Who reads it.
    pub reader: Google,
}

impl SecretManager {
    async fn payload(&self) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let parts: Vec<&str> = self.resource.split('/').collect();
        let named = matches!(parts[..], ["projects", _, "secrets", _, "versions", _])
            || matches!(parts[..], ["projects", _, "locations", _, "secrets", _, "versions", _]);
        if !named || parts.iter().any(|part| part.is_empty()) {
            return Err(ProviderError::permanent(self, "this is not the name of a secret's version", NAME));
        }
        // Asked first and by itself, so that its absence is not taken for the service's.
        let identity = self.reader.source()?;
        identity.access_token().await.map_err(|error| self.reader.failure(self, &error))?;
        let mut client = SecretManagerService::builder()
            .with_credentials(GoogleCredentials::from(identity))
            .with_retry_policy(Aip194Strict.with_attempt_limit(2))
            .with_attempt_timeout(Duration::from_secs(4))
            .with_universe_domain("googleapis.com");
        if let Some(endpoint) = &self.endpoint {
            client = client.with_endpoint(endpoint);
        }
        // Whoever answers in its place is not asked for keys.
        let client = with_follow_redirects(client, false).build().await.map_err(|error| {
            ProviderError::permanent(
                self,
                error_chain(&error),
                "check the provider's endpoint and the certificates of this machine",
            )
        })?;
        let answer = client
            .access_secret_version()
            .set_name(&self.resource)
            .send()
            .await
            .map_err(|error| self.failure(&error))?;
        let payload =
            answer.payload.ok_or_else(|| ProviderError::permanent(self, "the version has no payload", SHAPE))?;
        let sum = i64::from(crc32c::crc32c(&payload.data));
        match payload.data_crc32c {
            Some(stored) if stored != sum => Err(ProviderError::temporary(
                self,
                format!("its {} bytes arrived damaged: CRC32C {sum}, stored is {stored}", payload.data.len()),
                "it will be retried; if this persists, add the secret as a new version",
            )),
            _ => {
                let kept = Zeroizing::new(payload.data.to_vec());
                // The library's own buffer is wiped where nobody shares it.
                if let Ok(mut own) = payload.data.try_into_mut() {
                    own.as_mut().zeroize();
                }
                Ok(kept)
            }
        }
    }

    fn failure(&self, error: &Error) -> ProviderError {
        const AWAY: &str = "it will be retried; check the network and the endpoint";
        let Some(status) = error.status() else {
            let code = error.http_status_code();
            let problem = match code {
                Some(code) => format!("Secret Manager answered {code} with an unreadable body"),
                None => format!("Secret Manager does not answer: {}", error_chain(error)),
            };
            return ProviderError {
                passing: code.is_none_or(|code| code >= 500 || code == 429) && !error.is_deserialization(),
                ..ProviderError::permanent(self, problem, AWAY)
            };
        };
        let problem = format!("Secret Manager answered {}: {}", status.code.name(), status.message);
        match status.code.name() {
            "NOT_FOUND" => {
                ProviderError::permanent(self, problem, "create the secret and a version of it, or correct the name")
            }
            "PERMISSION_DENIED" if status.message.contains("has not been used in project") => {
                ProviderError::permanent(self, problem, "enable secretmanager.googleapis.com in that project")
            }
            // Of a project that does not exist Google says no more than this.
            "PERMISSION_DENIED" if status.message.contains("Permission denied on resource project") => {
                ProviderError::permanent(
                    self,
                    problem,
                    "correct the project in the name, projects/P/secrets/S/versions/V",
                )
            }
            "PERMISSION_DENIED" => ProviderError::permanent(
                self,
                problem,
                "grant roles/secretmanager.secretAccessor on the secret to this machine's service account, and give the machine the scope cloud-platform",
            ),
            "UNAUTHENTICATED" => {
                ProviderError::permanent(self, problem, "check this machine's service account and its clock")
            }
            "FAILED_PRECONDITION" => {
                ProviderError::permanent(self, problem, "enable the version, or add a new one and name `latest`")
            }
            "INVALID_ARGUMENT" => ProviderError::permanent(self, problem, NAME),
            _ => ProviderError::temporary(self, problem, AWAY),
        }
    }
}

#[async_trait]
impl Provider for SecretManager {
    fn describe(&self) -> String {
        let field = self.field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default();
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        format!("Secret Manager {}{field}{endpoint}, read with {}", self.resource, self.reader.describe())
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let payload = self.payload().await?;
        parse(&payload, self.field.as_deref()).map_err(|problem| ProviderError::permanent(self, problem, SHAPE))
    }
}
