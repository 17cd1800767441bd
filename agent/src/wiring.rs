//! The only file that names concrete types: from settings to an agent that runs. Everything else knows traits, so what
//! stands behind what, and in which order decorators are stacked, is to be read here and nowhere else.

mod circles;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use skyferry_providers::{Cached, Environment, File, ProviderError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Dialect, Provider, Settings, Store};
use crate::drain::{self, Drain, Drained, Work};
use crate::embedded::{Embedded, OpenError};
use crate::error::Side;
use crate::job::{self, Context};
use crate::ledger::Ledger;
use crate::metrics::{Metrics, Summary};
use crate::notice::Shutdown;
use crate::object::Key;
use crate::pace::{Breaker, Pace};
use crate::plan::Cut;
use crate::queue::{Queue, QueueError, QueueTraits};
use crate::route::{IgnoreList, Route, RouteError, Router};
use crate::status::{Recent, Status, StatusError, View};
use crate::store::directory::{Directory, DirectoryOptions};
use crate::store::gcs::{Gcs, GcsOptions};
use crate::store::http::{RootsError, Transport, TransportOptions};
use crate::store::s3::{Profile, S3, S3Options};
use crate::store::{Sink, Source};

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

/// Why settings make no agent. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    #[error("not in this build yet: {0}")]
    NotYet(String),
    #[error("[credentials] {role}: {error}")]
    Credentials { role: &'static str, error: ProviderError },
    #[error("{section}: {reason}")]
    Section { section: &'static str, reason: String },
    #[error("the ignore list {}: {error}; correct [filter] ignore_list", path.display())]
    IgnoreList { path: PathBuf, error: std::io::Error },
    #[error("[[routes]]: {0}")]
    Routes(#[from] RouteError),
    #[error(
        "the route {0} writes where the route {1} reads, so objects would be copied for ever: give the destination another bucket, or both source prefixes that do not meet"
    )]
    Circle(String, String),
    #[error("[source] path and [destination] path are the same directory, or one is in the other")]
    NestedDirectories,
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Embedded(#[from] OpenError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Stopped,
    /// When the queue is empty.
    Empty,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub summary: Summary,
    pub elapsed: Duration,
    pub drained: Drained,
}

impl Report {
    /// Something was parked, or did not end as it should.
    pub fn failed(&self) -> bool {
        self.summary.parked > 0 || self.drained != Drained::default()
    }
}

/// Everything that one process needs, and nothing received yet.
pub struct Agent {
    context: Arc<Context>,
    listen: Option<SocketAddr>,
    steady: Duration,
    recent: Recent,
    description: Vec<String>,
}

impl Agent {
    /// Resolves everything that settings can get wrong, opens queue and ledger, and takes no port. Needs a runtime.
    pub async fn build(settings: &Settings) -> Result<Agent, WiringError> {
        words::refuse_unfinished(settings)?;
        let source_keys = credentials("source", settings.credentials.source.as_ref()).await?;
        let sink_keys = credentials("destination", settings.credentials.destination.as_ref()).await?;
        let router = router(settings)?;
        circles::refuse_circles(settings, &router, [&source_keys, &sink_keys])?;
        let description = words::describe(settings, &router, [&source_keys, &sink_keys]);
        let transport = transport(settings)?;
        let source = source(settings, source_keys, &transport)?;
        let sink = sink(settings, sink_keys, &transport)?;
        let (queue, ledger) = queue_and_ledger(settings).await?;
        Ok(Agent {
            context: Arc::new(context(settings, source, sink, queue, ledger, router)),
            listen: settings.listen,
            steady: steady(&settings.queues[0]),
            recent: Recent::default(),
            description,
        })
    }
}

impl Agent {
    /// The list that the log's layer fills, for the status page.
    #[must_use]
    pub fn with_recent(mut self, recent: Recent) -> Agent {
        self.recent = recent;
        self
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.context.metrics
    }

    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.context.queue
    }

    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.context.ledger
    }

    /// What was resolved, a line each, in plain words and without a secret.
    pub fn description(&self) -> &[String] {
        &self.description
    }

    /// Asks the queue for its depth: that it answers is what `--validate` can prove without receiving.
    pub async fn check(&self) -> Result<String, WiringError> {
        let depth = self.context.queue.depth().await?;
        let name = self.context.queue.name();
        Ok(format!("queue {name} answers: {} visible, {} in flight", depth.visible, depth.in_flight))
    }

    /// Takes the port and drains the queue until `until` or `shutdown`.
    pub async fn run(self, until: Until, shutdown: Shutdown) -> Result<Report, WiringError> {
        let started = Instant::now();
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        if let Some(listen) = self.listen {
            let status = Status::bind(listen).await?;
            tokio::spawn(status.serve(self.view(&shutdown, started), end));
        }
        self.description.iter().for_each(|line| tracing::info!("{line}"));
        let until = match until {
            Until::Stopped => drain::Until::Stopped,
            Until::Empty => drain::Until::Empty { steady: self.steady },
        };
        let drained = self.drain().run(until, shutdown).await;
        Ok(Report { summary: self.context.metrics.summary(), elapsed: started.elapsed(), drained })
    }

    fn drain(&self) -> Drain {
        let shared = self.context.clone();
        let work: Work = Arc::new(move |message, lease, cancelled, stop| {
            let context = shared.clone();
            async move { job::run(&context, message, lease, cancelled, stop).await }.boxed()
        });
        let Context { queue, pace, breaker, metrics, .. } = &*self.context;
        Drain::new(queue.clone(), pace.clone(), breaker.clone(), metrics.clone(), work)
    }

    fn view(&self, shutdown: &Shutdown, started: Instant) -> View {
        View {
            metrics: self.context.metrics.clone(),
            breaker: self.context.breaker.clone(),
            shutdown: shutdown.clone(),
            recent: self.recent.clone(),
            queue: self.context.queue.name().into(),
            started,
        }
    }
}

/// A side's keys with the region that came with them. Asked for once now, so that a wrong name is told at the start;
/// a service that does not answer is weather.
struct Keys {
    cached: Arc<Cached>,
    region: Option<String>,
}

async fn credentials(role: &'static str, provider: Option<&Provider>) -> Result<Option<Keys>, WiringError> {
    let cached = match provider {
        None => return Ok(None),
        Some(Provider::Environment { prefix }) => Cached::new(Environment { prefix: prefix.clone() }),
        Some(Provider::File { path, field }) => Cached::new(File { path: path.clone(), field: field.clone() }),
        Some(other) => {
            return Err(WiringError::NotYet(format!("[credentials] {role}: provider = {:?}", other.kind())));
        }
    };
    let region = match cached.get().await {
        Ok(credentials) => credentials.region.clone(),
        Err(error) if error.passing => {
            tracing::warn!(%error, role, "no credentials yet; trying again when they are needed");
            None
        }
        Err(error) => return Err(WiringError::Credentials { role, error }),
    };
    Ok(Some(Keys { cached: Arc::new(cached), region }))
}

fn router(settings: &Settings) -> Result<Router, WiringError> {
    let ignore = match &settings.ignore_list {
        None => IgnoreList::default(),
        Some(path) => {
            let read = std::fs::read(path);
            let file = read.map_err(|error| WiringError::IgnoreList { path: path.clone(), error })?;
            let (ignore, warnings) = IgnoreList::parse(&file);
            warnings.iter().for_each(|warning| tracing::warn!(path = %path.display(), "{warning}"));
            ignore
        }
    };
    let key = |text: &str| Key::from(text);
    let routes = settings.routes.iter().map(|route| Route {
        source_bucket: route.source_bucket.as_deref().map(Arc::from),
        source_prefix: key(&route.source_prefix),
        bucket: route.bucket.as_str().into(),
        prefix: key(&route.prefix),
        strip_prefix: route.strip_prefix,
        storage_class: route.storage_class.as_deref().map(Arc::from),
    });
    Ok(Router::new(routes.collect(), ignore)?)
}

/// One pool of connections for both sides.
fn transport(settings: &Settings) -> Result<Transport, WiringError> {
    let plain = |store: &Store| match store {
        Store::S3(s3) => s3.endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_https()),
        Store::Gcs { endpoint } => !endpoint.is_https(),
        Store::Directory { .. } => false,
    };
    // The settings took plain http only where it is allowed, and every request goes to an endpoint of theirs.
    let allow_http = plain(&settings.source) || plain(&settings.destination);
    let stall_timeout = settings.transfer.stall_timeout;
    let options = TransportOptions { allow_http, stall_timeout, ..TransportOptions::default() };
    Ok(Transport::new(&options.with_environment())?)
}

/// The source as jobs see it. A decorator would be stacked here.
fn source(settings: &Settings, keys: Option<Keys>, transport: &Transport) -> Result<Arc<dyn Source>, WiringError> {
    Ok(match &settings.source {
        Store::S3(store) => Arc::new(s3(store, keys, Side::Source, transport)?),
        Store::Gcs { endpoint } => Arc::new(gcs(endpoint, keys, Side::Source, transport)?),
        Store::Directory { path } => {
            let bucket = settings.routes.first().and_then(|route| route.source_bucket.as_deref());
            Arc::new(directory(path, bucket, Side::Source)?)
        }
    })
}

/// The sink as jobs see it. A decorator would be stacked here.
fn sink(settings: &Settings, keys: Option<Keys>, transport: &Transport) -> Result<Arc<dyn Sink>, WiringError> {
    Ok(match &settings.destination {
        Store::S3(store) => Arc::new(s3(store, keys, Side::Destination, transport)?),
        Store::Gcs { endpoint } => Arc::new(gcs(endpoint, keys, Side::Destination, transport)?),
        Store::Directory { path } => {
            let bucket = settings.routes.first().map(|route| route.bucket.as_str());
            Arc::new(directory(path, bucket, Side::Destination)?)
        }
    })
}

/// A directory has one bucket's worth of keys, called as the (first) route calls it. A sink makes its root.
fn directory(path: &Path, bucket: Option<&str>, side: Side) -> Result<Directory, WiringError> {
    let options = DirectoryOptions {
        root: path.to_owned(),
        bucket: bucket.unwrap_or("directory").into(),
        create: side == Side::Destination,
    };
    Directory::open(options).map_err(|error| WiringError::Section { section: section(side), reason: error.to_string() })
}

fn s3(settings: &config::S3, keys: Option<Keys>, side: Side, transport: &Transport) -> Result<S3, WiringError> {
    let section = section(side);
    let name = match settings.profile {
        Dialect::Aws => "aws",
        Dialect::AliyunOss => "aliyun-oss",
        Dialect::Generic => "generic",
    };
    let wrong = |reason: String| WiringError::Section { section, reason };
    let options = S3Options {
        profile: Profile::named(name).ok_or_else(|| wrong(format!("no profile {name}")))?,
        endpoint: settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        region: settings.region.clone(),
        path_style: Some(settings.path_style),
        request_payer: settings.request_payer,
        expected_owner: settings.expected_owner.clone(),
    };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    S3::new(options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn gcs(endpoint: &config::Endpoint, keys: Option<Keys>, side: Side, transport: &Transport) -> Result<Gcs, WiringError> {
    let wrong = |reason: String| WiringError::Section { section: section(side), reason };
    let options = GcsOptions { endpoint: Some(endpoint.as_str().to_owned()) };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    Gcs::new(&options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn section(side: Side) -> &'static str {
    if side == Side::Source { "[source]" } else { "[destination]" }
}

/// Both faces of one file where both sections name the same one: only then are their changes in one order.
async fn queue_and_ledger(settings: &Settings) -> Result<(Arc<dyn Queue>, Arc<dyn Ledger>), WiringError> {
    let [config::Queue::Embedded { path }] = &settings.queues[..] else {
        return Err(WiringError::NotYet("this kind of [queue]".into()));
    };
    let config::Ledger::Embedded { path: ledger_path } = &settings.ledger else {
        return Err(WiringError::NotYet("this kind of [ledger]".into()));
    };
    let file = Embedded::open(path)?;
    let ledger = if ledger_path == path {
        file.ledger()
    } else {
        tracing::warn!("[queue] and [ledger] are two files: a power cut can lose the record of a finished message");
        Embedded::open(ledger_path)?.ledger()
    };
    let traits = QueueTraits {
        visibility: EMBEDDED_VISIBILITY,
        retention: Duration::MAX,
        max_receives: Some(EMBEDDED_RECEIVES),
        dead_letters: Some(EMBEDDED_QUEUE.into()),
    };
    Ok((Arc::new(file.queue(EMBEDDED_QUEUE, traits).await?), Arc::new(ledger)))
}

fn context(
    settings: &Settings,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    queue: Arc<dyn Queue>,
    ledger: Arc<dyn Ledger>,
    router: Router,
) -> Context {
    let transfer = &settings.transfer;
    let metrics = Arc::new(Metrics::default());
    let mut pace = Pace::new(transfer.memory_budget, transfer.max_bandwidth.unwrap_or(0))
        .counted_by(metrics.inflight_bytes.clone());
    if let Some(at_once) = transfer.max_objects {
        pace = pace.with_objects(usize::try_from(at_once).unwrap_or(usize::MAX));
    }
    let hold = match settings.ledger {
        config::Ledger::Embedded { .. } => EMBEDDED_HOLD,
        _ => queue.traits().visibility.max(LEAST_HOLD),
    };
    Context {
        source,
        sink,
        queue,
        ledger,
        router,
        cut: Cut { multipart_threshold: transfer.multipart_threshold, part_size: transfer.part_size },
        deletes: transfer.deletes,
        metadata: transfer.metadata,
        hold,
        pace: Arc::new(pace),
        breaker: Arc::new(Breaker::default()),
        metrics,
        keys: job::Keys::default(),
    }
}

fn steady(queue: &config::Queue) -> Duration {
    match queue {
        config::Queue::Embedded { .. } => STEADY_EMBEDDED,
        config::Queue::Sqs { endpoint: Some(own), .. } if !own.host().contains(".amazonaws.com") => STEADY_ENDPOINT,
        config::Queue::Sqs { .. } => STEADY_AWS,
    }
}
