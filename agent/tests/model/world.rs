//! The world that the protocol is checked in: one key, two workers, a source that changes, a queue that redelivers,
//! a ledger, a destination with multipart uploads, and a network that loses answers and delays requests.
//!
//! It is written against the *text* of the promises and of the far sides' documents, not against `protocol.rs`.

use std::hash::{Hash, Hasher};

use skyferry_agent::object::{Expected, Token, Writer};
use skyferry_agent::protocol::*;

use crate::ledger::Record;
use crate::names::*;

/// What the source holds at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    Absent,
    Small,
    Large,
}

/// One run's bounds and the sink's abilities.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub name: &'static str,
    /// The source's states in their order; each change sends one event.
    pub versions: &'static [Version],
    pub conditional_put: bool,
    pub conditional_finish: bool,
    pub deletes: bool,
    pub large_hint: bool,
    /// The destination holds somebody else's object from the start; `true`: equal to the first version.
    pub foreign: Option<bool>,
    /// Somebody else's objects are copies of another source object.
    pub others: bool,
    /// The destination shows checksums.
    pub shows: bool,
    pub duplicates: u8,
    /// So many events wait at most, never delivered: the source does not change faster.
    pub waiting: u8,
    /// So many failures by the object's own fault park it; 0: none is counted.
    pub attempts: u8,
    /// The queue gives a message up after so many receives; 0: never.
    pub max_receives: u8,
    /// A writer in doubt is waited for; `false`: closed by whoever comes next.
    pub hold: bool,
    pub faults: Faults,
}

/// How often something may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    pub crashes: u8,
    /// Lost answers, late requests and refusals.
    pub losses: u8,
    pub lease_losses: u8,
    /// A settled record is removed.
    pub reaps: u8,
    /// The destination stores other bytes than were sent.
    pub garbles: u8,
    /// Somebody else writes to the destination.
    pub intrusions: u8,
    /// An upload is still shown after its abort was taken.
    pub lingers: u8,
    /// Failures by the object's own fault.
    pub refusals: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub content: Name,
    /// The version that its metadata names; `FOREIGN`: none of Skyferry's.
    pub identity: Name,
    pub token: Token,
    pub generation: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Open,
    /// An abort was sent: a Complete that is under way may still win.
    Aborting,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upload {
    pub id: Name,
    pub identity: Name,
    pub token: Token,
    pub content: Name,
    /// Halves of the object that are stored.
    pub parts: u8,
    pub phase: Phase,
}

/// A request that was sent, whose answer nobody waits for: it may take effect at any time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    pub writer: Writer,
    pub write: Write,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    Put { content: Name, token: Token, expected: Expected },
    Complete { upload: Name, expected: Expected },
    Delete { expected: Expected },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub protocol: Protocol,
    pub effect: Effect,
    pub writer: Writer,
    /// It has done nothing yet.
    pub new: bool,
    /// The version that the last look showed; reads are pinned to it.
    pub look: Option<Name>,
    /// The version whose body is open.
    pub body: Option<Name>,
    /// How often its message was received.
    pub received: u8,
    /// The record's failures, as it began.
    pub failures: u8,
    /// Its message is somebody else's by now.
    pub stale: bool,
    /// For mutants that remember.
    pub memory: Option<Name>,
}

/// What has a bearing on the future, and nothing else: once a job finishes, only how it does so.
impl Hash for Worker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.effect.hash(state);
        (self.writer, self.stale, self.new, self.received, self.failures).hash(state);
        if !matches!(self.effect, Effect::Finish { .. }) {
            (&self.protocol, self.body, self.memory).hash(state);
        }
        if matches!(self.effect, Effect::Initiate { .. } | Effect::Checkpoint(_) | Effect::Parts(_)) {
            self.look.hash(state);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub started: bool,
    pub source: Name,
    pub destination: Option<Object>,
    pub uploads: Vec<Upload>,
    pub record: Option<Record>,
    /// Messages that wait: never delivered; delivered before, so often, the rarest first.
    pub fresh: u8,
    pub again: Vec<u8>,
    /// Failures by the object's own fault since its record last settled or was parked.
    pub refused: u8,
    /// It was parked before it had all its attempts.
    pub early: bool,
    /// A message went to the dead letters without a reason.
    pub dead: bool,
    pub workers: [Option<Box<Worker>>; 2],
    pub late: Vec<Late>,
    pub faults: Faults,
    /// Names given out so far.
    pub named: Name,
}

/// Writers are 1, 2, 3, … times this, so that their tokens (writer + attempt) never meet.
pub const STRIDE: u128 = 16;

impl World {
    pub fn new(bounds: &Bounds) -> World {
        let foreign = bounds.foreign.map(|equal| Object {
            content: if equal { 0 } else { FOREIGN },
            identity: FOREIGN,
            token: Token(0),
            generation: generation(0),
        });
        World {
            started: false,
            source: 0,
            destination: foreign,
            uploads: Vec::new(),
            record: None,
            fresh: 0,
            again: Vec::new(),
            refused: 0,
            early: false,
            dead: false,
            workers: [None, None],
            late: Vec::new(),
            faults: bounds.faults,
            named: 0,
        }
    }

    /// Nothing is left to do. A late request may still land: that is a state of its own.
    pub fn is_quiet(&self) -> bool {
        self.started && self.fresh == 0 && self.again.is_empty() && self.workers.iter().all(Option::is_none)
    }

    /// What is wrong at the end of everything.
    pub fn fault_at_rest(&self, bounds: &Bounds) -> Option<String> {
        let version = bounds.versions[self.source as usize];
        let holds = self.destination.as_ref().map(|object| object.content);
        let parked = self.record.as_ref().is_some_and(|record| record.parked);
        let right = match version {
            _ if holds == Some(GARBLED) => false,
            // Whatever it held before; somebody has been told.
            _ if parked && (bounds.attempts > 0 || bounds.faults.garbles > 1) => true,
            _ if bounds.others => bounds.foreign.is_none() || holds == Some(FOREIGN),
            Version::Absent if bounds.deletes => holds.is_none_or(|content| content == FOREIGN),
            Version::Absent => true,
            _ if self.faults.intrusions < bounds.faults.intrusions && holds == Some(FOREIGN) => true,
            _ => holds == Some(self.source),
        };
        if !right {
            return Some(format!("source at version {} ({version:?}), destination holds {holds:?}", self.source));
        }
        let left = self.uploads.iter().find(|upload| upload.phase == Phase::Open && upload.parts > 0)?;
        Some(format!("an upload with parts is left over: {left:?}"))
    }

    /// What may never be, at rest or not.
    pub fn fault(&self) -> Option<String> {
        if self.early {
            return Some("an object was parked before it had all its attempts".to_string());
        }
        if self.dead {
            return Some("kills alone sent a message to the dead letters".to_string());
        }
        let object = self.destination.as_ref()?;
        let recorded = self.record.as_ref().and_then(|record| record.published);
        match object.content {
            content if recorded.is_some_and(|(version, at)| at == object.generation && version != content) => {
                Some(format!("the ledger has {recorded:?}, and what stands there is {object:?}"))
            }
            MIXED => Some("a mixture of two versions was published".to_string()),
            GARBLED => None,
            content if object.identity != content && object.identity != FOREIGN => {
                Some(format!("an object names version {} and holds {content}", object.identity))
            }
            _ => None,
        }
    }

    pub fn new_name(&mut self) -> Name {
        self.named += 1;
        self.named
    }

    pub fn worker(&self, slot: usize) -> &Worker {
        self.workers[slot].as_ref().expect("a worker that runs")
    }

    pub fn worker_mut(&mut self, slot: usize) -> &mut Worker {
        self.workers[slot].as_mut().expect("a worker that runs")
    }

    /// The source changes, and says so.
    pub fn change_source(&mut self) {
        self.source += 1;
        self.fresh += 1;
    }

    pub fn intrude(&mut self) {
        self.faults.intrusions -= 1;
        let generation = generation(self.new_name());
        self.destination = Some(Object { content: FOREIGN, identity: FOREIGN, token: Token(0), generation });
    }

    /// A free worker takes a message; or, as the queue would give it up with the next receive, a copy takes its place.
    /// (A kill within the one request that makes the copy is not tried: as many of them as the
    /// queue allows receives would send it there all the same.)
    pub fn receive(&mut self, slot: usize, bounds: &Bounds, again: Option<u8>, renews: bool) {
        match again.and_then(|count| self.again.iter().position(|&waits| waits == count)) {
            Some(at) => drop(self.again.remove(at)),
            None => self.fresh -= 1,
        }
        let counted = bounds.max_receives > 0;
        let received = if counted { again.unwrap_or(0) + 1 } else { 1 + u8::from(again.is_some()) };
        if counted && received > bounds.max_receives {
            self.dead = true;
            return;
        }
        let most = counted.then_some(bounds.max_receives.into());
        if renews && received > 1 && is_last_chance(received.into(), most) {
            self.fresh += 1;
            return;
        }
        let writer = Writer(self.new_name() as u128 * STRIDE);
        let facts = Facts {
            received_before: received > 1,
            large_hint: bounds.large_hint,
            // It makes no other look than a message that was received before.
            requested: false,
            deletes: bounds.deletes,
            conditional_put: bounds.conditional_put,
            conditional_finish: bounds.conditional_finish,
        };
        let (protocol, effect) = Protocol::start(writer, facts);
        let (look, body, memory) = (None, None, None);
        let worker =
            Worker { protocol, effect, writer, new: true, look, body, received, failures: 0, stale: false, memory };
        self.workers[slot] = Some(Box::new(worker));
    }

    /// The message is seen again.
    fn comes_back(&mut self, received: u8) {
        self.again.push(received);
        self.again.sort_unstable();
    }

    /// The worker is gone; its message will be seen again.
    pub fn crash(&mut self, slot: usize) {
        self.faults.crashes -= 1;
        let worker = self.leave(slot);
        if !worker.stale {
            self.comes_back(worker.received);
        }
    }

    pub fn lose_lease(&mut self, slot: usize) {
        self.faults.lease_losses -= 1;
        let worker = self.worker_mut(slot);
        (worker.stale, worker.new) = (true, false);
        let received = worker.received;
        self.comes_back(received);
    }

    /// What becomes of the message. A message that is released for the hold may be seen again at any time: whether the
    /// hold has passed is asked where it matters. `Some`: the message may not be deleted like this.
    pub fn end(&mut self, slot: usize, end: End, bounds: &Bounds) -> Option<String> {
        let worker = self.leave(slot);
        if worker.stale {
            return None;
        }
        match end {
            End::Settled(_) | End::Parked => {
                let reaped = self.faults.reaps < bounds.faults.reaps;
                let recorded = reaped || self.record.as_ref().is_some_and(|r| r.settled || r.parked);
                return (!recorded).then(|| "a message was deleted before its outcome was recorded".to_string());
            }
            End::Hold | End::Fenced | End::Again { .. } | End::Abandon => {
                let most = (bounds.max_receives > 0).then_some(bounds.max_receives.into());
                match is_last_chance(worker.received.into(), most) {
                    true => self.fresh += 1,
                    false => self.comes_back(worker.received),
                }
            }
        }
        None
    }

    /// An empty upload that was never recorded means nothing to anybody once its writer has left.
    fn leave(&mut self, slot: usize) -> Box<Worker> {
        let worker = self.workers[slot].take().expect("a worker that runs");
        let record = &self.record;
        let is_recorded = |id: Name| {
            let writers = record.iter().flat_map(|record| &record.writers);
            writers.filter_map(|entry| entry.upload.as_ref()).any(|upload| upload.id == id)
        };
        let is_its_own = |token: Token| token.0 / STRIDE * STRIDE == worker.writer.0;
        self.uploads.retain(|upload| upload.parts > 0 || !is_its_own(upload.token) || is_recorded(upload.id));
        worker
    }

    /// What has no future is forgotten: uploads that have ended, requests that can never take effect any more.
    pub fn forget(&mut self, bounds: &Bounds) {
        self.uploads.retain(|upload| upload.phase != Phase::Gone);
        let (uploads, destination) = (&self.uploads, self.destination.as_ref());
        let possible = |expected: &Expected| match expected {
            Expected::Any => true,
            Expected::Absent => destination.is_none() || bounds.deletes || bounds.faults.garbles > 0,
            Expected::Revision(wanted) => destination.is_some_and(|object| revision(object.generation) == *wanted),
        };
        self.late.retain(|late| match &late.write {
            Write::Put { expected, .. } | Write::Delete { expected } => !bounds.conditional_put || possible(expected),
            Write::Complete { upload, expected } => {
                let open = uploads.iter().any(|found| found.id == *upload);
                open && (!bounds.conditional_finish || possible(expected))
            }
        });
    }

    /// The hold of some writers has passed: what they had under way is dead.
    pub fn ripen(&mut self, ripe: u8) {
        let writers = self.record.iter().flat_map(|record| record.writers.iter().enumerate());
        for (_, entry) in writers.filter(|(index, _)| ripe >> index & 1 == 1) {
            self.late.retain(|late| late.writer != entry.writer);
        }
    }

    /// Those whose hold may have passed: fenced, and not running any more. (A process that is still at its write a hold
    /// after it was fenced is frozen, and what it does is not promised.)
    pub fn ripe(&self) -> u8 {
        let runs = |writer: Writer| self.workers.iter().flatten().any(|worker| worker.writer == writer);
        let writers = self.record.iter().flat_map(|record| record.writers.iter().enumerate());
        let ripe = writers.filter(|(_, entry)| entry.fenced && !entry.stopped && !runs(entry.writer));
        ripe.fold(0, |bits, (index, _)| bits | 1 << index)
    }

    pub fn upload_mut(&mut self, id: Name) -> Option<&mut Upload> {
        self.uploads.iter_mut().find(|upload| upload.id == id)
    }
}
