//! The only file that names concrete types: from settings to an agent that runs. Everything else knows traits, so what
//! stands behind what, and in which order decorators are stacked, is to be read here and nowhere else.

mod circles;
mod keys;
mod queues;
mod stores;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use skyferry_providers::ProviderError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::drain::{self, Drain, Drained, Work};
use crate::embedded::OpenError;
use crate::job::{self, Context};
use crate::ledger::Ledger;
use crate::metrics::{Metrics, Summary};
use crate::notice::Shutdown;
use crate::object::Key;
use crate::pace::{Breaker, Pace};
use crate::plan::Cut;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::{Queue, QueueError};
use crate::route::{IgnoreList, Route, RouteError, Router};
use crate::status::{Recent, Status, StatusError, View};
use crate::store::http::RootsError;
use crate::store::{Sink, Source};
use keys::{Keys, credentials};
pub use queues::EMBEDDED_QUEUE;
use queues::{queue_and_ledger, steady};
use stores::{sink, source, transport};

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
#[derive(Clone, Debug)]
pub enum Until {
    Stopped,
    /// When the queue is empty.
    Empty,
    /// When this is set and the queue is empty.
    Fed(CancellationToken),
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
    embedded: Option<Arc<EmbeddedQueue>>,
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
        let embedded = Some(queue.clone());
        Ok(Agent {
            context: Arc::new(context(settings, source, sink, queue, ledger, router)),
            listen: settings.listen,
            embedded,
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

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.context.source
    }

    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.context.sink
    }

    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.context.breaker
    }

    pub fn routes(&self) -> &[Route] {
        self.context.router.routes()
    }

    /// The queue's own face where it is embedded: what a listing feeds.
    pub fn embedded(&self) -> Option<&Arc<EmbeddedQueue>> {
        self.embedded.as_ref()
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
            Until::Fed(all) => drain::Until::Fed { all, steady: self.steady },
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
    let hold = queues::hold(&settings.ledger, &*queue);
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
