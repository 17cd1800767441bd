//! Simulated time. Every agent is a process with a paused clock of its own, so this file knows whose turn it is, and what
//! time it is there. Clocks of two agents differ by a second at most, as those of two machines do.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Since the simulation's beginning.
pub type Time = Duration;

/// The wall clock at that beginning.
pub const EPOCH: Duration = Duration::from_secs(1_800_000_000);

#[derive(Clone, Copy)]
enum Clock {
    /// Between two turns.
    At(Time),
    /// An agent's turn: its runtime's clock was `base` when the agent was born.
    Running { base: Instant, born: Time },
}

thread_local! {
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::At(Duration::ZERO)) };
}

pub fn set(at: Time) {
    CLOCK.set(Clock::At(at));
}

/// To be called inside the agent's runtime only.
pub fn follow(base: Instant, born: Time) {
    CLOCK.set(Clock::Running { base, born });
}

pub fn now() -> Time {
    match CLOCK.get() {
        Clock::At(time) => time,
        Clock::Running { base, born } => born + (Instant::now() - base),
    }
}

pub fn wall(at: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + EPOCH + at
}

/// Whole seconds since 1970, which is as fine as services tell times.
pub fn seconds(at: Time) -> i64 {
    i64::try_from((EPOCH + at).as_secs()).unwrap_or(i64::MAX)
}
