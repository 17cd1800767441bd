//! One agent: the library's own drain, leases, jobs and janitor on a runtime of their own, so that a process can be killed
//! (the runtime is dropped, wherever its tasks stand) and frozen (it is not driven, and its clock jumps when it wakes).

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::time::Duration;

use skyferry_agent::drain::{Drain, DrainUntil, JobRunner};
use skyferry_agent::fuse::Fuse;
use skyferry_agent::janitor::Janitor;
use skyferry_agent::job::{self, JobContext, KeyLocks};
use skyferry_agent::limits::{Breaker, Limiter};
use skyferry_agent::pause::PauseWatch;
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_core::metrics::Metrics;
use skyferry_core::model::Key;
use skyferry_core::plan::PartSettings;
use skyferry_core::route::{IgnoreList, LiveRoutes, Route, Router};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Time};
use crate::port::Port;
use crate::world::Shared;
use crate::{source, store};

/// What the operator of this fleet has set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub agents: usize,
    pub cut: PartSettings,
    pub deletes: bool,
    pub exact: bool,
    pub hold: Duration,
    pub budget: u64,
}

pub struct Agent {
    pub id: u32,
    runtime: Option<Runtime>,
    base: Instant,
    born: Time,
    /// How far it has come.
    pub local: Time,
    pub frozen: bool,
    pub shutdown: Shutdown,
    pub asked: Option<Time>,
    ended: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    budget: u64,
}

pub fn router() -> Router {
    let route = Route {
        source_bucket: Some(source::BUCKET.into()),
        source_prefix: Key::default(),
        bucket: store::BUCKET.into(),
        prefix: Key::from(store::PREFIX),
        strip_prefix: false,
        options: Default::default(),
    };
    Router::new(vec![route], IgnoreList::default()).expect("one route")
}

pub fn janitor(port: &Arc<Port>) -> Janitor {
    let port = Arc::new(Port { sweeps: true, ..Port::clone(port) });
    Janitor { sink: port.clone(), ledger: port, routes: LiveRoutes::new(router()), dry: false, tell: None }
}

fn context(port: &Arc<Port>, settings: &Settings, metrics: &Arc<Metrics>) -> JobContext {
    JobContext {
        source: port.clone(),
        sink: port.clone(),
        queue: port.clone(),
        ledger: port.clone(),
        routes: LiveRoutes::new(router()),
        cut: settings.cut,
        deletes: settings.deletes,
        metadata: true,
        md5: false,
        tags: false,
        exact: settings.exact,
        restore: false,
        hold: settings.hold,
        limiter: Arc::new(Limiter::new(settings.budget, 0).counted_by(metrics.inflight_bytes.clone())),
        breaker: Arc::new(Breaker::default()),
        fuse: Arc::new(Fuse::new(1.0, None)),
        metrics: metrics.clone(),
        keys: KeyLocks::default(),
        unsendable: Once::new(),
    }
}

impl Agent {
    pub fn start(id: u32, world: &Shared, settings: &Settings, now: Time) -> Agent {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let (ended, metrics, shutdown) =
            (Arc::new(AtomicBool::new(false)), Arc::<Metrics>::default(), Shutdown::default());
        let port = Arc::new(Port { world: world.clone(), agent: id, sweeps: false });
        let context = Arc::new(context(&port, settings, &metrics));
        let (done, stop) = (ended.clone(), shutdown.clone());
        let base = runtime.block_on(async {
            let base = Instant::now();
            clock::follow(base, now);
            tokio::spawn(async move {
                let end = CancellationToken::new();
                let swept = tokio::spawn(janitor(&port).run(end.clone()));
                drain(&context).run(DrainUntil::Stopped, stop).await;
                end.cancel();
                let _ = swept.await;
                done.store(true, SeqCst);
            });
            base
        });
        clock::set(now);
        let runtime = Some(runtime);
        let budget = settings.budget;
        Agent { id, runtime, base, born: now, local: now, frozen: false, shutdown, asked: None, ended, metrics, budget }
    }

    /// Lives on until then. Asleep meanwhile, it wakes with a clock that jumped.
    pub fn drive(&mut self, until: Time, asleep: bool) {
        let Some(runtime) = &self.runtime else { return };
        let target = self.base + (until - self.born);
        clock::follow(self.base, self.born);
        runtime.block_on(async {
            if asleep {
                tokio::time::advance(target - Instant::now()).await;
            }
            tokio::time::sleep_until(target).await;
        });
        self.local = until;
        clock::set(until);
    }

    pub fn terminate(&mut self) {
        self.asked = Some(self.local);
        self.shutdown.request(ShutdownReason::Terminate);
    }

    pub fn is_busy(&self) -> bool {
        self.metrics.inflight_objects.get() > 0
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// More bytes in memory than were allowed.
    pub fn over_budget(&self) -> bool {
        self.metrics.inflight_bytes.get() > self.budget
    }
}

/// The end of a process: every task stands where it stood.
impl Drop for Agent {
    fn drop(&mut self) {
        clock::set(self.local);
        drop(self.runtime.take());
    }
}

fn drain(context: &Arc<JobContext>) -> Drain {
    let shared = context.clone();
    let work: JobRunner = Arc::new(move |message, lease, cancelled, stop| {
        let context = shared.clone();
        Box::pin(async move { job::run(&context, message, lease, cancelled, stop).await })
    });
    let JobContext { queue, limiter, breaker, metrics, .. } = &**context;
    Drain::new(queue.clone(), limiter.clone(), breaker.clone(), PauseWatch::default(), metrics.clone(), work)
}
