//! The fuse on deletions: when too many of what ends in a while are deletions, somebody has emptied a bucket or broken a
//! route, and carrying that over would be the loss of the copy too. It stays blown until the agent is started again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(600);
/// The window is kept in so many slices; the oldest is forgotten as a whole.
const SLICES: u32 = 10;
/// So many deletions in a window are never too many: a few small buckets are emptied every day.
const ALWAYS: u64 = 100;

/// Shared by all jobs of an agent.
#[derive(Debug)]
pub struct Fuse {
    /// Deletions may be this share of all that ends within a window.
    share: f64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The start of each slice, deletions, and everything that ended (deletions too); the newest last.
    slices: Vec<(Instant, u64, u64)>,
    blown: bool,
}

impl Fuse {
    /// `share` from 0 to 1; with 1 it never blows.
    pub fn new(share: f64) -> Fuse {
        Fuse { share: share.clamp(0.0, 1.0), counts: Mutex::default() }
    }

    /// Something ended that was no deletion.
    pub fn ended(&self) {
        self.at(Instant::now(), |counts, _| counts.last(0, 1));
    }

    /// Whether one more deletion may be carried over; it is counted. Says so once when the fuse blows.
    pub fn allows_deletion(&self) -> bool {
        self.at(Instant::now(), |counts, share| counts.deletion(share))
    }

    pub fn is_blown(&self) -> bool {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).blown
    }

    fn at<T>(&self, now: Instant, then: impl FnOnce(&mut Counts, f64) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.turn(now);
        then(&mut counts, self.share)
    }
}

impl Counts {
    fn turn(&mut self, now: Instant) {
        self.slices.retain(|(start, ..)| now.saturating_duration_since(*start) < WINDOW);
        if self.slices.last().is_none_or(|(start, ..)| now.saturating_duration_since(*start) >= WINDOW / SLICES) {
            self.slices.push((now, 0, 0));
        }
    }

    fn last(&mut self, deletions: u64, all: u64) {
        if let Some((_, deleted, ended)) = self.slices.last_mut() {
            (*deleted, *ended) = (*deleted + deletions, *ended + all);
        }
    }

    fn deletion(&mut self, share: f64) -> bool {
        let (deleted, ended) = self.slices.iter().fold((1, 1), |sum, (_, d, e)| (sum.0 + d, sum.1 + e));
        if !self.blown && deleted > ALWAYS && deleted as f64 > share * ended as f64 {
            self.blown = true;
            tracing::error!(
                deleted,
                ended,
                "too many deletions within {} minutes: no more are carried over, and their messages are kept. Look at the source; \
                 then start the agent again, with a larger [transfer] max_delete_share if this is meant",
                WINDOW.as_secs() / 60,
            );
        }
        if !self.blown {
            self.last(1, 1);
        }
        !self.blown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_deletions_pass_however_large_their_share() {
        let fuse = Fuse::new(0.1);
        assert!((0..ALWAYS).all(|_| fuse.allows_deletion()));
        assert!(!fuse.allows_deletion() && fuse.is_blown(), "and one more blows it");
        (0..100_000).for_each(|_| fuse.ended());
        assert!(!fuse.allows_deletion(), "for good");
    }

    #[test]
    fn many_deletions_pass_among_many_others() {
        let fuse = Fuse::new(0.5);
        (0..10_000).for_each(|_| fuse.ended());
        assert!((0..9_000).all(|_| fuse.allows_deletion()));
        let all = Fuse::new(1.0);
        assert!((0..10_000).all(|_| all.allows_deletion()), "a share of 1 switches it off");
    }

    #[test]
    fn what_is_longer_ago_than_the_window_does_not_count() {
        let mut counts = Counts::default();
        let start = Instant::now();
        for minute in 0..60 {
            counts.turn(start + Duration::from_secs(minute * 60));
            assert!((0..9).all(|_| counts.deletion(0.0)), "nine a minute are ninety in a window, at minute {minute}");
        }
        assert!(counts.slices.len() <= SLICES as usize + 1);
    }
}
