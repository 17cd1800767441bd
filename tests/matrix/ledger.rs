//! A ledger in memory whose time is tokio's. Every outcome that is recorded is kept with what was true at that moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skyferry_core::ledger::{
    BeginResult, EarlierWriter, FinishResult, LastPublished, Ledger, LedgerError, LedgerRecord, Leftover, Subject,
    UploadRecord, WriterEnd,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, UploadId, Writer};
use tokio::time::Instant;

/// Says what is wrong with an outcome of an object, where something is.
pub type Judge = Box<dyn Fn(&Location, Outcome) -> Option<String> + Send + Sync>;

#[derive(Default)]
pub struct MemoryLedger {
    inner: Mutex<Inner>,
    pub judge: Mutex<Option<Judge>>,
}

#[derive(Default)]
struct Inner {
    items: BTreeMap<String, Item>,
    wrong: Vec<String>,
}

#[derive(Default)]
struct Item {
    published: Option<LastPublished>,
    outcome: Option<Outcome>,
    reason: Option<String>,
    failures: u32,
    writers: Vec<Open>,
    settled: bool,
    last_end: Option<Instant>,
    /// Parked, and nobody has begun since.
    abandoned: bool,
}

struct Open {
    writer: Writer,
    fenced: Option<Instant>,
    stopped: bool,
    upload: Option<UploadRecord>,
}

fn name(subject: &Subject) -> String {
    subject.source.to_string()
}

impl MemoryLedger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows nothing any more.
    pub fn forget(&self) {
        self.inner().items.clear();
    }

    /// Outcomes that were not true when they were recorded.
    pub fn wrong(&self) -> Vec<String> {
        self.inner().wrong.clone()
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    fn name(&self) -> &str {
        "memory"
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        let now = Instant::now();
        let mut inner = self.inner();
        let known = inner.items.contains_key(&name(subject));
        let item = inner.items.entry(name(subject)).or_default();
        let earlier = item.writers.iter_mut().map(|open| EarlierWriter {
            writer: open.writer,
            fenced_for: now - *open.fenced.get_or_insert(now),
            stopped: open.stopped,
            upload: open.upload.clone(),
        });
        let earlier = earlier.collect();
        item.writers.push(Open { writer, fenced: None, stopped: false, upload: None });
        (item.settled, item.abandoned) = (false, false);
        Ok(BeginResult {
            known,
            published: item.published.clone(),
            earlier,
            failures: item.failures,
            ended_for: item.last_end.map(|end| end.elapsed()),
        })
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let mut inner = self.inner();
        let item = inner.items.get_mut(&name(subject)).ok_or(LedgerError::Fenced)?;
        let open = item.writers.iter_mut().find(|open| open.writer == writer);
        let open = open.filter(|open| open.fenced.is_none() && !open.stopped).ok_or(LedgerError::Fenced)?;
        open.upload = upload.cloned();
        Ok(())
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let mut inner = self.inner();
        let item = inner.items.get_mut(&name(subject)).ok_or(LedgerError::Fenced)?;
        let open = item.writers.iter_mut().find(|open| open.writer == writer && !open.stopped);
        let open = open.ok_or(LedgerError::Fenced)?;
        let (fenced, stopped) = (open.fenced.is_some(), left == Leftover::Upload && open.upload.is_some());
        open.stopped = stopped;
        if left != Leftover::Uncertain && !stopped {
            item.writers.retain(|open| open.writer != writer);
        }
        if fenced {
            return Err(LedgerError::Fenced);
        }
        item.writers.retain(|open| !closed.contains(&open.writer));
        let others_open = item.writers.len() > usize::from(stopped);
        let mut settled = None;
        if !matches!(ending, WriterEnd::Released { .. }) {
            item.last_end = Some(Instant::now());
        }
        match ending {
            WriterEnd::Settled { outcome, reason, published, .. } => {
                item.published.clone_from(published);
                (item.outcome, item.reason, item.failures) = (Some(*outcome), reason.clone(), 0);
                (item.settled, settled) = (true, Some(*outcome));
            }
            WriterEnd::Parked { reason } => {
                (item.outcome, item.reason) = (Some(Outcome::Parked), Some(reason.clone()));
                item.abandoned = true;
            }
            WriterEnd::Released { counted } => item.failures += u32::from(*counted),
        }
        let judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(outcome), Some(judge)) = (settled, &*judge) {
            inner.wrong.extend(judge(&subject.source, outcome));
        }
        Ok(FinishResult { others_open })
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        let inner = self.inner();
        let record = inner.items.get(&name(subject)).map(|item| LedgerRecord {
            outcome: item.outcome,
            reason: item.reason.clone(),
            published: item.published.clone(),
            open_writers: item.writers.len(),
            failures: item.failures,
            ended_for: item.last_end.map(|end| end.elapsed()),
            ended: item.settled && item.writers.is_empty(),
            ..LedgerRecord::default()
        });
        Ok(record)
    }

    async fn open_uploads(&self, _: &str) -> Result<Vec<UploadId>, LedgerError> {
        let inner = self.inner();
        let open = inner.items.values().filter(|item| !item.abandoned).flat_map(|item| &item.writers);
        Ok(open.filter_map(|open| open.upload.as_ref()).map(|upload| upload.id.clone()).collect())
    }

    async fn note(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }

    async fn set_note(&self, _: &str, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<bool, LedgerError> {
        Ok(false)
    }
}
