//! What an operator decides, in types that cannot hold what makes no sense.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::provider::ProviderSettings;
use super::store::StoreSettings;
use super::transfer::TransferSettings;
use super::words::words;
pub use skyferry_core::queue::QueueName;
use skyferry_core::store::CopyOptions;

/// Everything that an operator decides. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    pub credentials: CredentialSettings,
    /// At least one.
    pub queues: Vec<QueueSettings>,
    pub ledger: LedgerSettings,
    /// How the ledger's table writes times for people; as the predecessors did with their ini.
    pub ledger_times: LedgerTimeFormat,
    pub source: StoreSettings,
    pub destination: StoreSettings,
    /// Complete: what a route leaves out is `[destination]`'s. At least one, or bucket pairs name every destination. One without
    /// a source bucket stands alone and takes any: none was given.
    pub routes: Vec<RouteSettings>,
    /// `[destination]`'s own: bucket pairs and jobs that no route takes have them, but for the class, which is the bucket's.
    pub options: Arc<CopyOptions>,
    pub transfer: TransferSettings,
    /// The patterns. Read at the start, and again every minute.
    pub ignore_list: Option<ListLocation>,
    /// They are compared with the key alone as well as with `bucket/key`; on with the predecessors' ini.
    pub ignore_by_key: bool,
    /// The predecessors' bucket pairs (`pairs.rs`): what their jobsender lists, and where its messages may go besides the
    /// routes.
    pub bucket_pairs: Option<ListLocation>,
    /// Where this machine may not read the bucket pairs, a jobsender's message is followed to the destination that it names.
    /// The predecessors' roles were made so; on with their ini.
    pub follow_jobs: bool,
    /// `None`: `listen = "off"`.
    pub listen: Option<SocketAddr>,
    /// With the token of whoever may change something from the page; `None`: nobody.
    pub status_token_file: Option<PathBuf>,
    /// `None`: not published.
    pub backlog: Option<BacklogSettings>,
    /// Where traces and metrics go by OTLP.
    pub telemetry: Option<Endpoint>,
    pub log: LogSettings,
    pub metadata: MetadataEndpoints,
    /// What became of each key of a predecessor's ini, a line each.
    pub notes: Vec<String>,
}

/// Where the ignore list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListLocation {
    File(PathBuf),
    /// An SSM parameter, written `ssm:NAME`: where the serverless predecessor has it. Read with the machine's own role.
    Ssm {
        name: String,
        endpoint: Option<Endpoint>,
    },
}

/// Where this machine's metadata server is, if the environment says that it is elsewhere (`GCE_METADATA_HOST`,
/// `AWS_EC2_METADATA_SERVICE_ENDPOINT`). No setting: it is the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataEndpoints {
    pub google: Option<Endpoint>,
    pub amazon: Option<Endpoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On GCE: the keys of both sides from Secret Manager.
    Get,
    /// On EC2: the machine's role, the destination's key from SSM.
    Put,
}

/// `None`: that side needs no credentials (a directory, an embedded queue or ledger).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSettings {
    pub source: Option<ProviderSettings>,
    pub destination: Option<ProviderSettings>,
    pub queue: Option<ProviderSettings>,
    pub ledger: Option<ProviderSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueSettings {
    Sqs {
        queue: QueueName,
        /// `None`: the credential's.
        region: Option<String>,
        endpoint: Option<Endpoint>,
    },
    /// A SQLite file.
    Embedded {
        path: PathBuf,
        /// `None`: events come from `copy` or `scan` only.
        events: Option<EventListenerSettings>,
    },
}

/// Where an agent takes events over HTTP, for its embedded queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventListenerSettings {
    pub address: SocketAddr,
    /// A file that holds the token which senders must show. `None` only on loopback.
    pub token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerSettings {
    DynamoDb {
        table: String,
        /// `None`: the credential's.
        region: Option<String>,
        endpoint: Option<Endpoint>,
    },
    /// A SQLite file, the queue's too where both are embedded.
    Embedded { path: PathBuf },
    /// Several promises weaken; docs/guarantees.md lists them.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerTimeFormat {
    Sortable,
    Predecessor,
}

/// A line of the allow-list; `route.rs` says what it means. Prefixes as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// `None`: any.
    pub source_bucket: Option<String>,
    pub source_prefix: String,
    pub bucket: String,
    pub prefix: String,
    pub strip_prefix: bool,
    pub options: Arc<CopyOptions>,
}

/// The queues' backlog as a metric of Cloud Monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogSettings {
    /// Its type.
    pub metric: String,
    pub period: Duration,
    /// Of Cloud Monitoring.
    pub endpoint: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: LogLevel,
    pub metrics: LogMetrics,
    /// Beside stderr.
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Json,
    Text,
    /// The predecessors' lines, for their metric filters.
    Predecessor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMetrics {
    Off,
    /// CloudWatch's embedded metric format, a line a minute.
    Emf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

words! {
    Mode: "get" Get, "put" Put;
    LedgerTimeFormat: "sortable" Sortable, "predecessor" Predecessor;
    LogFormat: "auto" Auto, "json" Json, "text" Text, "predecessor" Predecessor;
    LogMetrics: "off" Off, "emf" Emf;
    LogLevel: "error" Error, "warn" Warn, "info" Info, "debug" Debug, "trace" Trace;
}
