//! What an effect does to the world, and what the worker hears.

use skyferry_core::model::{Expected, Overwrite, Token, UploadId, Writer};
use skyferry_core::protocol::*;

use crate::bounds::{Bounds, Version};
use crate::ledger::{Record, Recorded};
use crate::names::*;
use crate::world::{Object, Phase, Upload, Worker, World, Write};

/// So often a lost Complete is waited for, at the least, before its upload is aborted.
const PATIENCE: u8 = 3;

impl World {
    /// Carries out an effect other than a write of the object. `ripe`: the writers whose hold has passed by now.
    /// `None`: it takes one more step.
    pub fn carry_out(&mut self, slot: usize, effect: &Effect, bounds: &Bounds, ripe: u8) -> Option<Answer> {
        let worker = self.worker(slot);
        let (writer, look) = (worker.writer, worker.look);
        Some(match effect {
            Effect::Lookup => {
                self.note_record(slot, bounds);
                Answer::Settled(self.record.as_ref().and_then(Record::lookup))
            }
            Effect::Begin => {
                self.ripen(ripe);
                self.note_record(slot, bounds);
                self.worker_mut(slot).failures = self.record.as_ref().map_or(0, |record| record.failures);
                Answer::Begun(Record::begin(&mut self.record, writer, if bounds.hold { ripe } else { u8::MAX }))
            }
            Effect::HeadSource | Effect::OpenSource => Answer::Source(self.source_seen(slot, bounds)),
            Effect::HeadNewest => Answer::Newest(match bounds.kind(self.source) {
                Version::Absent => None,
                _ => Some(identity(bounds.bytes_of(self.source))),
            }),
            Effect::HeadDestination => {
                self.note_headers(slot, bounds);
                Answer::Destination(self.destination_seen(bounds))
            }
            Effect::Abort(id) => {
                if self.worker(slot).waits <= PATIENCE && self.completes_yet(writer, name(&id.0)) {
                    self.broken = Some("an upload was aborted although its Complete might only take its time");
                }
                if let Some(upload) = self.upload_mut(name(&id.0)) {
                    upload.phase = Phase::Aborting;
                }
                Answer::Done
            }
            Effect::CheckUpload(id) => match self.upload_mut(name(&id.0)) {
                Some(upload) if upload.phase == Phase::Open => Answer::UploadOpen,
                Some(_) if ripe == 1 => {
                    self.faults.lingers -= 1;
                    Answer::UploadOpen
                }
                Some(upload) => {
                    upload.phase = Phase::Gone;
                    Answer::UploadGone
                }
                None => Answer::UploadGone,
            },
            Effect::Initiate { token } => {
                let (id, version) = (upload(self.new_name()), look.expect("a look before an upload"));
                let (token, identity, headers) = (*token, bounds.bytes_of(version), bounds.headers_of(version));
                let (content, phase) = (identity, Phase::Open);
                self.uploads.push(Upload { id, identity, token, content, headers, parts: 0, phase });
                Answer::Initiated(upload_id(id))
            }
            Effect::Checkpoint(id) => {
                let id = name(&id.0);
                let found = self.uploads.iter().find(|upload| upload.id == id);
                let upload = found.map(|upload| Recorded {
                    id,
                    identity: upload.identity,
                    headers: upload.headers,
                    token: upload.token,
                });
                self.record.as_mut().map_or(Answer::Fenced, |record| record.checkpoint(writer, upload))
            }
            Effect::Parts(id) => return self.parts(name(&id.0), look.expect("a look before parts"), bounds),
            Effect::Finish { ending, closed, in_doubt } => match &mut self.record {
                Some(record) => {
                    let finished = record.finish(writer, ending, closed, *in_doubt);
                    if finished != Answer::Fenced && !matches!(ending, FinishRequest::Released { .. }) {
                        self.early |= *ending == FinishRequest::Parked && self.refused < bounds.attempts;
                        self.refused = 0;
                    }
                    finished
                }
                None => Answer::Fenced,
            },
            Effect::Wait { .. } => Answer::Done,
            Effect::Put { .. } | Effect::Complete { .. } | Effect::Delete { .. } | Effect::End(_) => {
                unreachable!("writes land, ends end")
            }
        })
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

    /// What the policy lets a copy of this version replace: its own state, and what was damaged, always.
    fn may_replace(&self, version: Name, bounds: &Bounds) -> bool {
        let Some(there) = &self.destination else { return true };
        let older = match there.identity {
            FOREIGN => FOREIGN_TIME < identity(version).last_modified,
            own => own <= version,
        };
        match bounds.overwrite {
            _ if there.content == GARBLED || there.identity == version => true,
            Overwrite::Always => true,
            Overwrite::IfOlder => older,
            Overwrite::Never => false,
        }
    }

    fn publish(
        &mut self,
        (content, headers): (Name, Option<u32>),
        identity: Name,
        token: Token,
        bounds: &Bounds,
    ) -> Answer {
        if !self.may_replace(identity, bounds) {
            self.broken = Some("an object was replaced that the policy keeps");
        }
        let generation = generation(self.new_name());
        self.destination = Some(Object { content, headers, identity, token, generation });
        Answer::Published(revision(generation))
    }

    /// A write, as the destination carries it out.
    pub fn land(&mut self, write: &Write, bounds: &Bounds, complete_wins: bool) -> Answer {
        match write {
            Write::Put { expected, .. } | Write::Delete { expected }
                if bounds.conditional_put && !self.is_expected(expected) =>
            {
                Answer::Precondition
            }
            Write::Put { content, token, .. } => {
                let bytes = bounds.bytes_of(*content);
                self.publish((bytes, bounds.headers_of(*content)), bytes, *token, bounds)
            }
            Write::Delete { .. } => {
                self.destination = None;
                Answer::Done
            }
            Write::Complete { upload, expected } => {
                let allowed = !bounds.conditional_finish || self.is_expected(expected);
                match self.upload_mut(*upload) {
                    Some(found) if found.phase == Phase::Open || complete_wins => {
                        if !allowed {
                            return Answer::Precondition;
                        }
                        found.phase = Phase::Gone;
                        let (content, identity, token) = ((found.content, found.headers), found.identity, found.token);
                        self.publish(content, identity, token, bounds)
                    }
                    // A Complete that is reported so proves it as well as a look does.
                    Some(found) => {
                        found.phase = Phase::Gone;
                        Answer::UploadGone
                    }
                    None => Answer::UploadGone,
                }
            }
        }
    }

    /// Whether a Complete on this upload can go either way.
    pub fn is_aborting(&self, write: &Write) -> bool {
        matches!(write, Write::Complete { upload, .. }
            if self.uploads.iter().any(|u| u.id == *upload && u.phase == Phase::Aborting))
    }

    /// An abort of this upload was taken, and nobody has seen it gone.
    pub fn is_ending(&self, id: &UploadId) -> bool {
        self.uploads.iter().any(|upload| upload.id == name(&id.0) && upload.phase == Phase::Aborting)
    }

    /// The write that an effect sends, if it sends one.
    pub fn as_write(worker: &Worker, effect: &Effect) -> Option<Write> {
        match effect {
            Effect::Put { token, expected } => {
                Some(Write::Put { content: worker.body?, token: *token, expected: expected.clone() })
            }
            Effect::Complete { upload, expected } => {
                Some(Write::Complete { upload: name(&upload.0), expected: expected.clone() })
            }
            Effect::Delete { expected } => Some(Write::Delete { expected: expected.clone() }),
            _ => None,
        }
    }

    /// The version that the worker's message names, where it names one; else the newest. (No version is ever removed.)
    fn source_seen(&mut self, slot: usize, bounds: &Bounds) -> Option<ObservedSource> {
        let version = self.worker(slot).version.unwrap_or(self.source);
        let (bytes, headers) = (bounds.bytes_of(version), bounds.headers_of(version));
        let large = match bounds.kind(version) {
            Version::Absent => return None,
            Version::Small | Version::Headers => false,
            Version::Large => true,
        };
        let equal = self.destination.as_ref().is_some_and(|object| bounds.shows && object.content == bytes);
        // What the ledger knows of this state is looked at all the same: its headers may be others.
        let Worker { shown, recorded, .. } = *self.worker(slot);
        if shown.is_none() && recorded == Some(bytes) {
            self.note_headers(slot, bounds);
        }
        let other_headers = self.worker(slot).shown.is_some_and(|shown| shown != headers);
        let by_version = self.worker(slot).version.is_some();
        Some(ObservedSource { identity: identity(bytes), headers, large, equal, by_version, other_headers })
    }

    fn note_headers(&mut self, slot: usize, bounds: &Bounds) {
        let changing = bounds.headers_of(0).is_some();
        let shown = self.destination.as_ref().filter(|_| changing).map(|object| object.headers);
        self.worker_mut(slot).shown = shown;
    }

    /// A job completes an upload with the headers that it saw, whoever began it.
    pub fn check_headers(&mut self, slot: usize, write: &Write, bounds: &Bounds) {
        let Write::Complete { upload, .. } = write else { return };
        let seen = self.worker(slot).look.and_then(|version| bounds.headers_of(version));
        if self.uploads.iter().any(|found| found.id == *upload && found.headers != seen) {
            self.broken = Some("an upload was completed with other headers than its job had seen");
        }
    }

    fn note_record(&mut self, slot: usize, bounds: &Bounds) {
        let changing = bounds.headers_of(0).is_some();
        let record = self.record.as_ref().filter(|_| changing);
        self.worker_mut(slot).recorded = record.and_then(|record| record.published).map(|(version, _)| version);
    }

    /// A Complete of this writer's may be in progress.
    fn completes_yet(&self, writer: Writer, id: Name) -> bool {
        self.late
            .iter()
            .any(|late| late.writer == writer && matches!(late.write, Write::Complete { upload, .. } if upload == id))
    }

    fn destination_seen(&self, bounds: &Bounds) -> Option<ObservedDestination> {
        let object = self.destination.as_ref()?;
        let proof = match object.content == object.identity {
            _ if !bounds.shows => Integrity::Unknown,
            true => Integrity::Verified,
            false => Integrity::Corrupt,
        };
        let mark = || CopyMark { identity: identity(object.identity), token: object.token, integrity: proof };
        let foreign = object.identity == FOREIGN;
        Some(ObservedDestination {
            revision: revision(object.generation),
            last_modified: FOREIGN_TIME,
            ours: (!foreign).then(mark),
            others: foreign && bounds.others,
        })
    }

    /// Sends a half of the object, pinned to what the last look showed.
    fn parts(&mut self, id: Name, look: Name, bounds: &Bounds) -> Option<Answer> {
        // A version that is read by its name stays what it is.
        let look = bounds.bytes_of(look);
        let source = if bounds.exact { look } else { bounds.bytes_of(self.source) };
        let Some(upload) = self.upload_mut(id) else { return Some(Answer::UploadGone) };
        if upload.parts == 2 {
            return Some(Answer::Done);
        }
        if source != look {
            return Some(Answer::SourceChanged);
        }
        upload.content = if upload.parts == 0 || upload.content == source { source } else { MIXED };
        upload.parts += 1;
        (upload.parts == 2).then_some(Answer::Done)
    }

    /// The worker learns an answer; its next effect follows.
    pub fn tell(&mut self, slot: usize, answer: Answer) {
        let worker = self.worker_mut(slot);
        worker.new = false;
        if let Answer::Source(seen) = &answer {
            let version = |seen: &ObservedSource| seen.headers.map_or_else(|| name(&seen.identity.etag), |n| n as Name);
            worker.look = seen.as_ref().map(version);
            worker.body = if worker.effect == Effect::OpenSource { worker.look } else { None };
        }
        if matches!(worker.effect, Effect::Complete { .. }) && answer == Answer::Lost {
            worker.waits = 1;
        }
        worker.effect = worker.protocol.step(answer);
        // A wait takes its time, and changes nothing.
        while matches!(worker.effect, Effect::Wait { .. }) {
            worker.waits += worker.waits.min(1);
            worker.effect = worker.protocol.step(Answer::Done);
        }
        if !matches!(worker.effect, Effect::HeadDestination | Effect::CheckUpload(_) | Effect::Abort(_)) {
            worker.waits = 0;
        }
        if !matches!(worker.effect, Effect::Put { .. } | Effect::HeadNewest) {
            worker.body = None;
        }
    }
}
