//! The two things that a process takes from its machine without asking for them by name: the wall clock and randomness.
//!
//! Everything that a test wants to repeat takes them from here. By default they are the operating system's; a simulation
//! replaces both for the thread that it runs on, and then one seed decides everything. (What needs secrets, such as keys
//! and signatures, stays with the system's own.) Monotonic time is tokio's, which has a paused clock already.

use std::cell::RefCell;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

thread_local! {
    static REPLACED: RefCell<Option<Replaced>> = const { RefCell::new(None) };
}

struct Replaced {
    random: StdRng,
    clock: Box<dyn Fn() -> SystemTime>,
}

/// This thread takes its randomness from `seed` and its wall clock from `clock`, for as long as the guard lives.
pub fn replace(seed: u64, clock: impl Fn() -> SystemTime + 'static) -> AmbientGuard {
    let replaced = Replaced { random: StdRng::seed_from_u64(seed), clock: Box::new(clock) };
    REPLACED.set(Some(replaced));
    AmbientGuard(())
}

/// Gives the thread back what the system offers.
#[must_use]
pub struct AmbientGuard(());

impl Drop for AmbientGuard {
    fn drop(&mut self) {
        REPLACED.set(None);
    }
}

/// A random value.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    REPLACED.with_borrow_mut(|replaced| match replaced {
        Some(replaced) => replaced.random.random(),
        None => rand::random(),
    })
}

/// A random number from a range.
pub fn uniform(range: Range<f64>) -> f64 {
    REPLACED.with_borrow_mut(|replaced| match replaced {
        Some(replaced) => replaced.random.random_range(range),
        None => rand::random_range(range),
    })
}

/// The time of day.
pub fn now() -> SystemTime {
    REPLACED.with_borrow(|replaced| replaced.as_ref().map_or_else(SystemTime::now, |replaced| (replaced.clock)()))
}

/// The same as the time since the epoch.
pub fn since_epoch() -> Duration {
    now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since the epoch, of the system's clock in any case: what is compared with the disk's own times.
pub fn epoch_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_one_clock_give_the_same_values_again() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let draw = || {
            let _guard = replace(7, move || noon);
            (random::<u128>(), uniform(0.5..1.0).to_bits(), now())
        };
        assert_eq!(draw(), draw());
        assert!(now() != noon && random::<u128>() != random::<u128>(), "and afterwards the system's own are back");
    }
}
