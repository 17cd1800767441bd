//! How the drain goes through a storm: one message at a time, after delays that grow, until something succeeds.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::ambient;
use crate::backoff::Backoff;
use crate::error::Side;
use crate::pace::Breaker;

/// Delays between probes: each at least half of what it may be, so that a storm is never hammered, and jittered, so that
/// a fleet does not come back together.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Probe {
    storm: Option<Weathering>,
}

struct Weathering {
    side: Side,
    delays: Backoff,
    next: Duration,
    /// The job that went out last, and how many failures there were in a row when it did.
    out: Option<(JoinHandle<()>, u32)>,
    row: u32,
}

impl Weathering {
    fn new(side: Side, row: u32) -> Self {
        let delays = Backoff::new(FIRST / 2, LONGEST / 2, ambient::random());
        Weathering { side, delays, next: FIRST / 2, out: None, row }
    }

    fn delay(&mut self) -> Duration {
        let delay = self.next + self.delays.delay();
        self.next = (self.next * 2).min(LONGEST / 2);
        delay
    }
}

impl Probe {
    /// Waits until the next message may be received. In fair weather that is now.
    pub async fn wait(&mut self, breaker: &Breaker) {
        let Some(side) = breaker.storm().filter(|side| *side != Side::Queue) else {
            if let Some(storm) = self.storm.take() {
                tracing::info!(side = %storm.side, "the side answers again; going on");
            }
            return;
        };
        if self.storm.as_ref().is_none_or(|storm| storm.side != side) {
            let cause = breaker.storm_in_words().map_or("", |storm| storm.cause);
            tracing::warn!(%side, cause, "nothing succeeds against this side: messages are kept, one is tried now and then");
        }
        let storm = self.storm.get_or_insert_with(|| Weathering::new(side, breaker.in_a_row(side)));
        storm.side = side;
        tokio::select! {
            biased;
            () = breaker.calm() => {}
            () = storm.pause(breaker) => {}
        }
    }

    /// A message went out.
    pub fn sent(&mut self, job: JoinHandle<()>) {
        if let Some(storm) = &mut self.storm {
            storm.out = Some((job, storm.row));
        }
    }
}

impl Weathering {
    /// Until the probe that is out has ended, and then a delay; none if it told nothing of this side.
    async fn pause(&mut self, breaker: &Breaker) {
        if let Some((job, row)) = &mut self.out {
            let _ = job.await;
            let told_nothing = breaker.in_a_row(self.side) == *row;
            self.out = None;
            self.row = breaker.in_a_row(self.side);
            if told_nothing {
                return;
            }
        }
        let delay = self.delay();
        tokio::time::sleep(delay).await;
        self.row = breaker.in_a_row(self.side);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap_and_are_never_short() {
        let mut storm = Weathering::new(Side::Source, 5);
        let delays: Vec<_> = (0..12).map(|_| storm.delay()).collect();
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST, "{delays:?}");
        assert!(delays[7..].iter().all(|delay| *delay >= LONGEST / 2 && *delay <= LONGEST), "{delays:?}");
    }

    #[tokio::test]
    async fn in_fair_weather_nothing_waits_and_a_success_ends_the_wait() {
        let (breaker, mut probe) = (Breaker::default(), Probe::default());
        probe.wait(&breaker).await;
        (0..10).for_each(|_| breaker.failed(Side::Destination, "denied"));
        let success = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            breaker.succeeded(Side::Destination);
        };
        let begun = tokio::time::Instant::now();
        tokio::join!(probe.wait(&breaker), success);
        assert!(begun.elapsed() < FIRST / 2);
    }

    #[tokio::test]
    async fn the_next_probe_waits_for_the_one_that_is_out() {
        let (breaker, mut probe) = (Breaker::default(), Probe::default());
        (0..10).for_each(|_| breaker.failed(Side::Destination, "denied"));
        probe.wait(&breaker).await;
        probe.sent(tokio::spawn(std::future::pending()));
        assert!(tokio::time::timeout(FIRST * 11 / 10, probe.wait(&breaker)).await.is_err());
    }
}
