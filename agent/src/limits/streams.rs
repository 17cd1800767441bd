//! Which streamed bodies are open at once: parts of large objects, and objects above a MiB that go in one request.
//!
//! How many is `stream_limit`'s matter. Who comes next is decided here: the oldest object's first part that waits, so that large
//! objects end one after another. An object never takes all of the line while others wait: what is left of it goes to the
//! smallest of those, so that a part of a TiB does not keep a few MiB waiting for hours.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::stream_limit::{FinishedBody, StreamLimit, StreamLoad};

/// A stream of which nothing has passed for so long cannot be expected to end soon.
const QUIET: Duration = Duration::from_secs(5);

/// All streams of one agent. Clones are the same.
#[derive(Clone)]
pub struct Streams(Arc<Mutex<Gate>>);

/// An object's place among the others: those that began earlier come first.
#[derive(Clone, Copy, Debug)]
pub struct StreamTurn {
    number: u64,
    /// Of the object.
    size: u64,
}

/// The right to stream one body, for as long as this lives. Clones are the same.
#[derive(Clone)]
pub struct StreamPermit(Arc<Place>);

/// A body that waits or is open.
struct Place {
    streams: Streams,
    id: Id,
}

/// The object's turn, the part's number, and one to tell repetitions apart.
type Id = (u64, u32, u64);

struct Gate {
    width: StreamLimit,
    turns: u64,
    bodies: u64,
    waiting: BTreeMap<Id, Waiting>,
    open: BTreeMap<Id, Open>,
    /// Of what is open.
    bytes: u64,
    /// Stream-seconds until `counted`: how many were open over a time is the difference by that time.
    area: f64,
    counted: Instant,
}

struct Waiting {
    turn: StreamTurn,
    size: u64,
    wake: oneshot::Sender<()>,
}

struct Open {
    size: u64,
    passed: u64,
    began: Instant,
    moved: Instant,
    /// The gate's, when it began.
    area: f64,
}

impl Streams {
    /// `most`: the streams that the memory has room for. `rate`: bytes a second that pass at most, if that is limited.
    pub fn new(most: usize, rate: Option<u64>) -> Streams {
        Streams(Arc::new(Mutex::new(Gate {
            width: StreamLimit::new(most, rate),
            turns: 0,
            bodies: 0,
            waiting: BTreeMap::new(),
            open: BTreeMap::new(),
            bytes: 0,
            area: 0.0,
            counted: Instant::now(),
        })))
    }

    /// Another rate from now on. What is open stays open.
    pub fn set_rate(&self, rate: Option<u64>) {
        let mut gate = self.gate();
        gate.width.set_rate(rate);
        gate.admit(Instant::now());
    }

    /// The next object's.
    pub fn turn(&self, size: u64) -> StreamTurn {
        let mut gate = self.gate();
        gate.turns += 1;
        StreamTurn { number: gate.turns, size }
    }

    /// Waits until a body of `size` bytes may be streamed; `part`: its number within the object.
    pub async fn permit(&self, turn: StreamTurn, part: u32, size: u64) -> StreamPermit {
        let (place, woken) = self.enqueue(turn, part, size);
        // An error would mean that somebody else has taken the place out, and nobody does.
        let _ = woken.await;
        StreamPermit(Arc::new(place))
    }

    /// The same, if there is room at once.
    pub fn permit_now(&self, turn: StreamTurn, part: u32, size: u64) -> Option<StreamPermit> {
        let (place, mut woken) = self.enqueue(turn, part, size);
        woken.try_recv().is_ok().then(|| StreamPermit(Arc::new(place)))
    }

    fn enqueue(&self, turn: StreamTurn, part: u32, size: u64) -> (Place, oneshot::Receiver<()>) {
        let (wake, woken) = oneshot::channel();
        let mut gate = self.gate();
        gate.bodies += 1;
        let id = (turn.number, part, gate.bodies);
        gate.waiting.insert(id, Waiting { turn, size, wake });
        gate.admit(Instant::now());
        (Place { streams: self.clone(), id }, woken)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamPermit {
    /// So many bytes have passed.
    pub fn count_bytes(&self, bytes: u64) {
        let now = Instant::now();
        if let Some(open) = self.0.streams.gate().open.get_mut(&self.0.id) {
            open.passed = (open.passed + bytes).min(open.size);
            open.moved = now;
        }
    }

    /// The body has arrived: what it took is taken into account. The place is free when the last clone is gone.
    pub fn arrived(&self) {
        self.0.streams.gate().arrived(self.0.id, Instant::now());
    }

    /// Whether what is left of this body can pass within the time, together with those that have less left.
    pub fn can_end(&self, within: Duration) -> bool {
        self.0.streams.gate().can_end(self.0.id, within, Instant::now())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.gate().leave(self.id, Instant::now());
    }
}

impl Gate {
    fn load(&self) -> StreamLoad {
        StreamLoad { streams: self.open.len(), bytes: self.bytes, waiting: !self.waiting.is_empty() }
    }

    fn count(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.counted);
        self.area += since.as_secs_f64() * self.open.len() as f64;
        self.counted = now;
    }

    /// Lets in whom there is room for.
    fn admit(&mut self, now: Instant) {
        self.count(now);
        while let Some(id) = self.next() {
            let Some(Waiting { size, wake, .. }) = self.waiting.remove(&id) else { return };
            self.bytes += size;
            self.open.insert(id, Open { size, passed: 0, began: now, moved: now, area: self.area });
            // Who does not wait any more gives its place back by itself.
            let _ = wake.send(());
        }
    }

    /// Who comes next, if there is room. A large body that does not fit waits for room and is not overtaken by others of
    /// its kind.
    fn next(&self) -> Option<Id> {
        let (oldest, first) = self.waiting.first_key_value()?;
        let mut chosen = (oldest, first);
        let own: u64 = self.open.iter().filter(|(id, _)| id.0 == oldest.0).map(|(_, open)| open.size).sum();
        let with = |bytes: u64| bytes.saturating_add(first.size);
        if own > 0 && with(own) > with(self.bytes) / 4 * 3 {
            let others = self.waiting.iter().filter(|(id, _)| id.0 != oldest.0);
            chosen = others.min_by_key(|(id, other)| (other.turn.size, **id)).unwrap_or(chosen);
        }
        let (id, waiting) = chosen;
        self.width.admits(waiting.size, self.load()).then_some(*id)
    }

    fn arrived(&mut self, id: Id, now: Instant) {
        self.count(now);
        let Some(open) = self.open.get(&id) else { return };
        let took = now.saturating_duration_since(open.began);
        let streams = (self.area - open.area) / took.as_secs_f64();
        let streams = if streams.is_finite() { streams.max(1.0) } else { 1.0 };
        let ended = FinishedBody { began: open.began, size: open.size, took, streams };
        self.width.learn(ended, self.load(), now);
    }

    fn leave(&mut self, id: Id, now: Instant) {
        self.count(now);
        self.waiting.remove(&id);
        if let Some(open) = self.open.remove(&id) {
            self.bytes -= open.size;
        }
        self.admit(now);
    }

    fn can_end(&self, id: Id, within: Duration, now: Instant) -> bool {
        let Some(own) = self.open.get(&id) else { return false };
        if now.saturating_duration_since(own.moved) > QUIET {
            return false;
        }
        let left = |open: &Open| open.size - open.passed;
        let ahead = self.open.iter().filter(|(other, open)| (left(open), **other) <= (left(own), id));
        let ahead: u64 = ahead.map(|(_, open)| left(open)).sum();
        let rate: f64 = self.open.values().map(|open| open.rate(now)).sum();
        ahead as f64 <= rate * within.as_secs_f64()
    }
}

impl Open {
    fn rate(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        self.passed as f64 / seconds.max(0.1)
    }
}
