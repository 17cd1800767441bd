//! The ledger on one machine, over the embedded file. A record is keyed by source *and* destination, `primary` or
//! not: pointing a route at another bucket must not find the old bucket's "already copied".

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use crate::{DatabaseError, Db, SqliteFile, note};
use skyferry_core::digest::Grade;
use skyferry_core::ledger::{
    BeginResult, EarlierWriter, FinishResult, KEPT, LastPublished, Ledger, LedgerError, LedgerRecord, Leftover,
    Subject, UploadRecord, WriterEnd, codec,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Revision, SourceIdentity, UploadId, Writer};

const RECORD: &str = "SELECT etag, size, modified, version, revision, failures, ended, outcome, reason, digests, \
     grade FROM records WHERE source = ?1 AND destination = ?2";
/// Keeps a record whose attempt came to nothing: it is known, and not ended.
const UNSETTLED: &str = "INSERT INTO records (source, destination, failures) VALUES (?1, ?2, ?3) \
     ON CONFLICT DO UPDATE SET ended = -abs(ended), failures = failures + ?3";
const FENCE: &str = "UPDATE writers SET fenced = ?3 WHERE source = ?1 AND destination = ?2 AND fenced IS NULL";
const WRITERS: &str = "SELECT writer, fenced, stopped & 1, upload, state FROM writers \
     WHERE source = ?1 AND destination = ?2 ORDER BY begun";
const NEW_WRITER: &str = "INSERT INTO writers (source, destination, begun, writer) VALUES (?1, ?2, ?3, ?4)";
const CHECKPOINT: &str = "UPDATE writers SET upload = ?4, state = ?5 \
     WHERE source = ?1 AND destination = ?2 AND writer = ?3 AND fenced IS NULL AND stopped = 0";
const STANDING: &str =
    "SELECT writer, fenced IS NOT NULL, stopped & 1 FROM writers WHERE source = ?1 AND destination = ?2";
const STOP: &str = "UPDATE writers SET stopped = stopped | 1 WHERE source = ?1 AND destination = ?2 AND writer = ?3 \
     AND upload IS NOT NULL";
const ABANDON: &str = "UPDATE writers SET stopped = stopped | 2 WHERE source = ?1 AND destination = ?2";
const CLOSE: &str = "DELETE FROM writers WHERE source = ?1 AND destination = ?2 AND writer = ?3";
/// Digests that are not told again stay, as long as they are of the same state.
const SETTLE: &str = "INSERT INTO records \
     (source, destination, outcome, ended, digests, grade, etag, size, modified, version, revision, reason) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
     ON CONFLICT DO UPDATE SET outcome = ?3, reason = ?12, failures = 0, ended = ?4, \
     digests = CASE WHEN ?5 IS NULL AND etag IS ?7 AND size IS ?8 AND modified IS ?9 AND version IS ?10 \
         AND revision IS ?11 THEN digests ELSE ?5 END, \
     grade = CASE WHEN ?6 IS NULL AND etag IS ?7 AND size IS ?8 AND modified IS ?9 AND version IS ?10 \
         AND revision IS ?11 THEN grade ELSE ?6 END, \
     etag = ?7, size = ?8, modified = ?9, version = ?10, revision = ?11";
const PARK: &str = "INSERT INTO records (source, destination, outcome, reason, ended) VALUES (?1, ?2, 'parked', ?3, ?4) \
     ON CONFLICT DO UPDATE SET outcome = 'parked', reason = ?3, failures = 0, ended = ?4";
const UPLOADS: &str = "SELECT upload FROM writers WHERE upload IS NOT NULL AND stopped & 2 = 0 \
     AND substr(destination, 1, length(?1)) = ?1";
const OLD: &str = "SELECT source, destination, ended > 0 AND ended < ?3 FROM records WHERE (source, destination) > (?1, ?2) \
     ORDER BY source, destination LIMIT 2000";
const REAP: &str = "DELETE FROM records WHERE source = ?1 AND destination = ?2 AND ended > 0 AND ended < ?3 AND NOT EXISTS \
     (SELECT 1 FROM writers WHERE writers.source = records.source AND writers.destination = records.destination)";

const RECORDS: &str = "SELECT etag, size, modified, version, revision, failures, ended, outcome, reason, digests, \
     grade, source, destination FROM records WHERE (source, destination) > (?1, ?2) ORDER BY source, destination LIMIT ?3";

/// When records were forgotten last, in ms since the epoch.
const FORGOT: &str = "forgot";
const DAY: i64 = 24 * 3600 * 1000;

/// The ledger of an embedded file. Most jobs are small objects that settle at once, and keys come in no order: so `begin`
/// writes only the writer, in a table that is as small as the work at hand, and the record is written once, at the end.
/// A record is there if it has a row or an open writer, and live while it has one.
pub struct SqliteLedger {
    file: SqliteFile,
}

impl SqliteFile {
    pub fn ledger(&self) -> SqliteLedger {
        SqliteLedger { file: self.clone() }
    }
}

/// A record as it is stored, for who reads them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// `bucket/key`.
    pub source: Vec<u8>,
    pub destination: Vec<u8>,
    /// Without its open writers.
    pub record: LedgerRecord,
}

/// Source and destination of a record that was read.
pub type RecordPlace = (Vec<u8>, Vec<u8>);

impl StoredRecord {
    pub fn place(&self) -> RecordPlace {
        (self.source.clone(), self.destination.clone())
    }
}

/// A subject as the tables have it.
#[derive(Clone)]
struct Name {
    source: Vec<u8>,
    destination: Vec<u8>,
}

impl Name {
    fn of(subject: &Subject) -> Self {
        Name { source: subject.source.to_bytes(), destination: subject.destination.to_bytes() }
    }
    fn pair(&self) -> (&[u8], &[u8]) {
        (&self.source, &self.destination)
    }
}

impl SqliteLedger {
    /// Forgets records that ended longer ago than this. Goes in small steps, so that jobs run on meanwhile.
    pub async fn delete_older_than(&self, older_than: Duration) -> Result<u64, LedgerError> {
        let mut after = (Vec::new(), Vec::new());
        let mut reaped = 0;
        loop {
            let from = after.clone();
            let age = older_than.as_millis() as i64;
            let step = self.run("Reap", move |db| {
                let before = db.now.saturating_sub(age);
                let rows = db.rows(OLD, (&from.0, &from.1, before), |row| {
                    Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Option<bool>>(2)?))
                })?;
                let mut deleted = 0;
                for (source, destination, _) in rows.iter().filter(|row| row.2 == Some(true)) {
                    deleted += db.execute(REAP, (source, destination, before))? as u64;
                }
                Ok((deleted, rows.into_iter().last().map(|row| (row.0, row.1))))
            });
            let (deleted, last) = step.await?;
            reaped += deleted;
            match last {
                Some(last) => after = last,
                None => return Ok(reaped),
            }
        }
    }

    /// The records after this place, in the order of their sources.
    pub async fn records(&self, after: Option<&RecordPlace>, max: usize) -> Result<Vec<StoredRecord>, LedgerError> {
        let (source, destination) = after.cloned().unwrap_or_default();
        self.run("Scan", move |db| {
            let now = db.now;
            db.rows(RECORDS, (&source, &destination, max as i64), |row| {
                Ok(StoredRecord { source: row.get(11)?, destination: row.get(12)?, record: read_record(row, now)? })
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        mut work: impl FnMut(&mut Db<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let done = self.file.call(move |db| work(db).map(Some)).await;
        done.map_err(|failure| classify(self.file.name(), operation, failure))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn name(&self) -> &str {
        self.file.name()
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        let name = Name::of(subject);
        self.run("Begin", move |db| {
            let (source, destination) = name.pair();
            let now = db.now;
            let record = db.rows(RECORD, name.pair(), |row| read_record(row, now))?.pop();
            let earlier = db.rows(WRITERS, name.pair(), |row| read_writer(row, now))?;
            if !earlier.is_empty() {
                db.execute(FENCE, (source, destination, now))?;
            }
            let mut begun =
                BeginResult { known: record.is_some() || !earlier.is_empty(), earlier, ..BeginResult::default() };
            if let Some(record) = record {
                (begun.published, begun.failures) = (record.published, record.failures);
                begun.ended_for = record.ended_for;
            }
            let order = db.next_id();
            db.execute(NEW_WRITER, (source, destination, order, writer.0.to_be_bytes()))?;
            Ok(begun)
        })
        .await
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let name = Name::of(subject);
        let id = upload.map(|upload| upload.id.0.clone());
        let state = upload.map(codec::encode_upload);
        let changed = self.run("Checkpoint", move |db| {
            db.execute(CHECKPOINT, (&name.source, &name.destination, writer.0.to_be_bytes(), &id, &state))
        });
        if changed.await? == 0 { Err(LedgerError::Fenced) } else { Ok(()) }
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let (name, ending, closed) = (Name::of(subject), ending.clone(), closed.to_vec());
        let finished = self.run("Finish", move |db| {
            let (source, destination) = name.pair();
            let me = (source, destination, writer.0.to_be_bytes());
            let standing = db.rows(STANDING, name.pair(), |row| {
                Ok((Writer(u128::from_be_bytes(row.get(0)?)), row.get::<_, bool>(1)?, row.get::<_, bool>(2)?))
            })?;
            let mut open = standing.len();
            let Some((_, fenced, _)) = standing.iter().find(|(other, _, stopped)| *other == writer && !stopped) else {
                return Ok(None);
            };
            let stopped = left == Leftover::Upload && db.execute(STOP, me)? > 0;
            if left != Leftover::Uncertain && !stopped {
                open -= db.execute(CLOSE, me)?;
            }
            if *fenced {
                return Ok(None);
            }
            for writer in &closed {
                open -= db.execute(CLOSE, (source, destination, writer.0.to_be_bytes()))?;
            }
            record_ending(db, &name, &ending, open > 0)?;
            // One that has stopped writes nothing any more: its successor finds the upload, the message need not wait.
            Ok(Some(FinishResult { others_open: open > usize::from(stopped) }))
        });
        finished.await?.ok_or(LedgerError::Fenced)
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        let name = Name::of(subject);
        self.run("Lookup", move |db| {
            let now = db.now;
            let record = db.rows(RECORD, name.pair(), |row| read_record(row, now))?.pop();
            let open = db.rows(STANDING, name.pair(), |_| Ok(()))?.len();
            let Some(mut record) = record.or_else(|| (open > 0).then(LedgerRecord::default)) else { return Ok(None) };
            record.open_writers = open;
            record.ended &= open == 0;
            Ok(Some(record))
        })
        .await
    }

    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError> {
        let prefix = [destination_bucket.as_bytes(), b"/"].concat();
        self.run("OpenUploads", move |db| db.rows(UPLOADS, (&prefix,), |row| Ok(UploadId(row.get(0)?)))).await
    }

    /// Once a day at most: it reads every record.
    async fn expire_records(&self) -> Result<u64, LedgerError> {
        let last = self.run("ReadNote", |db| Ok((note::read(db, FORGOT)?, db.now))).await?;
        let (at, now) = (last.0.and_then(|at| at.try_into().ok()).map_or(0, i64::from_be_bytes), last.1);
        if (0..DAY).contains(&(now - at)) {
            return Ok(0);
        }
        let forgotten = self.delete_older_than(KEPT).await?;
        self.run("SetNote", move |db| note::write(db, FORGOT, &now.to_be_bytes())).await?;
        Ok(forgotten)
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let name = note::name(name);
        self.run("ReadNote", move |db| note::read(db, &name)).await
    }

    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        let (name, old, new) = (note::name(name), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        self.run("SetNote", move |db| note::set(db, &name, old.as_deref(), new.as_deref())).await
    }
}

/// Writes into the record what an ended writer leaves.
fn record_ending(db: &mut Db<'_>, name: &Name, ending: &WriterEnd, others_open: bool) -> rusqlite::Result<()> {
    let (source, destination) = name.pair();
    match ending {
        WriterEnd::Settled { outcome, reason, published, digests, grade } => {
            let identity = published.as_ref().map(|published| &published.identity);
            let packed = digests.as_ref().map(codec::encode_digests);
            let ended = if others_open { -db.now } else { db.now };
            db.statement(SETTLE)?.execute(params![
                source,
                destination,
                outcome.name(),
                ended,
                packed,
                grade.map(Grade::name),
                identity.map(|identity| &*identity.etag),
                identity.map(|identity| identity.size as i64),
                identity.map(|identity| identity.last_modified),
                identity.and_then(|identity| identity.version.as_deref()),
                published.as_ref().map(|published| &*published.revision.0),
                reason,
            ])?;
        }
        WriterEnd::Parked { reason } => {
            db.execute(ABANDON, name.pair())?;
            db.execute(PARK, (source, destination, reason, -db.now))?;
        }
        WriterEnd::Released { counted } => {
            db.execute(UNSETTLED, (source, destination, u32::from(*counted)))?;
        }
    }
    Ok(())
}

/// A row of `RECORD`; the open writers are counted elsewhere.
fn read_record(row: &Row<'_>, now: i64) -> rusqlite::Result<LedgerRecord> {
    let published = match row.get::<_, Option<_>>(4)? {
        None => None,
        Some(revision) => Some(LastPublished {
            identity: SourceIdentity {
                etag: row.get(0)?,
                size: row.get::<_, i64>(1)? as u64,
                last_modified: row.get(2)?,
                version: row.get(3)?,
            },
            revision: Revision(revision),
        }),
    };
    let ended: Option<i64> = row.get(6)?;
    Ok(LedgerRecord {
        outcome: row.get_ref(7)?.as_str_or_null()?.and_then(Outcome::parse),
        reason: row.get(8)?,
        published,
        digests: row.get_ref(9)?.as_blob_or_null()?.and_then(codec::decode_digests),
        grade: row.get_ref(10)?.as_str_or_null()?.and_then(Grade::parse),
        open_writers: 0,
        failures: row.get(5)?,
        ended_for: ended.map(|at| Duration::from_millis((now - at.abs()).max(0) as u64)),
        ended: ended.is_some_and(|at| at > 0),
    })
}

fn read_writer(row: &Row<'_>, now: i64) -> rusqlite::Result<EarlierWriter> {
    let id: Option<String> = row.get(3)?;
    let upload = match (id, row.get_ref(4)?.as_blob_or_null()?) {
        (Some(id), Some(state)) => codec::decode_upload(UploadId(id.into()), state),
        _ => None,
    };
    // Not fenced yet: that is what this `begin` does.
    let fenced = row.get::<_, Option<i64>>(1)?.unwrap_or(now);
    Ok(EarlierWriter {
        writer: Writer(u128::from_be_bytes(row.get(0)?)),
        fenced_for: Duration::from_millis((now - fenced).max(0) as u64),
        stopped: row.get(2)?,
        upload,
    })
}

fn classify(ledger: &str, operation: &'static str, failure: DatabaseError) -> LedgerError {
    let ledger = ledger.to_string();
    if failure.damaged {
        let advice = "move the file away: `scan` finds again what is missing".to_string();
        return LedgerError::Unusable { ledger, problem: format!("the file is damaged ({})", failure.answer), advice };
    }
    LedgerError::Unavailable { ledger, operation, answer: failure.answer }
}
