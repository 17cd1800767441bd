//! The only file that names concrete types: from settings to an agent that runs. Everything else knows traits, so what
//! stands behind what, and in which order decorators are stacked, is to be read here and nowhere else.

mod admin;
mod batch;
mod components;
mod copy_loops;
mod describe;
mod dump;
mod keys;
mod lists;
mod observed;
mod page;
mod queues;
mod stores;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use skyferry_providers::ProviderError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::{BacklogPublisher, BacklogTarget};
use crate::bandwidth::BandwidthControl;
use crate::drain::{self, Drain, DrainReport, JobRunner};
use crate::emf::EmfLogger;
use crate::event_listener::{EventListener, EventListenerError};
use crate::fuse::Fuse;
use crate::hardening;
use crate::http_server::ListenError;
use crate::janitor::Janitor;
use crate::job::{self, JobContext};
use crate::limits::{Breaker, Limiter};
use crate::pause::PauseWatch;
use crate::shutdown::{NoticeSources, Shutdown};
use crate::status::{Recent, Status};
use crate::token::Token;
pub use admin::{dead_letters, queue_policy, source_s3};
pub use components::{Components, LedgerComponent, QueueComponent, RoleIdentity, open_queues};
pub use dump::dump_table;
pub use keys::cached;
use keys::{AllCredentials, RoleCredentials};
use lists::RouteLists;
pub use lists::{ALLOW, DENIED, bucket_pairs};
use observed::RoleCaches;
pub use queues::{EMBEDDED_QUEUE, create_table, open_ledger};
use queues::{OpenedQueues, SqliteFiles, queues_and_ledger, steady};
use skyferry_config as config;
use skyferry_config::{LogMetrics, Settings, VerifyMode, VersionMode};
use skyferry_core::error::Side;
use skyferry_core::ledger::{Ledger, LedgerError};
use skyferry_core::metrics::{Metrics, Summary};
use skyferry_core::plan::PartSettings;
use skyferry_core::queue::{Depth, Queue, QueueError};
use skyferry_core::route::{LiveRoutes, RouteError, Router};
use skyferry_core::store::{Sink, Source};
use skyferry_sqlite::OpenError;
use skyferry_sqlite::queue::SqliteQueue;
use skyferry_stores::http::CaRootsError;
use stores::transport;

/// What giving up the backlog's place may take at the end.
const RESIGNING: Duration = Duration::from_secs(2);

/// Why settings make no agent. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    #[error("[credentials] {role}: {error}")]
    Credentials { role: &'static str, error: ProviderError },
    #[error("{section}: {reason}")]
    Section { section: &'static str, reason: String },
    #[error("the ignore list {at}: {reason}; correct [filter] ignore_list")]
    IgnoreList { at: String, reason: String },
    #[error("the bucket pairs {at}: {reason}; correct bucket_pairs")]
    BucketPairs { at: String, reason: String },
    #[error("[[routes]]: {0}")]
    Routes(#[from] RouteError),
    #[error(
        "the route {0} writes where the route {1} reads, so objects would be copied in a circle: give the destination another bucket, or both routes source prefixes that do not overlap"
    )]
    Circle(String, String),
    #[error("[source] path and [destination] path are the same directory, or one is in the other")]
    NestedDirectories,
    #[error(transparent)]
    Roots(#[from] CaRootsError),
    #[error(transparent)]
    Embedded(#[from] OpenError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Status(#[from] ListenError),
    #[error(transparent)]
    Events(#[from] EventListenerError),
}

impl WiringError {
    /// Settings have to be changed; else a service is away.
    pub fn is_wrong_settings(&self) -> bool {
        !matches!(
            self,
            WiringError::Queue(QueueError::Unavailable { .. }) | WiringError::Ledger(LedgerError::Unavailable { .. })
        )
    }
}

/// When a run ends.
#[derive(Clone, Debug)]
pub enum RunUntil {
    Stopped,
    /// When the queue is empty.
    Empty,
    /// When this is set and the queue is empty.
    AllSent(CancellationToken),
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    pub summary: Summary,
    /// Copies by how much was proven of them.
    pub grades: Vec<(&'static str, u64)>,
    pub elapsed: Duration,
    pub drained: DrainReport,
}

impl RunReport {
    /// Something was parked, or did not end as it should.
    pub fn has_failures(&self) -> bool {
        self.summary.parked > 0 || self.drained != DrainReport::default()
    }
}

/// Everything that one process needs, and nothing received yet.
pub struct Agent {
    /// One for each queue, the first first; they share all but the queue.
    contexts: Vec<Arc<JobContext>>,
    lists: RouteLists,
    listen: Option<SocketAddr>,
    /// Of what may be changed from the page.
    token_file: Option<PathBuf>,
    keeps_notes: bool,
    /// Where from and where to, in words.
    ends: [Arc<str>; 2],
    /// Where events come over HTTP, and the place of their queue.
    listeners: Vec<(config::EventListenerSettings, usize)>,
    embedded: Option<Arc<SqliteQueue>>,
    files: SqliteFiles,
    /// Others may ask for its embedded files.
    answers: bool,
    steady: Duration,
    recent: Recent,
    rest: PauseWatch,
    bandwidth: config::BandwidthPlan,
    /// Read again after SIGHUP.
    file: Option<PathBuf>,
    description: Vec<String>,
    /// Credentials that were not available at the start.
    missing: Option<(&'static str, ProviderError)>,
    watched: NoticeSources,
    backlog: Option<BacklogTarget>,
    emf: bool,
    caches: RoleCaches,
}

impl Agent {
    /// Resolves everything that settings can get wrong, opens queue and ledger, and takes no port. Needs a runtime.
    pub async fn build(settings: &Settings) -> Result<Agent, WiringError> {
        Agent::build_behind(settings, |queue| queue).await
    }

    /// One that is looked at and never run: an embedded file that a running agent has open is asked over its socket.
    pub async fn build_beside(settings: &Settings) -> Result<Agent, WiringError> {
        Box::pin(Agent::build_from(settings, SqliteFiles::shared(), |queue| queue)).await
    }

    /// The same; its jobs see each queue as what `decorate` makes of it.
    pub async fn build_behind(
        settings: &Settings,
        decorate: impl FnMut(Arc<dyn Queue>) -> Arc<dyn Queue>,
    ) -> Result<Agent, WiringError> {
        // Boxed: what awaits it is not as large as all that it opens.
        Box::pin(Agent::build_from(settings, SqliteFiles::owned(), decorate)).await
    }

    async fn build_from(
        settings: &Settings,
        files: SqliteFiles,
        decorate: impl FnMut(Arc<dyn Queue>) -> Arc<dyn Queue>,
    ) -> Result<Agent, WiringError> {
        let keys = AllCredentials::open(settings).await?;
        let lists = RouteLists::of(settings, &keys);
        let router = lists.read().await?;
        let mut description = describe::describe(settings, &router, &keys);
        description.extend(settings.notes.iter().cloned());
        let transport = transport(settings)?;
        let (missing, caches) = (keys.missing(), RoleCaches::of(&keys));
        let OpenedQueues { files, queues, embedded, ledger } = queues_and_ledger(settings, &keys, files).await?;
        let queues = queues.into_iter().map(decorate).collect();
        let source = stores::open(settings, Side::Source, keys.source, &transport)?.source();
        let sink = stores::open(settings, Side::Destination, keys.destination, &transport)?.sink();
        Ok(Agent {
            contexts: contexts(settings, source, sink, queues, ledger, LiveRoutes::new(router)),
            lists,
            listen: settings.listen,
            token_file: settings.status_token_file.clone(),
            keeps_notes: !matches!(settings.ledger, config::LedgerSettings::None),
            ends: [settings.source.describe().into(), settings.destination.describe().into()],
            listeners: queues::listeners(settings),
            embedded,
            files,
            answers: false,
            steady: steady(&settings.queues),
            recent: Recent::default(),
            rest: PauseWatch::default(),
            bandwidth: settings.transfer.max_bandwidth.clone(),
            file: None,
            description,
            missing,
            watched: describe::watched(settings),
            backlog: keys::backlog(settings),
            emf: settings.log.metrics == LogMetrics::Emf,
            caches,
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

    /// While it runs, its embedded files can be asked for over sockets beside them.
    #[must_use]
    pub fn with_socket(mut self) -> Agent {
        self.answers = true;
        self
    }

    /// The bandwidth that this file sets is read again after SIGHUP.
    #[must_use]
    pub fn with_settings_file(mut self, file: &Path) -> Agent {
        self.file = Some(file.to_owned());
        self
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared().metrics
    }

    /// The first, which most often is the only one.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.shared().queue
    }

    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.shared().ledger
    }

    /// For what all queues have in common. Settings have at least one.
    fn shared(&self) -> &JobContext {
        &self.contexts[0]
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.shared().source
    }

    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.shared().sink
    }

    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.shared().breaker
    }

    /// As it is now: its lists are read again while the agent runs.
    pub fn router(&self) -> Arc<Router> {
        self.shared().routes.current()
    }

    /// The queue's own face where it is embedded: what a listing feeds.
    pub fn embedded(&self) -> Option<&Arc<SqliteQueue>> {
        self.embedded.as_ref()
    }

    /// What was resolved, a line each, in plain words and without a secret.
    pub fn description(&self) -> &[String] {
        &self.description
    }

    /// Whose credentials were not available at the start, and why; they are asked for again when they are needed.
    pub fn missing(&self) -> Option<&(&'static str, ProviderError)> {
        self.missing.as_ref()
    }

    /// Asks every queue for its depth: that it answers is what `--validate` can prove without receiving. Credentials that
    /// were not there at the start are an error here.
    pub async fn check(&self) -> Result<String, WiringError> {
        if let Some((role, error)) = self.missing.clone() {
            return Err(WiringError::Credentials { role, error });
        }
        self.lists.check_pairs().await?;
        let mut lines = Vec::new();
        for context in &self.contexts {
            let (name, depth) = (context.queue.name(), context.queue.depth().await?);
            lines.push(format!("queue {name} answers: {} visible, {} in flight", depth.visible, depth.in_flight));
        }
        Ok(lines.join("\n"))
    }

    /// Takes the port and drains the queue until `until` or `shutdown`.
    pub async fn run(self, until: RunUntil, shutdown: Shutdown) -> Result<RunReport, WiringError> {
        let started = Instant::now();
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        observed::observe(self.metrics(), self.breaker().clone(), self.rest.clone(), self.caches.clone());
        let mut page = None;
        if let Some(listen) = self.listen {
            let status = Status::bind(listen).await?;
            let actions = self.actions()?;
            let view = self.view(&shutdown, started, actions.is_some());
            page = Some(tokio::spawn(status.serve(view, actions, end.clone())));
        }
        self.take_events(&shutdown).await?;
        shutdown.watch(&self.watched, &end);
        self.description.iter().for_each(|line| tracing::info!("{line}"));
        let mut beside = JoinSet::new();
        beside.spawn(self.janitor().run(end.clone()));
        beside.spawn(self.caches.clone().renew());
        if self.answers {
            self.files.listen().into_iter().for_each(|socket| drop(beside.spawn(socket.serve())));
        }
        beside.spawn(self.lists.clone().run(self.shared().routes.clone(), end.clone()));
        let (limiter, ledger) = (self.shared().limiter.clone(), self.ledger().clone());
        let (plan, file) = (self.bandwidth.clone(), self.file.clone());
        beside.spawn(BandwidthControl { plan, file, limiter, ledger }.run(end.clone()));
        if self.shared().deletes {
            let (fuse, end) = (self.shared().fuse.clone(), end.clone());
            beside.spawn(async move { fuse.run(end).await });
        }
        let publishing = shutdown.stop.child_token();
        let _publishing = publishing.clone().drop_guard();
        let publisher = self.publish(&publishing)?;
        let emf = self.emf.then(|| {
            let emf = EmfLogger::new(self.metrics().clone(), self.names());
            tokio::spawn(emf.run(end.clone()))
        });
        self.rest.start(self.ledger(), &end).await;
        let until = match until {
            RunUntil::Stopped => drain::DrainUntil::Stopped,
            RunUntil::Empty => drain::DrainUntil::Empty { steady: self.steady },
            RunUntil::AllSent(all) => drain::DrainUntil::AllSent { all, steady: self.steady },
        };
        let drained = self.drain_all(until, shutdown.clone()).await;
        if shutdown.reason().is_some() {
            describe::repeat_failures(self.breaker());
        }
        end.cancel();
        // They hold the ledger, and an embedded one is opened again only when nobody does.
        beside.shutdown().await;
        if let Some(mut page) = page
            && tokio::time::timeout(RESIGNING, &mut page).await.is_err()
        {
            page.abort();
        }
        publishing.cancel();
        if let Some(publisher) = publisher {
            // If it cannot give its place up in time, the next one waits for the end of its term.
            let _ = tokio::time::timeout(RESIGNING, publisher).await;
        }
        if let Some(emf) = emf {
            // Its last line; it cannot fail.
            let _ = emf.await;
        }
        Ok(RunReport {
            summary: self.metrics().summary(),
            grades: self.metrics().grades(),
            elapsed: started.elapsed(),
            drained,
        })
    }

    /// Until the agent is asked to stop: then senders keep what they have, and send it to the next one.
    async fn take_events(&self, shutdown: &Shutdown) -> Result<(), WiringError> {
        for (listener, place) in &self.listeners {
            let token = listener.token_file.as_deref().map(|path| Token::read(path, "[queue] token_file"));
            let token = token.transpose().map_err(EventListenerError::from)?;
            let bound = EventListener::bind(listener.address, token).await?;
            tokio::spawn(bound.serve(self.contexts[*place].queue.clone(), shutdown.stop.clone()));
        }
        Ok(())
    }

    /// The backlog, where this agent leads, until `end`: then another one can.
    fn publish(&self, end: &CancellationToken) -> Result<Option<JoinHandle<()>>, WiringError> {
        let Some(target) = self.backlog.clone() else { return Ok(None) };
        let queues = self.contexts.iter().map(|context| context.queue.clone()).collect();
        let wrong = |reason| WiringError::Section { section: "[status]", reason };
        let backlog = BacklogPublisher::new(target, queues, self.ledger().clone()).map_err(wrong)?;
        Ok(Some(tokio::spawn(backlog.run(end.clone()))))
    }

    /// Of the destinations that the routes lead to.
    pub fn janitor(&self) -> Janitor {
        let JobContext { sink, ledger, routes, .. } = self.shared();
        Janitor { sink: sink.clone(), ledger: ledger.clone(), routes: routes.clone(), dry: false, tell: None }
    }

    /// Every queue's drain. A run that is to end when the queues are empty continues until all of them are at one time: one
    /// that was empty first may have been sent something since.
    async fn drain_all(&self, until: drain::DrainUntil, shutdown: Shutdown) -> DrainReport {
        let mut total = DrainReport::default();
        loop {
            let drains =
                self.contexts.iter().map(|context| drain(context, &self.rest).run(until.clone(), shutdown.clone()));
            for drained in join_all(drains).await {
                total.panicked += drained.panicked;
                total.aborted += drained.aborted;
            }
            let one = self.contexts.len() == 1 || matches!(until, drain::DrainUntil::Stopped);
            if one || shutdown.stop.is_cancelled() || self.all_are_empty().await {
                return total;
            }
        }
    }

    async fn all_are_empty(&self) -> bool {
        let depths = join_all(self.contexts.iter().map(|context| context.queue.depth())).await;
        depths.iter().all(|depth| depth.as_ref().is_ok_and(Depth::is_empty))
    }

    /// Of all queues.
    fn names(&self) -> Arc<str> {
        self.contexts.iter().map(|context| context.queue.name()).collect::<Vec<_>>().join(", ").into()
    }
}

fn drain(context: &Arc<JobContext>, rest: &PauseWatch) -> Drain {
    let shared = context.clone();
    let work: JobRunner = Arc::new(move |message, lease, cancelled, stop| {
        let context = shared.clone();
        async move { job::run(&context, message, lease, cancelled, stop).await }.boxed()
    });
    let JobContext { queue, limiter, breaker, metrics, .. } = &**context;
    Drain::new(queue.clone(), limiter.clone(), breaker.clone(), rest.clone(), metrics.clone(), work)
}

fn contexts(
    settings: &Settings,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    queues: Vec<Arc<dyn Queue>>,
    ledger: Arc<dyn Ledger>,
    routes: LiveRoutes,
) -> Vec<Arc<JobContext>> {
    let transfer = &settings.transfer;
    let metrics = Arc::new(Metrics::default());
    let queues: Vec<_> = queues.into_iter().map(|queue| observed::queue(queue, &metrics)).collect();
    let ledger = observed::ledger(ledger, &metrics);
    let mut limiter = Limiter::new(transfer.memory_budget, transfer.max_bandwidth.at(jiff::Timestamp::now()))
        .with_objects(hardening::max_objects())
        .counted_by(metrics.inflight_bytes.clone());
    if let Some(at_once) = transfer.max_objects {
        limiter = limiter.with_objects(usize::try_from(at_once).unwrap_or(usize::MAX));
    }
    limiter = limiter.limit_shown_by(metrics.objects_limit.clone());
    source.measure_with(metrics.requests_to(Side::Source));
    sink.measure_with(metrics.requests_to(Side::Destination));
    let hold = queues::hold_time(&settings.ledger, &queues);
    let (limiter, breaker, keys) = (Arc::new(limiter), Arc::new(Breaker::default()), job::KeyLocks::default());
    // Nobody keeps a note without a ledger.
    let shared = (!matches!(settings.ledger, config::LedgerSettings::None)).then(|| ledger.clone());
    let fuse = Arc::new(Fuse::new(f64::from(transfer.max_delete_share) / 100.0, shared));
    let of = |queue| JobContext {
        source: source.clone(),
        sink: sink.clone(),
        queue,
        ledger: ledger.clone(),
        routes: routes.clone(),
        cut: PartSettings { multipart_threshold: transfer.multipart_threshold, part_size: transfer.part_size },
        deletes: transfer.deletes,
        metadata: transfer.metadata,
        md5: transfer.verify == VerifyMode::Md5,
        tags: transfer.tags,
        exact: transfer.versions == VersionMode::Exact,
        restore: transfer.restore,
        hold,
        limiter: limiter.clone(),
        breaker: breaker.clone(),
        fuse: fuse.clone(),
        metrics: metrics.clone(),
        keys: keys.clone(),
        unsendable: Once::new(),
    };
    queues.into_iter().map(|queue| Arc::new(of(queue))).collect()
}
