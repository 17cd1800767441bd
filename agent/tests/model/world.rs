//! The world that the protocol is checked in: one key, two workers, a source that changes, a queue that redelivers,
//! a ledger, a destination with multipart uploads, and a network that loses answers and delays requests.
//!
//! It is written against the *text* of the promises and of the far sides' documents, not against `protocol.rs`.

use std::hash::{Hash, Hasher};

use skyferry_core::model::{Expected, Overwrite, Token, Writer};
use skyferry_core::protocol::*;

use crate::bounds::{Bounds, Faults, Version};
use crate::ledger::Record;
use crate::mutants::Mutant;
use crate::names::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub content: Name,
    pub headers: Option<u32>,
    /// The version that its metadata names; `FOREIGN`: none of Skyferry's.
    pub identity: Name,
    pub token: Token,
    pub generation: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Open,
    /// An abort was sent: a Complete that is in progress may still win.
    Aborting,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upload {
    pub id: Name,
    pub identity: Name,
    pub token: Token,
    pub content: Name,
    pub headers: Option<u32>,
    /// Halves of the object that are stored.
    pub parts: u8,
    pub phase: Phase,
}

/// A request that was sent, whose answer nobody waits for: it may take effect at any time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    pub writer: Writer,
    pub place: u8,
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
    /// How often its message was received.
    pub received: u8,
    /// The destination that its message is for.
    pub place: u8,
    /// The version that its message names.
    pub version: Option<Name>,
    pub protocol: Protocol,
    pub effect: Effect,
    pub writer: Writer,
    /// It has done nothing yet.
    pub new: bool,
    /// The version that the last look showed; reads are pinned to it.
    pub look: Option<Name>,
    /// The version whose body is open.
    pub body: Option<Name>,
    /// The headers that the destination showed when it was looked at last, and the version that the ledger knew: where
    /// headers change.
    pub shown: Option<Option<u32>>,
    pub recorded: Option<Name>,
    /// 0, or 1 and the waits since the answer of its Complete was lost.
    pub waits: u8,
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
        (self.place, self.version, self.waits).hash(state);
        if !matches!(self.effect, Effect::Finish { .. }) {
            (&self.protocol, self.body, self.memory, self.shown, self.recorded).hash(state);
        }
        if matches!(self.effect, Effect::Initiate { .. } | Effect::Checkpoint(_) | Effect::Parts(_)) {
            self.look.hash(state);
        }
    }
}

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// How often it was delivered.
    pub received: u8,
    pub place: u8,
    pub version: Option<Name>,
}

/// A destination, and the ledger's record of what goes there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub destination: Option<Object>,
    pub record: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub started: bool,
    pub source: Name,
    /// The place where something happens; between two actions the first. The other is `elsewhere`.
    pub destination: Option<Object>,
    pub record: Option<Record>,
    pub place: u8,
    pub elsewhere: Place,
    pub uploads: Vec<Upload>,
    /// Never delivered ones first.
    pub messages: Vec<Message>,
    /// Failures by the object's own fault since its record last settled or was parked.
    pub refused: u8,
    /// It was parked before it had all its attempts.
    pub early: bool,
    /// A message went to the dead letters without a reason.
    pub dead: bool,
    /// A rule that a step has broken.
    pub broken: Option<&'static str>,
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
            headers: None,
            identity: FOREIGN,
            token: Token(0),
            generation: generation(0),
        });
        World {
            started: false,
            source: 0,
            destination: foreign,
            record: None,
            place: 0,
            elsewhere: Place::default(),
            uploads: Vec::new(),
            messages: Vec::new(),
            refused: 0,
            early: false,
            dead: false,
            broken: None,
            workers: [None, None],
            late: Vec::new(),
            faults: bounds.faults,
            named: 0,
        }
    }

    /// Nothing is left to do. A late request may still land: that is a state of its own.
    pub fn is_quiet(&self) -> bool {
        self.started && self.messages.is_empty() && self.workers.iter().all(Option::is_none)
    }

    /// Puts a destination and its record in front. `shared`: all destinations have one record.
    pub fn turn_to(&mut self, place: u8, shared: bool) {
        if self.place != place {
            std::mem::swap(&mut self.destination, &mut self.elsewhere.destination);
            if !shared {
                std::mem::swap(&mut self.record, &mut self.elsewhere.record);
            }
            self.place = place;
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
    pub fn change_source(&mut self, bounds: &Bounds) {
        self.source += 1;
        self.send_event(bounds);
    }

    pub fn send_event(&mut self, bounds: &Bounds) {
        let named = bounds.exact && bounds.kind(self.source) != Version::Absent;
        let version = named.then_some(self.source);
        (0..bounds.destinations).for_each(|place| self.send(Message { received: 0, place, version }));
    }

    fn send(&mut self, message: Message) {
        self.messages.push(message);
        self.messages.sort_unstable();
    }

    /// Events that wait and were never delivered, of one destination.
    pub fn fresh(&self) -> u8 {
        self.messages.iter().filter(|message| message.received == 0 && message.place == 0).count() as u8
    }

    pub fn intrude(&mut self, bounds: &Bounds) {
        self.faults.intrusions -= 1;
        let generation = generation(self.new_name());
        let (content, identity, headers) = (FOREIGN, FOREIGN, None);
        self.destination = Some(Object { content, headers, identity, token: Token(0), generation });
        if bounds.requested {
            let version = bounds.exact.then_some(self.source);
            self.send(Message { received: 0, place: 0, version });
        }
    }

    /// A free worker takes a message; or, as the queue would give it up with the next receive, a copy takes its place.
    /// (A kill within the one request that makes the copy is not tried: as many of them as the
    /// queue allows receives would send it there all the same.)
    pub fn receive(&mut self, slot: usize, bounds: &Bounds, message: Message, mutant: Mutant) {
        let at = self.messages.iter().position(|waits| *waits == message).expect("a message that waits");
        self.messages.remove(at);
        let counted = bounds.max_receives > 0;
        let received = if counted { message.received + 1 } else { 1 + message.received.min(1) };
        if counted && received > bounds.max_receives {
            self.dead = true;
            return;
        }
        let most = counted.then_some(bounds.max_receives.into());
        let renews = mutant != Mutant::RenewOnlyAtRelease;
        if renews && received > 1 && is_last_chance(received.into(), most) {
            self.send(Message { received: 0, ..message });
            return;
        }
        let writer = Writer(self.new_name() as u128 * STRIDE);
        let facts = JobFacts {
            received_before: received > 1,
            large_hint: bounds.large_hint,
            requested: bounds.requested && mutant != Mutant::TrustTheLedgerWhenAsked,
            deletes: bounds.deletes,
            overwrite: if mutant == Mutant::ReplaceWhatIsKept { Overwrite::Always } else { bounds.overwrite },
            conditional_put: bounds.conditional_put,
            conditional_finish: bounds.conditional_finish,
        };
        let (protocol, effect) = Protocol::start(writer, facts);
        self.workers[slot] = Some(Box::new(Worker {
            received,
            place: message.place,
            version: message.version,
            protocol,
            effect,
            writer,
            new: true,
            look: None,
            body: None,
            shown: None,
            recorded: None,
            waits: 0,
            failures: 0,
            stale: false,
            memory: None,
        }));
    }

    /// The message is seen again.
    fn comes_back(&mut self, worker: &Worker) {
        let Worker { received, place, version, .. } = *worker;
        self.send(Message { received, place, version });
    }

    /// The worker is gone; its message will be seen again.
    pub fn crash(&mut self, slot: usize) {
        self.faults.crashes -= 1;
        let worker = self.leave(slot);
        if !worker.stale {
            self.comes_back(&worker);
        }
    }

    pub fn lose_lease(&mut self, slot: usize) {
        self.faults.lease_losses -= 1;
        let worker = self.worker_mut(slot);
        (worker.stale, worker.new) = (true, false);
        let worker = worker.clone();
        self.comes_back(&worker);
    }

    /// What becomes of the message. A message that is released for the hold may be seen again at any time: whether the
    /// hold has passed is asked where it matters. `Some`: the message may not be deleted like this.
    pub fn end(&mut self, slot: usize, end: Disposition, bounds: &Bounds) -> Option<String> {
        let worker = self.leave(slot);
        if worker.stale {
            return None;
        }
        match end {
            Disposition::Settled(_) | Disposition::Parked => {
                let reaped = self.faults.reaps < bounds.faults.reaps;
                let recorded = reaped || self.record.as_ref().is_some_and(|r| r.settled || r.parked);
                return (!recorded).then(|| "a message was deleted before its outcome was recorded".to_string());
            }
            Disposition::Hold | Disposition::Fenced | Disposition::Retry { .. } | Disposition::Abandon => {
                let most = (bounds.max_receives > 0).then_some(bounds.max_receives.into());
                match is_last_chance(worker.received.into(), most) {
                    true => self.send(Message { received: 0, place: worker.place, version: worker.version }),
                    false => self.comes_back(&worker),
                }
            }
        }
        None
    }

    /// An empty upload that was never recorded means nothing to anybody once its writer has left.
    fn leave(&mut self, slot: usize) -> Box<Worker> {
        let worker = self.workers[slot].take().expect("a worker that runs");
        let record = &self.record;
        debug_assert_eq!(self.place, worker.place);
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
        let (uploads, here, there) = (&self.uploads, self.destination.as_ref(), self.elsewhere.destination.as_ref());
        let possible = |expected: &Expected, place: u8| {
            let destination = if place == 0 { here } else { there };
            match expected {
                Expected::Any => true,
                Expected::Absent => destination.is_none() || bounds.deletes || bounds.faults.garbles > 0,
                Expected::Revision(wanted) => destination.is_some_and(|object| revision(object.generation) == *wanted),
            }
        };
        self.late.retain(|late| match &late.write {
            Write::Put { expected, .. } | Write::Delete { expected } => {
                !bounds.conditional_put || possible(expected, late.place)
            }
            Write::Complete { upload, expected } => {
                let open = uploads.iter().any(|found| found.id == *upload);
                open && (!bounds.conditional_finish || possible(expected, late.place))
            }
        });
    }

    /// The hold of some writers has passed: what they had in progress is dead.
    pub fn ripen(&mut self, ripe: u8) {
        let writers = self.record.iter().flat_map(|record| record.writers.iter().enumerate());
        for (_, entry) in writers.filter(|(index, _)| ripe >> index & 1 == 1) {
            self.late.retain(|late| late.writer != entry.writer);
        }
    }

    /// Those whose hold may have passed: fenced, and not running any more. (A process that is still at its write a hold
    /// after it was fenced is frozen, and what it does is not promised.)
    pub fn ripe(&self, slot: usize, shared: bool) -> u8 {
        let here = shared || self.worker(slot).place == self.place;
        let record = if here { &self.record } else { &self.elsewhere.record };
        let runs = |writer: Writer| self.workers.iter().flatten().any(|worker| worker.writer == writer);
        let writers = record.iter().flat_map(|record| record.writers.iter().enumerate());
        let ripe = writers.filter(|(_, entry)| entry.fenced && !entry.stopped && !runs(entry.writer));
        ripe.fold(0, |bits, (index, _)| bits | 1 << index)
    }

    pub fn upload_mut(&mut self, id: Name) -> Option<&mut Upload> {
        self.uploads.iter_mut().find(|upload| upload.id == id)
    }
}
