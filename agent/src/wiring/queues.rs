//! From `[queue]` and `[ledger]` to those that the jobs share, and what follows from their kinds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skyferry_providers::Cached;

use super::WiringError;
use super::keys::{AllCredentials, RoleCredentials};
use skyferry_aws::dynamodb::{self, DynamoLedger, DynamoOptions, TimeFormat};
use skyferry_aws::sqs::{Sqs, SqsOptions};
use skyferry_config as config;
use skyferry_config::{CredentialSettings, Endpoint, LedgerTimeFormat, ProviderSettings, Settings};
use skyferry_core::ledger::Ledger;
use skyferry_core::ledger::none::NoLedger;
use skyferry_core::queue::{Queue, QueueName, QueueTraits};
use skyferry_sqlite::SqliteFile;
use skyferry_sqlite::queue::SqliteQueue;
use skyferry_sqlite::remote::SocketServer;
use skyferry_sqlite::shared::SharedFile;

/// The queue's name in an embedded file.
pub const EMBEDDED_QUEUE: &str = "events";
/// A kill clears it and leases are extended, so it is only what a panicking job's message waits for.
const EMBEDDED_VISIBILITY: Duration = Duration::from_secs(60);
/// Far beyond what kills alone can cause; without it a message that panics its job would come back for ever.
const EMBEDDED_RECEIVES: u32 = 100;
/// The embedded file is locked by one process: earlier ones are known to be dead, and only their last requests can
/// still be on their way.
const EMBEDDED_HOLD: Duration = Duration::from_secs(5);
/// With a remote ledger an earlier writer may live, for as long as its lease.
const LEAST_HOLD: Duration = Duration::from_secs(60);
/// How long a queue must show nothing: exact counts; a peer of one's own; AWS, whose counts settle within a minute.
const STEADY_EMBEDDED: Duration = Duration::from_millis(150);
const STEADY_ENDPOINT: Duration = Duration::from_secs(3);
const STEADY_AWS: Duration = Duration::from_secs(60);

/// What the settings name, opened.
pub(super) struct OpenedQueues {
    /// The embedded files of this process; a file that another process has open is not among them.
    pub files: SqliteFiles,
    /// In the settings' order.
    pub queues: Vec<Arc<dyn Queue>>,
    /// The first of them, where it is embedded: it can be fed.
    pub embedded: Option<Arc<SqliteQueue>>,
    /// All share it.
    pub ledger: Arc<dyn Ledger>,
}

pub(super) async fn queues_and_ledger(
    settings: &Settings,
    keys: &AllCredentials,
    mut files: SqliteFiles,
) -> Result<OpenedQueues, WiringError> {
    let mut queues: Vec<Arc<dyn Queue>> = Vec::new();
    let mut embedded = None;
    for (place, queue) in settings.queues.iter().enumerate() {
        if settings.queues[..place].contains(queue) {
            let reason = "two of [[queues]] are the same".into();
            return Err(WiringError::Section { section: "[[queues]]", reason });
        }
        queues.push(match queue {
            config::QueueSettings::Embedded { path, .. } => match files.open(path).await? {
                SharedFile::Here(file) => {
                    let queue = Arc::new(file.queue(EMBEDDED_QUEUE, embedded_traits()).await?);
                    embedded = embedded.or_else(|| (place == 0).then(|| queue.clone()));
                    queue
                }
                SharedFile::Elsewhere(file) => Arc::new(file.queue(EMBEDDED_QUEUE, embedded_traits())),
            },
            config::QueueSettings::Sqs { queue, region, endpoint } => {
                Arc::new(sqs(queue, region, endpoint, &keys.queue).await?)
            }
        });
    }
    let ledger = ledger(settings, &keys.ledger, &mut files).await?;
    Ok(OpenedQueues { files, queues, embedded, ledger })
}

/// Where events come over HTTP, each with the place of its queue.
pub(super) fn listeners(settings: &Settings) -> Vec<(config::EventListenerSettings, usize)> {
    let of = |queue: &config::QueueSettings| match queue {
        config::QueueSettings::Embedded { events, .. } => events.clone(),
        config::QueueSettings::Sqs { .. } => None,
    };
    settings.queues.iter().enumerate().filter_map(|(place, queue)| Some((of(queue)?, place))).collect()
}

/// The ledger alone, for who has a word for the fleet. Needs a runtime.
pub async fn open_ledger(settings: &Settings) -> Result<Arc<dyn Ledger>, WiringError> {
    let keys = AllCredentials::of_ledger(settings).await?;
    ledger(settings, &keys, &mut SqliteFiles::shared()).await
}

pub(super) fn sqs_options(queue: &QueueName, region: &Option<String>, endpoint: &Option<Endpoint>) -> SqsOptions {
    SqsOptions { queue: queue.clone(), region: region.clone(), endpoint: text(endpoint) }
}

async fn ledger(
    settings: &Settings,
    keys: &Option<RoleCredentials>,
    files: &mut SqliteFiles,
) -> Result<Arc<dyn Ledger>, WiringError> {
    Ok(match &settings.ledger {
        config::LedgerSettings::Embedded { path } => {
            // Only in one file are the changes of both in one order.
            if settings
                .queues
                .iter()
                .any(|queue| matches!(queue, config::QueueSettings::Embedded { path: other, .. } if other != path))
            {
                tracing::warn!(
                    "[queue] and [ledger] are two files: a power cut can lose the record of a finished message"
                );
            }
            if settings.queues.iter().any(|queue| matches!(queue, config::QueueSettings::Sqs { .. })) {
                tracing::warn!(
                    "[ledger] is a file of this machine: no other agent may work on this SQS queue; several need dynamodb"
                );
            }
            files.open(path).await?.ledger()
        }
        config::LedgerSettings::DynamoDb { table, region, endpoint } => {
            let times = match settings.ledger_times {
                LedgerTimeFormat::Sortable => TimeFormat::Sortable,
                LedgerTimeFormat::Predecessor => TimeFormat::Asctime,
            };
            let mut options = dynamodb_options(table, region, endpoint);
            if let Some(id) = instance_id(settings).await {
                options.machine = id;
            }
            Arc::new(DynamoLedger::open(options, needed(keys, "[ledger]")?).await?.with_times(times))
        }
        config::LedgerSettings::None => {
            tracing::warn!(
                "[ledger] kind = \"none\": outcomes are in the log only, two agents can work on one key, a large object starts over after a crash, and leftover uploads stay until they are cleaned by hand"
            );
            Arc::new(NoLedger::default())
        }
    })
}

pub(super) async fn sqs(
    queue: &QueueName,
    region: &Option<String>,
    endpoint: &Option<Endpoint>,
    keys: &Option<RoleCredentials>,
) -> Result<Sqs, WiringError> {
    Ok(Sqs::open(sqs_options(queue, region, endpoint), needed(keys, "[queue]")?).await?)
}

pub(super) async fn dynamodb(
    table: &str,
    region: &Option<String>,
    endpoint: &Option<Endpoint>,
    keys: &Option<RoleCredentials>,
) -> Result<DynamoLedger, WiringError> {
    Ok(DynamoLedger::open(dynamodb_options(table, region, endpoint), needed(keys, "[ledger]")?).await?)
}

fn dynamodb_options(table: &str, region: &Option<String>, endpoint: &Option<Endpoint>) -> DynamoOptions {
    DynamoOptions { table: table.to_owned(), region: region.clone(), endpoint: text(endpoint), machine: machine() }
}

/// Makes the ledger's table, its index and its expiry, or completes what is there; gives its name, and why its records do not
/// expire where the service has no expiry. Needs a runtime.
pub async fn create_table(settings: &Settings) -> Result<(String, Option<String>), WiringError> {
    let (options, keys) = table(settings)?;
    let table = options.table.clone();
    let no_expiry = dynamodb::create(options, keys).await?;
    Ok((table, no_expiry))
}

pub(super) fn table(settings: &Settings) -> Result<(DynamoOptions, Arc<Cached>), WiringError> {
    let wrong = |reason: &str| WiringError::Section { section: "[ledger]", reason: reason.into() };
    let config::LedgerSettings::DynamoDb { table, region, endpoint } = &settings.ledger else {
        return Err(wrong("only kind = \"dynamodb\" has a table"));
    };
    let provider = settings.credentials.ledger.as_ref().ok_or_else(|| wrong("needs credentials"))?;
    let keys = Arc::new(super::cached(provider, &settings.metadata));
    Ok((dynamodb_options(table, region, endpoint), keys))
}

/// Each embedded file is opened once, for it is locked.
pub(super) struct SqliteFiles {
    open: HashMap<PathBuf, SharedFile>,
    /// One that another process has open is asked over its socket.
    shared: bool,
}

impl SqliteFiles {
    /// For who works: the files are this process's alone.
    pub(super) fn owned() -> SqliteFiles {
        SqliteFiles { open: HashMap::new(), shared: false }
    }

    /// For who asks.
    pub(super) fn shared() -> SqliteFiles {
        SqliteFiles { open: HashMap::new(), shared: true }
    }

    pub(super) async fn open(&mut self, path: &Path) -> Result<SharedFile, WiringError> {
        if let Some(open) = self.open.get(path) {
            return Ok(open.clone());
        }
        let file = match self.shared {
            true => SharedFile::open(path).await?,
            false => SharedFile::Here(SqliteFile::open(path)?),
        };
        self.open.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    /// Lets others ask for these files, for as long as what comes back runs. One without a socket works as well.
    pub(super) fn listen(&self) -> Vec<SocketServer> {
        let own = self.open.iter().filter_map(|(path, file)| match file {
            SharedFile::Here(file) => Some((path, file)),
            SharedFile::Elsewhere(_) => None,
        });
        let listening = own.filter_map(|(path, file)| {
            let refused = |error: &std::io::Error| {
                tracing::warn!(%error, file = %path.display(), "no socket beside the embedded file: commands cannot ask this agent");
            };
            file.listen(path).inspect_err(refused).ok()
        });
        listening.collect()
    }
}

pub(super) fn embedded_traits() -> QueueTraits {
    QueueTraits {
        visibility: EMBEDDED_VISIBILITY,
        retention: Duration::MAX,
        max_receives: Some(EMBEDDED_RECEIVES),
        dead_letters: Some(EMBEDDED_QUEUE.into()),
    }
}

fn needed(keys: &Option<RoleCredentials>, section: &'static str) -> Result<Arc<Cached>, WiringError> {
    let cached = keys.as_ref().map(|keys| keys.cached.clone());
    cached.ok_or_else(|| WiringError::Section { section, reason: "needs credentials".into() })
}

fn text(endpoint: &Option<Endpoint>) -> Option<String> {
    endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned())
}

/// `i-…` of a machine of Amazon's whose own role is used, as the predecessors had it in `instanceID`.
async fn instance_id(settings: &Settings) -> Option<String> {
    let CredentialSettings { source, destination, queue, ledger } = &settings.credentials;
    let endpoint = [source, destination, queue, ledger].into_iter().find_map(|provider| match provider {
        Some(ProviderSettings::Instance { endpoint }) => Some(endpoint),
        _ => None,
    })?;
    skyferry_providers::instance_id(text(endpoint).or_else(|| text(&settings.metadata.amazon))).await
}

/// This machine's name, as the ledger's `instanceID` shows it where the machine has no id.
fn machine() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "skyferry" } else { name }.to_owned()
}

/// How long a fenced writer may still land something.
pub(super) fn hold_time(ledger: &config::LedgerSettings, queues: &[Arc<dyn Queue>]) -> Duration {
    match ledger {
        config::LedgerSettings::Embedded { .. } => EMBEDDED_HOLD,
        _ => queues.iter().map(|queue| queue.traits().visibility).fold(LEAST_HOLD, Duration::max),
    }
}

/// For all queues the longest that one of them needs.
pub(super) fn steady(queues: &[config::QueueSettings]) -> Duration {
    let each = queues.iter().map(|queue| match queue {
        config::QueueSettings::Embedded { .. } => STEADY_EMBEDDED,
        config::QueueSettings::Sqs { endpoint: Some(own), .. } if !own.host().contains(".amazonaws.com") => {
            STEADY_ENDPOINT
        }
        config::QueueSettings::Sqs { .. } => STEADY_AWS,
    });
    each.max().unwrap_or(STEADY_AWS)
}
