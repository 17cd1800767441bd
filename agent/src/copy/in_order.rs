//! A large object whose source stores one MD5 of the whole and nothing else: parts of an MD5 do not combine, so with
//! `verify = "md5"` the parts are read one after another, and the MD5 of all of them is known before they are published.

use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::parts::{ActiveUpload, CHECKPOINT, ProgressRecorder};
use super::{CopyRoute, Shared};
use crate::limits::{StreamTurn, TransferGuard};
use skyferry_core::digest::{DigestSelection, Hasher};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::ledger::PartRecord;
use skyferry_core::legacy_log;
use skyferry_core::store::{Chunks, Object};

impl CopyRoute {
    pub(super) fn reads_in_order(&self, object: &Object) -> bool {
        self.md5 && DigestSelection::for_source(&object.stored, true).md5
    }

    /// Sends every part that is not recorded yet, and reads those that are: the MD5 is of them all.
    pub(super) async fn send_in_order(
        &self,
        upload: &mut ActiveUpload,
        recorder: &dyn ProgressRecorder,
    ) -> Result<(), CopyError> {
        let turn = self.limiter.streams().turn(upload.parts.size);
        let transfer = self.transfer_of(upload);
        let mut whole = Hasher::new(DigestSelection { md5: true, ..DigestSelection::default() });
        let mut saved = Instant::now();
        let mut ended = Ok(());
        for (number, range) in upload.parts.iter() {
            let recorded = upload.record.parts.iter().find(|part| part.number == number);
            let next = match recorded {
                _ if self.stop.is_cancelled() => Err(self.cancelled()),
                // A part that has begun may still end.
                None => self.next_part(upload, (turn, &transfer), number, range, &mut whole).await.map(Some),
                Some(part) => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => Err(self.cancelled()),
                    read = self.read_again(part, range, &upload.object, &mut whole) => read.map(|()| None),
                },
            };
            match next {
                Ok(part) => upload.record.parts.extend(part),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            if saved.elapsed() >= CHECKPOINT {
                recorder.save(&upload.record).await?;
                saved = Instant::now();
            }
        }
        upload.record.parts.sort_by_key(|part| part.number);
        match ended {
            // What ends the upload makes its parts worthless.
            Err(error) if matches!(error.kind, ErrorKind::SourceChanged | ErrorKind::UploadGone) => Err(error),
            ended => {
                recorder.save(&upload.record).await?;
                upload.md5 = whole.finish().md5;
                ended
            }
        }
    }

    async fn next_part(
        &self,
        upload: &ActiveUpload,
        (turn, transfer): (StreamTurn, &Arc<TransferGuard>),
        number: u32,
        range: Range<u64>,
        whole: &mut Hasher,
    ) -> Result<PartRecord, CopyError> {
        let part = self.part_request(upload, turn, number, range, transfer);
        let record = self.send_part_with_retries(&part, &AtomicU32::new(0), Some(whole)).await?;
        legacy_log::complete(record.digests.length, &self.from, part.at, upload.record.parts.len() + 1);
        Ok(record)
    }

    /// A part that an earlier job sent: its bytes are needed, and have to be the ones that were sent.
    async fn read_again(
        &self,
        part: &PartRecord,
        range: Range<u64>,
        object: &Object,
        whole: &mut Hasher,
    ) -> Result<(), CopyError> {
        let changed = |why: &str| CopyError::new(Side::Source, ErrorKind::SourceChanged, "GetObject", &self.from, why);
        let opened = self.source.open(&self.from, &self.pin(object), Some(range)).await?;
        let mut chunks = opened.ok_or_else(|| changed("nothing is there"))?.chunks;
        let mut again = Hasher::new(DigestSelection::default());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.limiter.bandwidth(chunk.len() as u64).await;
            again.update(&chunk);
            whole.update(&chunk);
        }
        match again.finish().crc32c == part.digests.crc32c {
            true => Ok(()),
            false => Err(changed("a part that was sent before has other bytes now")),
        }
    }
}

/// The same chunks; what passes goes into a copy of the hasher, which counts once the part is stored.
pub(super) fn hash_into(chunks: Chunks, whole: &Hasher) -> (Chunks, Shared) {
    let so_far: Shared = Arc::new(Mutex::new(whole.clone()));
    let into = so_far.clone();
    let chunks = chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            into.lock().unwrap_or_else(PoisonError::into_inner).update(chunk as &Bytes);
        }
    });
    (Box::pin(chunks), so_far)
}
