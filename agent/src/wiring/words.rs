//! Settings in words: what this build cannot do yet, and what was resolved, for the log and for `--validate`.

use super::{Keys, WiringError};
use crate::config::{self, Settings, Store};
use crate::route::Router;

/// What the settings can say and this build cannot do is refused: passed over in silence it would be believed.
pub(super) fn refuse_unfinished(settings: &Settings) -> Result<(), WiringError> {
    let unfinished = [
        (settings.queues.len() != 1, "several [[queues]]"),
        (matches!(settings.queues.first(), Some(config::Queue::Sqs { .. })), "[queue] kind = \"sqs\""),
        (matches!(settings.ledger, config::Ledger::DynamoDb { .. }), "[ledger] kind = \"dynamodb\""),
        (matches!(settings.ledger, config::Ledger::None), "[ledger] kind = \"none\""),
    ];
    match unfinished.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(WiringError::NotYet((*what).into())),
        None => Ok(()),
    }
}

/// What was resolved, a line each; no secret.
pub(super) fn describe(settings: &Settings, router: &Router, keys: [&Option<Keys>; 2]) -> Vec<String> {
    let side = |name: &str, store: &Store, keys: &Option<Keys>| {
        let at = match store {
            Store::S3(s3) => match (&s3.endpoint, &s3.region) {
                (Some(endpoint), _) => format!("S3 at {endpoint}"),
                (None, Some(region)) => format!("S3 in {region}"),
                (None, None) => "S3 in the region of its credentials".into(),
            },
            Store::Gcs { endpoint } => format!("Google Cloud Storage at {endpoint}"),
            Store::Directory { path } => format!("the directory {}", path.display()),
        };
        let identity = keys.as_ref().map(|keys| format!(", credentials from {}", keys.cached.describe()));
        format!("{name}: {at}{}", identity.unwrap_or_default())
    };
    let mut lines =
        vec![side("source", &settings.source, keys[0]), side("destination", &settings.destination, keys[1])];
    lines.extend(router.routes().iter().map(|route| match route.source_bucket {
        Some(_) => format!("route: {route}"),
        None => format!("route: {route} (no [[routes]]: any source bucket whose events reach the queue)"),
    }));
    for queue in &settings.queues {
        if let config::Queue::Embedded { path } = queue {
            lines.push(format!("queue: embedded in {}", path.display()));
        }
    }
    if let config::Ledger::Embedded { path } = &settings.ledger {
        lines.push(format!("ledger: embedded in {}", path.display()));
    }
    lines
}
