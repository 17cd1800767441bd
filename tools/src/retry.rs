//! How long trouble of a whole side is tolerated. A person waits at the other end: what is wrong is said at once, what only a
//! person can end (no such bucket, access denied, a full disk, an endpoint that has never answered) ends the copy after a
//! while in which nothing succeeded, and an outage after a longer one. The state stays, so the same command continues.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use skyferry_agent::limits::Breaker;
use skyferry_core::ambient;
use skyferry_core::backoff::Backoff;
use skyferry_core::error::{CopyError, ErrorKind, Verdict};
use skyferry_sqlite::queue::SqliteQueue;
use tokio::time::Instant;

use crate::console::Console;

/// An outage against something that a person has to repair.
const OUTAGE: u32 = 20;
/// How often an object is received before it counts as one that never ends: about two minutes.
const RECEIVES: u32 = 8;
/// Between two looks at the jobs' trouble.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct RetryPolicy {
    person: Duration,
    console: Console,
}

impl RetryPolicy {
    pub fn new(person: Duration, console: Console) -> RetryPolicy {
        RetryPolicy { person, console }
    }

    fn with(&self, error: &CopyError) -> Duration {
        if needs_operator(error.kind) { self.person } else { self.person * OUTAGE }
    }

    /// Asks until there is an answer, or an error that will not go away. `settled`: this side has answered well before, so
    /// that even a refusal may pass.
    pub async fn ask<T, F>(&self, settled: bool, request: impl Fn() -> F) -> Result<T, CopyError>
    where
        F: Future<Output = Result<T, CopyError>>,
    {
        let mut delays = Backoff::new(Duration::from_secs(1), Duration::from_secs(15), ambient::random());
        let asked = Instant::now();
        let mut answers = settled;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            answers |= error.status().is_some();
            let may_pass = error.verdict() == Verdict::Outage && (settled || !needs_operator(error.kind));
            // A wrong endpoint looks like an outage, but for this: nobody was ever there.
            let patience = if answers { self.with(&error) } else { self.person };
            if !may_pass || asked.elapsed() >= patience {
                return Err(error);
            }
            self.console.report_error(&error);
            tokio::time::sleep(delays.delay().min(patience.saturating_sub(asked.elapsed()))).await;
        }
    }

    /// Returns when nothing is left but objects that did not end again and again although neither side is in trouble:
    /// they keep changing under the copy.
    pub async fn wait_until_stuck(&self, queue: &SqliteQueue, listed: &AtomicBool, breaker: &Breaker) -> anyhow::Error {
        loop {
            tokio::time::sleep(4 * LOOK).await;
            // Trouble of a side is `watch`'s.
            if !listed.load(Relaxed) || breaker.last_error().is_some() {
                continue;
            }
            match queue.count_stuck(RECEIVES).await {
                Ok(None) => {}
                Ok(Some(left)) => {
                    let why = match breaker.unsettled_errors().pop() {
                        Some(last) => format!("the last failure: {last}"),
                        None => "objects that keep changing while they are read cannot be copied".to_owned(),
                    };
                    return anyhow::anyhow!("{} left, tried many times; {why}", crate::output::objects(left));
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Tells of the jobs' trouble while they work, and returns what has lasted for too long.
    pub async fn watch(&self, breaker: &Breaker) -> CopyError {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some((error, since)) = breaker.last_error() else { continue };
            if since.elapsed() >= self.with(&error) {
                return error;
            }
            self.console.report_error(&error);
        }
    }
}

/// Waiting alone does not help.
fn needs_operator(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BucketMissing
            | ErrorKind::Denied
            | ErrorKind::Credentials
            | ErrorKind::WrongRegion
            | ErrorKind::Local
    )
}

#[cfg(test)]
mod tests {
    use skyferry_core::error::Side;
    use skyferry_core::model::Location;

    use super::*;

    const PERSON: Duration = Duration::from_secs(30);

    async fn given_up_after(settled: bool, answer: &str) -> Duration {
        let patience = RetryPolicy::new(PERSON, Console::default());
        let at = Location::new("b", "");
        let failing =
            || async { Err::<(), _>(CopyError::new(Side::Source, ErrorKind::Unavailable, "list", &at, answer)) };
        let asked = Instant::now();
        patience.ask(settled, failing).await.expect_err("given up");
        asked.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn fault_d4_an_endpoint_that_never_answered_is_given_up_after_the_patience_for_a_person() {
        let nobody = "no connection to 127.0.0.1:1: Connection refused";
        for silence in [nobody, "127.0.0.1:443: nothing moved for 30 s"] {
            let after = given_up_after(false, silence).await;
            assert!((PERSON..PERSON + Duration::from_secs(1)).contains(&after), "{silence}: {after:?}");
        }
        for (settled, answer) in [(true, nobody), (false, "500 InternalError: ")] {
            assert!(given_up_after(settled, answer).await >= PERSON * OUTAGE, "{answer}");
        }
    }
}
