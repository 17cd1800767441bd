//! From the settings' providers to credentials, each behind one cache, equal providers behind the same one.

use std::sync::Arc;

use skyferry_providers::{
    Anonymous, Cached, Environment, File, Google, Instance, Profile, ProviderError, SecretManager, Ssm, WebIdentity,
};

use super::WiringError;
use crate::backlog::BacklogTarget;
use skyferry_config as config;
use skyferry_config::{
    Endpoint, LedgerSettings, ListLocation, MetadataEndpoints, ProviderSettings, QueueSettings, Settings, StoreSettings,
};

/// Google's metadata server, where the environment does not say that it is elsewhere.
pub(super) const METADATA: &str = "http://metadata.google.internal";

/// A side's keys with the region that came with them. Asked for once now, so that a wrong name is reported at the start;
/// a service that does not answer is an outage.
#[derive(Clone)]
pub(super) struct RoleCredentials {
    pub(super) cached: Arc<Cached>,
    pub(super) region: Option<String>,
    /// Why there are none yet.
    pub(super) missing: Option<ProviderError>,
}

/// Everybody's keys.
pub(super) struct AllCredentials {
    pub(super) source: Option<RoleCredentials>,
    pub(super) destination: Option<RoleCredentials>,
    pub(super) queue: Option<RoleCredentials>,
    pub(super) ledger: Option<RoleCredentials>,
}

impl AllCredentials {
    pub(super) async fn open(settings: &Settings) -> Result<AllCredentials, WiringError> {
        refuse_bearers(settings)?;
        let given = &settings.credentials;
        let mut made = ProviderCache { metadata: &settings.metadata, keys: Vec::new() };
        Ok(AllCredentials {
            source: made.keys("source", given.source.as_ref()).await?,
            destination: made.keys("destination", given.destination.as_ref()).await?,
            queue: made.keys("queue", given.queue.as_ref()).await?,
            ledger: made.keys("ledger", given.ledger.as_ref()).await?,
        })
    }

    /// The ledger's alone.
    pub(super) async fn of_ledger(settings: &Settings) -> Result<Option<RoleCredentials>, WiringError> {
        let mut made = ProviderCache { metadata: &settings.metadata, keys: Vec::new() };
        made.keys("ledger", settings.credentials.ledger.as_ref()).await
    }

    pub(super) fn roles(&self) -> [(&'static str, &Option<RoleCredentials>); 4] {
        let AllCredentials { source, destination, queue, ledger } = self;
        [("source", source), ("destination", destination), ("queue", queue), ("ledger", ledger)]
    }

    /// Why one of them is not there yet.
    pub(super) fn missing(&self) -> Option<(&'static str, ProviderError)> {
        self.roles().into_iter().find_map(|(role, keys)| Some((role, keys.as_ref()?.missing.clone()?)))
    }
}

/// What was made so far.
pub(super) struct ProviderCache<'a> {
    pub(super) metadata: &'a MetadataEndpoints,
    pub(super) keys: Vec<(ProviderSettings, RoleCredentials)>,
}

impl ProviderCache<'_> {
    pub(super) async fn keys(
        &mut self,
        role: &'static str,
        provider: Option<&ProviderSettings>,
    ) -> Result<Option<RoleCredentials>, WiringError> {
        let Some(provider) = provider else { return Ok(None) };
        if let Some((_, keys)) = self.keys.iter().find(|(made, _)| made == provider) {
            return Ok(Some(keys.clone()));
        }
        let cached = cached(provider, self.metadata);
        let (region, missing) = match cached.get().await {
            Ok(credentials) => (credentials.region.clone(), None),
            Err(error) if error.passing => {
                tracing::warn!(%error, role, "no credentials yet; retrying when they are needed");
                (None, Some(error))
            }
            Err(error) => return Err(WiringError::Credentials { role, error }),
        };
        let keys = RoleCredentials { cached: Arc::new(cached), region, missing };
        self.keys.push((provider.clone(), keys.clone()));
        Ok(Some(keys))
    }
}

/// Why a list is not known.
#[derive(Debug)]
pub(super) struct ListError {
    pub reason: String,
    /// This machine's identity may not read it; else the reason may pass, or somebody has to correct the setting.
    pub denied: bool,
}

/// A list's name, and its text or why it cannot be read.
pub(super) async fn list(at: &ListLocation, metadata: &MetadataEndpoints) -> (String, Result<Vec<u8>, ListError>) {
    match at {
        ListLocation::File(path) => {
            let read = tokio::fs::read(path).await;
            (path.display().to_string(), read.map_err(|error| ListError { reason: error.to_string(), denied: false }))
        }
        ListLocation::Ssm { name, endpoint } => {
            let read = parameter(name, None, endpoint.as_ref(), metadata).text().await;
            let read = read.map(|text| text.as_bytes().to_vec());
            (format!("ssm:{name}"), read.map_err(|error| ListError { reason: error.to_string(), denied: error.denied }))
        }
    }
}

/// A parameter of SSM, read with the machine's own role, or the environment's key where it has none.
fn parameter(name: &str, region: Option<String>, endpoint: Option<&Endpoint>, metadata: &MetadataEndpoints) -> Ssm {
    let text = |endpoint: &Endpoint| endpoint.as_str().to_owned();
    let reader = Instance { endpoint: metadata.amazon.as_ref().map(text), or_environment: true };
    Ssm { name: name.into(), region, endpoint: endpoint.map(text), reader: Arc::new(Cached::new(reader)) }
}

/// The settings' provider as what gives its credentials. SSM is read with the machine's own role (or the environment's key
/// where it has none), Secret Manager with Google's Application Default Credentials.
pub fn cached(provider: &ProviderSettings, metadata: &MetadataEndpoints) -> Cached {
    let text = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned());
    let amazon = text(&metadata.amazon);
    let google = Google { endpoint: text(&metadata.google), ..Google::default() };
    match provider.clone() {
        ProviderSettings::Instance { endpoint } => {
            Cached::new(Instance { endpoint: text(&endpoint).or(amazon), or_environment: false })
        }
        ProviderSettings::Ssm { name, region, endpoint } => {
            Cached::new(parameter(&name, region, endpoint.as_ref(), metadata))
        }
        ProviderSettings::SecretManager { resource, field, endpoint } => {
            Cached::new(SecretManager { resource, field, endpoint: text(&endpoint), reader: google })
        }
        ProviderSettings::Environment { prefix } => Cached::new(Environment { prefix }),
        ProviderSettings::File { path, field } => Cached::new(File { path, field }),
        ProviderSettings::Profile { name } => Cached::new(Profile { name }),
        ProviderSettings::Anonymous => Cached::new(Anonymous),
        ProviderSettings::WebIdentity { role_arn, audience, region, endpoint } => Cached::new(WebIdentity {
            role_arn,
            audience,
            region,
            endpoint: text(&endpoint),
            metadata: google.endpoint,
        }),
        ProviderSettings::Google { audience: None, endpoint } => {
            Cached::new(Google { endpoint: text(&endpoint).or(google.endpoint), ..Google::default() })
        }
        ProviderSettings::Google { audience, endpoint } => {
            Cached::new(Google { audience, endpoint: text(&endpoint), amazon })
        }
    }
}

/// Where the backlog is published, by this machine's Google identity.
pub(super) fn backlog(settings: &Settings) -> Option<BacklogTarget> {
    let config::BacklogSettings { metric, period, endpoint } = settings.backlog.clone()?;
    let metadata = settings.metadata.google.as_ref();
    Some(BacklogTarget {
        metric,
        period,
        endpoint: endpoint.as_str().to_owned(),
        metadata: metadata.map_or(METADATA, Endpoint::as_str).to_owned(),
        identity: Arc::new(cached(&ProviderSettings::Google { audience: None, endpoint: None }, &settings.metadata)),
    })
}

/// Amazon's services take key pairs only: told now and not by every request.
fn refuse_bearers(settings: &Settings) -> Result<(), WiringError> {
    let given = &settings.credentials;
    let roles = [
        ("source", &given.source, matches!(settings.source, StoreSettings::S3(_)), "S3"),
        ("destination", &given.destination, matches!(settings.destination, StoreSettings::S3(_)), "S3"),
        ("queue", &given.queue, settings.queues.iter().any(|queue| matches!(queue, QueueSettings::Sqs { .. })), "SQS"),
        ("ledger", &given.ledger, matches!(settings.ledger, LedgerSettings::DynamoDb { .. }), "DynamoDB"),
    ];
    let unsigned = |(role, provider, ..): &&(&str, &Option<ProviderSettings>, bool, &str)| {
        *role != "source" && matches!(provider, Some(ProviderSettings::Anonymous))
    };
    if let Some((role, ..)) = roles.iter().find(unsigned) {
        let reason = format!("{role} is anonymous, which is for a public source alone: name a provider of keys for it");
        return Err(WiringError::Section { section: "[credentials]", reason });
    }
    let wrong = roles
        .iter()
        .find(|(_, provider, amazon, _)| *amazon && matches!(provider, Some(ProviderSettings::Google { .. })));
    match wrong {
        Some((role, _, _, service)) => Err(WiringError::Section {
            section: "[credentials]",
            reason: format!(
                "{role} is google, whose Bearer token {service} does not take: name web-identity (keyless, for a machine of Google) or a key pair"
            ),
        }),
        None => Ok(()),
    }
}
