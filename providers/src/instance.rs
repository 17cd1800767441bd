//! The identity that the machine gives: a web identity token in a file (EKS), the container's role (ECS), the machine's role
//! (EC2, by version 2 of its metadata service: Amazon's client knows no other), the role of a Lambda function.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

use crate::{Credentials, Environment, Provider, ProviderError, aws, error_chain};

/// The machine's role.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    /// Of the metadata service. Given here, nothing else is asked; `None`: where Amazon's own settings say.
    pub endpoint: Option<String>,
    /// Take the environment's plain key pair where the machine has no role: what may read a parameter on any machine.
    pub or_environment: bool,
}

const ADVICE: &str = "run on a machine with a role (EC2, ECS, EKS), see that its metadata service is reachable, or name another provider";

impl Instance {
    /// Amazon's client for the metadata service, which speaks version 2 only.
    fn metadata(&self) -> Result<imds::Client, ProviderError> {
        let builder = imds::Client::builder()
            .max_attempts(2)
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(1))
            .operation_timeout(Duration::from_secs(4));
        let builder = match &self.endpoint {
            Some(endpoint) => builder
                .endpoint(endpoint)
                .map_err(|e| ProviderError::permanent(self, e.to_string(), "correct the endpoint"))?,
            None => builder,
        };
        Ok(builder.build())
    }

    async fn role(&self) -> Result<Credentials, ProviderError> {
        if self.endpoint.is_none() && function().is_some() {
            return Environment::default().load().await;
        }
        let metadata = self.metadata()?;
        let role = ImdsCredentialsProvider::builder().imds_client(metadata.clone()).build();
        let mut without = Vec::new();
        let mut found = None;
        for (place, provider) in self.candidates(role).await {
            match provider.provide_credentials().await {
                Ok(pair) => {
                    found = Some(pair);
                    break;
                }
                Err(error @ CredentialsError::CredentialsNotLoaded(_)) => without.push((place, error_chain(&error))),
                Err(error @ CredentialsError::InvalidConfiguration(_)) => {
                    return Err(ProviderError::permanent(self, format!("{place}: {}", error_chain(&error)), ADVICE));
                }
                Err(error) => {
                    return Err(ProviderError::temporary(self, format!("{place}: {}", error_chain(&error)), ADVICE));
                }
            }
        }
        let Some(pair) = found else {
            // The last place is the machine itself: the others are there only where variables name them.
            let message = without.pop().map(|(place, message)| format!("{place}: {message}")).unwrap_or_default();
            let no_role = message.contains("404") || message.contains("disabled");
            let problem = format!("this machine has no role ({message})");
            return Err(ProviderError { passing: !no_role, ..ProviderError::permanent(self, problem, ADVICE) });
        };
        let region = match aws::region_of_environment().filter(|_| self.endpoint.is_none()) {
            Some(region) => Some(region),
            None => metadata.get("/latest/meta-data/placement/region").await.ok().map(|text| text.as_ref().to_owned()),
        };
        Ok(aws::from_sdk(&pair, region.filter(|region| !region.is_empty())))
    }

    async fn candidates(&self, role: ImdsCredentialsProvider) -> Vec<(&'static str, Box<dyn ProvideCredentials>)> {
        let mut places: Vec<(_, Box<dyn ProvideCredentials>)> = Vec::new();
        if self.endpoint.is_none() {
            let config = ProviderConfig::with_default_region()
                .await
                .with_retry_config(aws::retries())
                .with_timeout_config(aws::timeouts());
            let web = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
            places.push(("web identity token", Box::new(web)));
            places.push(("container", Box::new(EcsCredentialsProvider::builder().configure(&config).build())));
        }
        places.push(("metadata service of the machine", Box::new(role)));
        places
    }
}

/// The log stream of this instance of a Lambda function, in one. Its role's keys are in the environment, and nobody there
/// answers for the metadata service.
fn function() -> Option<String> {
    std::env::var_os("AWS_LAMBDA_FUNCTION_NAME")?;
    Some(std::env::var("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_else(|_| "lambda".into()))
}

/// The id of this machine (`i-…`), where a metadata service of Amazon's tells one; in a Lambda function its log stream.
/// `endpoint`: as [`Instance`] has it.
pub async fn instance_id(endpoint: Option<String>) -> Option<String> {
    if let Some(stream) = function().filter(|_| endpoint.is_none()) {
        return Some(stream);
    }
    let metadata = Instance { endpoint, or_environment: false }.metadata().ok()?;
    let id = metadata.get("/latest/meta-data/instance-id").await.ok()?;
    Some(id.as_ref().trim().to_owned()).filter(|id| id.starts_with("i-"))
}

#[async_trait]
impl Provider for Instance {
    fn describe(&self) -> String {
        match (&self.endpoint, self.or_environment) {
            (Some(endpoint), _) => format!("the machine's own role, by its metadata service at {endpoint}"),
            (None, false) => "the machine's own role".into(),
            (None, true) => "the machine's own role, or the environment's AWS_*".into(),
        }
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let environment = Environment::default();
        match self.role().await {
            Err(_) if self.or_environment && environment.is_set() => environment.load().await,
            loaded => loaded,
        }
    }
}
