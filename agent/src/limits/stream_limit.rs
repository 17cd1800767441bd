//! How many bytes of streamed bodies may be in flight: on a line that is full, what it carries in ten seconds, so that
//! parts end one after another and a kill or a stop loses little; on every other line, as many streams as bring more.
//!
//! What is known comes from bodies that have ended, for the first bytes of each only fill buffers on the way. Bodies that
//! end quickly let more in, until more of them bring no more. When they do not end quickly, one question decides: does
//! another number of streams change what passes in all? If not, the line is full and fewer streams are enough. If it does,
//! each stream is slow by itself (a far service, a limit for each connection), and fewer streams would only be slower. So
//! half as many more are let in (or half as many, where no more could be used) for once, and what passed before and after
//! is compared.

use std::time::Duration;

use tokio::time::Instant;

use super::object_limit::{Throughput, WORTH_MORE};

/// A body is to end within this.
const LIMIT: Duration = Duration::from_secs(10);
/// In flight before anything is known.
const START: u64 = 96 << 20;
/// Streams that may always be open: with one alone the line rests between two bodies.
const LEAST: usize = 2;
/// From bodies that take longer it can be foreseen how many end in time; shorter ones are followed step by step.
const SHORT: f64 = 1.0;
/// Bodies from which something is concluded: one may be slow for reasons of its own.
const BODIES: usize = 4;
/// What passes is taken for unchanged between these factors.
const SAME: std::ops::Range<f64> = 0.75..1.5;
/// Numbers of streams that are too close to compare what they bring.
const CLOSE: std::ops::Range<f64> = 0.8..1.25;

/// One body that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinishedBody {
    pub began: Instant,
    pub size: u64,
    pub took: Duration,
    /// How many streams were open meanwhile, on average.
    pub streams: f64,
}

/// What is in flight and waits when it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLoad {
    pub streams: usize,
    pub bytes: u64,
    pub waiting: bool,
}

#[derive(Debug)]
pub(super) struct StreamLimit {
    /// Streams that the memory has room for.
    most: usize,
    /// Bytes in flight that are allowed, as far as is known, and what a limit of the bandwidth allows of it.
    depth: u64,
    ceiling: u64,
    search: Search,
    round: Round,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Search {
    /// Nothing is known.
    Open,
    /// Bodies end quickly, and the depth was raised from this one, where that passed.
    Quick { before: Throughput, depth: u64 },
    /// They do, and more of them bring no more than this.
    Enough { goodput: f64 },
    /// The depth was changed; this is what passed before.
    Trying(Throughput),
    /// More streams bring no more than this.
    Full { goodput: f64 },
    /// Fewer streams bring less than this, and more cannot be used.
    Scarce { goodput: f64 },
}

/// Bodies that began and ended since the depth was changed.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    since: Option<Instant>,
    bodies: usize,
    bytes: f64,
    /// Weighted by bytes: large bodies are what has to end in time.
    seconds: f64,
    streams: f64,
    goodput: f64,
}

fn ceiling(rate: Option<u64>) -> u64 {
    rate.map_or(u64::MAX, |rate| rate.saturating_mul(LIMIT.as_secs()))
}

impl StreamLimit {
    /// `rate`: bytes a second that pass at most, where that is limited.
    pub fn new(most: usize, rate: Option<u64>) -> StreamLimit {
        let ceiling = ceiling(rate);
        StreamLimit { most: most.max(LEAST), depth: START, ceiling, search: Search::Open, round: Round::default() }
    }

    /// What was learnt of the line stays.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.ceiling = ceiling(rate);
    }

    /// Whether a body of this size may begin.
    pub fn admits(&self, size: u64, load: StreamLoad) -> bool {
        load.streams < LEAST
            || (load.streams < self.most && load.bytes.saturating_add(size) <= self.depth.min(self.ceiling))
    }

    /// Learns from a body that has ended; `load` is with it.
    pub fn learn(&mut self, ended: FinishedBody, load: StreamLoad, now: Instant) {
        if self.round.since.is_some_and(|since| ended.began < since) {
            return;
        }
        self.round.add(ended);
        if self.round.bodies < load.streams.max(BODIES) {
            return;
        }
        let round = std::mem::take(&mut self.round);
        let before = (self.depth, self.search);
        self.judge(&round, load);
        // What began under another depth says nothing about the new one.
        let changed = before != (self.depth, self.search);
        self.round.since = if changed { Some(now) } else { round.since };
    }

    fn judge(&mut self, round: &Round, load: StreamLoad) {
        let flow = round.flow();
        // Twice as many end in time, whatever the line is like.
        if round.seconds() * 2.0 <= LIMIT.as_secs_f64() {
            self.judge_quick(round, flow, load);
            return;
        }
        match self.search {
            Search::Full { goodput } if SAME.contains(&(flow.rate / goodput)) => self.depth = room(flow.rate),
            Search::Scarce { goodput } if SAME.contains(&(flow.rate / goodput)) => {}
            Search::Trying(before) => self.compare(before, flow, load),
            _ => self.try_another(flow, load),
        }
    }

    fn judge_quick(&mut self, round: &Round, flow: Throughput, load: StreamLoad) {
        match self.search {
            Search::Enough { goodput } if SAME.contains(&(flow.rate / goodput)) => return,
            Search::Quick { before, depth } if arrived(before, flow).is_some_and(|arrived| arrived < WORTH_MORE) => {
                // Back, but for what did arrive: four streams and eight may have the line that five fill between them.
                self.depth = (depth as f64 * (flow.rate / before.rate).clamp(1.0, 2.0)) as u64;
                self.search = Search::Enough { goodput: flow.rate };
                return;
            }
            _ => {}
        }
        if self.could_use_more(load) {
            let depth = self.depth.max(load.bytes);
            let foreseen = if round.seconds() < SHORT { 0 } else { room(flow.rate) };
            self.depth = depth.saturating_mul(2).max(foreseen);
            self.search = Search::Quick { before: flow, depth };
        } else if !matches!(self.search, Search::Quick { .. }) {
            self.search = Search::Open;
        }
    }

    fn could_use_more(&self, load: StreamLoad) -> bool {
        load.waiting && load.streams < self.most
    }

    fn try_another(&mut self, flow: Throughput, load: StreamLoad) {
        if self.could_use_more(load) {
            // By half, for on a slow line each of them is one more that is lost by a kill.
            let depth = self.depth.max(load.bytes);
            self.depth = depth.saturating_add(depth / 2);
        } else if load.bytes > START {
            self.depth = load.bytes / 2;
        } else {
            self.search = Search::Open;
            return;
        }
        self.search = Search::Trying(flow);
    }

    fn compare(&mut self, before: Throughput, flow: Throughput, load: StreamLoad) {
        // There was no work for more, or no fewer were left: nothing can be compared yet.
        let Some(arrived) = arrived(before, flow) else { return };
        match (arrived >= WORTH_MORE, flow.at_once > before.at_once) {
            (false, _) => {
                let goodput = flow.rate.max(before.rate);
                self.search = Search::Full { goodput };
                self.depth = room(goodput);
            }
            (true, true) if self.could_use_more(load) => self.try_another(flow, load),
            (true, true) => self.search = Search::Scarce { goodput: flow.rate },
            (true, false) => {
                self.search = Search::Scarce { goodput: before.rate };
                self.depth = self.depth.max(load.bytes).saturating_mul(2);
            }
        }
    }
}

impl Round {
    fn add(&mut self, ended: FinishedBody) {
        let (size, seconds) = (ended.size.max(1) as f64, ended.took.as_secs_f64().max(1e-6));
        self.bodies += 1;
        self.bytes += size;
        self.seconds += size * seconds;
        self.streams += ended.streams;
        self.goodput += ended.streams * size / seconds;
    }

    /// How long a body took.
    fn seconds(&self) -> f64 {
        self.seconds / self.bytes
    }

    fn flow(&self) -> Throughput {
        let bodies = self.bodies as f64;
        Throughput { at_once: self.streams / bodies, rate: self.goodput / bodies }
    }
}

/// How much of a change in the number of streams arrived. `None`: the numbers are too close to tell by as few bodies.
fn arrived(before: Throughput, flow: Throughput) -> Option<f64> {
    flow.elasticity(before).filter(|_| !CLOSE.contains(&(flow.at_once / before.at_once)))
}

/// What passes within the limit.
fn room(goodput: f64) -> u64 {
    (goodput * LIMIT.as_secs_f64()) as u64
}
