//! How much at once: bytes in memory, objects in hand, bytes a second; in `streams.rs` which streamed bodies are open, and
//! in `breaker.rs` whether to go on at all.
//!
//! One `Pace` serves all jobs of an agent, so its caps hold for any input. Permits are given in the order of asking, and
//! live as long as what they pay for. Whoever holds bytes must not wait for more: two such would wait for each other.

mod breaker;
mod streams;
mod width;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::metrics::{Gauge, Held};

pub use breaker::{Blame, Breaker, Channel, Object, Outage, Verb};
pub use streams::{StreamPermit, Streams, Turn};

/// What one open transfer keeps in memory: read and write buffers of its two connections, and a chunk on its way.
pub const STREAM: u64 = 512 << 10;
/// The semaphore counts in these, so that a budget of a TiB fits its numbers.
const UNIT: u64 = 4 << 10;
/// Small objects wait for the far side most of their time; beyond this many at once two cores are busy.
const OBJECTS: usize = 64;
/// Parts of one file: enough to fill a fast line at the rate that services grant one connection.
const PARTS: usize = 16;
/// What may pass at once after a pause of the bandwidth limiter.
const BURST: Duration = Duration::from_millis(100);
/// Longer waits than this come from absurd numbers, and would overflow a clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The caps of one agent.
pub struct Pace {
    memory: Arc<Semaphore>,
    /// In units.
    budget: u32,
    objects: Arc<Semaphore>,
    objects_at_once: usize,
    parts_at_once: usize,
    streams: Streams,
    bandwidth: Option<Mutex<Bucket>>,
    in_memory: Gauge,
}

/// Bytes that may be held in memory for as long as this lives.
#[must_use]
pub struct Permit {
    _units: OwnedSemaphorePermit,
    _counted: Held,
}

/// Room for some objects in hand. Taken before a message is received.
#[must_use]
pub struct Slots(OwnedSemaphorePermit);

impl Slots {
    /// Room for one object, out of this.
    pub fn split(&mut self) -> Option<Slots> {
        self.0.split(1).map(Slots)
    }

    pub fn count(&self) -> usize {
        self.0.num_permits()
    }
}

impl Pace {
    /// `memory_budget`: bytes in flight; `max_bandwidth`: bytes a second, 0 for no limit.
    pub fn new(memory_budget: u64, max_bandwidth: u64) -> Pace {
        let budget = u32::try_from((memory_budget / UNIT).max(1)).unwrap_or(u32::MAX >> 4);
        let streams = usize::try_from(memory_budget / STREAM).unwrap_or(usize::MAX);
        let objects_at_once = streams.clamp(2, OBJECTS);
        Pace {
            memory: Arc::new(Semaphore::new(budget as usize)),
            budget,
            objects: Arc::new(Semaphore::new(objects_at_once)),
            objects_at_once,
            parts_at_once: streams.clamp(1, PARTS),
            streams: Streams::new(streams, Some(max_bandwidth).filter(|rate| *rate > 0)),
            bandwidth: (max_bandwidth > 0).then(|| Mutex::new(Bucket::new(max_bandwidth))),
            in_memory: Gauge::default(),
        }
    }

    /// The operator's own number of objects at once.
    #[must_use]
    pub fn with_objects(mut self, at_once: usize) -> Pace {
        self.objects_at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        self.objects = Arc::new(Semaphore::new(self.objects_at_once));
        self
    }

    /// Shows the bytes held in this gauge.
    #[must_use]
    pub fn counted_by(mut self, gauge: Gauge) -> Pace {
        self.in_memory = gauge;
        self
    }

    /// Waits until `n` bytes may be held; more than the whole budget is taken for the whole budget.
    pub async fn bytes(&self, n: u64) -> Permit {
        let units = u32::try_from(n.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.budget);
        let permit = self.memory.clone().acquire_many_owned(units).await;
        Permit { _units: permit.expect(NEVER_CLOSED), _counted: self.in_memory.hold(n) }
    }

    /// Waits for room for up to `most` objects: for all of it for as long as `patience`, then for one at least. Messages
    /// come cheaper by ten, but a long transfer must not keep the room beside it empty.
    pub async fn objects(&self, most: usize, patience: Duration) -> Slots {
        let most = u32::try_from(most.clamp(1, self.objects_at_once)).unwrap_or(u32::MAX);
        let all = self.objects.clone().acquire_many_owned(most);
        if let Ok(permit) = tokio::time::timeout(patience, all).await {
            return Slots(permit.expect(NEVER_CLOSED));
        }
        let mut slots = self.objects.clone().acquire_owned().await.expect(NEVER_CLOSED);
        while slots.num_permits() < most as usize {
            match self.objects.clone().try_acquire_owned() {
                Ok(more) => slots.merge(more),
                Err(_) => break,
            }
        }
        Slots(slots)
    }

    /// Waits until `n` more bytes may pass. Costs nothing where there is no limit.
    pub async fn bandwidth(&self, n: u64) {
        let Some(bucket) = &self.bandwidth else { return };
        let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(n, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    pub fn objects_at_once(&self) -> usize {
        self.objects_at_once
    }

    /// Who streams a body asks here first, and holds what it gets until the body has arrived.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Of one file.
    pub fn parts_at_once(&self) -> usize {
        self.parts_at_once
    }
}

const NEVER_CLOSED: &str = "the semaphores of `Pace` are never closed";

/// A token bucket told by one instant: when all that was let through has been paid for.
struct Bucket {
    rate: f64,
    paid: Option<Instant>,
}

impl Bucket {
    fn new(rate: u64) -> Self {
        Bucket { rate: rate as f64, paid: None }
    }

    /// How long these bytes must wait.
    fn take(&mut self, n: u64, now: Instant) -> Duration {
        let idle = now.checked_sub(BURST).unwrap_or(now);
        let from = self.paid.map_or(idle, |paid| paid.max(idle));
        let cost = Duration::try_from_secs_f64(n as f64 / self.rate).unwrap_or(LONGEST).min(LONGEST);
        let paid = (from + cost).min(now + LONGEST);
        self.paid = Some(paid);
        paid.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn bytes_beyond_the_budget_wait_until_others_are_given_back() {
        let gauge = Gauge::default();
        let pace = Pace::new(4 * MIB, 0).counted_by(gauge.clone());
        let first = pace.bytes(3 * MIB).await;
        let second = pace.bytes(2 * MIB);
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        assert_eq!(gauge.get(), 3 * MIB);
        drop(first);
        let _second = second.await;
        assert_eq!(gauge.get(), 2 * MIB);
    }

    #[tokio::test]
    async fn more_than_the_whole_budget_is_the_whole_budget() {
        let pace = Pace::new(2 * MIB, 0);
        let all = pace.bytes(u64::MAX).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), pace.bytes(1)).await.is_err());
        drop(all);
        let _one = pace.bytes(1).await;
    }

    #[tokio::test]
    async fn a_large_request_is_not_overtaken_for_ever() {
        let pace = Arc::new(Pace::new(2 * MIB, 0));
        let held = pace.bytes(MIB).await;
        let large = tokio::spawn({
            let pace = pace.clone();
            async move { drop(pace.bytes(2 * MIB).await) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        // There is room for it, but somebody asked before.
        assert!(tokio::time::timeout(Duration::from_millis(20), pace.bytes(MIB)).await.is_err());
        drop(held);
        large.await.unwrap();
    }

    #[tokio::test]
    async fn objects_come_by_ten_and_singly_when_others_take_long() {
        let pace = Pace::new(64 * MIB, 0).with_objects(12);
        let mut first = pace.objects(10, Duration::from_secs(5)).await;
        assert_eq!(first.count(), 10);
        let kept = first.split().unwrap();
        let second = pace.objects(10, Duration::from_millis(10)).await;
        assert_eq!((first.count(), second.count(), kept.count()), (9, 2, 1));
        drop((first, second, kept));
        assert_eq!(pace.objects(50, Duration::from_secs(5)).await.count(), 12);
    }

    #[test]
    fn a_small_budget_takes_fewer_objects_and_any_budget_makes_a_pace() {
        let fixed = |budget| (Pace::new(budget, 0).objects_at_once(), Pace::new(budget, 0).parts_at_once());
        assert_eq!(fixed(64 * MIB), (64, 16));
        assert_eq!(fixed(2 * MIB), (4, 4));
        assert_eq!((fixed(0), fixed(u64::MAX)), ((2, 1), (64, 16)));
    }

    #[test]
    fn bytes_pass_at_the_rate_and_a_pause_gives_a_small_burst_only() {
        let mut bucket = Bucket::new(1000);
        let start = Instant::now() + Duration::from_secs(3600);
        let mut now = start;
        for _ in 0..100 {
            now += bucket.take(100, now);
        }
        // 10,000 bytes at 1,000 a second, less the burst.
        assert_eq!((now - start).as_millis(), 9_900);
        now += Duration::from_secs(60);
        assert_eq!(bucket.take(100, now), Duration::ZERO);
        assert_eq!(bucket.take(100, now), Duration::from_millis(100));
    }

    #[test]
    fn no_numbers_overflow_the_clock() {
        let mut bucket = Bucket::new(1);
        for n in [u64::MAX, 0, u64::MAX] {
            assert!(bucket.take(n, Instant::now()) <= LONGEST);
        }
    }
}
