//! How long to wait before trying again: exponential delays with full jitter, so that a fleet that failed together does
//! not come back together (AWS Architecture Blog, "Exponential Backoff and Jitter"). [`Retry`] also decides when to stop:
//! every loop that tries a request again asks it. No clock here: the caller measures and sleeps.

use std::time::Duration;

use crate::ambient;

/// Delays without end: the n-th is uniform between nothing and `base · 2ⁿ`, at most `cap`. Take as many as there are
/// attempts. Equal seeds give equal delays, on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// What the next delay may reach.
    ceiling: Duration,
    cap: Duration,
    state: u64,
}

impl Backoff {
    /// `seed`: a random number in production, a fixed one in tests.
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Backoff { ceiling: base.min(cap), cap, state: seed }
    }

    /// The next delay. It never ends, so there is no `Option` to unwrap.
    pub fn delay(&mut self) -> Duration {
        let share = (self.random() >> 11) as f64 / (1u64 << 53) as f64;
        let delay = Duration::try_from_secs_f64(self.ceiling.as_secs_f64() * share).unwrap_or(self.ceiling);
        let delay = delay.min(self.ceiling);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        delay
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): small, well spread, and stable where `rand`'s generators may change.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Iterator for Backoff {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        Some(self.delay())
    }
}

/// Whether a request is tried again, and after which wait.
///
/// ```
/// use std::time::Duration;
/// use skyferry_core::backoff::Retry;
///
/// let second = Duration::from_secs(1);
/// let mut retry = Retry::within(30 * second, second, 5 * second);
/// assert!(retry.delay(Duration::ZERO).is_some_and(|delay| delay <= second));
/// assert_eq!(retry.delay(30 * second), None);
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    delays: Backoff,
    within: Duration,
}

impl Retry {
    /// An attempt begins at most `within` after the first one; the waits grow from `first` to `longest`.
    pub fn within(within: Duration, first: Duration, longest: Duration) -> Retry {
        Retry { delays: Backoff::new(first, longest, ambient::random()), within }
    }

    /// The wait before the next attempt, `elapsed` after the first one began. `None`: it would begin too late.
    pub fn delay(&mut self, elapsed: Duration) -> Option<Duration> {
        let delay = self.delays.delay();
        (elapsed.saturating_add(delay) < self.within).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(20);

    #[test]
    fn equal_seeds_give_equal_delays() {
        let first = |seed| Backoff::new(BASE, CAP, seed).take(20).collect::<Vec<_>>();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn delays_use_the_whole_range() {
        let late: Vec<_> = Backoff::new(BASE, CAP, 1).skip(10).take(2_000).collect();
        let mean = late.iter().sum::<Duration>() / 2_000;
        assert!(mean > Duration::from_secs(9) && mean < Duration::from_secs(11), "{mean:?}");
        assert!(late.iter().any(|d| *d < Duration::from_secs(1)) && late.iter().any(|d| *d > Duration::from_secs(19)));
    }

    #[test]
    fn no_attempt_begins_after_the_time_that_a_retry_has() {
        let mut retry = Retry::within(CAP, BASE, CAP);
        let (mut elapsed, mut attempts) = (Duration::ZERO, 0);
        while let Some(delay) = retry.delay(elapsed) {
            (elapsed, attempts) = (elapsed + delay, attempts + 1);
            assert!(elapsed < CAP);
        }
        assert!(attempts > 3, "{attempts}");
        assert_eq!(Retry::within(Duration::ZERO, BASE, CAP).delay(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_bound(base in any::<Duration>(), cap in any::<Duration>(), seed in any::<u64>()) {
            let mut ceiling = base.min(cap);
            for delay in Backoff::new(base, cap, seed).take(80) {
                prop_assert!(delay <= ceiling && delay <= cap);
                ceiling = ceiling.saturating_mul(2).min(cap);
            }
        }
    }
}
