//! What Skyferry remembers of every key: who is writing it, which uploads are open, what was published last.
//!
//! The ledger is the fence of the write protocol (docs/write-protocol.md): `begin` makes every earlier writer of the key *fenced*,
//! and every later write of a fenced writer fails. An upload id is checkpointed before its first part, so that an
//! upload that could ever publish is known to whoever begins next.
//!
//! A record is live while a writer is open or it is parked; a live record is never reaped. Times are this machine's
//! clock. The contract that every implementation passes is `tests/contracts/ledger.rs`.

pub mod codec;
pub mod none;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::digest::{Digests, Grade};
use crate::metrics::Outcome;
use crate::model::{Location, Revision, SourceIdentity, Token, UploadId, Writer};
use crate::route::Router;

/// For how long a settled record is kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a record is about: one source object to one destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What is read.
    pub source: Location,
    /// What is written.
    pub destination: Location,
    /// The first (or only) destination of the source: its record is named `bucket/key` as the predecessors had it; others
    /// have the destination appended.
    pub primary: bool,
}

impl Subject {
    /// A copy that the router sends, or leaves out.
    pub fn of(router: &Router, source: Location, destination: Location) -> Subject {
        let primary = router.is_first(&source, &destination);
        Subject { source, destination, primary }
    }

    /// What no route sends: the record of a copy that was made once is not its record. `wanted`: the destination that the
    /// message asked for; without one the record names none.
    pub fn unrouted(source: Location, wanted: Option<Location>) -> Subject {
        let destination = wanted.unwrap_or_else(|| Location::new("", ""));
        Subject { source, destination, primary: false }
    }
}

/// The last state that Skyferry published under a key, or found to be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPublished {
    /// The source state that it is a copy of.
    pub identity: SourceIdentity,
    /// The destination's revision of it.
    pub revision: Revision,
}

/// A multipart upload as its writer recorded it: all that a successor needs to continue, or to refuse to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// As the service named it.
    pub id: UploadId,
    /// In the metadata of the object that it becomes.
    pub token: Token,
    /// The source state that its parts were read from.
    pub identity: SourceIdentity,
    /// A digest of the headers that it was begun with; `None` where none travel, and in records of older versions.
    pub headers: Option<u32>,
    /// Bytes.
    pub part_size: u64,
    /// The parts that are done, by number.
    pub parts: Vec<PartRecord>,
}

impl UploadRecord {
    /// How much of the whole object its parts are, in percent: 99 at most, for an upload is not an object yet.
    pub fn percent(&self) -> u64 {
        let done: u128 = self.parts.iter().map(|part| u128::from(part.digests.length)).sum();
        (done * 100).checked_div(self.identity.size.into()).map_or(0, |percent| percent.min(99) as u64)
    }
}

/// A part that the sink acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// From 1.
    pub number: u32,
    /// As the service answered it.
    pub etag: Arc<str>,
    /// Of what was sent.
    pub digests: Digests,
}

/// A writer that began earlier and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierWriter {
    /// Its id.
    pub writer: Writer,
    /// How long ago the next writer began, which fenced it: zero if that was this `begin`.
    pub fenced_for: Duration,
    /// It ended by itself (or its process is known to have ended) and left only its upload.
    pub stopped: bool,
    /// What it recorded of its upload.
    pub upload: Option<UploadRecord>,
}

/// What `begin` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginResult {
    /// A record was there.
    pub known: bool,
    /// What was published last.
    pub published: Option<LastPublished>,
    /// Still open, oldest first.
    pub earlier: Vec<EarlierWriter>,
    /// How often an attempt failed by the object's own fault since the record last settled or was parked.
    pub failures: u32,
    /// How long ago the record last settled or was parked, by whoever: what went wrong before that is over.
    pub ended_for: Option<Duration>,
}

/// How a writer ends.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriterEnd {
    /// The record's outcome stands. `published` is what is now at the destination, where something is. `digests` and
    /// `grade` that are not told again stay, as long as `published` is the same.
    /// `reason`: why nothing was copied, where that is not plain from the outcome.
    Settled {
        outcome: Outcome,
        reason: Option<String>,
        published: Option<LastPublished>,
        digests: Option<Digests>,
        grade: Option<Grade>,
    },
    /// Parked with the reason; stays in the ledger until something settles it. The next event of the key has all its attempts.
    Parked { reason: String },
    /// To be tried again. `counted`: by the object's own fault.
    Released { counted: bool },
}

/// What a writer that ends leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leftover {
    /// Nothing of its own is in progress: it is closed.
    Nothing,
    /// Its recorded upload waits for a successor; it has stopped.
    Upload,
    /// A write of its own may still land: it stays open, to be closed when the hold has passed.
    Uncertain,
}

/// What `finish` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishResult {
    /// Writers are still open, this one included if it is in doubt: the message may not be deleted yet.
    pub others_open: bool,
}

/// A record as `lookup` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// How it ended last.
    pub outcome: Option<Outcome>,
    /// Why it was parked or skipped.
    pub reason: Option<String>,
    /// What is at the destination.
    pub published: Option<LastPublished>,
    /// Of the published object.
    pub digests: Option<Digests>,
    /// How far the copy was proven.
    pub grade: Option<Grade>,
    /// Writers that have begun and are not closed.
    pub open_writers: usize,
    /// Attempts that failed by the object's own fault since it last settled.
    pub failures: u32,
    /// How long ago it last settled or was parked.
    pub ended_for: Option<Duration>,
    /// Whether the record may be reaped: settled and nobody open.
    pub ended: bool,
}

/// Why the ledger did not do it.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// A later writer began: end, release the message, touch nothing more of this key.
    #[error("another writer has started on this key")]
    Fenced,
    /// The ledger cannot be reached, or refuses all: an outage.
    #[error("ledger {ledger}: {operation} failed: {answer}")]
    Unavailable { ledger: String, operation: &'static str, answer: String },
    /// The record of this one object cannot be used, whatever is tried; others can.
    #[error("ledger {ledger}: the record of this object cannot be used: {problem}; {advice}")]
    Record { ledger: String, problem: String, advice: String },
    /// Settings that cannot work: no such table, no permission.
    #[error("ledger {ledger}: {problem}; {advice}")]
    Unusable { ledger: String, problem: String, advice: String },
}

/// Remembers every key: see the module. Every method may be tried again after `Unavailable`.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// For messages.
    fn name(&self) -> &str;

    /// Adds this writer, fences every earlier one, and makes the record live.
    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError>;

    /// Records this writer's upload (replacing what it recorded before), or with `None` that it has none any more.
    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError>;

    /// Ends this writer, and the earlier ones in `closed`. Of a fenced writer the ending is not recorded (`Fenced`), but
    /// what it leaves is: else open writers would pile up with every attempt.
    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError>;

    /// The record as it is now; `None`: it has none.
    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError>;

    /// Many at once, in the order of the subjects; what was written within the last second may be missing.
    async fn lookup_all(&self, subjects: &[Subject]) -> Result<Vec<Option<LedgerRecord>>, LedgerError> {
        try_join_all(subjects.iter().map(|subject| self.lookup(subject))).await
    }

    /// The uploads that some open writer has recorded under a destination bucket, and that somebody may continue with or end: the
    /// janitor spares them. Not those of an object that was parked and that nobody has begun since, for its message is gone.
    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError>;

    /// Forgets records that settled longer ago than `KEPT`, where the service does not do it by itself; how many.
    async fn expire_records(&self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    /// A few words that the whole fleet can read; the name is short and of plain letters. Notes are apart from records,
    /// and never reaped: what shall end by itself says so in its value.
    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Compare and set; `None` is no note. `false`: it was not `old`, and stays as it is. A request whose answer was lost is
    /// sent again, and is taken to have been done if the note is `new`: who must know that it was their own puts
    /// something of their own into the value.
    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError>;
}
