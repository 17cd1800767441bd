//! How much at once: bytes in memory and bytes a second; in `slots.rs` objects in flight, as many as `object_limit.rs` finds to be
//! of use; in `streams.rs` which streamed bodies are open, and in `breaker.rs` whether to continue at all.
//!
//! One `Limiter` serves all jobs of an agent, so its caps hold for any input. Permits are given in the order of asking, and
//! live as long as what they pay for. Whoever holds bytes must not wait for more: two such would wait for each other.

mod breaker;
mod object_limit;
mod slots;
mod stream_limit;
mod streams;
mod transfers;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use skyferry_core::metrics::{Gauge, GaugeGuard, LimitGauge};
use slots::{OBJECT, SlotPool};

pub use breaker::{Blame, Breaker, Channel, ObjectHash, Outage, RequestVerb};
pub use slots::Slots;
pub use streams::{StreamPermit, StreamTurn, Streams};
pub use transfers::{ObjectTransfer, TransferBody, TransferGuard, Transfers};

/// What one open transfer keeps in memory: read and write buffers of its two connections, and a chunk on its way.
pub const STREAM: u64 = 512 << 10;
/// The semaphore counts in these, so that a budget of a TiB fits its numbers.
const UNIT: u64 = 4 << 10;
/// Objects in flight until it is known how many are of use. On a fast line two cores are busy with fewer.
const OBJECTS: usize = 64;
/// Parts of one file that may wait for a stream: how many are open is decided in `streams.rs`.
const PARTS: usize = 64;
/// Objects in flight at most, whatever the memory: each has two connections.
const MOST: usize = 1024;
/// What may pass at once after a pause of the bandwidth limiter.
const BURST: Duration = Duration::from_millis(100);
/// Longer waits than this come from absurd numbers, and would overflow a clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The caps of one agent.
pub struct Limiter {
    memory: Arc<Semaphore>,
    /// In units.
    budget: u32,
    room: SlotPool,
    parts_at_once: usize,
    streams: Streams,
    /// Bytes a second; 0: no limit.
    rate: AtomicU64,
    bandwidth: Mutex<Bucket>,
    in_memory: Gauge,
    transfers: Transfers,
}

/// Bytes that may be held in memory for as long as this lives.
#[must_use]
pub struct MemoryPermit {
    _units: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

impl Limiter {
    /// `memory_budget`: bytes in flight; `max_bandwidth`: bytes a second, 0 for no limit.
    pub fn new(memory_budget: u64, max_bandwidth: u64) -> Limiter {
        let budget = u32::try_from((memory_budget / UNIT).max(1)).unwrap_or(u32::MAX >> 4);
        let streams = usize::try_from(memory_budget / STREAM).unwrap_or(usize::MAX);
        let memory = Arc::new(Semaphore::new(budget as usize));
        let start = streams.clamp(2, OBJECTS);
        let most = usize::try_from(memory_budget / 2 / OBJECT).unwrap_or(usize::MAX).clamp(start, MOST);
        Limiter {
            room: SlotPool::new(start, most, budget, memory.clone()),
            memory,
            budget,
            parts_at_once: streams.clamp(1, PARTS),
            streams: Streams::new(streams, Some(max_bandwidth).filter(|rate| *rate > 0)),
            rate: AtomicU64::new(max_bandwidth),
            bandwidth: Mutex::new(Bucket::new(max_bandwidth)),
            in_memory: Gauge::default(),
            transfers: Transfers::default(),
        }
    }

    /// The operator's own limit of objects at once. To be set before anything is taken.
    #[must_use]
    pub fn with_objects(mut self, at_most: usize) -> Limiter {
        let (start, most) = self.room.bounds();
        self.memory = Arc::new(Semaphore::new(self.budget as usize));
        self.room = SlotPool::new(start.min(at_most), most.min(at_most), self.budget, self.memory.clone());
        self
    }

    /// Shows the bytes held in this gauge.
    #[must_use]
    pub fn counted_by(mut self, gauge: Gauge) -> Limiter {
        self.in_memory = gauge;
        self
    }

    /// Shows how many objects may be in flight, and why.
    #[must_use]
    pub fn limit_shown_by(self, limit: LimitGauge) -> Limiter {
        self.room.report_to(limit);
        self
    }

    /// Waits until `n` bytes may be held; more than the whole budget is taken for the whole budget.
    pub async fn bytes(&self, n: u64) -> MemoryPermit {
        let units = u32::try_from(n.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.room.left());
        let permit = self.memory.clone().acquire_many_owned(units).await;
        MemoryPermit { _units: permit.expect(NEVER_CLOSED), _counted: self.in_memory.hold(n) }
    }

    /// Waits for room for up to `most` objects, at least one: see `slots.rs`.
    pub async fn objects(&self, most: usize, patience: Duration) -> Slots {
        self.room.take(most, patience).await
    }

    /// A transfer stood still until it was given up: fewer at once.
    pub fn stalled(&self) {
        self.room.stalled();
    }

    /// Waits until `n` more bytes may pass. Costs nothing where there is no limit.
    pub async fn bandwidth(&self, n: u64) {
        if self.bandwidth_limit() == 0 {
            return;
        }
        let wait = self.bandwidth.lock().unwrap_or_else(PoisonError::into_inner).take(n, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Bytes a second that may pass; 0: no limit.
    pub fn bandwidth_limit(&self) -> u64 {
        self.rate.load(Relaxed)
    }

    /// Changes it from now on; `false`: it was so.
    pub fn set_bandwidth(&self, rate: u64) -> bool {
        if self.rate.swap(rate, Relaxed) == rate {
            return false;
        }
        // What waits for the old rate has its time already.
        *self.bandwidth.lock().unwrap_or_else(PoisonError::into_inner) = Bucket::new(rate);
        self.streams.set_rate(Some(rate).filter(|rate| *rate > 0));
        true
    }

    /// What is in flight, for whoever looks.
    pub fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// As many as are of use, as far as is known.
    pub fn objects_at_once(&self) -> usize {
        self.room.at_once()
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
        // At no rate nobody asks.
        Bucket { rate: rate.max(1) as f64, paid: None }
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
        let limiter = Limiter::new(4 * MIB, 0).counted_by(gauge.clone());
        let first = limiter.bytes(3 * MIB).await;
        let second = limiter.bytes(2 * MIB);
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        assert_eq!(gauge.get(), 3 * MIB);
        drop(first);
        let _second = second.await;
        assert_eq!(gauge.get(), 2 * MIB);
    }

    #[tokio::test]
    async fn more_than_the_whole_budget_is_the_whole_budget() {
        let limiter = Limiter::new(2 * MIB, 0).with_objects(1);
        let all = limiter.bytes(u64::MAX).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), limiter.bytes(1)).await.is_err());
        drop(all);
        let _one = limiter.bytes(1).await;
    }

    #[tokio::test]
    async fn a_large_request_is_not_overtaken_for_ever() {
        let limiter = Arc::new(Limiter::new(2 * MIB, 0));
        let held = limiter.bytes(MIB).await;
        let large = tokio::spawn({
            let limiter = limiter.clone();
            async move { drop(limiter.bytes(2 * MIB).await) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        // There is room for it, but somebody asked before.
        assert!(tokio::time::timeout(Duration::from_millis(20), limiter.bytes(MIB)).await.is_err());
        drop(held);
        large.await.unwrap();
    }

    #[tokio::test]
    async fn objects_come_by_ten_and_singly_when_others_take_long() {
        let limiter = Limiter::new(64 * MIB, 0).with_objects(12);
        let mut first = limiter.objects(10, Duration::from_secs(5)).await;
        assert_eq!(first.count(), 10);
        let kept = first.split().unwrap();
        let second = limiter.objects(10, Duration::from_millis(10)).await;
        assert_eq!((first.count(), second.count(), kept.count()), (9, 2, 1));
        drop((first, second, kept));
        assert_eq!(limiter.objects(50, Duration::from_secs(5)).await.count(), 12);
    }

    #[test]
    fn a_small_budget_takes_fewer_objects_and_any_budget_makes_a_pace() {
        let fixed = |budget| (Limiter::new(budget, 0).objects_at_once(), Limiter::new(budget, 0).parts_at_once());
        assert_eq!(fixed(64 * MIB), (64, 64));
        assert_eq!(fixed(2 * MIB), (4, 4));
        assert_eq!((fixed(0), fixed(u64::MAX)), ((2, 1), (64, 64)));
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

    #[tokio::test(start_paused = true)]
    async fn another_rate_holds_from_the_next_bytes_on() {
        let limiter = Limiter::new(64 * MIB, 0);
        let start = Instant::now();
        limiter.bandwidth(1 << 40).await;
        assert_eq!((start.elapsed(), limiter.set_bandwidth(0)), (Duration::ZERO, false));
        assert!(limiter.set_bandwidth(1000) && !limiter.set_bandwidth(1000));
        for _ in 0..60 {
            limiter.bandwidth(1000).await;
        }
        // Over a minute within 5 % of what was asked for.
        assert!((57.0..=63.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
        limiter.set_bandwidth(0);
        let start = Instant::now();
        limiter.bandwidth(1 << 40).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn no_numbers_overflow_the_clock() {
        let mut bucket = Bucket::new(1);
        for n in [u64::MAX, 0, u64::MAX] {
            assert!(bucket.take(n, Instant::now()) <= LONGEST);
        }
    }
}
