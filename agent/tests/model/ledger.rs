//! The ledger's record of the one key.

use skyferry_core::model::{Revision, SourceIdentity, Token, Writer};
use skyferry_core::protocol::*;

use crate::names::{Name, identity, name, revision, upload_id};

/// An upload as a writer had it recorded; what became of it, only the destination knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    pub id: Name,
    pub identity: Name,
    pub headers: Option<u32>,
    pub token: Token,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WriterEntry {
    pub writer: Writer,
    pub fenced: bool,
    /// It ended by itself and left only its upload.
    pub stopped: bool,
    pub upload: Option<Recorded>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub published: Option<(Name, Name)>,
    pub settled: bool,
    pub parked: bool,
    /// Since it last settled or was parked.
    pub failures: u8,
    pub writers: Vec<WriterEntry>,
}

impl Record {
    pub fn lookup(&self) -> Option<(SourceIdentity, Revision)> {
        if self.settled && self.writers.is_empty() { self.published() } else { None }
    }

    fn published(&self) -> Option<(SourceIdentity, Revision)> {
        self.published.map(|(version, generation)| (identity(version), revision(generation)))
    }

    pub fn entry(&mut self, writer: Writer) -> Option<&mut WriterEntry> {
        self.writers.iter_mut().find(|entry| entry.writer == writer)
    }

    /// `ripe`: whose hold has passed, a bit for each of those that are there.
    pub fn begin(record: &mut Option<Record>, writer: Writer, ripe: u8) -> WriterHistory {
        let known = record.is_some();
        let record = record.get_or_insert_with(Record::default);
        let mut earlier = Vec::new();
        for (index, entry) in record.writers.iter_mut().enumerate().filter(|(_, entry)| entry.writer != writer) {
            entry.fenced = true;
            let upload = entry.upload.as_ref().map(|upload| EarlierUpload {
                id: upload_id(upload.id),
                token: upload.token,
                resumable: Some(SourceState { identity: identity(upload.identity), headers: upload.headers }),
            });
            let closable = entry.stopped || ripe >> index & 1 == 1;
            earlier.push(OpenWriter { writer: entry.writer, closable, upload });
        }
        if record.entry(writer).is_none() {
            record.writers.push(WriterEntry { writer, fenced: false, stopped: false, upload: None });
        }
        WriterHistory { known, published: record.published(), earlier }
    }

    pub fn checkpoint(&mut self, writer: Writer, upload: Option<Recorded>) -> Answer {
        match self.entry(writer).filter(|entry| !entry.fenced) {
            Some(entry) => {
                entry.upload = upload;
                Answer::Done
            }
            None => Answer::Fenced,
        }
    }

    pub fn finish(&mut self, writer: Writer, ending: &FinishRequest, closed: &[Writer], in_doubt: bool) -> Answer {
        let Some(entry) = self.entry(writer) else { return Answer::Fenced };
        let fenced = entry.fenced;
        let mut keep = in_doubt;
        match ending {
            FinishRequest::Released { upload_left: true, .. } if entry.upload.is_some() => {
                keep = true;
                entry.stopped = !in_doubt;
            }
            _ => entry.upload = None,
        }
        if fenced {
            self.writers.retain(|entry| entry.writer != writer || keep);
            return Answer::Fenced;
        }
        self.writers.retain(|entry| !closed.contains(&entry.writer) && (entry.writer != writer || keep));
        match ending {
            FinishRequest::Settled { .. } | FinishRequest::Parked => self.failures = 0,
            FinishRequest::Released { counted, .. } => self.failures += u8::from(*counted),
        }
        self.parked =
            *ending == FinishRequest::Parked || self.parked && !matches!(ending, FinishRequest::Settled { .. });
        if let FinishRequest::Settled { published, .. } = ending {
            self.settled = true;
            self.published = published.as_ref().map(|(identity, revision)| (name(&identity.etag), name(&revision.0)));
        }
        Answer::Finished { others_open: !self.writers.is_empty() }
    }
}
