//! The effects that write: the object, its parts, and the ledger's record of them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Done, Driver, kind_of};
use crate::copy::{ActiveUpload, CopyResult, ProgressRecorder};
use crate::fuse::DeletionHeld;
use crate::limits::RequestVerb;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::ledger::{self, LastPublished, Ledger, LedgerError, Leftover, Subject, UploadRecord};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Expected, Location, Token, UploadId, Writer};
use skyferry_core::protocol::{Answer, FinishRequest, SettledOutcome};
use skyferry_core::store::{Metadata, Object, Provenance, WriteAttributes};

/// How long a message waits whose deletion the fuse holds back.
const FUSED: Duration = Duration::from_secs(300);

/// How long an agent that drains waits for the answer to a Complete.
const LAST_WAIT: Duration = Duration::from_secs(8);
/// The first wait for what takes its time at the destination; each that follows is three times as long: forty
/// seconds in all, little beside what an upload thrown away would cost.
const WAIT: Duration = Duration::from_secs(1);

impl Driver<'_> {
    /// Before the destination is looked at once more.
    pub(super) async fn wait_for_more(&self, looks: u32) -> Done {
        let wait = WAIT * 3u32.pow(looks.clamp(1, 4) - 1);
        let at = &self.subject.destination;
        tokio::select! {
            biased;
            () = self.route.stop.cancelled() => {
                Err(CopyError::new(Side::Destination, ErrorKind::Cancelled, "wait", at, "the agent drains"))
            }
            () = tokio::time::sleep(wait) => Ok(Answer::Done),
        }
    }

    async fn attributes(&self, object: &Object, token: Token) -> Result<WriteAttributes, CopyError> {
        let mut metadata = if self.context.metadata { object.metadata.clone() } else { Metadata::default() };
        if self.context.tags {
            metadata.tags = Some(self.context.source.tags(&self.subject.source, self.version.as_deref()).await?);
            self.context.breaker.object_succeeded(RequestVerb::tags(), self.object);
        }
        metadata.storage_class = self.options.class_of(&object.metadata);
        metadata.retention = object.metadata.retention.clone().filter(|_| self.options.retention);
        let (source, identity) = (self.subject.source.clone(), object.identity.clone());
        // Tags and storage class are of the copy; the rest is what the source had.
        let headers = self.context.metadata.then(|| object.metadata.digest());
        let provenance = Provenance { source, identity, token, crc32c: None, headers };
        let options = self.options.clone();
        Ok(WriteAttributes { metadata, provenance, size: object.identity.size, options })
    }

    pub(super) async fn put(&mut self, token: Token, expected: &Expected) -> Done {
        let (opened, stream) = self.opened().take().ok_or_else(|| self.defect("a PUT without an opened body"))?;
        let with = self.attributes(&opened.object, token).await?;
        let size = opened.length;
        let mut sent = None;
        let done = {
            let put = pin!(self.route.put(opened, stream.as_ref(), with, expected, &mut sent));
            self.guard.write(None, put).await
        };
        self.sent = sent.map(|digests| (token, digests)).or(self.sent);
        match done? {
            Some(copied) => Ok(self.published(copied, token, size)),
            None => Ok(Answer::Fenced),
        }
    }

    fn published(&mut self, copied: CopyResult, token: Token, size: u64) -> Answer {
        self.sent = Some((token, copied.digests));
        match copied.grade {
            Ok(grade) => {
                self.grade = Some(grade);
                self.context.metrics.count_grade(grade.name());
                self.context.metrics.count_bytes(size);
                self.published = size;
                Answer::Published(copied.revision)
            }
            Err(why) => {
                warn!(object = %self.subject.source, %why, "published wrong");
                self.context.metrics.count_checksum_failure(Side::Destination);
                let at = &self.subject.destination;
                self.trouble = Some(CopyError::new(Side::Destination, ErrorKind::Corrupt, "verify", at, why));
                Answer::PublishedCorrupt(copied.revision)
            }
        }
    }

    pub(super) async fn initiate(&mut self, token: Token) -> Done {
        *self.opened() = None;
        let object = self.source.clone().ok_or_else(|| self.defect("an upload without a look"))?;
        let source_part = self.source_part(&object).await?;
        let parts = self.planned_parts(object.identity.size, source_part)?;
        let with = self.attributes(&object, token).await?;
        let id = self.context.sink.begin(&self.subject.destination, &with).await?;
        let (identity, headers, part_size) = (object.identity.clone(), self.headers(&object), parts.part_size);
        let record = UploadRecord { id: id.clone(), token, identity, headers, part_size, parts: Vec::new() };
        let source_borders = source_part == Some(parts.part_size);
        self.upload = Some(ActiveUpload { object, parts, record, source_borders, md5: None });
        Ok(Answer::Initiated(id))
    }

    /// Records our upload, or the one that is taken over: what its parts hold is looked up first.
    pub(super) async fn checkpoint(&mut self, id: &UploadId) -> Done {
        if self.upload.as_ref().is_none_or(|upload| upload.record.id != *id) {
            let mut earlier = self.begun.earlier.iter().filter_map(|earlier| earlier.upload.as_ref());
            let record = earlier.find(|upload| upload.id == *id).cloned();
            let mut record = record.ok_or_else(|| self.defect("an upload that nobody recorded"))?;
            let object = self.source.clone().ok_or_else(|| self.defect("an upload without a look"))?;
            let parts = self.planned_parts(object.identity.size, Some(record.part_size))?;
            match self.route.resume(&mut record).await {
                // Gone already: the parts will say so.
                Err(error) if error.kind == ErrorKind::UploadGone => {}
                resumed => {
                    resumed?;
                    self.context.breaker.object_succeeded(RequestVerb::see_upload(), self.object);
                }
            }
            let source_borders = self.source_part(&object).await? == Some(parts.part_size);
            self.upload = Some(ActiveUpload { object, parts, record, source_borders, md5: None });
        }
        let record = self.upload.as_ref().map(|upload| &upload.record);
        match self.context.ledger.checkpoint(self.subject, self.writer, record).await {
            Ok(()) => Ok(Answer::Done),
            Err(LedgerError::Fenced) => Ok(Answer::Fenced),
            Err(error) => Err(self.ledger_error(error)),
        }
    }

    pub(super) async fn parts(&mut self) -> Done {
        let mut upload = self.upload.take().ok_or_else(|| self.defect("parts without an upload"))?;
        let recorder =
            Checkpoints { ledger: self.context.ledger.clone(), subject: self.subject.clone(), writer: self.writer };
        let done = self.route.send_parts(&mut upload, &recorder).await;
        self.upload = Some(upload);
        done.map(|()| Answer::Done)
    }

    pub(super) async fn complete(&mut self, expected: &Expected) -> Done {
        let upload = self.upload.as_ref().ok_or_else(|| self.defect("a Complete without an upload"))?;
        let (token, size) = (upload.record.token, upload.object.identity.size);
        self.sent = upload.whole_digests().map(|digests| (token, digests)).or(self.sent);
        let written = {
            let complete = self.route.complete(upload, expected);
            let complete = pin!(until_drained(&self.route.stop, &self.subject.destination, complete));
            self.guard.write(Some(&upload.record), complete).await
        };
        match written {
            Ok(Some(copied)) => Ok(self.published(copied, token, size)),
            Ok(None) => Ok(Answer::Fenced),
            Err(error) => {
                if error.kind == ErrorKind::Corrupt {
                    self.distrust_parts().await;
                }
                Err(error)
            }
        }
    }

    /// Together they are not what the source stores, and none of them says which is wrong: whoever continues with this upload
    /// has to send them all again. Left as they are they would fail every attempt to come.
    async fn distrust_parts(&mut self) {
        let Some(upload) = &mut self.upload else { return };
        upload.record.parts.clear();
        if let Err(error) = self.context.ledger.checkpoint(self.subject, self.writer, Some(&upload.record)).await {
            tracing::warn!(object = %self.subject.source, %error, "parts that do not add up could not be forgotten");
        }
    }

    /// Takes away what the source no longer has, as long as the fuse allows it, or what was stored wrong.
    pub(super) async fn delete(&mut self, expected: &Expected) -> Done {
        if self.source.is_none() {
            self.context.fuse.allow_deletion().await.map_err(|held| self.held_back(&held))?;
        }
        let delete = pin!(self.context.sink.delete(&self.subject.destination, expected));
        let done = self.guard.write(None, delete).await?;
        Ok(done.map_or(Answer::Fenced, |()| Answer::Done))
    }

    fn held_back(&self, held: &DeletionHeld) -> CopyError {
        let (side, kind, wait) = match held {
            DeletionHeld::Blown(_) => (Side::Destination, ErrorKind::Cancelled, Some(FUSED)),
            DeletionHeld::Ledger(_) | DeletionHeld::NotTaken(_) => (Side::Ledger, ErrorKind::Unavailable, None),
        };
        let error = CopyError::new(side, kind, "DeleteObject", &self.subject.destination, held.to_string());
        CopyError { retry_after: wait, ..error }
    }

    pub(super) async fn finish(&mut self, ending: &FinishRequest, closed: &[Writer], in_doubt: bool) -> Done {
        let left = match ending {
            _ if in_doubt => Leftover::Uncertain,
            FinishRequest::Released { upload_left: true, .. } => Leftover::Upload,
            _ => Leftover::Nothing,
        };
        let ending = match ending {
            FinishRequest::Settled { outcome, published } => {
                let copied = *outcome == SettledOutcome::Copied;
                let reason = self.why_kept().filter(|_| *outcome == SettledOutcome::Skipped);
                if let Some(reason) = &reason {
                    info!(object = %self.subject.source, %reason, "skipped");
                }
                ledger::WriterEnd::Settled {
                    outcome: outcome_of(*outcome),
                    reason,
                    published: published.clone().map(|(identity, revision)| LastPublished { identity, revision }),
                    digests: self.sent.as_ref().filter(|_| copied).map(|(_, digests)| *digests),
                    grade: self.grade.filter(|_| copied),
                }
            }
            FinishRequest::Parked => ledger::WriterEnd::Parked { reason: self.reason() },
            FinishRequest::Released { counted, .. } => ledger::WriterEnd::Released { counted: *counted },
        };
        match self.context.ledger.finish(self.subject, self.writer, &ending, left, closed).await {
            Ok(finished) => Ok(Answer::Finished { others_open: finished.others_open }),
            Err(LedgerError::Fenced) => Ok(Answer::Fenced),
            Err(error) => Err(self.ledger_error(error)),
        }
    }
}

/// A Complete that is waited for, for minutes if it has to be; not by an agent that drains, whose successor looks for it.
async fn until_drained<T>(stop: &CancellationToken, at: &Location, write: impl Future<Output = Done<T>>) -> Done<T> {
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WAIT).await;
    };
    tokio::select! {
        biased;
        done = write => done,
        () = drained => {
            let words = "no answer yet, and the agent is stopping";
            Err(CopyError::new(Side::Destination, ErrorKind::LostAnswer, "CompleteMultipartUpload", at, words))
        }
    }
}

/// Records parts while they are sent. A writer that finds itself fenced on the way hears the same as one whose upload is
/// gone: it soon will be.
struct Checkpoints {
    ledger: Arc<dyn Ledger>,
    subject: Subject,
    writer: Writer,
}

#[async_trait]
impl ProgressRecorder for Checkpoints {
    async fn save(&self, record: &UploadRecord) -> Result<(), CopyError> {
        let kind = match self.ledger.checkpoint(&self.subject, self.writer, Some(record)).await {
            Ok(()) => return Ok(()),
            Err(error @ LedgerError::Fenced) => (ErrorKind::UploadGone, error),
            Err(error) => (kind_of(&error), error),
        };
        Err(CopyError::new(Side::Ledger, kind.0, "checkpoint", &self.subject.source, kind.1.to_string()))
    }
}

pub fn outcome_of(settled: SettledOutcome) -> Outcome {
    match settled {
        SettledOutcome::Copied => Outcome::Copied,
        SettledOutcome::Unchanged => Outcome::Unchanged,
        SettledOutcome::Deleted => Outcome::Deleted,
        SettledOutcome::Gone => Outcome::Gone,
        SettledOutcome::Skipped => Outcome::Skipped,
    }
}
