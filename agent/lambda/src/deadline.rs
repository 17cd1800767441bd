//! When an invocation has to have answered, and what follows from it: when jobs are told to checkpoint, and when what has
//! not ended then is left where it is.

use std::time::{Duration, SystemTime};

use skyferry_agent::shutdown::Shutdown;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Before the deadline: no more parts are begun, those in flight may arrive for twelve seconds, jobs checkpoint and release.
const CHECKPOINT: Duration = Duration::from_secs(25);
/// Of a short time-out what is left for the parts that are begun: a quarter.
const SHARE: u32 = 4;
/// Of the time to checkpoint, what is left for the answer when the jobs are left.
const ANSWER: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// From the beginning of the invocation. `None`: the runtime names none that can be one.
    pub left: Option<Duration>,
    began: Instant,
}

impl Deadline {
    /// `milliseconds`: since the epoch, as the Runtime API names it. One that had passed before the invocation began is none:
    /// emulators name such.
    pub fn new(milliseconds: u64, now: SystemTime) -> Deadline {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        Deadline { left: at.duration_since(now).ok().filter(|left| !left.is_zero()), began: Instant::now() }
    }

    /// How long the jobs may work, and how long they have after that.
    fn stages(self) -> Option<(Duration, Duration)> {
        let left = self.left?;
        let checkpoint = CHECKPOINT.min(left - left / SHARE);
        Some((left - checkpoint, checkpoint - checkpoint / ANSWER))
    }

    /// Asks `shutdown` in time, as long as what comes back is kept.
    pub fn watch(self, shutdown: &Shutdown) -> Option<AbortOnDropHandle<()>> {
        let (work, checkpoint) = self.stages()?;
        let (shutdown, stop) = (shutdown.clone(), self.began + work);
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep_until(stop).await;
            tracing::info!(
                "the function's time is nearly over: objects in progress are left where the next invocation goes on"
            );
            shutdown.stop.cancel();
            tokio::time::sleep_until(stop + checkpoint).await;
            shutdown.now.cancel();
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(seconds: u64) -> Option<(u64, u64)> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let deadline = Deadline::new((1_700_000_000 + seconds) * 1000, now);
        deadline.stages().map(|(work, checkpoint)| (work.as_millis() as u64, checkpoint.as_millis() as u64))
    }

    #[test]
    fn jobs_checkpoint_twenty_five_seconds_before_the_deadline_and_answer_before_it() {
        assert_eq!(stages(900), Some((875_000, 21_875)));
        assert_eq!(stages(75), Some((50_000, 21_875)));
        assert_eq!(stages(24), Some((6_000, 15_750)), "a short function begins parts for a quarter of its time");
    }

    #[test]
    fn a_deadline_in_the_past_is_none() {
        assert_eq!(stages(0), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(Deadline::new(60_000, now).left, None, "a span and not a time, as an emulator has it");
    }
}
