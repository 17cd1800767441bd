//! What a batch needs that somebody else received, as a Lambda function's event source does: the jobs of that batch and no
//! loop around them. The rest of an agent that runs for days (status page, notices, janitor) has no place there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{Agent, WiringError};
use crate::drain::{self, Drain, DrainReport, JobRunner};
use crate::emf::EmfLogger;
use crate::job::{self, JobContext};
use crate::pause::{Pause, PauseWatch};
use crate::shutdown::Shutdown;

/// How long the ledger is asked whether the fleet is paused.
const LOOK: Duration = Duration::from_secs(5);

/// How many messages of a batch are still worked on; the last one ends the drain.
struct Left {
    messages: AtomicUsize,
    over: CancellationToken,
}

struct OneOf(Arc<Left>);

impl Drop for OneOf {
    fn drop(&mut self) {
        if self.0.messages.fetch_sub(1, AcqRel) == 1 {
            self.0.over.cancel();
        }
    }
}

impl Agent {
    /// Works on the first queue until `messages` of its messages have been worked on, or `shutdown`. A queue that has no more
    /// to give ends its receives with `shutdown.stop`, which is set here.
    pub async fn work_on(&self, messages: usize, shutdown: &Shutdown) -> DrainReport {
        let Some(context) = self.contexts.first().filter(|_| messages > 0) else { return DrainReport::default() };
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        if context.deletes {
            let fuse = context.fuse.clone();
            tokio::spawn(async move { fuse.run(end).await });
        }
        let left = Arc::new(Left { messages: AtomicUsize::new(messages), over: shutdown.stop.clone() });
        drain(context, &left).run(drain::DrainUntil::Stopped, shutdown.clone()).await
    }

    /// Reads the ignore list and the bucket pairs again.
    pub async fn refresh_lists(&self) -> Result<(), WiringError> {
        self.lists.refresh(&self.shared().routes).await
    }

    /// The pause that stands, as far as the ledger shows one.
    pub async fn pause(&self) -> Option<Pause> {
        match tokio::time::timeout(LOOK, Pause::read(&**self.ledger())).await {
            Ok(Ok(pause)) => pause,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot read whether the fleet is paused; working");
                None
            }
            Err(_) => None,
        }
    }

    /// Of these metrics, where the settings want them in the log.
    pub fn emf(&self) -> Option<EmfLogger> {
        self.emf.then(|| EmfLogger::new(self.metrics().clone(), self.names()))
    }
}

fn drain(context: &Arc<JobContext>, left: &Arc<Left>) -> Drain {
    let (shared, left) = (context.clone(), left.clone());
    let work: JobRunner = Arc::new(move |message, lease, cancelled, stop| {
        let (context, one) = (shared.clone(), OneOf(left.clone()));
        async move {
            let _one = one;
            job::run(&context, message, lease, cancelled, stop).await;
        }
        .boxed()
    });
    let JobContext { queue, limiter, breaker, metrics, .. } = &**context;
    Drain::new(queue.clone(), limiter.clone(), breaker.clone(), PauseWatch::default(), metrics.clone(), work)
}
