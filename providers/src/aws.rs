//! What Amazon's clients have in common here: short patience, since the cache asks again by itself, and one reading of what
//! went wrong.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials as Pair;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};

use crate::{Credentials, Grant, Provider, ProviderError, Secret, error_chain};

/// A service that is away is reported within this.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(8))
        .build()
}

pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(200))
}

/// Ours, from Amazon's.
pub(crate) fn from_sdk(pair: &Pair, region: Option<String>) -> Credentials {
    let grant = Grant::Keys {
        access_key_id: pair.access_key_id().into(),
        secret_access_key: Secret::new(pair.secret_access_key()),
        session_token: pair.session_token().map(Secret::new),
    };
    Credentials { grant, region, expires: pair.expiry() }
}

/// Amazon's, from ours; `None` for a Bearer token, which Amazon has no use for.
pub(crate) fn to_sdk(credentials: &Credentials) -> Option<Pair> {
    let Grant::Keys { access_key_id, secret_access_key, session_token } = &credentials.grant else { return None };
    let token = session_token.as_ref().map(|token| token.expose().to_owned());
    Some(Pair::new(access_key_id, secret_access_key.expose(), token, credentials.expires, "skyferry"))
}

/// `AWS_REGION`, or its older name.
pub(crate) fn region_of_environment() -> Option<String> {
    let read = |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    read("AWS_REGION").or_else(|| read("AWS_DEFAULT_REGION"))
}

/// A failed request: an outage, or a refusal with its code, for which `advice` knows what to do.
pub(crate) fn failure<E>(
    from: &dyn Provider,
    service: &str,
    error: &SdkError<E>,
    advice: impl FnOnce(&str) -> &'static str,
) -> ProviderError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    const AWAY: &str = "it will be retried; check the network and the endpoint";
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let (code, message) = (error.code().unwrap_or("no code"), error.message().unwrap_or_default());
            let detail = if message.is_empty() { String::new() } else { format!(": {message}") };
            let problem = format!("{service} answered {status} {code}{detail}");
            if status >= 500 || code.contains("Throttl") || code == "IDPCommunicationError" {
                ProviderError::temporary(from, problem, AWAY)
            } else {
                ProviderError::permanent(from, problem, advice(code))
            }
        }
        SdkError::ConstructionFailure(_) => {
            ProviderError::permanent(from, error_chain(error), "check the provider's region and endpoint")
        }
        SdkError::ResponseError(answer) if answer.raw().status().as_u16() < 500 => {
            let status = answer.raw().status().as_u16();
            ProviderError::permanent(from, format!("{service} answered {status} with an unreadable body"), AWAY)
        }
        _ => ProviderError::temporary(from, format!("{service} does not answer: {}", error_chain(error)), AWAY),
    }
}
