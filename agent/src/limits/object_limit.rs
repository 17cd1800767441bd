//! How many objects are in flight: as many as bring more. The level finds itself, for the right one differs a hundredfold
//! between a local line and a far one.
//!
//! What a round of objects achieves is compared with a round at another level. When twice as many bring at least 1.4 times as much a
//! second, twice as many again are tried; when they do not, the line, the service or this machine is full, and the level returns
//! to what fills it, with a little to spare. From then on the level is tested now and then by a little in each direction, and
//! searched for again when what passes changes by itself. So it neither needs a latency to be known that is "good", which
//! a mix of sizes does not have (as concurrency-limits' gradient and BBR's round trip do), nor waits for refusals (as Vector's
//! does): those are a matter of the rate of requests. Several agents share a line fairly, because who has the smaller share
//! gains more by growing.
//!
//! Pure: no clock and no I/O. What it is given are the moments at which objects begin and end.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

/// What passes is taken for unchanged between these factors.
const SAME: std::ops::Range<f64> = 0.7..1.5;
/// A round lasts at least so long, and for as many objects as are in flight: on a fast line what fewer achieve is chance.
const ROUND: Duration = Duration::from_millis(200);
/// While it is searched for, the level is doubled or halved.
const FAR: f64 = 2.0;
/// Tests of a level that was found: how large, and after how many rounds.
const NEAR: f64 = 1.15;
const TESTED: u32 = 16;
/// More than what fills the line: objects differ, and it must not run dry.
const SPARE: f64 = 1.25;
/// The share of an increase that has to arrive, in powers: more is worth it above the first, fewer below the second.
pub(super) const WORTH_MORE: f64 = 0.5;
const WORTH_FEWER: f64 = 0.15;

/// How many at once, on average, and what passed a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throughput {
    pub at_once: f64,
    pub rate: f64,
}

impl Throughput {
    /// How much of the change in number arrived as a change in what passes: 1 all of it, 0 nothing. `None`: the number did not
    /// change enough to tell.
    pub fn elasticity(self, before: Throughput) -> Option<f64> {
        let ratio = self.at_once / before.at_once;
        let gain = (self.rate / before.rate).ln() / ratio.ln();
        (!(0.93..1.07).contains(&ratio) && gain.is_finite()).then_some(gain)
    }

    pub fn is_as_before(self, rate: f64) -> bool {
        SAME.contains(&(self.rate / rate))
    }
}

/// Why the level is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LimitReason {
    /// Nothing is known yet.
    #[default]
    Start,
    /// More in flight bring more; still growing.
    Growing,
    /// More in flight bring no more.
    Full,
    /// The settings or the memory allow no more.
    Capped,
    /// It is tested whether fewer are enough.
    Testing,
    /// Nothing moved for the stall time-out.
    Stalled,
}

impl LimitReason {
    pub fn name(self) -> &'static str {
        match self {
            LimitReason::Start => "start",
            LimitReason::Growing => "growing",
            LimitReason::Full => "full",
            LimitReason::Capped => "capped",
            LimitReason::Testing => "testing",
            LimitReason::Stalled => "stalled",
        }
    }
}

#[derive(Debug)]
pub(super) struct ObjectLimit {
    least: usize,
    most: usize,
    now: usize,
    reason: LimitReason,
    search: Search,
    /// Tests of a level that was found, so far.
    tests: u32,
    /// What began before the level was changed says nothing about it.
    changed: Instant,
    round: Round,
    in_flight: usize,
    /// Object-seconds until `counted`: how many were in flight over a time is the difference by that time.
    area: f64,
    counted: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Search {
    Start,
    /// The level was another one, and that was the flow there.
    Changed {
        from: usize,
        flow: Throughput,
        factor: f64,
        rounds: u32,
    },
    /// It was found: what passes there, once that is known, and for how many rounds.
    Found {
        rate: Option<f64>,
        rounds: u32,
    },
}

/// Objects that ended since some time.
#[derive(Clone, Copy, Debug)]
struct Round {
    since: Instant,
    /// The level's, at that time.
    area: f64,
    ended: usize,
    seconds: f64,
}

impl ObjectLimit {
    /// `start`: where it begins, and what it is not lowered below as long as something moves.
    pub fn new(start: usize, most: usize, now: Instant) -> ObjectLimit {
        let start = start.clamp(1, most.max(1));
        ObjectLimit {
            least: start,
            most: most.max(1),
            now: start,
            reason: if start < most { LimitReason::Start } else { LimitReason::Capped },
            search: Search::Start,
            tests: 0,
            changed: now,
            round: Round { since: now, area: 0.0, ended: 0, seconds: 0.0 },
            in_flight: 0,
            area: 0.0,
            counted: now,
        }
    }

    pub fn get(&self) -> usize {
        self.now
    }

    pub fn most(&self) -> usize {
        self.most
    }

    pub fn reason(&self) -> LimitReason {
        self.reason
    }

    /// An object has begun.
    pub fn on_started(&mut self, now: Instant) {
        self.count(now);
        if self.in_flight == 0 {
            // While nothing was in flight nothing could be learnt.
            self.start_round(now);
        }
        self.in_flight += 1;
    }

    /// An object has ended. `counts`: it did what was asked. `wanted`: more would begin if they were allowed to.
    pub fn on_finished(&mut self, began: Instant, counts: bool, wanted: bool, now: Instant) {
        self.count(now);
        let in_flight = self.in_flight;
        self.in_flight = in_flight.saturating_sub(1);
        if !counts || began < self.changed {
            return;
        }
        self.round.ended += 1;
        self.round.seconds += now.saturating_duration_since(began).as_secs_f64();
        let lasted = now.saturating_duration_since(self.round.since);
        if self.round.ended < in_flight || lasted < ROUND {
            return;
        }
        let at_once = (self.area - self.round.area) / lasted.as_secs_f64();
        // By Little's law: what ended of those that began before is left out of both.
        let flow = Throughput { at_once, rate: at_once * self.round.ended as f64 / self.round.seconds.max(1e-6) };
        let before = self.now;
        if wanted && flow.rate > 0.0 {
            self.judge(flow);
        }
        if self.now != before {
            self.changed = now;
        }
        self.start_round(now);
    }

    /// A transfer stood still until it was given up.
    pub fn stalled(&mut self, now: Instant) {
        if now.saturating_duration_since(self.changed) < ROUND {
            return;
        }
        self.now = (self.now / 2).max(1);
        (self.reason, self.search, self.changed) = (LimitReason::Stalled, Search::Start, now);
        self.start_round(now);
    }

    fn count(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.counted);
        self.area += since.as_secs_f64() * self.in_flight as f64;
        self.counted = now;
    }

    fn start_round(&mut self, now: Instant) {
        self.round = Round { since: now, area: self.area, ended: 0, seconds: 0.0 };
    }

    fn judge(&mut self, flow: Throughput) {
        match self.search {
            Search::Start => self.change(flow, FAR),
            Search::Changed { from, flow: before, factor, rounds } => match flow.elasticity(before) {
                Some(arrived) => self.compare(from, before, flow, factor, arrived),
                // The other number is not used yet: nothing can be compared.
                None if rounds < TESTED => {
                    self.search = Search::Changed { from, flow: before, factor, rounds: rounds + 1 };
                }
                None => self.settle_at(self.now, self.reason),
            },
            Search::Found { rate: None, rounds } => self.search = Search::Found { rate: Some(flow.rate), rounds },
            Search::Found { rate: Some(rate), .. } if !flow.is_as_before(rate) => self.change(flow, 1.0 / FAR),
            Search::Found { rounds, .. } if rounds >= TESTED => {
                self.tests += 1;
                self.change(flow, if self.tests.is_multiple_of(2) { 1.0 / NEAR } else { NEAR });
            }
            Search::Found { rate, rounds } => self.search = Search::Found { rate, rounds: rounds + 1 },
        }
    }

    fn compare(&mut self, from: usize, before: Throughput, flow: Throughput, factor: f64, arrived: f64) {
        match (factor > 1.0, arrived) {
            (true, WORTH_MORE..) => self.change(flow, factor),
            (true, _) if factor < FAR => self.settle_at(from, LimitReason::Full),
            (true, _) => {
                let filled = before.at_once * (flow.rate / before.rate) * SPARE;
                self.settle_at((filled as usize).clamp(from.min(self.now), self.now), LimitReason::Full);
            }
            (false, ..WORTH_FEWER) => self.change(flow, factor),
            // It is searched for upwards from here.
            (false, _) if factor < 1.0 / NEAR => self.change(flow, FAR),
            (false, _) => self.settle_at(from, LimitReason::Full),
        }
    }

    /// Tries another level, where there is one.
    fn change(&mut self, flow: Throughput, factor: f64) {
        let from = self.now;
        let wanted = (from as f64 * factor).ceil() as usize;
        self.now = if factor > 1.0 { wanted.min(self.most) } else { wanted.max(self.least).min(from) };
        // Too little to tell a difference by.
        let small = self.now.abs_diff(from) * 10 <= from;
        match small {
            // It cannot be lowered: what has changed may be worth more.
            true if factor == 1.0 / FAR && from < self.most => self.change(flow, FAR),
            true => self.settle_at(self.now, if factor > 1.0 { LimitReason::Capped } else { LimitReason::Full }),
            false => {
                self.search = Search::Changed { from, flow, factor, rounds: 0 };
                self.reason = if factor > 1.0 { LimitReason::Growing } else { LimitReason::Testing };
            }
        }
    }

    fn settle_at(&mut self, level: usize, reason: LimitReason) {
        (self.now, self.reason) = (level, reason);
        self.search = Search::Found { rate: None, rounds: 0 };
    }
}
