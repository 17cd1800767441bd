//! What the clients of SQS and DynamoDB have in common: where they connect, whose keys they sign with, and the one loop
//! that tries again. The SDK's own retries are off: two loops multiply, and only ours knows that keys may be stale.
//!
//! Every attempt has a limit of its own. What is over it counts as unanswered, which is not the same as undone: a
//! [`RequestFailure`] says whether the request may have taken effect.

mod clock;
mod credentials;
mod error;
mod https;

use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use skyferry_providers::Cached;
use tokio::time::Instant;

pub use clock::{DateReader, ServerClock};
use credentials::SharedCredentials;
pub use error::{FailureCause, RequestFailure};

use skyferry_core::backoff::Retry;

const CONNECT: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long one attempt of a request may take, and for how long it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    pub attempt: Duration,
    pub total: Duration,
}

/// Of the first requests to a service: one that is not there ends the program after this time, as it ends `copy`.
pub(crate) const OPENING: RetryBudget =
    RetryBudget { attempt: Duration::from_secs(10), total: Duration::from_secs(30) };

impl RetryBudget {
    /// What is to be tried again as a whole begins within `total`.
    pub(crate) fn retry(self) -> Retry {
        Retry::within(self.total, FIRST, LONGEST)
    }
}

/// Why no connection can be made at all.
#[derive(Debug, thiserror::Error)]
#[error("trusted certificates: {0}")]
pub struct TlsSetupError(String);

/// Where a service is and whose keys open it.
#[derive(Clone)]
pub struct AwsClient {
    config: SdkConfig,
    keys: SharedCredentials,
    target: https::Target,
}

impl AwsClient {
    /// `endpoint`: instead of the region's own; plain http only where the settings took it.
    pub fn new(keys: Arc<Cached>, region: &str, endpoint: Option<&str>) -> Result<AwsClient, TlsSetupError> {
        let (keys, target) = (SharedCredentials::new(keys), https::Target::default());
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(keys.clone()))
            // `Cached` is the cache; a second one would hand out refused keys for a quarter of an hour.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            .http_client(https::client(target.clone()).map_err(TlsSetupError)?)
            // A long poll is silent for as long as it lasts.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_app_name(AppName::new("skyferry").ok());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        Ok(AwsClient { config: config.build(), keys, target })
    }

    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    fn target(&self) -> &str {
        self.target.get().map_or("the service", String::as_str)
    }

    /// Makes attempts until one is answered for good or the patience is over. Keys that were refused are asked for again,
    /// once.
    pub async fn call<O, E, F>(&self, patience: RetryBudget, attempt: impl Fn() -> F) -> Result<O, RequestFailure<E>>
    where
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let (began, mut retry) = (Instant::now(), patience.retry());
        let (mut unsure, mut renewed) = (false, false);
        loop {
            let keys = self.keys.last();
            let mut failure = match tokio::time::timeout(patience.attempt, attempt()).await {
                Ok(Ok(output)) => return Ok(output),
                Ok(Err(error)) => RequestFailure::from_sdk(error, self.target()),
                Err(_) => RequestFailure::unanswered(self.target(), patience.attempt),
            };
            unsure |= failure.unsure;
            failure.unsure = unsure;
            match failure.cause {
                FailureCause::Credentials if !renewed => {
                    renewed = true;
                    self.keys.refused(keys);
                }
                FailureCause::Throttled | FailureCause::Unavailable => match retry.delay(began.elapsed()) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => return Err(failure),
                },
                _ => return Err(failure),
            }
        }
    }
}
