//! Settings in words: what this build cannot do yet, and what was resolved, for the log and for `--validate`.

use super::{Keys, WiringError};
use crate::config::{self, Endpoint, Settings, Store, Verify, Versions};
use crate::route::Router;

/// What the settings can say and this build cannot do is refused: passed over in silence it would be believed.
pub(super) fn refuse_unfinished(settings: &Settings) -> Result<(), WiringError> {
    let transfer = &settings.transfer;
    let unfinished = [
        (transfer.verify == Verify::Md5, "[transfer] verify = \"md5\""),
        (transfer.versions == Versions::Exact, "[transfer] versions = \"exact\""),
        (transfer.tags, "[transfer] tags = true"),
    ];
    match unfinished.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(WiringError::NotYet((*what).into())),
        None => Ok(()),
    }
}

/// What was resolved, a line each; no secret.
pub(super) fn describe(settings: &Settings, router: &Router, keys: [&Option<Keys>; 4]) -> Vec<String> {
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
        format!("{name}: {at}{}", identity(keys))
    };
    let mut lines =
        vec![side("source", &settings.source, keys[0]), side("destination", &settings.destination, keys[1])];
    lines.extend(router.routes().iter().map(|route| match route.source_bucket {
        Some(_) => format!("route: {route}"),
        None => format!("route: {route} (no [[routes]]: any source bucket whose events reach the queue)"),
    }));
    lines.extend(settings.queues.iter().map(|queue| match queue {
        config::Queue::Embedded { path } => format!("queue: embedded in {}", path.display()),
        config::Queue::Sqs { queue, region, endpoint } => {
            let (config::QueueName::Name(name) | config::QueueName::Url(name)) = queue;
            format!("queue: SQS {name} {}{}", place(region, endpoint), identity(keys[2]))
        }
    }));
    lines.push(match &settings.ledger {
        config::Ledger::Embedded { path } => format!("ledger: embedded in {}", path.display()),
        config::Ledger::DynamoDb { table, region, endpoint } => {
            format!("ledger: DynamoDB table {table} {}{}", place(region, endpoint), identity(keys[3]))
        }
        config::Ledger::None => "ledger: none".into(),
    });
    lines
}

fn identity(keys: &Option<Keys>) -> String {
    keys.as_ref().map(|keys| format!(", credentials from {}", keys.cached.describe())).unwrap_or_default()
}

fn place(region: &Option<String>, endpoint: &Option<Endpoint>) -> String {
    match (endpoint, region) {
        (Some(endpoint), _) => format!("at {endpoint}"),
        (None, Some(region)) => format!("in {region}"),
        (None, None) => "in the region of its credentials".into(),
    }
}
