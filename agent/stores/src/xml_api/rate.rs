//! How many requests a second a side takes: no limit until it refuses some (429, 503), then a little less than it took, and
//! slowly more. All jobs share it, so that a service that throttles refuses few, and what is refused is sent again in its
//! turn instead of after a delay of its own.
//!
//! Multiplicative decrease from what passed in the last second; the increase starts at almost nothing and grows with time (as
//! CUBIC's does), so the limit stays close below the service's, and is forgotten when nothing was refused for long. Refusals of
//! one object say nothing about the side: two are needed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use skyferry_core::metrics::Gauge;

const SECOND: Duration = Duration::from_secs(1);
/// After a refusal.
const DECREASE: f64 = 0.92;
/// In nine seconds the limit grows by 1.6, in twice that by 7, in thirty by 220.
const GROWTH: f64 = 0.006;
/// Without a refusal for so long there is no limit any more.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// No fewer a second: a service that refuses everything is not throttling, and is asked by probes alone.
const LEAST: f64 = 10.0;
/// What passed or was refused lately.
const LATELY: Duration = Duration::from_secs(2);
/// A Retry-After is waited for up to here; what is longer is for single jobs.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(20);

/// Of one side.
#[derive(Default)]
pub struct RateLimiter {
    state: Mutex<State>,
    /// Who waits for the next request's time; the others wait for it, in the order of asking.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    limit: Option<Limit>,
    passed: Passed,
    /// When requests of each kind last passed.
    operations: HashMap<&'static str, Instant>,
    refused: Option<(u64, Instant)>,
    shown: Option<Gauge>,
}

#[derive(Clone, Copy)]
struct Limit {
    /// A second, at `since`.
    rate: f64,
    since: Instant,
    /// When the next request may go.
    next: Instant,
}

impl Limit {
    fn rate(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        self.rate * (GROWTH * seconds * seconds).exp()
    }
}

/// Requests that passed, this second and the one before.
#[derive(Default)]
struct Passed {
    since: Option<Instant>,
    now: u64,
    before: u64,
}

impl Passed {
    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            self.before = if seconds == 1 { self.now } else { 0 };
            (self.now, self.since) = (0, Some(since + Duration::from_secs(seconds)));
        }
    }

    fn count(&mut self, now: Instant) {
        self.turn(now);
        self.now += 1;
    }

    /// How long at this rate what passed this second would have taken beyond now.
    fn ahead(&self, rate: f64, now: Instant) -> Duration {
        let since = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Duration::from_secs_f64(self.now as f64 / rate).saturating_sub(since).min(SECOND)
    }

    /// In the second until now.
    fn recent_rate(&mut self, now: Instant) -> f64 {
        self.turn(now);
        let share = self.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        self.now as f64 + self.before as f64 * (1.0 - share)
    }
}

impl State {
    /// How long the next request has to wait. When that is nothing, it is counted as sent.
    fn admit(&mut self, now: Instant) -> Duration {
        let Some(limit) = &mut self.limit else { return Duration::ZERO };
        if now.saturating_duration_since(limit.since) >= FORGOTTEN {
            self.limit = None;
            self.show(0.0);
            return Duration::ZERO;
        }
        let wait = limit.next.saturating_duration_since(now);
        if wait.is_zero() {
            // What was not used while nobody asked, or while this machine stood still, is not made up for.
            let from = limit.next.max(now.checked_sub(BURST).unwrap_or(now));
            limit.next = from + Duration::from_secs_f64(1.0 / limit.rate(now));
        }
        wait
    }

    fn on_success(&mut self, operation: &'static str, now: Instant) {
        self.passed.count(now);
        self.operations.insert(operation, now);
    }

    fn on_throttled(&mut self, object: u64, pause: Option<Duration>, now: Instant) {
        let before = self.refused.replace((object, now));
        let others = before.is_some_and(|(other, at)| other != object && now.saturating_duration_since(at) < LATELY);
        // What was on its way when the limit was lowered says nothing about the new one.
        let news = self.limit.is_none_or(|limit| now.saturating_duration_since(limit.since) >= SECOND);
        if !others || !news {
            return;
        }
        let lately = self.passed.recent_rate(now);
        let rate = self.limit.map_or(lately, |limit| limit.rate(now).min(lately.max(limit.rate / 2.0)));
        let rate = (rate * DECREASE).max(LEAST);
        // What went without a limit counts: the service has a second's worth and more already.
        let next = self.limit.map_or_else(|| now + self.passed.ahead(rate, now), |limit| limit.next);
        let next = next.max(now + pause.unwrap_or_default().min(LONGEST_PAUSE));
        self.limit = Some(Limit { rate, since: now, next });
        self.show(rate);
    }

    /// Whether what was refused is sent again in its turn: others of its kind pass.
    fn is_admitted(&self, operation: &'static str, now: Instant) -> bool {
        let last = self.operations.get(operation);
        self.limit.is_some() && last.is_some_and(|at| now.saturating_duration_since(*at) < LATELY)
    }

    fn show(&self, rate: f64) {
        if let Some(gauge) = &self.shown {
            gauge.set(rate.ceil() as u64);
        }
    }
}

impl RateLimiter {
    /// Waits until the next request may be sent.
    pub(super) async fn admit(&self) {
        if self.state().limit.is_none() {
            return;
        }
        let _first = self.turn.lock().await;
        loop {
            let wait = self.state().admit(Instant::now());
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The service did not throttle.
    pub(super) fn on_success(&self, operation: &'static str) {
        self.state().on_success(operation, Instant::now());
    }

    /// It did. `object`: a hash of its name.
    pub(super) fn on_throttled(&self, object: u64, pause: Option<Duration>) {
        self.state().on_throttled(object, pause, Instant::now());
    }

    pub(super) fn is_admitted(&self, operation: &'static str) -> bool {
        self.state().is_admitted(operation, Instant::now())
    }

    /// Shows the limit in this gauge: requests a second, 0 for none.
    pub fn report_to(&self, gauge: Gauge) {
        self.state().shown = Some(gauge);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that takes so many requests a second and refuses the rest.
    struct Service {
        limit: u64,
        second: u64,
        taken: u64,
    }

    impl Service {
        fn takes(&mut self, at: f64) -> bool {
            if at as u64 != self.second {
                (self.second, self.taken) = (at as u64, 0);
            }
            self.taken += 1;
            self.taken <= self.limit
        }
    }

    /// So many workers that repeat what was refused, for some seconds; what was taken and refused in each.
    fn simulate(limits: impl Fn(f64) -> u64, workers: usize, trip: f64, seconds: usize) -> Vec<(u64, u64)> {
        let (start, mut rate) = (Instant::now(), State::default());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut service = Service { limit: 0, second: 0, taken: 0 };
        let mut free = vec![0.0f64; workers];
        let mut seen = vec![(0, 0); seconds];
        for object in 0.. {
            let worker = (0..workers).min_by(|a, b| free[*a].total_cmp(&free[*b])).expect("some");
            let mut sent = free[worker];
            loop {
                let wait = rate.admit(at(sent));
                if wait.is_zero() {
                    break;
                }
                sent += wait.as_secs_f64() + 1e-9;
            }
            let answered = sent + trip;
            free[worker] = answered;
            let Some(seen) = seen.get_mut(sent as usize) else { break };
            service.limit = limits(sent);
            match service.takes(sent) {
                true => {
                    seen.0 += 1;
                    rate.on_success("PutObject", at(answered));
                }
                false => {
                    seen.1 += 1;
                    rate.on_throttled(object, None, at(answered));
                }
            }
        }
        seen
    }

    fn sum(seen: &[(u64, u64)]) -> (f64, f64) {
        (seen.iter().map(|s| s.0).sum::<u64>() as f64, seen.iter().map(|s| s.1).sum::<u64>() as f64)
    }

    #[test]
    fn nine_tenths_of_a_limit_are_used_and_one_in_twenty_is_refused() {
        for (limit, workers, trip) in [(500, 64, 0.002), (500, 300, 0.2), (5_000, 1_000, 0.05), (60, 64, 0.05)] {
            let (taken, refused) = sum(&simulate(|_| limit, workers, trip, 20));
            let share = refused / (taken + refused);
            assert!(taken >= 0.9 * 20.0 * limit as f64, "{limit}: {taken} taken");
            assert!(share <= 0.05, "{limit}: {refused} of {taken} refused");
        }
    }

    #[test]
    fn a_limit_that_falls_or_rises_is_followed() {
        let seen = simulate(|at| if at < 20.0 { 1_000 } else { 100 }, 64, 0.01, 40);
        let (taken, refused) = sum(&seen[25..]);
        assert!(taken >= 0.85 * 15.0 * 100.0 && refused / taken <= 0.06, "{taken}, {refused}");
        let seen = simulate(|at| if at < 20.0 { 100 } else { 1_000 }, 64, 0.01, 80);
        assert!(sum(&seen[40..]).0 >= 0.85 * 40.0 * 1_000.0, "{:?}", &seen[40..]);
    }

    #[test]
    fn one_object_that_is_refused_again_and_again_slows_nobody() {
        let (now, mut rate) = (Instant::now(), State::default());
        (0..100).for_each(|n| rate.on_throttled(7, None, now + SECOND * n));
        assert!(rate.limit.is_none() && !rate.is_admitted("PutObject", now));
    }

    #[test]
    fn what_the_service_asks_to_wait_is_waited_for_by_all() {
        let (now, mut rate) = (Instant::now(), State::default());
        rate.on_success("PutObject", now);
        (0..2).for_each(|object| rate.on_throttled(object, Some(SECOND * 3), now));
        assert!((3.0..3.2).contains(&rate.admit(now).as_secs_f64()));
        assert!(rate.is_admitted("PutObject", now) && !rate.is_admitted("GetObject", now));
        let later = now + FORGOTTEN;
        assert_eq!(rate.admit(later), Duration::ZERO);
        assert!(!rate.is_admitted("PutObject", later));
    }
}
