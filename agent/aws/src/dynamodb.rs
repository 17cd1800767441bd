//! The ledger on DynamoDB, in the predecessors' table: hash key `Key` = `bucket/key`, their attributes kept readable and
//! true, ours (`sf…`) beside them (`item`).
//!
//! **Two requests an object.** `begin` and `finish` are one UpdateItem each. `begin` names itself the last writer
//! (`sfWriter`), which fences every earlier one: all that a writer writes later has the condition that it is still the
//! last. What `begin` needs to know of the past is in the item as it was (`ALL_OLD`). Only where earlier writers are open
//! does it write once more, to note when they were fenced.
//!
//! **Lost answers.** Every request may be sent twice. A `begin` that landed unseen is taken over by its own repetition; a
//! `checkpoint` says the same again, and one that lands late changes nothing; a `finish` that finds itself finished, after
//! an attempt whose answer was lost, was.
//!
//! **Clocks.** When a writer was fenced is compared with the hold, by machines whose clocks differ. So it is measured on
//! the service's clock, of which every answer's `Date` gives certain bounds (`client::ServerClock`): noted is the latest time
//! that it can have been, compared with the earliest that it can be. An age is thus too small by a second or two,
//! which is safe, and never too large.
//!
//! **Expiry.** `endTime` is the table's TTL attribute: `begin` removes it, and only a settled record that nobody is open on
//! gets one, 30 days ahead. A redelivery comes within 14 days, and after that the destination's own metadata tells as much;
//! `endTime_f` says when it ended. What is being worked on, or parked, never expires.
//!
//! A key is at most 1024 bytes and a bucket's name 255, so `Key` is within DynamoDB's 2048; what is longer (two of them in
//! one, bytes that are not UTF-8) is named by its hash.

mod batch;
mod dump;
mod item;
mod migrate;
mod note;
mod record_key;
mod repair;
mod requests;
mod table;
mod update_expression;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use crate::client::{AwsClient, RetryBudget, ServerClock};
pub use dump::{COLUMNS, DumpRow, dump};
pub use item::TimeFormat;
use item::{Item, TimeStamps};
use requests::UpdateError;
use skyferry_core::ledger::{
    BeginResult, EarlierWriter, FinishResult, KEPT, LastPublished, Ledger, LedgerError, LedgerRecord, Leftover,
    Subject, UploadRecord, WriterEnd, codec,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{UploadId, Writer};
pub use table::{TableSettings, create};
use update_expression::{UpdateExpression, list, number, text};

/// Beside their attributes; a table that a newer version wrote is refused.
const SCHEMA: u64 = 1;
/// What the parts of an upload may take of the item's 400 KB; the rest is for everything else in it.
const PARTS_BYTES: usize = 340_000;
const PATIENCE: RetryBudget = RetryBudget { attempt: Duration::from_secs(10), total: Duration::from_secs(20) };
/// The predecessors add a start and a machine to sets with every attempt. Of more than this, the newest half stay: an item
/// must not outgrow its 400 KB on a key that is tried for years.
const ATTEMPTS_SHOWN: usize = 60;
/// An UpdateExpression is at most 4,096 bytes: so many writers are closed with one.
const CLOSED_AT_ONCE: usize = 200;

#[derive(Clone, Debug)]
pub struct DynamoOptions {
    pub table: String,
    /// `None`: that of the keys.
    pub region: Option<String>,
    pub endpoint: Option<String>,
    /// This machine, as `instanceID` shows it.
    pub machine: String,
}

pub struct DynamoLedger {
    aws: AwsClient,
    client: Client,
    table: Arc<str>,
    machine: String,
    times: TimeFormat,
    clock: ServerClock,
    /// Numbers checkpoints: see there.
    checkpoints: AtomicU64,
}

impl DynamoLedger {
    /// Times as this says.
    #[must_use]
    pub fn with_times(self, times: TimeFormat) -> DynamoLedger {
        DynamoLedger { times, ..self }
    }

    /// What a finish writes, its conditions apart.
    fn finish_update(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> UpdateExpression {
        let mut change = UpdateExpression::default();
        let (me, now) = (&*item::attribute(writer), TimeStamps::now(self.times));
        match ending {
            WriterEnd::Settled { outcome, reason, published, digests, grade } => {
                change.set(&["sfOutcome"], text(outcome.name()));
                ["sfFailures", "sfParts"].iter().for_each(|name| change.remove(&[name]));
                match reason {
                    Some(reason) => change.set(&["sfReason"], text(reason)),
                    None => change.remove(&["sfReason"]),
                }
                match published {
                    None => change.remove(&["sfPublished"]),
                    Some(published) => {
                        change.set(&["sfPublished"], item::published(subject, published));
                        change.set(&["Size"], number(published.identity.size));
                        change.set(&["versionId"], text(item::version(&published.identity)));
                        if digests.is_some() || grade.is_some() {
                            change.set(&["sfProof"], item::proof(published, digests.as_ref(), *grade));
                        }
                    }
                }
                change.set(&["lastTimeProgress"], number(100));
                change.add("jobStatus", list(vec!["DONE".into()]));
                if left != Leftover::Uncertain {
                    change.set(&["endTime"], number(now.epoch + KEPT.as_secs()));
                }
                now.mark_ended(&mut change);
            }
            WriterEnd::Parked { reason } => {
                change.set(&["sfOutcome"], text(Outcome::Parked.name()));
                change.set(&["sfReason"], text(reason));
                change.set(&["sfParker"], text(&writer.to_string()));
                ["sfFailures", "sfParts"].iter().for_each(|name| change.remove(&[name]));
                change.add("jobStatus", list(vec!["ERR".into()]));
                now.mark_ended(&mut change);
            }
            WriterEnd::Released { counted } => change.add("sfFailures", number(u32::from(*counted))),
        }
        match left {
            Leftover::Nothing => change.remove(&[me]),
            Leftover::Upload => change.set(&[me, "s"], AttributeValue::Bool(true)),
            Leftover::Uncertain => change.set(&[me, "e"], AttributeValue::Bool(true)),
        }
        closed.iter().for_each(|writer| change.remove(&[&item::attribute(*writer)]));
        change
    }
}

impl DynamoLedger {
    /// Adds a writer that begins; back comes the item as it was.
    async fn add_writer(&self, subject: &Subject, key: &str, writer: Writer) -> Result<Item, LedgerError> {
        match self.update(key, self.begin_update(subject, writer), ReturnValue::AllOld).await {
            Ok(before) => return Ok(before),
            Err(UpdateError::Condition { item, .. }) if item.schema() > SCHEMA => {
                return Err(self.newer_schema_error(&item));
            }
            Err(UpdateError::Condition { .. } | UpdateError::Other(LedgerError::Record { .. })) => {
                self.repair(key).await?
            }
            Err(UpdateError::Other(error)) => return Err(error),
        }
        self.update(key, self.begin_update(subject, writer), ReturnValue::AllOld).await.map_err(UpdateError::into_error)
    }

    fn begin_update(&self, subject: &Subject, writer: Writer) -> UpdateExpression {
        let me = item::attribute(writer);
        let now = TimeStamps::now(self.times);
        let mut change = UpdateExpression::default();
        change.require_at_most_or_missing(&["sfVersion"], SCHEMA);
        change.set(&["sfVersion"], number(SCHEMA));
        change.set(&["sfWriter"], text(&writer.to_string()));
        change.set(&[&me], item::open_attribute(subject));
        change.set(&["sfBegan"], number(now.epoch));
        item::destination_attributes(subject).into_iter().for_each(|(name, value)| change.set(&[&name], value));
        change.set(&["lastTimeProgress"], number(0));
        change.set_once("firstTime", number(now.epoch));
        change.add("tryTimes", number(1));
        change.add("instanceID", list(vec![self.machine.clone()]));
        change.add("startTime_f", list(vec![now.text.clone()]));
        change.remove(&["endTime"]);
        change
    }
}

/// The last to have begun, open, and not finished.
fn require_current_writer(change: &mut UpdateExpression, writer: Writer, me: &str) {
    change.require_equal(&["sfWriter"], text(&writer.to_string()));
    change.require_exists(&[me]);
    change.require_missing(&[me, "s"]);
    change.require_missing(&[me, "e"]);
}

#[async_trait]
impl Ledger for DynamoLedger {
    fn name(&self) -> &str {
        &self.table
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        let key = record_key::key(subject);
        let before = self.add_writer(subject, &key, writer).await?;
        let before = match before.exists() {
            true => before,
            false => self.migrate(subject, &key).await?,
        };
        let mut open = before.open();
        open.retain(|other| other.writer != writer);
        let earliest = self.clock.earliest();
        let earlier = open.iter().map(|other| EarlierWriter {
            writer: other.writer,
            fenced_for: Duration::from_millis(other.fenced.map_or(0, |at| (earliest - at).max(0)) as u64),
            stopped: other.stopped,
            upload: before.upload(subject, other),
        });
        let earlier = earlier.collect();
        self.note_fences(&key, &open).await;
        self.trim(&key, &before).await;
        self.rename(subject, &key, writer, &before).await;
        Ok(BeginResult {
            known: before.exists(),
            published: before.published(subject),
            earlier,
            failures: before.failures(subject),
            ended_for: before.ended_for(subject),
        })
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let (key, me) = (record_key::key(subject), item::attribute(writer));
        let mut change = UpdateExpression::default();
        require_current_writer(&mut change, writer, &me);
        // A writer lives in one process: an attempt that was given up and lands late is older, and changes nothing.
        let order = self.checkpoints.fetch_add(1, Relaxed);
        change.require_at_most_or_missing(&[&me, "n"], order);
        change.set(&[&me, "n"], number(order));
        match upload {
            None => ["u", "h"].iter().for_each(|part| change.remove(&[&me, part])),
            Some(upload) => {
                change.set(&[&me, "u"], text(&upload.id.0));
                change.set(&[&me, "h"], item::binary(codec::encode_head(upload)));
                change.set(&["sfParts"], item::binary(codec::encode_parts(upload, PARTS_BYTES)));
                change.set(&["Size"], number(upload.identity.size));
                change.set(&["lastTimeProgress"], number(upload.percent()));
                if upload.parts.is_empty() {
                    change.set(&["firstTime"], number(TimeStamps::now(self.times).epoch));
                    change.set(&["versionId"], text(item::version(&upload.identity)));
                }
            }
        }
        match self.update(&key, change, ReturnValue::None).await {
            Ok(_) => Ok(()),
            Err(UpdateError::Condition { .. }) => Err(LedgerError::Fenced),
            Err(UpdateError::Other(error)) => Err(error),
        }
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let (key, me) = (record_key::key(subject), item::attribute(writer));
        let closed = self.close_all_but_some(&key, writer, closed).await?;
        let mut change = self.finish_update(subject, writer, ending, left, closed);
        require_current_writer(&mut change, writer, &me);
        if left == Leftover::Upload {
            change.require_exists(&[&me, "u"]);
        }
        let after = match self.update(&key, change, ReturnValue::AllNew).await {
            Ok(after) => after,
            Err(UpdateError::Other(error)) => return Err(error),
            Err(UpdateError::Condition { item, unsure }) => {
                let mine = item.open().into_iter().find(|open| open.writer == writer);
                let last = item.last_writer() == Some(writer);
                match mine {
                    // An attempt of this very request has done it.
                    _ if last && unsure && mine.as_ref().is_none_or(|mine| mine.finished()) => item,
                    Some(mine) if last && !mine.finished() && left == Leftover::Upload => {
                        // There is no upload to leave.
                        return self.finish(subject, writer, ending, Leftover::Nothing, closed).await;
                    }
                    Some(mine) if !last => {
                        self.close_fenced(&key, &mine, left).await?;
                        return Err(LedgerError::Fenced);
                    }
                    _ => return Err(LedgerError::Fenced),
                }
            }
        };
        let others =
            after.open().into_iter().filter(|open| open.writer != writer || left == Leftover::Uncertain).count();
        if others > 0 && matches!(ending, WriterEnd::Settled { .. }) && after.expires() {
            let mut change = UpdateExpression::default();
            change.remove(&["endTime"]);
            change.require_equal(&["sfWriter"], text(&writer.to_string()));
            self.update_best_effort(&key, change).await;
        }
        Ok(FinishResult { others_open: others > 0 })
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        let item = match self.item(&record_key::key(subject)).await? {
            None if !subject.primary => {
                self.item(&record_key::first_destination_key(subject)).await?.filter(|item| item.has_data_for(subject))
            }
            own => own,
        };
        self.read(subject, item.as_ref())
    }

    async fn lookup_all(&self, subjects: &[Subject]) -> Result<Vec<Option<LedgerRecord>>, LedgerError> {
        let mut records = Vec::with_capacity(subjects.len());
        for some in subjects.chunks(batch::MOST) {
            records.extend(self.get_batch(some).await?);
        }
        Ok(records)
    }

    /// A scan of the whole table, for once a day: only ended records are left out, for an upload is told by its writer.
    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError> {
        let (mut uploads, mut from) = (Vec::new(), None);
        loop {
            let request = || {
                let scan = self.client.scan().table_name(&*self.table).consistent_read(true);
                scan.filter_expression("attribute_exists(sfVersion) AND attribute_not_exists(endTime)")
                    .set_exclusive_start_key(from.clone())
                    .send()
            };
            let page = self.aws.call(PATIENCE, request).await.map_err(|failure| self.classify("Scan", failure))?;
            for item in page.items.unwrap_or_default() {
                let item = Item::new(item);
                let open = item.open().into_iter().filter(|_| !item.is_abandoned());
                uploads.extend(open.filter(|open| open.is_to(destination_bucket)).filter_map(|o| o.upload));
            }
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(uploads);
            }
        }
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        note::read(self, name).await
    }

    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        note::set(self, name, old, new).await
    }
}
