//! The project's credentials as the SDK asks for them.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials as SdkCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use skyferry_providers::{Cached, Credentials, Grant};

#[derive(Clone)]
pub(super) struct SharedCredentials {
    cached: Arc<Cached>,
    /// What was handed out last: what a refusal is about.
    last: Arc<Mutex<Option<Arc<Credentials>>>>,
}

impl SharedCredentials {
    pub fn new(cached: Arc<Cached>) -> SharedCredentials {
        SharedCredentials { cached, last: Arc::default() }
    }

    pub fn last(&self) -> Option<Arc<Credentials>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The service refused what was handed out. `before`: what was handed out last before the request, in case somebody
    /// has asked again meanwhile.
    pub fn refused(&self, before: Option<Arc<Credentials>>) {
        if let Some(refused) = before.or_else(|| self.last()) {
            self.cached.refused(&refused);
        }
    }

    async fn current(&self) -> Result<SdkCredentials, CredentialsError> {
        let held = self.cached.get().await.map_err(CredentialsError::provider_error)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
        match &held.grant {
            Grant::Keys { access_key_id, secret_access_key, session_token } => Ok(SdkCredentials::new(
                access_key_id.clone(),
                secret_access_key.expose(),
                session_token.as_ref().map(|token| token.expose().to_owned()),
                held.expires,
                "skyferry",
            )),
            Grant::Bearer(_) | Grant::Anonymous => Err(CredentialsError::invalid_configuration(
                "neither a Google token nor the provider anonymous opens an AWS service: name a provider of AWS keys under [credentials] queue and ledger",
            )),
        }
    }
}

impl std::fmt::Debug for SharedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "keys from {}", self.cached.describe())
    }
}

impl ProvideCredentials for SharedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}
