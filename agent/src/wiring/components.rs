//! The parts of an agent, each opened by itself: for who wants to know of every one whether it works.

use std::sync::Arc;

use skyferry_providers::ProviderError;

use super::keys::{ProviderCache, RoleCredentials};
use super::lists::router;
use super::stores::OpenedStore;
use super::{EMBEDDED_QUEUE, WiringError, copy_loops, queues, stores};
use skyferry_aws::dynamodb::TableSettings;
use skyferry_aws::sqs::Sqs;
use skyferry_config as config;
use skyferry_config::{Endpoint, ProviderSettings, QueueName, Settings, StoreSettings};
use skyferry_core::error::Side;
use skyferry_core::ledger::Ledger;
use skyferry_core::ledger::none::NoLedger;
use skyferry_core::queue::Queue;
use skyferry_core::route::Router;
use skyferry_core::store::{Sink, Source};
use skyferry_sqlite::queue::DeadLetterTable;

pub struct Components {
    pub identities: Vec<RoleIdentity>,
    pub router: Result<Router, WiringError>,
    pub source: Result<Arc<dyn Source>, WiringError>,
    /// The source as one that is written to, with the source's own keys: for a probe of its events.
    pub source_written: Result<Arc<dyn Sink>, WiringError>,
    pub sink: Result<Arc<dyn Sink>, WiringError>,
    /// In the settings' order, each by the name that it has there.
    pub queues: Vec<(String, Result<QueueComponent, WiringError>)>,
    pub ledger: Result<LedgerComponent, WiringError>,
}

/// Whose keys a role uses.
pub struct RoleIdentity {
    pub role: &'static str,
    /// The provider, in plain words.
    pub from: String,
    /// Amazon's word for who that is, where it was asked.
    pub caller: Result<Option<String>, ProviderError>,
}

pub struct QueueComponent {
    pub queue: Arc<dyn Queue>,
    /// The same, where it is one of SQS: it has settings of its own.
    pub sqs: Option<Arc<Sqs>>,
    /// The same, where it is embedded: it holds its own dead letters.
    pub embedded: Option<Arc<dyn DeadLetterTable>>,
}

pub struct LedgerComponent {
    pub ledger: Arc<dyn Ledger>,
    /// Of DynamoDB, where these keys may look.
    pub table: Option<TableSettings>,
}

/// A role's provider, and where Amazon is asked about its keys.
struct Role<'a> {
    name: &'static str,
    provider: Option<&'a ProviderSettings>,
    region: Option<&'a str>,
    amazon: bool,
}

impl Components {
    /// `sts`: where STS is, if not at its region's own place; then it is asked about every key pair for a service that
    /// speaks Amazon's tongue, else only about those for Amazon's own. Needs a runtime.
    pub async fn open(settings: &Settings, sts: Option<String>) -> Result<Components, WiringError> {
        let transport = stores::transport(settings)?;
        let mut made = ProviderCache { metadata: &settings.metadata, keys: Vec::new() };
        let mut identities = Vec::new();
        let mut keys = async |role: Role<'_>| {
            let had = made.keys(role.name, role.provider).await;
            identities.extend(identity(&role, &had, settings, sts.clone()).await);
            let without = |_| WiringError::Section {
                section: "[credentials]",
                reason: format!("{} has none, so it is not tried", role.name),
            };
            had.map_err(without)
        };
        let [source, destination, queue, ledger] = roles(settings, sts.is_some());
        let (source, destination) = (keys(source).await, keys(destination).await);
        let (queue, ledger) = (keys(queue).await, keys(ledger).await);
        let router = router(settings).await.and_then(|router| {
            let [from, to] = [&source, &destination].map(|keys| keys.as_ref().ok().cloned().flatten());
            copy_loops::refuse_copy_loops(settings, &router, [&from, &to]).map(|()| router)
        });
        let mut files = queues::SqliteFiles::shared();
        let opened = each_queue(settings, &queue, &mut files).await;
        let open = |side, keys| stores::open(settings, side, keys, &transport);
        Ok(Components {
            source_written: match &source {
                Ok(keys) => open(Side::Source, keys.clone()).map(OpenedStore::sink),
                Err(error) => Err(clone_error(error)),
            },
            source: source.and_then(|keys| open(Side::Source, keys)).map(OpenedStore::source),
            sink: destination.and_then(|keys| open(Side::Destination, keys)).map(OpenedStore::sink),
            router,
            queues: opened,
            ledger: open_ledger(settings, ledger, &mut files).await,
            identities,
        })
    }
}

/// The queues alone, for who counts what waits. Needs a runtime.
pub async fn open_queues(settings: &Settings) -> Vec<(String, Result<QueueComponent, WiringError>)> {
    let mut made = ProviderCache { metadata: &settings.metadata, keys: Vec::new() };
    let keys = made.keys("queue", settings.credentials.queue.as_ref()).await;
    each_queue(settings, &keys, &mut queues::SqliteFiles::shared()).await
}

async fn each_queue(
    settings: &Settings,
    keys: &Result<Option<RoleCredentials>, WiringError>,
    files: &mut queues::SqliteFiles,
) -> Vec<(String, Result<QueueComponent, WiringError>)> {
    let mut opened = Vec::new();
    for queue in &settings.queues {
        opened.push((name(queue), open_queue(queue, keys, files).await));
    }
    opened
}

fn roles(settings: &Settings, everywhere: bool) -> [Role<'_>; 4] {
    let given = &settings.credentials;
    let amazon = |endpoint: &Option<Endpoint>| {
        everywhere || endpoint.as_ref().is_none_or(|endpoint| endpoint.host().contains(".amazonaws.com"))
    };
    let [source, destination] = [&settings.source, &settings.destination].map(|store| match store {
        StoreSettings::S3(s3) => (s3.region.as_deref(), s3.profile == config::S3Dialect::Aws && amazon(&s3.endpoint)),
        _ => (None, false),
    });
    let queue = match settings.queues.first() {
        Some(config::QueueSettings::Sqs { region, endpoint, .. }) => (region.as_deref(), amazon(endpoint)),
        _ => (None, false),
    };
    let ledger = match &settings.ledger {
        config::LedgerSettings::DynamoDb { region, endpoint, .. } => (region.as_deref(), amazon(endpoint)),
        _ => (None, false),
    };
    [
        Role { name: "source", provider: given.source.as_ref(), region: source.0, amazon: source.1 },
        Role {
            name: "destination",
            provider: given.destination.as_ref(),
            region: destination.0,
            amazon: destination.1,
        },
        Role { name: "queue", provider: given.queue.as_ref(), region: queue.0, amazon: queue.1 },
        Role { name: "ledger", provider: given.ledger.as_ref(), region: ledger.0, amazon: ledger.1 },
    ]
}

async fn identity(
    role: &Role<'_>,
    had: &Result<Option<RoleCredentials>, WiringError>,
    settings: &Settings,
    sts: Option<String>,
) -> Option<RoleIdentity> {
    let from = super::cached(role.provider?, &settings.metadata).describe();
    let caller = match had {
        Err(WiringError::Credentials { error, .. }) => Err(error.clone()),
        Err(_) | Ok(None) => return None,
        Ok(Some(RoleCredentials { missing: Some(error), .. })) => Err(error.clone()),
        Ok(Some(_)) if !role.amazon => Ok(None),
        Ok(Some(keys)) => {
            let region = role.region.or(keys.region.as_deref()).unwrap_or("us-east-1");
            keys.cached.caller(region, sts).await
        }
    };
    Some(RoleIdentity { role: role.name, from, caller })
}

fn name(queue: &config::QueueSettings) -> String {
    match queue {
        config::QueueSettings::Sqs { queue: QueueName::Name(name) | QueueName::Url(name), .. } => name.clone(),
        config::QueueSettings::Embedded { path, .. } => path.display().to_string(),
    }
}

async fn open_queue(
    queue: &config::QueueSettings,
    keys: &Result<Option<RoleCredentials>, WiringError>,
    files: &mut queues::SqliteFiles,
) -> Result<QueueComponent, WiringError> {
    match queue {
        config::QueueSettings::Embedded { path, .. } => {
            let queue = files.open(path).await?.queue(EMBEDDED_QUEUE, queues::embedded_traits()).await?;
            Ok(QueueComponent { queue: queue.clone(), sqs: None, embedded: Some(queue) })
        }
        config::QueueSettings::Sqs { queue, region, endpoint } => {
            let keys = keys.as_ref().map_err(clone_error)?;
            let sqs = Arc::new(queues::sqs(queue, region, endpoint, keys).await?);
            Ok(QueueComponent { queue: sqs.clone(), sqs: Some(sqs), embedded: None })
        }
    }
}

async fn open_ledger(
    settings: &Settings,
    keys: Result<Option<RoleCredentials>, WiringError>,
    files: &mut queues::SqliteFiles,
) -> Result<LedgerComponent, WiringError> {
    match &settings.ledger {
        config::LedgerSettings::Embedded { path } => {
            Ok(LedgerComponent { ledger: files.open(path).await?.ledger(), table: None })
        }
        config::LedgerSettings::DynamoDb { table, region, endpoint } => {
            let ledger = queues::dynamodb(table, region, endpoint, &keys?).await?;
            let table = ledger.settings().await?;
            Ok(LedgerComponent { ledger: Arc::new(ledger), table })
        }
        config::LedgerSettings::None => Ok(LedgerComponent { ledger: Arc::new(NoLedger::default()), table: None }),
    }
}

/// The same error for another who lacks these keys.
fn clone_error(error: &WiringError) -> WiringError {
    match error {
        WiringError::Credentials { role, error } => WiringError::Credentials { role, error: error.clone() },
        WiringError::Section { section, reason } => WiringError::Section { section, reason: reason.clone() },
        other => WiringError::Section { section: "[credentials]", reason: other.to_string() },
    }
}
