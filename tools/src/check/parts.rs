//! Probes of uploads in parts: what is reported of parts and of the whole, and what becomes of one that was aborted.

use std::sync::Arc;

use bytes::Bytes;
use skyferry_core::digest::{Checksum, DigestSelection, Digests};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::{Expected, Location, Token, UploadId};
use skyferry_core::store::{CompletedPart, CopyOptions, Payload, Sink, StoredPart};

use super::finding::Findings;
use super::folder::ProbeFolder;
use super::large::{self, ProbeTarget};
use super::single::{attributes, body};

/// Bytes of the last part, which may be small.
const LAST: usize = 1000;
/// What is in doubt where nothing can be sent in parts.
const UNKNOWN: &[u8] = &[2, 3, 4, 7, 10];

/// One of its uploads.
struct Upload<'a> {
    sink: &'a dyn Sink,
    at: Location,
    id: UploadId,
    token: Token,
}

impl Upload<'_> {
    async fn part(&self, number: u32, bytes: &Bytes) -> Result<StoredPart, CopyError> {
        // As agents send them: streamed, whatever their size.
        let payload = Payload::Stream { length: bytes.len() as u64, chunks: large::chunks(bytes), crc32c: None };
        self.sink.part(&self.at, &self.id, number, payload).await
    }

    async fn finish(&self, sent: &[(StoredPart, Digests)], expected: &Expected) -> Result<(), CopyError> {
        let parts: Vec<CompletedPart> = sent
            .iter()
            .map(|(part, digests)| CompletedPart {
                number: part.number,
                etag: part.etag.clone(),
                crc32c: digests.crc32c,
            })
            .collect();
        let whole = sent.iter().fold(Digests::default(), |whole, (_, part)| whole.then(part));
        self.sink.finish(&self.at, &self.id, &parts, &whole, expected).await.map(|_| ())
    }
}

async fn begin<'a>(
    sink: &'a dyn Sink,
    folder: &ProbeFolder,
    name: &str,
    size: usize,
    options: &Arc<CopyOptions>,
) -> Result<Upload<'a>, CopyError> {
    let at = folder.at(name);
    let mut with = attributes(&at, &body(size), options);
    // Of an object in parts it is not known beforehand.
    with.provenance.crc32c = None;
    let id = sink.begin(&at, &with).await?;
    folder.remember_upload(&at, &id);
    Ok(Upload { sink, at, id, token: with.provenance.token })
}

pub async fn probe(place: &ProbeTarget<'_>, findings: &mut Findings<'_>) {
    let ProbeTarget { folder, options, .. } = *place;
    let sink = &**place.sink;
    let least = usize::try_from(sink.limits().min_part).unwrap_or(5 << 20);
    let upload = match begin(sink, folder, "parts", least + LAST, options).await {
        Ok(upload) => upload,
        Err(error) => return findings.fail("begin an upload", place.explain(&error), UNKNOWN),
    };
    uploads_are_listed(sink, folder, &upload, findings).await;
    let mut sent = Vec::new();
    for (number, length) in [(1, least), (2, LAST)] {
        let bytes = body(length);
        match upload.part(number, &bytes).await {
            Ok(part) => sent.push((part, Digests::of(&bytes, DigestSelection::default()))),
            Err(error) => return findings.fail("send a part", place.explain(&error), UNKNOWN),
        }
    }
    parts_are_reported(&sent, sink, findings);
    match sink.parts(&upload.at, &upload.id).await {
        Ok(Some(parts)) if parts.len() == sent.len() => findings.pass("list parts", "shows them"),
        Ok(_) => findings.warn("list parts", ("does not return what was sent", "nothing can be resumed"), &[7]),
        Err(error) => findings.warn("list parts", &error, &[7]),
    }
    match place.complete(&upload.at, (&upload.id, upload.token), &sent, least as u64).await {
        Ok(copied) => {
            large::graded(place, &copied, "complete", findings);
            whole_is_verified(sink, &upload.at, findings).await;
        }
        Err(error) => return findings.fail("complete", place.explain(&error), UNKNOWN),
    }
    conditional(sink, folder, options, findings).await;
    after_abort(sink, folder, options, findings).await;
}

/// What is proven by the answer alone costs nothing; else the object is read back.
async fn whole_is_verified(sink: &dyn Sink, at: &Location, findings: &mut Findings<'_>) {
    let reported =
        sink.head(at).await.ok().flatten().and_then(|object| object.stored.crc32c).and_then(|sum| sum.full());
    if reported.is_none() && sink.capabilities().checksums {
        let advice = "large objects are read back for verification; check [destination] profile and endpoint";
        findings.warn("checksum of the whole", ("none is shown", advice), &[3]);
    }
}

async fn uploads_are_listed(sink: &dyn Sink, folder: &ProbeFolder, upload: &Upload<'_>, findings: &mut Findings<'_>) {
    let advice =
        "grant it (s3:ListBucketMultipartUploads, storage.multipartUploads.list): leftover uploads are not found";
    match sink.uploads(folder.bucket(), folder.prefix()).await {
        Ok(found) if found.iter().any(|open| open.id == upload.id) => findings.pass("list uploads", "shows it"),
        Ok(_) => {
            findings.warn("list uploads", ("does not show one that is open", "clean up by a rule of the bucket"), &[10])
        }
        Err(error) if error.kind == ErrorKind::Denied => {
            findings.warn("list uploads", ("access denied".to_owned(), advice), &[10]);
        }
        Err(error) => findings.warn("list uploads", &error, &[10]),
    }
}

fn parts_are_reported(sent: &[(StoredPart, Digests)], sink: &dyn Sink, findings: &mut Findings<'_>) {
    let reported: Vec<_> = sent.iter().filter_map(|(part, _)| part.stored.crc32c).collect();
    let right =
        sent.iter().all(|(part, digests)| part.stored.crc32c.is_none_or(|crc| crc == Checksum::Full(digests.crc32c)));
    match (reported.len() == sent.len(), right) {
        (_, false) => findings.fail("checksums of parts", ("differ from those of the bytes", "do not use it"), &[3]),
        (true, true) => findings.pass("checksums of parts", "every part's CRC32C is in its answer"),
        (false, true) if sink.capabilities().checksums => {
            let advice = "a wrong part is seen only when the whole is complete, and then all is sent again";
            findings.warn("checksums of parts", ("not in the answers", advice), &[]);
        }
        (false, true) => findings.pass("checksums of parts", "not in the answers; ETags are compared"),
    }
}

async fn conditional(sink: &dyn Sink, folder: &ProbeFolder, options: &Arc<CopyOptions>, findings: &mut Findings<'_>) {
    if !sink.capabilities().conditional_finish {
        return findings
            .pass("conditional complete", "not supported by this service: the ledger keeps large objects in order");
    }
    let bytes = body(LAST);
    let answered = async {
        let upload = begin(sink, folder, "parts", LAST, options).await?;
        let sent = [(upload.part(1, &bytes).await?, Digests::of(&bytes, DigestSelection::default()))];
        let answered = upload.finish(&sent, &Expected::Absent).await;
        sink.abort(&upload.at, &upload.id).await?;
        answered
    };
    match answered.await {
        Err(error) if error.kind == ErrorKind::Precondition => {
            findings.pass("conditional complete", "an existing object is not replaced");
        }
        Ok(_) => {
            let advice = "set [destination] profile = \"generic\": then conditions are not relied on";
            findings.fail("conditional complete", ("ignored: the existing object was replaced", advice), &[4]);
        }
        Err(error) => findings.fail("conditional complete", &error, &[4]),
    }
}

/// The fence of the write protocol: what was aborted must not be published any more.
async fn after_abort(sink: &dyn Sink, folder: &ProbeFolder, options: &Arc<CopyOptions>, findings: &mut Findings<'_>) {
    let bytes = body(LAST);
    let answered = async {
        let upload = begin(sink, folder, "aborted", LAST, options).await?;
        let sent = [(upload.part(1, &bytes).await?, Digests::of(&bytes, DigestSelection::default()))];
        sink.abort(&upload.at, &upload.id).await?;
        sink.abort(&upload.at, &upload.id).await?;
        let gone = sink.parts(&upload.at, &upload.id).await?.is_none();
        let finished = upload.finish(&sent, &Expected::Any).await;
        Ok::<_, CopyError>((gone, finished.err(), sink.head(&upload.at).await?.is_some()))
    };
    let what = "complete after abort";
    match answered.await {
        Ok((_, _, true)) => {
            let advice = "a delayed agent can publish an old state: let only one agent work on this destination";
            findings.fail(what, ("publishes what was aborted", advice), &[4]);
        }
        Ok((true, Some(error), false)) if error.kind == ErrorKind::UploadGone => findings.pass(what, "is refused"),
        Ok((true, Some(error), false)) => findings.pass(what, format!("is refused ({})", error.answer)),
        Ok(_) => findings.warn(what, ("an aborted upload is still shown", "look again with `skyferry clean`"), &[10]),
        Err(error) => findings.fail(what, &error, &[4]),
    }
}
