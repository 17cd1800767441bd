//! How far the service's clock is from this machine's, as two bounds that hold for certain.
//!
//! Every answer carries a `Date` of whole seconds. The service wrote it between the moment that the request was sent and
//! the moment that its answer was read: so its clock is ahead of ours by at least `Date − read` and at most
//! `Date + 1 s − sent`. Bounds of several answers meet in a narrower one. Where they do not meet a clock was stepped, and
//! the newest alone hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_sqs::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_sqs::config::{ConfigBag, Intercept, RuntimeComponents};
use tokio::time::Instant;

/// Signatures are refused beyond this, so before the first answer it is what is known.
const SIGNED_WITHIN: i64 = 300_000;
/// Clocks drift: bounds older than this are forgotten.
const TRUSTED: Duration = Duration::from_secs(600);

/// Clones share what is known.
#[derive(Clone, Debug)]
pub struct ServerClock(Arc<Mutex<Bounds>>);

#[derive(Debug)]
struct Bounds {
    /// Milliseconds that the service is ahead.
    least: i64,
    most: i64,
    since: Instant,
}

impl Default for ServerClock {
    fn default() -> Self {
        let bounds = Bounds { least: -SIGNED_WITHIN, most: SIGNED_WITHIN, since: Instant::now() };
        ServerClock(Arc::new(Mutex::new(bounds)))
    }
}

impl ServerClock {
    /// The service's time, in milliseconds since the epoch, is not before this.
    pub fn earliest(&self) -> i64 {
        now() + self.0.lock().unwrap_or_else(PoisonError::into_inner).least
    }

    /// The service's time is not after this.
    pub fn latest(&self) -> i64 {
        now() + self.0.lock().unwrap_or_else(PoisonError::into_inner).most
    }

    /// By how many milliseconds the service is ahead: at least, at most.
    pub fn ahead(&self) -> (i64, i64) {
        let bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (bounds.least, bounds.most)
    }

    /// Reads the answer of a request that is about to be sent.
    pub fn reader(&self) -> DateReader {
        DateReader { clock: self.clone(), sent: now() }
    }

    fn observe(&self, date: i64, sent: i64, read: i64, at: Instant) {
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (least, most) = (date - read, date + 1000 - sent);
        let fresh = at.saturating_duration_since(bounds.since) < TRUSTED;
        if fresh && least.max(bounds.least) <= most.min(bounds.most) {
            (bounds.least, bounds.most) = (least.max(bounds.least), most.min(bounds.most));
        } else {
            *bounds = Bounds { least, most, since: at };
        }
    }
}

/// For one attempt of one request.
#[derive(Clone, Debug)]
pub struct DateReader {
    clock: ServerClock,
    sent: i64,
}

impl Intercept for DateReader {
    fn name(&self) -> &'static str {
        "date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_smithy_runtime_api::box_error::BoxError> {
        static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new();
        let date = context.response().headers().get("date");
        if let Some(Ok(date)) = date.map(|date| PARSER.parse_timestamp(date)) {
            self.clock.observe(date.as_second() * 1000, self.sent, now(), Instant::now());
        }
        Ok(())
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(clock: &ServerClock) -> (i64, i64) {
        let bounds = clock.0.lock().unwrap();
        (bounds.least, bounds.most)
    }

    #[tokio::test]
    async fn the_true_difference_is_within_bounds_that_narrow() {
        let (clock, start) = (ServerClock::default(), Instant::now());
        // The service is 250 ms ahead, a request takes 40 ms, and dates are cut to seconds.
        for sent in [0, 3_300, 7_650, 9_710_i64] {
            let date = (sent + 20 + 250) / 1000 * 1000;
            clock.observe(date, sent, sent + 40, start);
            let (least, most) = bounds(&clock);
            assert!(least <= 250 && 250 <= most, "{least} {most}");
        }
        let (least, most) = bounds(&clock);
        assert!(most - least < 400, "{least} {most}");
    }

    #[tokio::test]
    async fn a_stepped_clock_starts_anew() {
        let (clock, start) = (ServerClock::default(), Instant::now());
        clock.observe(10_000, 10_000, 10_010, start);
        clock.observe(90_000, 10_100, 10_110, start);
        assert_eq!(bounds(&clock), (79_890, 80_900));
    }
}
