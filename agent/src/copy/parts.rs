//! A large object as a multipart upload: parts in parallel, each read by range from the pinned source state.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::in_order::hash_into;
use super::{CopyResult, CopyRoute, cause, finish_digests, so_far_in};
use crate::limits::{STREAM, StreamPermit, StreamTurn, TransferGuard};
use skyferry_core::backoff::Backoff;
use skyferry_core::digest::{Checksum, Combiner, DigestCheck, DigestSelection, Digests, Hasher, StoredDigests};
use skyferry_core::error::{CopyError, ErrorKind, Side, Verdict as Fate};
use skyferry_core::ledger::{PartRecord, UploadRecord};
use skyferry_core::metrics::TransferKind;
use skyferry_core::model::{Expected, Revision, UploadId};
use skyferry_core::plan::Parts;
use skyferry_core::store::{CompletedPart, Object, Payload, Pin, StoredPart};
use skyferry_core::{ambient, legacy_log};

/// A part that has arrived is recorded after this time at the latest.
pub(super) const CHECKPOINT: Duration = Duration::from_secs(5);
/// How long parts in flight may take to arrive when the agent drains. Of the job's 22 s the rest is for the Complete that
/// may follow, the ledger and the message.
const ENDING: Duration = Duration::from_secs(12);
/// How often a part in flight is asked meanwhile whether it can arrive in time.
const ASKED: Duration = Duration::from_secs(1);
/// Tries of one part in one job, then the message goes back and a later job resumes.
const TRIES: u32 = 4;

/// Where an upload's progress is kept.
#[async_trait]
pub trait ProgressRecorder: Send + Sync {
    async fn save(&self, record: &UploadRecord) -> Result<(), CopyError>;
}

/// An upload in progress: what is planned, and what the ledger holds of it.
#[derive(Clone, Debug)]
pub struct ActiveUpload {
    /// The source state that is read.
    pub object: Object,
    pub parts: Parts,
    pub record: UploadRecord,
    /// The parts are cut where the source's own are, so that digests of those can be compared.
    pub source_borders: bool,
    /// Of the whole, where the parts were read in order.
    pub md5: Option<[u8; 16]>,
}

/// One part of an upload that is to be sent.
pub(super) struct PartRequest {
    upload: UploadId,
    turn: StreamTurn,
    transfer: Arc<TransferGuard>,
    pub(super) at: legacy_log::PartOf,
    range: Range<u64>,
    pin: Pin,
    select: DigestSelection,
}

impl ActiveUpload {
    /// The digests of the whole, once every part is recorded.
    pub fn whole_digests(&self) -> Option<Digests> {
        let whole = whole(&self.record, self.object.identity.size)?;
        Some(Digests { md5: self.md5, ..whole })
    }
}

/// The digests of an object of `size` bytes from the parts that are recorded of it, if those are all.
pub fn whole(record: &UploadRecord, size: u64) -> Option<Digests> {
    let mut combiner = Combiner::new();
    for part in &record.parts {
        let offset = u64::from(part.number.checked_sub(1)?).checked_mul(record.part_size)?;
        combiner.insert(offset, part.digests).ok()?;
    }
    combiner.whole(size)
}

impl CopyRoute {
    /// Keeps of the recorded parts those that the sink still holds as recorded. `UploadGone` if there is no upload.
    pub async fn resume(&self, record: &mut UploadRecord) -> Result<(), CopyError> {
        let gone = || CopyError::new(Side::Destination, ErrorKind::UploadGone, "ListParts", &self.to, "");
        let held = self.sink.parts(&self.to, &record.id).await?.ok_or_else(gone)?;
        record.parts.retain(|part| held.iter().any(|held| matches_record(part, held)));
        Ok(())
    }

    /// Sends every part that is not recorded yet. `recorder` is called with what is done: at most 5 s after a part has arrived,
    /// when the agent drains, and with all parts before this returns, so that a successor can prove what a Complete publishes.
    pub async fn send_parts(
        &self,
        upload: &mut ActiveUpload,
        recorder: &dyn ProgressRecorder,
    ) -> Result<(), CopyError> {
        if self.reads_in_order(&upload.object) {
            return self.send_in_order(upload, recorder).await;
        }
        self.metrics.spared(upload.record.parts.iter().map(|part| part.digests.length).sum());
        let done: Vec<u32> = upload.record.parts.iter().map(|part| part.number).collect();
        let mut left = upload.parts.iter().filter(|(number, _)| !done.contains(number));
        let turn = self.limiter.streams().turn(upload.parts.size);
        let transfer = self.transfer_of(upload);
        let mut sending = JoinSet::new();
        let (mut saved, mut unsaved) = (Instant::now(), false);
        let mut failed = None;
        let mut ending = None;
        let failures = Arc::new(AtomicU32::new(0));
        loop {
            while failed.is_none() && !self.stop.is_cancelled() && sending.len() < self.limiter.parts_at_once() {
                let Some((number, range)) = left.next() else { break };
                let part = self.part_request(upload, turn, number, range, &transfer);
                let (route, failures) = (self.clone(), failures.clone());
                let sent = async move { route.send_part_with_retries(&part, &failures, None).await };
                sending.spawn(sent.in_current_span());
            }
            let joined = tokio::select! {
                biased;
                joined = sending.join_next() => joined,
                () = self.stop.cancelled(), if ending.is_none() => {
                    ending = Some(Instant::now() + ENDING);
                    continue;
                }
                () = tokio::time::sleep_until(ending.unwrap_or(saved)), if ending.is_some() => break,
                () = tokio::time::sleep_until(saved + CHECKPOINT), if unsaved && failed.is_none() => {
                    recorder.save(&upload.record).await?;
                    (saved, unsaved) = (Instant::now(), false);
                    continue;
                }
            };
            match joined {
                None => break,
                Some(Ok(Ok(part))) => {
                    let at = legacy_log::PartOf { number: part.number, of: upload.parts.count };
                    legacy_log::complete(part.digests.length, &self.from, at, upload.record.parts.len() + 1);
                    upload.record.parts.push(part);
                    unsaved = true;
                }
                // Others may still arrive in time.
                Some(Ok(Err(error))) if error.kind == ErrorKind::Cancelled => failed = failed.or(Some(error)),
                Some(Ok(Err(error))) => {
                    failed = failed.or(Some(error));
                    sending.abort_all();
                }
                Some(Err(_)) => failed = failed.or_else(|| Some(self.cancelled())),
            }
        }
        sending.shutdown().await;
        upload.record.parts.sort_by_key(|part| part.number);
        match failed {
            // What ends the upload makes its parts worthless.
            Some(error) if matches!(error.kind, ErrorKind::SourceChanged | ErrorKind::UploadGone) => Err(error),
            failed => {
                recorder.save(&upload.record).await?;
                let whole = upload.record.parts.len() == upload.parts.count as usize;
                failed.or_else(|| (!whole).then(|| self.cancelled())).map_or(Ok(()), Err)
            }
        }
    }

    pub(super) fn cancelled(&self) -> CopyError {
        CopyError::new(Side::Destination, ErrorKind::Cancelled, "UploadPart", &self.to, "the agent drains")
    }

    /// As others see it, with the parts that are there.
    pub(super) fn transfer_of(&self, upload: &ActiveUpload) -> Arc<TransferGuard> {
        let done = upload.record.parts.iter().map(|part| part.digests.length).sum();
        Arc::new(self.limiter.transfers().begin(&self.from, &self.to, upload.object.identity.size, done))
    }

    pub(super) fn part_request(
        &self,
        upload: &ActiveUpload,
        turn: StreamTurn,
        number: u32,
        range: Range<u64>,
        transfer: &Arc<TransferGuard>,
    ) -> PartRequest {
        PartRequest {
            upload: upload.record.id.clone(),
            turn,
            transfer: transfer.clone(),
            at: legacy_log::PartOf { number, of: upload.parts.count },
            range,
            pin: self.pin(&upload.object),
            select: self.select(&upload.object.stored, false),
        }
    }

    /// `failures`: of all parts in a row. Tries are for a part that fails while others pass: together they are given up
    /// after as many. `whole_digests`: takes in the part's bytes, once they have been sent.
    pub(super) async fn send_part_with_retries(
        &self,
        part: &PartRequest,
        failures: &AtomicU32,
        mut whole: Option<&mut Hasher>,
    ) -> Result<PartRecord, CopyError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10), ambient::random());
        let mut tries = 0;
        loop {
            let error = match self.send_part(part, whole.as_deref_mut()).await {
                Ok(record) => {
                    failures.store(0, Relaxed);
                    return Ok(record);
                }
                Err(error) => error,
            };
            tries += 1;
            let in_a_row = failures.fetch_add(1, Relaxed) + 1;
            if tries >= TRIES || in_a_row >= TRIES || !is_retryable(&error) {
                return Err(error);
            }
            self.metrics.count_retry(cause(&error));
            self.metrics.count_part_retry();
            if error.kind == ErrorKind::Corrupt {
                self.metrics.count_checksum_failure(error.side);
            }
            if in_a_row > 1 {
                tracing::warn!(object = %self.from, part = part.at.number, %error, "a part is tried again");
            }
            let wait = error.retry_after.unwrap_or(Duration::ZERO).max(backoff.delay());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(self.cancelled()),
                () = tokio::time::sleep(wait.min(Duration::from_secs(20))) => {}
            }
        }
    }

    /// Waits for the right to stream a body; not when the agent drains.
    pub async fn permit_to_stream(&self, turn: StreamTurn, part: u32, size: u64) -> Result<StreamPermit, CopyError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(self.cancelled()),
            permit = self.limiter.streams().permit(turn, part, size) => Ok(permit),
        }
    }

    /// Waits until the agent drains and this body can not arrive in time: what it would take of the line is of more use to
    /// those that can.
    async fn is_too_late(&self, stream: &StreamPermit) {
        self.stop.cancelled().await;
        let end = Instant::now() + ENDING;
        while stream.can_end(end.saturating_duration_since(Instant::now())) {
            tokio::time::sleep(ASKED).await;
        }
    }

    /// One part, once.
    async fn send_part(&self, part: &PartRequest, whole: Option<&mut Hasher>) -> Result<PartRecord, CopyError> {
        let PartRequest { upload, turn, transfer, at, range, pin, select } = part;
        let (at, number, length) = (*at, at.number, range.end - range.start);
        let stream = self.permit_to_stream(*turn, number, length).await?;
        let _permit = self.limiter.bytes(STREAM).await;
        let _counted = self.metrics.hold_transfer(TransferKind::Part);
        legacy_log::downloading(length, &self.from, at);
        let changed =
            || CopyError::new(Side::Source, ErrorKind::SourceChanged, "GetObject", &self.from, "nothing is there");
        let opened = self.source.open(&self.from, pin, Some(range.clone())).await?.ok_or_else(changed)?;
        let body = transfer.body();
        let (chunks, hasher) = self.hash_chunks(opened.chunks, length, *select, Some(stream.clone()), body.clone());
        let (chunks, so_far) = match &whole {
            Some(whole) => hash_into(chunks, whole),
            None => (chunks, hasher.clone()),
        };
        let payload = Payload::Stream { length: opened.length, chunks, crc32c: Some(so_far_in(&hasher)) };
        legacy_log::uploading(length, &self.to, at);
        let StoredPart { etag, mut stored, .. } = tokio::select! {
            biased;
            part = self.sink.part(&self.to, upload, number, payload) => part?,
            () = self.is_too_late(&stream) => return Err(self.cancelled()),
        };
        stream.arrived();
        body.arrived();
        self.metrics.count_bytes_passed(length);
        let digests = finish_digests(&hasher);
        if !self.sink.capabilities().checksums && digests.md5.is_some_and(|md5| hex::encode(md5) == *etag) {
            stored.md5_etag(&etag);
        }
        match stored.compare(&digests) {
            DigestCheck::Mismatch { algorithm, expected, got } => {
                let answer =
                    format!("part {number}: {algorithm} of what was sent is {got}, the far side has {expected}");
                Err(CopyError::new(Side::Destination, ErrorKind::Corrupt, "UploadPart", &self.to, answer))
            }
            _ => {
                if let Some(whole) = whole {
                    *whole = so_far.lock().unwrap_or_else(PoisonError::into_inner).clone();
                }
                Ok(PartRecord { number, etag, digests })
            }
        }
    }

    /// Publishes the parts, if together they are what the source stores.
    pub async fn complete(&self, upload: &ActiveUpload, expected: &Expected) -> Result<CopyResult, CopyError> {
        let whole = upload.whole_digests().ok_or_else(|| self.cancelled())?;
        let mut source = self.matches_source(&upload.object, &whole)?;
        let digests: Vec<Digests> = upload.record.parts.iter().map(|part| part.digests).collect();
        if source == DigestCheck::NothingToCompare && upload.source_borders {
            source = self.check_source(upload.object.stored.compare_parts(&digests))?;
        }
        let parts: Vec<CompletedPart> = upload
            .record
            .parts
            .iter()
            .map(|part| CompletedPart { number: part.number, etag: part.etag.clone(), crc32c: part.digests.crc32c })
            .collect();
        let published = self.sink.finish(&self.to, &upload.record.id, &parts, &whole, expected).await?;
        self.verify(published, upload.record.token, whole, source, &digests).await
    }
}

/// Whether this is the MD5 of the MD5s of these parts: then the far side has confirmed each of them, and their order.
pub(super) fn is_of_parts(revision: &Revision, parts: &[Digests]) -> bool {
    let mut etag = StoredDigests::default();
    etag.md5_etag(&revision.0);
    matches!(etag.compare_parts(parts), DigestCheck::Verified(_))
}

/// Whether the far side holds this part as it was recorded.
fn matches_record(recorded: &PartRecord, held: &StoredPart) -> bool {
    let sums = StoredDigests {
        length: Some(held.size),
        crc32c: held.stored.crc32c.filter(Checksum::is_full),
        ..StoredDigests::default()
    };
    held.number == recorded.number
        && held.etag == recorded.etag
        && !sums.compare(&recorded.digests).is_mismatch()
        && held.size == recorded.digests.length
}

/// A part may be sent again; what cannot change, or ends the upload, is not worth it.
fn is_retryable(error: &CopyError) -> bool {
    !matches!(error.kind, ErrorKind::SourceChanged | ErrorKind::UploadGone | ErrorKind::Denied | ErrorKind::Credentials)
        && matches!(error.verdict(), Fate::Retry | Fate::Outage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_confirmed_by_the_etag_of_all_of_them_in_their_order_and_by_no_other() {
        let md5 = DigestSelection { md5: true, ..DigestSelection::default() };
        let [one, two] = [b"one", b"two"].map(|bytes| Digests::of(bytes, md5));
        let etag = Revision("1397b7ee3222e3980d0d20f23a871b02-2".into());
        assert!(is_of_parts(&etag, &[one, two]));
        assert!(!is_of_parts(&etag, &[two, one]) && !is_of_parts(&etag, &[one]) && !is_of_parts(&etag, &[]));
        assert!(!is_of_parts(&etag, &[one, Digests { md5: None, ..two }]), "one of them is not known");
        assert!(!is_of_parts(&Revision("1397b7ee3222e3980d0d20f23a871b02-3".into()), &[one, two]));
        assert!(!is_of_parts(&Revision("1700000000000001".into()), &[one, two]), "a generation is no ETag");
    }
}
