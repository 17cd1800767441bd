//! The world that the protocol is checked in: one key, two workers, a source that changes, a queue that redelivers,
//! a ledger, a destination with multipart uploads, and a network that loses answers and delays requests.
//!
//! It is written against the *text* of the promises and of the far sides' documents, not against `protocol.rs`.
//! Ids (writers, uploads, generations) are given out as the smallest that nobody refers to any more, so that
//! histories which differ only in names are one state.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use skyferry_agent::object::{Expected, Revision, SourceIdentity, Token, UploadId, Writer};
use skyferry_agent::protocol::*;

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
    pub duplicates: u8,
    pub crashes: u8,
    /// Lost answers, late requests and refusals.
    pub losses: u8,
    pub lease_losses: u8,
    pub reaps: u8,
}

/// Bytes at the destination or in an upload: which version, or a mixture of two.
pub const MIXED: u8 = 99;
const FOREIGN: u8 = 98;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub content: u8,
    /// The version that its metadata names; `FOREIGN`: none of Skyferry's.
    pub identity: u8,
    pub token: u128,
    pub generation: u8,
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
    pub id: u8,
    pub identity: u8,
    pub token: u128,
    pub content: u8,
    /// Halves of the object that are stored.
    pub parts: u8,
    pub phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WriterEntry {
    pub id: u8,
    pub fenced: bool,
    pub past_hold: bool,
    pub stopped: bool,
    pub upload: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub published: Option<(u8, u8)>,
    pub settled: bool,
    pub writers: Vec<WriterEntry>,
}

/// A request that was sent, whose answer nobody waits for: it may take effect at any time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Late {
    Put { writer: u8, content: u8, token: u128, expected: Expected },
    Complete { writer: u8, upload: u8, expected: Expected },
    Delete { writer: u8, expected: Expected },
}

impl Late {
    pub fn writer(&self) -> u8 {
        match self {
            Late::Put { writer, .. } | Late::Complete { writer, .. } | Late::Delete { writer, .. } => *writer,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub protocol: Protocol,
    pub effect: Effect,
    pub writer: u8,
    /// The version that the last look showed; reads are pinned to it.
    pub look: Option<u8>,
    /// The version whose body is open.
    pub body: Option<u8>,
    /// Its message is somebody else's by now.
    pub stale: bool,
    /// For mutants that remember.
    pub memory: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub source: u8,
    pub destination: Option<Object>,
    pub uploads: Vec<Upload>,
    pub record: Option<Record>,
    /// Messages: never delivered, delivered before, released for the hold.
    pub fresh: u8,
    pub again: u8,
    pub held: u8,
    pub workers: [Option<Box<Worker>>; 2],
    pub late: Vec<Late>,
    pub duplicates: u8,
    pub crashes: u8,
    pub losses: u8,
    pub lease_losses: u8,
    pub reaps: u8,
}

fn names() -> &'static Vec<Arc<str>> {
    static NAMES: OnceLock<Vec<Arc<str>>> = OnceLock::new();
    NAMES.get_or_init(|| (0..100).map(|n| Arc::from(n.to_string().as_str())).collect())
}

pub fn identity(version: u8) -> SourceIdentity {
    let etag = names()[version as usize].clone();
    SourceIdentity { etag, size: version as u64, last_modified: 0, version: None }
}

pub fn revision(generation: u8) -> Revision {
    Revision(names()[generation as usize].clone())
}

pub fn upload_id(id: u8) -> UploadId {
    UploadId(names()[id as usize].clone())
}

pub fn number(text: &str) -> u8 {
    text.parse().expect("ids of the model are small numbers")
}

/// Writers are 1, 2, 3, … times this, so that their tokens (writer + attempt) never meet.
const STRIDE: u128 = 16;

impl World {
    pub fn new(bounds: &Bounds) -> World {
        let foreign = bounds.foreign.map(|equal| Object {
            content: if equal { 0 } else { FOREIGN },
            identity: FOREIGN,
            token: 0,
            generation: 1,
        });
        World {
            source: 0,
            destination: foreign,
            uploads: Vec::new(),
            record: None,
            fresh: 1,
            again: 0,
            held: 0,
            workers: [None, None],
            late: Vec::new(),
            duplicates: bounds.duplicates,
            crashes: bounds.crashes,
            losses: bounds.losses,
            lease_losses: bounds.lease_losses,
            reaps: bounds.reaps,
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.fresh + self.again + self.held == 0 && self.late.is_empty() && self.workers.iter().all(Option::is_none)
    }

    /// What is wrong at the end of everything.
    pub fn fault_at_rest(&self, bounds: &Bounds) -> Option<String> {
        let version = bounds.versions[self.source as usize];
        let holds = self.destination.as_ref().map(|object| object.content);
        let right = match version {
            Version::Absent if bounds.deletes => holds.is_none_or(|content| content == FOREIGN),
            Version::Absent => true,
            _ => holds == Some(self.source),
        };
        if !right {
            return Some(format!("source at version {} ({version:?}), destination holds {holds:?}", self.source));
        }
        if let Some(upload) = self.uploads.iter().find(|u| u.phase == Phase::Open && u.parts > 0) {
            return Some(format!("an upload with parts is left over: {upload:?}"));
        }
        None
    }

    fn fresh_id(used: impl Fn(u8) -> bool) -> u8 {
        (1..90).find(|&id| !used(id)).expect("bounds keep ids few")
    }

    fn writer_is_used(&self, id: u8) -> bool {
        let token_of = |token: u128| token / STRIDE == id as u128;
        self.record.iter().flat_map(|record| &record.writers).any(|writer| writer.id == id)
            || self.workers.iter().flatten().any(|worker| worker.writer == id)
            || self.late.iter().any(|late| late.writer() == id)
            || self.destination.iter().any(|object| token_of(object.token))
            || self.uploads.iter().any(|upload| token_of(upload.token))
    }

    /// Whether a running protocol still speaks of something, as its Debug shows.
    fn is_remembered(&self, name: &str) -> bool {
        self.workers.iter().flatten().any(|worker| format!("{:?} {:?}", worker.protocol, worker.effect).contains(name))
    }

    fn new_generation(&self) -> u8 {
        let expects = |expected: &Expected, generation: u8| *expected == Expected::Revision(revision(generation));
        Self::fresh_id(|id| {
            self.destination.iter().any(|object| object.generation == id)
                || self.record.iter().any(|record| record.published.is_some_and(|(_, generation)| generation == id))
                || self.late.iter().any(|late| match late {
                    Late::Put { expected, .. } | Late::Complete { expected, .. } | Late::Delete { expected, .. } => {
                        expects(expected, id)
                    }
                })
                || self.is_remembered(&format!("{:?}", revision(id)))
        })
    }

    /// An upload that has ended is as good as one that never was.
    pub fn forget_ended_uploads(&mut self) {
        self.uploads.retain(|upload| upload.phase != Phase::Gone);
    }

    fn upload_is_used(&self, id: u8) -> bool {
        self.uploads.iter().any(|upload| upload.id == id)
            || self.record.iter().flat_map(|record| &record.writers).any(|writer| writer.upload == Some(id))
            || self.is_remembered(&format!("{:?}", upload_id(id)))
            || self.late.iter().any(|late| matches!(late, Late::Complete { upload, .. } if *upload == id))
    }

    /// A free worker takes a message.
    pub fn receive(&mut self, slot: usize, bounds: &Bounds, again: bool) {
        let count = if again { &mut self.again } else { &mut self.fresh };
        *count -= 1;
        let writer = Self::fresh_id(|id| self.writer_is_used(id));
        let facts = Facts {
            received_before: again,
            large_hint: bounds.large_hint,
            deletes: bounds.deletes,
            conditional_put: bounds.conditional_put,
            conditional_finish: bounds.conditional_finish,
        };
        let (protocol, effect) = Protocol::start(Writer(writer as u128 * STRIDE), facts);
        let worker = Worker { protocol, effect, writer, look: None, body: None, stale: false, memory: None };
        self.workers[slot] = Some(Box::new(worker));
    }

    /// The worker is gone; its message will be seen again.
    pub fn crash(&mut self, slot: usize) {
        if let Some(worker) = self.workers[slot].take()
            && !worker.stale
        {
            self.again += 1;
        }
    }

    fn upload_mut(&mut self, id: u8) -> Option<&mut Upload> {
        self.uploads.iter_mut().find(|upload| upload.id == id)
    }

    fn entry_mut(&mut self, writer: u8) -> Option<&mut WriterEntry> {
        self.record.as_mut()?.writers.iter_mut().find(|entry| entry.id == writer)
    }

    fn is_expected(&self, expected: &Expected) -> bool {
        match expected {
            Expected::Any => true,
            Expected::Absent => self.destination.is_none(),
            Expected::Revision(wanted) => {
                self.destination.as_ref().is_some_and(|object| revision(object.generation) == *wanted)
            }
        }
    }

    fn publish(&mut self, content: u8, identity: u8, token: u128) -> Answer {
        let generation = self.new_generation();
        self.destination = Some(Object { content, identity, token, generation });
        Answer::Published(revision(generation))
    }

    /// A request that carries a write, as the destination carries it out.
    pub fn land(&mut self, late: &Late, bounds: &Bounds, complete_wins: bool) -> Answer {
        match late {
            Late::Put { content, token, expected, .. } => {
                if bounds.conditional_put && !self.is_expected(expected) {
                    return Answer::Precondition;
                }
                self.publish(*content, *content, *token)
            }
            Late::Delete { expected, .. } => {
                if bounds.conditional_put && !self.is_expected(expected) {
                    return Answer::Precondition;
                }
                self.destination = None;
                Answer::Done
            }
            Late::Complete { upload, expected, .. } => {
                let allowed = !bounds.conditional_finish || self.is_expected(expected);
                match self.upload_mut(*upload) {
                    Some(found) if found.phase == Phase::Open || found.phase == Phase::Aborting && complete_wins => {
                        if !allowed {
                            return Answer::Precondition;
                        }
                        found.phase = Phase::Gone;
                        let (content, identity, token) = (found.content, found.identity, found.token);
                        self.publish(content, identity, token)
                    }
                    _ => Answer::UploadGone,
                }
            }
        }
    }

    /// Whether a Complete on this upload can go either way.
    pub fn is_aborting(&self, late: &Late) -> bool {
        matches!(late, Late::Complete { upload, .. }
            if self.uploads.iter().any(|u| u.id == *upload && u.phase == Phase::Aborting))
    }

    /// The write that an effect sends, if it sends one.
    pub fn as_late(worker: &Worker, effect: &Effect) -> Option<Late> {
        let writer = worker.writer;
        match effect {
            Effect::Put { token, expected } => {
                Some(Late::Put { writer, content: worker.body?, token: token.0, expected: expected.clone() })
            }
            Effect::Complete { upload, expected } => {
                Some(Late::Complete { writer, upload: number(&upload.0), expected: expected.clone() })
            }
            Effect::Delete { expected } => Some(Late::Delete { writer, expected: expected.clone() }),
            _ => None,
        }
    }

    /// Carries out an effect other than a write of the object. `None`: it takes one more step.
    pub fn carry_out(&mut self, slot: usize, effect: &Effect, bounds: &Bounds) -> Option<Answer> {
        let worker = self.workers[slot].as_ref().expect("a worker that runs");
        let (writer, look) = (worker.writer, worker.look);
        Some(match effect {
            Effect::Lookup => Answer::Settled(self.lookup()),
            Effect::Begin => Answer::Begun(self.begin(writer)),
            Effect::HeadSource | Effect::OpenSource => Answer::Source(self.source_seen(bounds)),
            Effect::HeadDestination => Answer::Destination(self.destination_seen()),
            Effect::Abort(id) => {
                if let Some(upload) = self.upload_mut(number(&id.0))
                    && upload.phase == Phase::Open
                {
                    upload.phase = Phase::Aborting;
                }
                Answer::Done
            }
            Effect::SeeUpload(id) => match self.upload_mut(number(&id.0)) {
                Some(upload) if upload.phase == Phase::Open => Answer::UploadOpen,
                Some(upload) => {
                    upload.phase = Phase::Gone;
                    Answer::UploadGone
                }
                None => Answer::UploadGone,
            },
            Effect::Initiate { token } => {
                let id = Self::fresh_id(|id| self.upload_is_used(id));
                let identity = look.expect("a look before an upload");
                let token = token.0;
                self.uploads.push(Upload { id, identity, token, content: identity, parts: 0, phase: Phase::Open });
                Answer::Initiated(upload_id(id))
            }
            Effect::Checkpoint(id) => self.checkpoint(writer, Some(number(&id.0))),
            Effect::Parts(id) => return self.parts(number(&id.0), look.expect("a look before parts")),
            Effect::Finish { ending, closed, in_doubt } => self.finish(writer, ending, closed, *in_doubt),
            Effect::Put { .. } | Effect::Complete { .. } | Effect::Delete { .. } | Effect::End(_) => {
                unreachable!("writes land, ends end")
            }
        })
    }

    fn lookup(&self) -> Option<(SourceIdentity, Revision)> {
        let record = self.record.as_ref().filter(|record| record.settled && record.writers.is_empty())?;
        record.published.map(|(version, generation)| (identity(version), revision(generation)))
    }

    fn begin(&mut self, writer: u8) -> Begun {
        let known = self.record.is_some();
        let record = self.record.get_or_insert_with(Record::default);
        let mut earlier = Vec::new();
        for entry in record.writers.iter_mut().filter(|entry| entry.id != writer) {
            entry.fenced = true;
            let upload = entry.upload.and_then(|id| {
                let upload = self.uploads.iter().find(|upload| upload.id == id)?;
                let resumable = Some(identity(upload.identity));
                Some(EarlierUpload { id: upload_id(id), token: Token(upload.token), resumable })
            });
            let closable = entry.past_hold || entry.stopped;
            earlier.push(Earlier { writer: Writer(entry.id as u128 * STRIDE), closable, upload });
        }
        if !record.writers.iter().any(|entry| entry.id == writer) {
            let entry = WriterEntry { id: writer, fenced: false, past_hold: false, stopped: false, upload: None };
            record.writers.push(entry);
        }
        let published = record.published.map(|(version, generation)| (identity(version), revision(generation)));
        Begun { known, published, earlier }
    }

    fn source_seen(&self, bounds: &Bounds) -> Option<SourceSeen> {
        let large = match bounds.versions[self.source as usize] {
            Version::Absent => return None,
            Version::Small => false,
            Version::Large => true,
        };
        let equals_foreign =
            self.destination.as_ref().is_some_and(|o| o.identity == FOREIGN && o.content == self.source);
        Some(SourceSeen { identity: identity(self.source), large, equals_foreign })
    }

    fn destination_seen(&self) -> Option<DestinationSeen> {
        let object = self.destination.as_ref()?;
        let mark = || Mark { identity: identity(object.identity), token: Token(object.token), verified: true };
        Some(DestinationSeen { revision: revision(object.generation), ours: (object.identity != FOREIGN).then(mark) })
    }

    fn checkpoint(&mut self, writer: u8, upload: Option<u8>) -> Answer {
        match self.entry_mut(writer).filter(|entry| !entry.fenced) {
            Some(entry) => {
                entry.upload = upload;
                Answer::Done
            }
            None => Answer::Fenced,
        }
    }

    fn parts(&mut self, id: u8, look: u8) -> Option<Answer> {
        let source = self.source;
        let Some(upload) = self.upload_mut(id).filter(|upload| upload.phase != Phase::Gone) else {
            return Some(Answer::UploadGone);
        };
        if upload.parts == 2 {
            return Some(Answer::Done);
        }
        if source != look {
            return Some(Answer::SourceChanged);
        }
        upload.content = if upload.parts == 0 || upload.content == source { source } else { MIXED };
        upload.parts += 1;
        None
    }

    fn finish(&mut self, writer: u8, ending: &Ending, closed: &[Writer], in_doubt: bool) -> Answer {
        let Some(entry) = self.entry_mut(writer) else { return Answer::Fenced };
        let fenced = entry.fenced;
        let mut keep = in_doubt;
        match ending {
            Ending::Released { upload_left: true, .. } if entry.upload.is_some() => {
                keep = true;
                entry.stopped = !in_doubt;
            }
            _ => entry.upload = None,
        }
        let record = self.record.as_mut().expect("the entry is in it");
        let closes = |id: u8| closed.contains(&Writer(id as u128 * STRIDE)) || id == writer && !keep;
        if fenced {
            record.writers.retain(|entry| entry.id != writer || keep);
            return Answer::Fenced;
        }
        record.writers.retain(|entry| !closes(entry.id));
        if let Ending::Settled { published, .. } = ending {
            record.settled = true;
            record.published =
                published.as_ref().map(|(identity, revision)| (number(&identity.etag), number(&revision.0)));
        }
        Answer::Finished { others_open: !record.writers.is_empty() }
    }

    /// The worker learns an answer; its next effect follows.
    pub fn tell(&mut self, slot: usize, answer: Answer) {
        let worker = self.workers[slot].as_mut().expect("a worker that runs");
        if let Answer::Source(seen) = &answer {
            worker.look = seen.as_ref().map(|seen| number(&seen.identity.etag));
            worker.body = if worker.effect == Effect::OpenSource { worker.look } else { None };
        }
        worker.effect = worker.protocol.step(answer);
        if !matches!(worker.effect, Effect::Put { .. }) {
            worker.body = None;
        }
    }

    /// What becomes of the message. `Some`: the message may not be deleted like this.
    pub fn end(&mut self, slot: usize, end: End) -> Option<String> {
        let worker = self.workers[slot].take().expect("a worker that runs");
        if worker.stale {
            return None;
        }
        match end {
            End::Settled(_) | End::Parked => {
                let recorded = self.record.as_ref().is_some_and(|record| record.settled || end == End::Parked);
                return (!recorded).then(|| "a message was deleted before its outcome was recorded".to_string());
            }
            End::Hold => self.held += 1,
            End::Fenced | End::Again { .. } | End::Abandon => self.again += 1,
        }
        None
    }
}

/// What has a bearing on the future, and nothing else: once a job finishes, only how it does so.
impl Hash for Worker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.effect.hash(state);
        (self.writer, self.stale).hash(state);
        if !matches!(self.effect, Effect::End(_) | Effect::Finish { .. }) {
            (&self.protocol, self.look, self.body, self.memory).hash(state);
        }
    }
}
