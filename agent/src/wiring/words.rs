//! Settings in words: what was resolved, for the log and for `--validate`.

use super::keys::METADATA;
use super::{KeyRing, Keys};
use crate::notice::Watched;
use crate::pace::Breaker;
use skyferry_config as config;
use skyferry_config::{Endpoint, Provider, QueueName, Settings, Store};
use skyferry_core::route::Router;

/// So many failures are repeated when an agent is stopped.
const REPEATED: usize = 20;

/// Why what is not done is not done: whoever stops an agent that waits sees it without searching the log.
pub(super) fn repeat_failures(breaker: &Breaker) {
    let failing = breaker.unsettled();
    for error in failing.iter().rev().take(REPEATED) {
        tracing::warn!(%error, "stopped; the last failure of an object that is not done");
    }
    if failing.len() > REPEATED {
        tracing::warn!(others = failing.len() - REPEATED, "stopped; more objects have failed and are not done");
    }
}

/// What was resolved, a line each; no secret.
pub(super) fn describe(settings: &Settings, router: &Router, keys: &KeyRing) -> Vec<String> {
    let mut lines = vec![
        format!("source: {}{}", store(&settings.source), identity(&keys.source)),
        format!("destination: {}{}", store(&settings.destination), identity(&keys.destination)),
    ];
    lines.extend(router.routes().iter().chain(router.pairs()).map(|route| match route.source_bucket {
        Some(_) => format!("route: {route}"),
        None => format!("route: {route} (no [[routes]]: any source bucket whose events reach the queue)"),
    }));
    for queue in &settings.queues {
        lines.push(match queue {
            config::Queue::Embedded { path, events: None } => format!("queue: embedded in {}", path.display()),
            config::Queue::Embedded { path, events: Some(listener) } => {
                format!("queue: embedded in {}, events by HTTP at {}", path.display(), listener.address)
            }
            config::Queue::Sqs { queue, region, endpoint } => {
                let name = match queue {
                    QueueName::Name(name) => name,
                    QueueName::Url(url) => url,
                };
                format!("queue: SQS {name}{}{}", place(endpoint, region), identity(&keys.queue))
            }
        });
    }
    lines.push(match &settings.ledger {
        config::Ledger::Embedded { path } => format!("ledger: embedded in {}", path.display()),
        config::Ledger::DynamoDb { table, region, endpoint } => {
            format!("ledger: DynamoDB {table}{}{}", place(endpoint, region), identity(&keys.ledger))
        }
        config::Ledger::None => "ledger: none, so several promises are weaker".into(),
    });
    if let Some(backlog) = &settings.backlog {
        lines.push(format!("backlog: as {} to {}, by one agent at a time", backlog.metric, backlog.endpoint));
    }
    lines
}

fn store(store: &Store) -> String {
    match store {
        Store::S3(s3) => format!("S3{}", place(&s3.endpoint, &s3.region)),
        Store::Gcs { endpoint } => format!("Google Cloud Storage at {endpoint}"),
        Store::Directory { path } => format!("the directory {}", path.display()),
    }
}

fn place(endpoint: &Option<Endpoint>, region: &Option<String>) -> String {
    match (endpoint, region) {
        (Some(endpoint), _) => format!(" at {endpoint}"),
        (None, Some(region)) => format!(" in {region}"),
        (None, None) => " in the region of its credentials".into(),
    }
}

/// Who asks, and whether it is known already.
fn identity(keys: &Option<Keys>) -> String {
    let Some(keys) = keys else { return String::new() };
    let region = keys.region.as_ref().map(|region| format!(" (region {region})")).unwrap_or_default();
    let missing = keys.missing.as_ref().map(|error| format!(", which are not there yet: {}", error.problem));
    format!(", credentials from {}{region}{}", keys.cached.describe(), missing.unwrap_or_default())
}

/// Which metadata servers tell that this machine ends: those of the cloud whose identity of the machine is used.
pub(super) fn watched(settings: &Settings) -> Watched {
    let given = &settings.credentials;
    let providers = [&given.source, &given.destination, &given.queue, &given.ledger].map(Option::as_ref);
    let uses = |of: fn(&Provider) -> bool| providers.iter().flatten().any(|provider| of(provider));
    let amazon = uses(|provider| {
        matches!(
            provider,
            Provider::Instance { .. } | Provider::Ssm { .. } | Provider::Google { audience: Some(_), .. }
        )
    });
    let google = uses(|provider| {
        matches!(
            provider,
            Provider::SecretManager { .. } | Provider::WebIdentity { .. } | Provider::Google { audience: None, .. }
        )
    });
    let at = |endpoint: &Option<Endpoint>, usual: &str| {
        endpoint.as_ref().map_or_else(|| usual.to_owned(), |endpoint| endpoint.as_str().to_owned())
    };
    Watched {
        amazon: amazon.then(|| at(&settings.metadata.amazon, "http://169.254.169.254")),
        // Only a machine of Google's publishes there.
        google: (google || settings.backlog.is_some()).then(|| at(&settings.metadata.google, METADATA)),
    }
}
