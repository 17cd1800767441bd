//! Settings in words: what was resolved, for the log and for `--validate`.

use super::keys::METADATA;
use super::{AllCredentials, RoleCredentials};
use crate::limits::Breaker;
use crate::shutdown::NoticeSources;
use skyferry_config as config;
use skyferry_config::{Endpoint, ProviderSettings, QueueName, Settings};
use skyferry_core::route::Router;

/// So many failures are repeated when an agent is stopped.
const REPEATED: usize = 20;

/// Why what is not done is not done: whoever stops an agent that waits sees it without searching the log.
pub(super) fn repeat_failures(breaker: &Breaker) {
    let failing = breaker.unsettled_errors();
    for error in failing.iter().rev().take(REPEATED) {
        tracing::warn!(%error, "stopped; the last error of an unfinished object");
    }
    if failing.len() > REPEATED {
        tracing::warn!(others = failing.len() - REPEATED, "stopped; more objects are unfinished after errors");
    }
}

/// What was resolved, a line each; no secret.
pub(super) fn describe(settings: &Settings, router: &Router, keys: &AllCredentials) -> Vec<String> {
    let mut lines = vec![
        format!("source: {}{}", settings.source.describe(), identity(&keys.source)),
        format!("destination: {}{}", settings.destination.describe(), identity(&keys.destination)),
    ];
    lines.extend(router.routes().iter().chain(router.pairs()).map(|route| match route.source_bucket {
        Some(_) => format!("route: {route}{}", route.options),
        None => {
            let options = &route.options;
            format!("route: {route}{options} (no [[routes]]: any source bucket whose events reach the queue)")
        }
    }));
    for queue in &settings.queues {
        lines.push(match queue {
            config::QueueSettings::Embedded { path, events: None } => format!("queue: embedded in {}", path.display()),
            config::QueueSettings::Embedded { path, events: Some(listener) } => {
                format!("queue: embedded in {}, events by HTTP at {}", path.display(), listener.address)
            }
            config::QueueSettings::Sqs { queue, region, endpoint } => {
                let name = match queue {
                    QueueName::Name(name) => name,
                    QueueName::Url(url) => url,
                };
                format!("queue: SQS {name}{}{}", describe_endpoint(endpoint, region), identity(&keys.queue))
            }
        });
    }
    lines.push(match &settings.ledger {
        config::LedgerSettings::Embedded { path } => format!("ledger: embedded in {}", path.display()),
        config::LedgerSettings::DynamoDb { table, region, endpoint } => {
            format!("ledger: DynamoDB {table}{}{}", describe_endpoint(endpoint, region), identity(&keys.ledger))
        }
        config::LedgerSettings::None => "ledger: none, so several guarantees are weaker".into(),
    });
    if let Some(backlog) = &settings.backlog {
        lines.push(format!("backlog: as {} to {}, by one agent at a time", backlog.metric, backlog.endpoint));
    }
    lines
}

fn describe_endpoint(endpoint: &Option<Endpoint>, region: &Option<String>) -> String {
    match (endpoint, region) {
        (Some(endpoint), _) => format!(" at {endpoint}"),
        (None, Some(region)) => format!(" in {region}"),
        (None, None) => " in the region of its credentials".into(),
    }
}

/// Who asks, and whether it is known already.
fn identity(keys: &Option<RoleCredentials>) -> String {
    let Some(keys) = keys else { return String::new() };
    let region = keys.region.as_ref().map(|region| format!(" (region {region})")).unwrap_or_default();
    let missing = keys.missing.as_ref().map(|error| format!(", which are not there yet: {}", error.problem));
    format!(", credentials from {}{region}{}", keys.cached.describe(), missing.unwrap_or_default())
}

/// Which metadata servers tell that this machine ends: those of the cloud whose identity of the machine is used.
pub(super) fn watched(settings: &Settings) -> NoticeSources {
    let given = &settings.credentials;
    let providers = [&given.source, &given.destination, &given.queue, &given.ledger].map(Option::as_ref);
    let uses = |of: fn(&ProviderSettings) -> bool| providers.iter().flatten().any(|provider| of(provider));
    let amazon = uses(|provider| {
        matches!(
            provider,
            ProviderSettings::Instance { .. }
                | ProviderSettings::Ssm { .. }
                | ProviderSettings::Google { audience: Some(_), .. }
        )
    });
    let google = uses(|provider| {
        matches!(
            provider,
            ProviderSettings::SecretManager { .. }
                | ProviderSettings::WebIdentity { .. }
                | ProviderSettings::Google { audience: None, .. }
        )
    });
    let at = |endpoint: &Option<Endpoint>, usual: &str| {
        endpoint.as_ref().map_or_else(|| usual.to_owned(), |endpoint| endpoint.as_str().to_owned())
    };
    NoticeSources {
        amazon: amazon.then(|| at(&settings.metadata.amazon, "http://169.254.169.254")),
        // Only a machine of Google's publishes there.
        google: (google || settings.backlog.is_some()).then(|| at(&settings.metadata.google, METADATA)),
    }
}
