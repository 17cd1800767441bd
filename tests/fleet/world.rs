//! Everything outside of the agents, and what was seen of it: the services, the faults, what will happen when, and the
//! record of what did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skyferry_core::model::{Key, Location};

use crate::agent::Settings;
use crate::clock::{self, Time};
use crate::faults::{Faults, Op};
use crate::ledger::Dynamo;
use crate::queue::Sqs;
use crate::rng::Rng;
use crate::source::{self, Origin};
use crate::store::{self, Bucket};

/// What happens at a time.
pub enum Event {
    /// A request of somebody who may be gone by now.
    Lands(Box<dyn FnOnce(&mut World) + Send>),
    /// A source key changes.
    Change(usize),
    /// A notification arrives.
    Notice(String),
    Kill,
    Freeze,
    Thaw(u32),
    Terminate,
    /// Agents up to the fleet's size.
    Start,
}

/// What was seen, for the numbers at the end.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub requests: BTreeMap<Op, u64>,
    pub faults: BTreeMap<String, u64>,
    pub changes: u64,
    pub messages: u64,
    pub published: u64,
    pub deleted: u64,
    pub landed_late: u64,
    pub kills: u64,
    pub freezes: u64,
    pub terminations: u64,
    /// Bytes that the source gave and the destination took.
    pub read: u64,
    pub sent: u64,
    pub useful: u64,
    pub rests: u64,
    pub known: BTreeMap<&'static str, u64>,
}

pub struct World {
    pub dice: Rng,
    pub queue: Sqs,
    pub ledger: Dynamo,
    pub origin: Origin,
    pub bucket: Bucket,
    pub faults: Faults,
    pub agenda: BTreeMap<(Time, u64), Event>,
    planned: u64,
    pub seen: Seen,
    pub violations: Vec<String>,
    /// A digest of all that happened.
    pub trace: u64,
    pub verbose: bool,
    /// Requests of one kind by one agent at one key within a minute: what runs in a circle shows here.
    pub limiter: BTreeMap<(u32, Op, String), (u64, u32)>,
    /// Since when an agent was frozen for longer than the hold.
    pub overslept: bool,
    pub deletes: bool,
    /// The version of the event is read.
    pub exact: bool,
    /// Some objects are large enough to be streamed.
    pub large: bool,
}

/// One world, which all agents share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(world: World) -> Shared {
        Shared(Arc::new(Mutex::new(world)))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub fn new(
        dice: Rng,
        queue: Sqs,
        origin: Origin,
        bucket: Bucket,
        settings: &Settings,
        large: bool,
        verbose: bool,
    ) -> World {
        World {
            dice,
            queue,
            ledger: Dynamo::default(),
            origin,
            bucket,
            faults: Faults::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            seen: Seen::default(),
            violations: Vec::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            verbose,
            limiter: BTreeMap::new(),
            overslept: false,
            deletes: settings.deletes,
            exact: settings.exact,
            large,
        }
    }

    pub fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), event);
    }

    /// Into the trace, and where somebody reads along, into the log.
    pub fn note(&mut self, agent: u32, what: &str, key: &str, how: &str) {
        let now = clock::now().as_micros() as u64;
        let head = now.to_le_bytes();
        for byte in head.iter().chain(what.as_bytes()).chain(key.as_bytes()).chain(how.as_bytes()) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.trace ^= u64::from(agent);
        if self.verbose {
            eprintln!("{:>12.3} agent {agent:<3} {what:<12} {key} {how}", now as f64 / 1e6);
        }
    }

    /// A promise is broken.
    pub fn broken(&mut self, promise: u32, what: String) {
        let now = clock::now().as_secs_f64();
        self.note(0, "BROKEN", "", &what);
        self.violations.push(format!("promise {promise} at {now:.3} s: {what}"));
    }

    /// The source's name of a place at the destination.
    pub fn source_of(key: &Key) -> Option<String> {
        key.as_str()?.strip_prefix(store::PREFIX).map(str::to_owned)
    }

    /// What has just been published or would be: exactly one state of the source, in its place.
    pub fn check_published(&mut self, key: &Key, garbled: bool) {
        self.seen.published += 1;
        let Some(copy) = self.bucket.objects.get(key).cloned() else { return };
        let source = Self::source_of(key);
        let entry = source.as_deref().and_then(|name| self.origin.find(name));
        let (Some(entry), Some(provenance)) = (entry, &copy.provenance) else {
            return self.broken(11, format!("{key} was written, which no source key maps to"));
        };
        if provenance.source != Location::new(source::BUCKET, entry.key.as_str()) {
            let text = format!("{key} holds an object of {}", provenance.source);
            return self.broken(11, text);
        }
        let state = entry.by_identity(&provenance.identity).map(|(number, state)| (number, state.clone()));
        let Some((number, state)) = state else {
            let text = format!("{key} names a state that never was: {:?}", provenance.identity);
            return self.broken(2, text);
        };
        if !garbled && state.bytes.as_ref() != Some(&copy.bytes) {
            return self.broken(2, format!("{key} names state {number} and holds other bytes"));
        }
        self.seen.useful += copy.bytes.len() as u64;
        let name = key.to_string();
        self.note(0, "published", &name, &format!("state {number}"));
    }

    /// What runs in a circle: more than some hundred requests of one kind by one agent at one key within a minute.
    pub fn count(&mut self, agent: u32, op: Op, key: &str, sweeps: bool) {
        if sweeps && op == Op::Lookup {
            return;
        }
        *self.seen.requests.entry(op).or_default() += 1;
        if key.is_empty() || op == Op::UploadPart || op == Op::GetSource {
            return;
        }
        let minute = clock::now().as_secs() / 60;
        let counted = self.limiter.entry((agent, op, key.to_owned())).or_insert((minute, 0));
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        if counted.1 == MOST {
            self.broken(12, format!("agent {agent}: {MOST} times {} at {key} within a minute", op.name()));
        }
    }

    /// Nothing is left to do, and nothing will land.
    pub fn is_quiet(&self) -> bool {
        self.queue.messages.is_empty() && self.agenda.is_empty()
    }

    /// The next thing that happens by itself.
    pub fn next(&self) -> Option<Time> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn next_visible(&self) -> Option<Time> {
        self.queue.messages.values().map(|held| held.visible).min()
    }

    pub fn known(&mut self, row: &'static str) {
        *self.seen.known.entry(row).or_default() += 1;
    }
}

const MOST: u32 = 300;

pub fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
