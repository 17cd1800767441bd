//! When a queue counts as empty: it has shown nothing for a while. One look is not enough, for SQS's counts are
//! approximate and lag behind.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{DrainUntil, POLL};
use skyferry_core::queue::Queue;

pub(super) struct IdleWatch {
    /// `None`: nobody asks.
    steady: Option<Duration>,
    /// Set when nothing more is to come.
    all: CancellationToken,
    /// Since when every look has found nothing.
    since: Option<Instant>,
}

impl IdleWatch {
    pub fn new(until: DrainUntil) -> Self {
        let (steady, all) = match until {
            DrainUntil::Stopped => (None, CancellationToken::new()),
            DrainUntil::Empty { steady } => (Some(steady), over()),
            DrainUntil::AllSent { all, steady } => (Some(steady), all),
        };
        IdleWatch { steady, all, since: None }
    }

    /// How long a receive may wait: a few times within the steady time.
    pub fn poll(&self) -> Duration {
        self.steady.map_or(POLL, |steady| (steady / 3).clamp(Duration::from_millis(50), POLL))
    }

    /// Looks, after a receive: `quiet` if that brought nothing and no job ran. `true` from the second look on, when the
    /// steady time has passed between them.
    pub async fn is_reached(&mut self, quiet: bool, queue: &dyn Queue) -> bool {
        let Some(steady) = self.steady else { return false };
        let empty = quiet && self.all.is_cancelled() && queue.depth().await.is_ok_and(|depth| depth.is_empty());
        self.observe(empty, steady, Instant::now())
    }

    fn observe(&mut self, empty: bool, steady: Duration, now: Instant) -> bool {
        if !empty {
            self.since = None;
            return false;
        }
        match self.since {
            Some(since) => now.saturating_duration_since(since) >= steady,
            None => {
                self.since = Some(now);
                false
            }
        }
    }
}

fn over() -> CancellationToken {
    let over = CancellationToken::new();
    over.cancel();
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: Duration = Duration::from_secs(60);

    #[test]
    fn one_message_within_the_steady_time_starts_it_anew() {
        let mut emptiness = IdleWatch::new(DrainUntil::Empty { steady: STEADY });
        let start = Instant::now();
        let mut at = |seconds, empty| emptiness.observe(empty, STEADY, start + Duration::from_secs(seconds));
        assert!(!at(0, true) && !at(59, true));
        assert!(!at(59, false) && !at(60, true));
        assert!(!at(119, true) && at(120, true));
    }

    #[test]
    fn polls_are_as_long_as_they_may_be() {
        let poll = |until| IdleWatch::new(until).poll();
        assert_eq!(poll(DrainUntil::Stopped), POLL);
        assert_eq!(poll(DrainUntil::Empty { steady: STEADY }), POLL);
        assert_eq!(poll(DrainUntil::Empty { steady: Duration::from_millis(150) }), Duration::from_millis(50));
    }
}
