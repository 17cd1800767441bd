//! A ledger with DynamoDB's laws: one item a key, changed by conditional updates, never larger than 400 KB.

use std::collections::BTreeMap;

use skyferry_core::digest::{Digests, Grade};
use skyferry_core::ledger::{
    BeginResult, EarlierWriter, FinishResult, LastPublished, LedgerError, LedgerRecord, Leftover, Subject,
    UploadRecord, WriterEnd,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{UploadId, Writer};

use crate::clock::{self, Time};

/// DynamoDB takes no item beyond this.
const LARGEST: usize = 400 << 10;

#[derive(Clone, Debug)]
pub struct Open {
    pub agent: u32,
    pub writer: Writer,
    pub fenced: Option<Time>,
    pub stopped: bool,
    pub upload: Option<UploadRecord>,
}

#[derive(Clone, Debug, Default)]
pub struct Item {
    pub published: Option<LastPublished>,
    pub digests: Option<Digests>,
    pub grade: Option<Grade>,
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub failures: u32,
    pub ended: bool,
    pub last_end: Option<Time>,
    /// Parked, and nobody has begun since.
    pub abandoned: bool,
    pub writers: Vec<Open>,
    pub destination_bucket: String,
}

impl Item {
    /// About as the ledger on DynamoDB packs it.
    fn size(&self) -> usize {
        let part = |upload: &UploadRecord| 200 + upload.parts.len() * 48;
        400 + self.writers.iter().map(|open| 90 + open.upload.as_ref().map_or(0, part)).sum::<usize>()
    }
}

#[derive(Default)]
pub struct Dynamo {
    pub items: BTreeMap<String, Item>,
    pub notes: BTreeMap<String, Vec<u8>>,
    /// The largest item and the most open writers that there ever were.
    pub largest: (usize, usize),
}

fn name(subject: &Subject) -> String {
    subject.source.to_string()
}

impl Dynamo {
    pub fn begin(
        &mut self,
        agent: u32,
        subject: &Subject,
        writer: Writer,
        now: Time,
    ) -> Result<BeginResult, LedgerError> {
        let known = self.items.contains_key(&name(subject));
        let item = self.items.entry(name(subject)).or_default();
        item.destination_bucket = subject.destination.bucket.to_string();
        let mut earlier = Vec::new();
        for open in &mut item.writers {
            let fenced = *open.fenced.get_or_insert(now);
            earlier.push(EarlierWriter {
                writer: open.writer,
                fenced_for: now.saturating_sub(fenced),
                stopped: open.stopped,
                upload: open.upload.clone(),
            });
        }
        let begun = BeginResult {
            known,
            published: item.published.clone(),
            earlier,
            failures: item.failures,
            ended_for: item.last_end.map(|end| now.saturating_sub(end)),
        };
        item.writers.push(Open { agent, writer, fenced: None, stopped: false, upload: None });
        (item.ended, item.abandoned) = (false, false);
        self.weigh(subject)?;
        Ok(begun)
    }

    pub fn checkpoint(
        &mut self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let item = self.items.get_mut(&name(subject)).ok_or(LedgerError::Fenced)?;
        let open = item.writers.iter_mut().find(|open| open.writer == writer);
        let open = open.filter(|open| open.fenced.is_none() && !open.stopped).ok_or(LedgerError::Fenced)?;
        open.upload = upload.cloned();
        self.weigh(subject)
    }

    pub fn finish(
        &mut self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let item = self.items.get_mut(&name(subject)).ok_or(LedgerError::Fenced)?;
        let open = item.writers.iter_mut().find(|open| open.writer == writer && !open.stopped);
        let Some(open) = open else { return Err(LedgerError::Fenced) };
        let fenced = open.fenced.is_some();
        let stopped = left == Leftover::Upload && open.upload.is_some();
        open.stopped = stopped;
        if left != Leftover::Uncertain && !stopped {
            item.writers.retain(|open| open.writer != writer);
        }
        if fenced {
            return Err(LedgerError::Fenced);
        }
        item.writers.retain(|open| !closed.contains(&open.writer));
        let others_open = item.writers.len() > usize::from(stopped);
        if !matches!(ending, WriterEnd::Released { .. }) {
            item.last_end = Some(clock::now());
        }
        match ending {
            WriterEnd::Settled { outcome, reason, published, digests, grade } => {
                let same = item.published == *published;
                item.digests = digests.or(item.digests.filter(|_| same));
                item.grade = grade.or(item.grade.filter(|_| same));
                item.published.clone_from(published);
                (item.outcome, item.reason, item.failures) = (Some(*outcome), reason.clone(), 0);
                item.ended = item.writers.is_empty();
            }
            WriterEnd::Parked { reason } => {
                (item.outcome, item.reason, item.failures) = (Some(Outcome::Parked), Some(reason.clone()), 0);
                (item.ended, item.abandoned) = (false, true);
            }
            WriterEnd::Released { counted } => {
                item.failures += u32::from(*counted);
                item.ended = false;
            }
        }
        Ok(FinishResult { others_open })
    }

    pub fn lookup(&self, subject: &Subject) -> Option<LedgerRecord> {
        self.items.get(&name(subject)).map(|item| LedgerRecord {
            outcome: item.outcome,
            reason: item.reason.clone(),
            published: item.published.clone(),
            digests: item.digests,
            grade: item.grade,
            open_writers: item.writers.len(),
            failures: item.failures,
            ended_for: item.last_end.map(|end| clock::now().saturating_sub(end)),
            ended: item.ended && item.writers.is_empty(),
        })
    }

    pub fn open_uploads(&self, bucket: &str) -> Vec<UploadId> {
        let items = self.items.values().filter(|item| item.destination_bucket == bucket && !item.abandoned);
        items.flat_map(|item| &item.writers).filter_map(|open| open.upload.as_ref()).map(|u| u.id.clone()).collect()
    }

    /// Whether this agent's own record has this part of this upload.
    pub fn has_part(&self, agent: u32, upload: &UploadId, number: u32) -> bool {
        let writers = self
            .items
            .values()
            .flat_map(|item| &item.writers)
            .filter(|open| open.fenced.is_none() && open.agent == agent);
        let mut uploads = writers.filter_map(|open| open.upload.as_ref()).filter(|record| record.id == *upload);
        uploads.any(|record| record.parts.iter().any(|part| part.number == number))
    }

    fn weigh(&mut self, subject: &Subject) -> Result<(), LedgerError> {
        let item = self.items.get(&name(subject));
        let (size, writers) = item.map_or((0, 0), |item| (item.size(), item.writers.len()));
        self.largest = (self.largest.0.max(size), self.largest.1.max(writers));
        if size > LARGEST {
            return Err(LedgerError::Unavailable {
                ledger: "table".into(),
                operation: "UpdateItem",
                answer: "ValidationException: Item size has exceeded the maximum allowed size".into(),
            });
        }
        Ok(())
    }
}
