//! A queue that is far away, in simulated time.

use std::sync::PoisonError;
use std::time::SystemTime;

use async_trait::async_trait;

use super::*;
use skyferry_core::queue::{Depth, QueueError, Receipt};

const TRIP: Duration = Duration::from_millis(200);
const SLOTS: usize = 64;

/// Every answer takes a round trip.
#[derive(Default)]
struct Far {
    left: Mutex<Vec<usize>>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    receives: usize,
    at_once: usize,
    most_at_once: usize,
    /// Messages that receives in flight may bring.
    asked: usize,
    most_in_use: usize,
    /// Jobs at work.
    working: usize,
    deleted: usize,
    last_deleted: Option<Instant>,
}

impl Far {
    fn with(messages: usize) -> Arc<Far> {
        Arc::new(Far { left: Mutex::new((0..messages).collect()), ..Far::default() })
    }

    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let result = look(&mut seen);
        seen.most_at_once = seen.most_at_once.max(seen.at_once);
        seen.most_in_use = seen.most_in_use.max(seen.asked + seen.working);
        result
    }

    fn take(&self, max: usize) -> Vec<Message> {
        let mut left = self.left.lock().unwrap();
        let count = left.len().min(max);
        let message = |n: usize| Message {
            id: n.to_string().into(),
            receipt: Receipt(n.to_string().into()),
            body: "".into(),
            received: 1,
            sent: SystemTime::UNIX_EPOCH,
        };
        left.drain(..count).map(message).collect()
    }
}

#[async_trait]
impl Queue for Far {
    fn name(&self) -> &str {
        "far"
    }

    fn traits(&self) -> QueueTraits {
        let (visibility, retention) = (Duration::from_secs(60), Duration::from_secs(3600));
        QueueTraits { visibility, retention, max_receives: None, dead_letters: None }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        self.see(|seen| {
            (seen.receives, seen.at_once, seen.asked) = (seen.receives + 1, seen.at_once + 1, seen.asked + max)
        });
        tokio::time::sleep(TRIP).await;
        let mut messages = self.take(max);
        if messages.is_empty() {
            tokio::time::sleep(wait).await;
            messages = self.take(max);
        }
        self.see(|seen| {
            (seen.at_once, seen.asked, seen.working) =
                (seen.at_once - 1, seen.asked - max, seen.working + messages.len());
        });
        Ok(messages)
    }

    async fn delete(&self, _: &Receipt) -> Result<(), QueueError> {
        tokio::time::sleep(TRIP).await;
        self.see(|seen| (seen.deleted, seen.last_deleted) = (seen.deleted + 1, Some(Instant::now())));
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth { visible: self.left.lock().unwrap().len() as u64, ..Depth::default() })
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn release(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn renew(&self, _: &Message, _: &str, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn park(&self, _: &str, _: &str) -> Result<(), QueueError> {
        Ok(())
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.left.lock().unwrap().extend(0..bodies.len());
        Ok(())
    }
}

/// A drain whose jobs take 5 ms each.
fn drain(far: &Arc<Far>) -> Drain {
    let queue: Arc<dyn Queue> = far.clone();
    let (deleting, far) = (queue.clone(), far.clone());
    let work: JobRunner = Arc::new(move |message, lease, _, _| {
        let (queue, far) = (deleting.clone(), far.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            far.see(|seen| seen.working -= 1);
            lease.end().await;
            queue.delete(&message.receipt).await.expect("deleted");
        })
    });
    let limiter = Arc::new(Limiter::new(64 << 20, 0).with_objects(SLOTS));
    Drain::new(queue, limiter, Arc::default(), PauseWatch::default(), Arc::default(), work)
}

#[tokio::test(start_paused = true)]
async fn a_far_queue_is_received_from_many_times_at_once_and_never_for_more_than_there_are_slots() {
    let (far, begun) = (Far::with(800), Instant::now());
    drain(&far).run(EMPTY, Shutdown::default()).await;
    let seen = far.see(|seen| seen.clone());
    assert_eq!(seen.deleted, 800);
    assert!(seen.last_deleted.expect("some") - begun <= Duration::from_secs(3), "{:?} {seen:?}", begun.elapsed());
    assert!(seen.most_at_once <= SLOTS.div_ceil(BATCH) && seen.most_in_use <= SLOTS, "{seen:?}");
    assert!(seen.receives <= 800 / BATCH + 30, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_is_asked_by_one_long_poll_at_a_time_until_there_is_something_again() {
    let (far, shutdown) = (Far::with(0), Shutdown::default());
    let running = tokio::spawn(drain(&far).run(DrainUntil::Stopped, shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = far.see(|seen| seen.receives);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let (receives, at_once) = far.see(|seen| (seen.receives - before, seen.at_once));
    assert!(receives <= 31 && at_once == 1, "{receives} receives in ten minutes, {at_once} at once");
    far.send(&vec![String::new(); 200]).await.expect("sent");
    tokio::time::sleep(Duration::from_secs(25)).await;
    let seen = far.see(|seen| seen.clone());
    assert!(seen.deleted == 200 && seen.most_at_once > 1, "{seen:?}");
    shutdown.request(ShutdownReason::Terminate);
    running.await.expect("no panic");
}
