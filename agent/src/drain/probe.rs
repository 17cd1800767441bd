//! How the drain goes through an outage: one message at a time, after delays that grow, until something succeeds.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::limits::{Breaker, Channel};
use skyferry_core::ambient;
use skyferry_core::backoff::Backoff;

/// Delays between probes: each at least half of what it may be, so that a service in trouble is never hammered, and jittered, so that
/// a fleet does not come back together.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Probe {
    outage: Option<Waiting>,
}

struct Waiting {
    channel: Channel,
    delays: Backoff,
    next: Duration,
    /// The job that went out last, and how many failures there were in a row when it did.
    out: Option<(JoinHandle<()>, u32)>,
    row: u32,
}

impl Waiting {
    fn new(channel: Channel, row: u32) -> Self {
        let delays = Backoff::new(FIRST / 2, LONGEST / 2, ambient::random());
        Waiting { channel, delays, next: FIRST / 2, out: None, row }
    }

    fn delay(&mut self) -> Duration {
        let delay = self.next + self.delays.delay();
        self.next = (self.next * 2).min(LONGEST / 2);
        delay
    }
}

impl Probe {
    /// Waits until the next message may be received. Without an outage that is now.
    pub async fn wait(&mut self, breaker: &Breaker) {
        let Some(seen) = breaker.outage().filter(|outage| outage.channel != Channel::Queue) else {
            if let Some(outage) = self.outage.take() {
                tracing::info!(side = %outage.channel.side(), "recovered; receiving again");
            }
            return;
        };
        if self.outage.as_ref().is_none_or(|outage| outage.channel != seen.channel) {
            let last = breaker.last_error().map(|(error, _)| error.to_string()).unwrap_or_default();
            let (side, what) = (seen.channel.side(), seen.channel.describe());
            tracing::warn!(%side, what, cause = seen.cause, last, "outage: messages are kept, one is tried now and then");
        }
        let row = breaker.consecutive_failures(seen.channel);
        let outage = self.outage.get_or_insert_with(|| Waiting::new(seen.channel, row));
        outage.channel = seen.channel;
        tokio::select! {
            biased;
            () = breaker.wait_until_closed() => {}
            () = outage.pause(breaker) => {}
        }
    }

    /// A message went out.
    pub fn watch(&mut self, job: JoinHandle<()>) {
        if let Some(outage) = &mut self.outage {
            outage.out = Some((job, outage.row));
        }
    }
}

impl Waiting {
    /// Until the probe that is out has ended, and then a delay; none if it showed nothing of this channel.
    async fn pause(&mut self, breaker: &Breaker) {
        if let Some((job, row)) = &mut self.out {
            let _ = job.await;
            let showed_nothing = breaker.consecutive_failures(self.channel) == *row;
            self.out = None;
            self.row = breaker.consecutive_failures(self.channel);
            if showed_nothing {
                return;
            }
        }
        let delay = self.delay();
        tokio::time::sleep(delay).await;
        self.row = breaker.consecutive_failures(self.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap_and_are_never_short() {
        let mut outage = Waiting::new(Channel::SourceReads, 5);
        let delays: Vec<_> = (0..12).map(|_| outage.delay()).collect();
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST, "{delays:?}");
        assert!(delays[7..].iter().all(|delay| *delay >= LONGEST / 2 && *delay <= LONGEST), "{delays:?}");
    }

    #[tokio::test]
    async fn without_an_outage_nothing_waits_and_a_success_ends_the_wait() {
        let (breaker, mut probe) = (Breaker::default(), Probe::default());
        probe.wait(&breaker).await;
        (0..10).for_each(|_| breaker.failed(Channel::DestinationWrites, "denied"));
        let success = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            breaker.succeeded(Channel::DestinationWrites);
        };
        let begun = tokio::time::Instant::now();
        tokio::join!(probe.wait(&breaker), success);
        assert!(begun.elapsed() < FIRST / 2);
    }

    #[tokio::test]
    async fn the_next_probe_waits_for_the_one_that_is_out() {
        let (breaker, mut probe) = (Breaker::default(), Probe::default());
        (0..10).for_each(|_| breaker.failed(Channel::DestinationWrites, "denied"));
        probe.wait(&breaker).await;
        probe.watch(tokio::spawn(std::future::pending()));
        assert!(tokio::time::timeout(FIRST * 11 / 10, probe.wait(&breaker)).await.is_err());
    }
}
