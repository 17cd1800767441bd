//! Whose keys these are, by Amazon's own word: for people who look before anything runs. STS asks for no permission.

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::{BehaviorVersion, Region};

use crate::{Cached, ProviderError, aws};

impl Cached {
    /// The ARN that signs with these keys; `None` for a token, which is not Amazon's. `endpoint`: of STS, where that is not
    /// the region's own.
    pub async fn caller(&self, region: &str, endpoint: Option<String>) -> Result<Option<String>, ProviderError> {
        let held = self.get().await?;
        let Some(pair) = aws::to_sdk(&held) else { return Ok(None) };
        let mut config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(pair))
            .retry_config(aws::retries())
            .timeout_config(aws::timeouts());
        config.set_endpoint_url(endpoint);
        let asked = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
        let reported = asked.map_err(|error| aws::failure(self.provider(), "STS", &error, advice))?;
        Ok(reported.arn)
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => "check the secret key, and this machine's clock",
        "InvalidClientTokenId" => "check the key id, and whether the key is of this partition (aws or aws-cn)",
        "ExpiredToken" => "the session has ended: get new keys",
        _ => "check the keys and the region",
    }
}
