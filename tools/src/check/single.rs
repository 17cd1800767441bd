//! Probes of objects that are written in one request: what is read back, what is refused, what a condition is worth.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use skyferry_core::digest::{Checksum, DigestSelection, Digests};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::{Expected, Location, Revision, SourceIdentity, Token};
use skyferry_core::store::{
    CopyOptions, Encryption, ListFrom, Metadata, Object, Payload, Provenance, Sink, WriteAttributes, WriteResult,
};

use super::finding::{CheckError, Findings};
use super::folder::ProbeFolder;
use super::large::{self, ProbeTarget};

/// Beyond this a service begins to refuse signatures, which it does at 15 minutes (Google, Amazon).
const FAR_OFF: i64 = 300;
const A_LITTLE_OFF: i64 = 30;

/// A probe's object.
pub fn body(length: usize) -> Bytes {
    b"A test object of skyferry check.\n".iter().copied().cycle().take(length).collect()
}

pub fn attributes(at: &Location, body: &Bytes, options: &Arc<CopyOptions>) -> WriteAttributes {
    let size = body.len() as u64;
    let (etag, last_modified) = ("check".into(), now());
    let storage_class = options.class_of(&Metadata::default());
    WriteAttributes {
        metadata: Metadata { storage_class, ..Metadata::default() },
        provenance: Provenance {
            source: Location::new("skyferry-check", at.key.clone()),
            identity: SourceIdentity { etag, size, last_modified, version: None },
            token: Token::random(),
            crc32c: Some(Digests::of(body, DigestSelection::default()).crc32c),
            headers: None,
        },
        size,
        options: options.clone(),
    }
}

/// `false`: nothing can be written, so that nothing else need be tried.
pub async fn probe(place: &ProbeTarget<'_>, findings: &mut Findings<'_>) -> bool {
    let ProbeTarget { folder, options, .. } = *place;
    let sink = &**place.sink;
    let (at, body) = (folder.at("single"), body(1000));
    let with = attributes(&at, &body, options);
    let sent = now();
    let first = match sink.put(&at, Payload::Whole(body.clone()), &with, &Expected::Absent).await {
        Ok(published) => revision(published),
        Err(error) => {
            if error.kind != ErrorKind::LostAnswer {
                folder.forget(&at);
            }
            findings.fail("write", place.explain(&error), &[2, 3, 4, 7, 10]);
            return false;
        }
    };
    findings.pass("write", format!("{} bytes to {at}", body.len()));
    match sink.head(&at).await {
        Ok(Some(object)) => {
            check_attributes(&object, &with, &body, sent, sink, findings);
            check_encryption(&object, options, findings);
        }
        Ok(None) => {
            findings.fail("look", ("the written object is not there", "check which other program writes there"), &[3])
        }
        Err(error) => findings.fail("look", &error, &[3, 5]),
    }
    read_back(sink, &at, &body, findings).await;
    listed(sink, folder, findings).await;
    let last = conditional(place, &at, first.clone(), findings).await;
    delete(sink, &at, first, last, findings).await;
    true
}

fn check_attributes(
    object: &Object,
    with: &WriteAttributes,
    body: &Bytes,
    sent: i64,
    sink: &dyn Sink,
    findings: &mut Findings<'_>,
) {
    let can = sink.capabilities();
    match (object.provenance == Some(with.provenance.clone()), can.metadata) {
        (true, _) => findings.pass("metadata", "is returned as it was sent"),
        (false, true) => {
            let advice = "does a proxy remove headers? Skyferry recognises its own copies by them";
            findings.fail("metadata", ("does not come back", advice), &[4, 5, 11]);
        }
        (false, false) => findings.warn("metadata", ("is not kept here", "the ledger alone knows"), &[5]),
    }
    match (object.stored.crc32c, can.checksums) {
        (Some(Checksum::Full(crc)), _) if Some(crc) == with.provenance.crc32c => {
            findings.pass("stored checksum", "the object's CRC32C, and it is correct");
        }
        (None, false) => {
            let advice = "what is written is compared by its ETag where that is an MD5, else read back";
            findings.warn("stored checksum", ("none is returned", advice), &[]);
        }
        (None, true) => {
            let advice = "large objects are read back for verification; check [destination] profile and endpoint";
            findings.warn("stored checksum", ("not returned, although this service stores one", advice), &[3]);
        }
        (Some(_), _) => findings.fail("stored checksum", ("differs from that of the bytes", "do not use it"), &[3]),
    }
    let md5: [u8; 16] = Md5::digest(body).into();
    let is_md5 = object.stored.md5 == Some(Checksum::Full(md5));
    findings.pass("ETag", if is_md5 { "an MD5" } else { "opaque; it is never taken for an MD5" });
    let ahead = object.identity.last_modified - sent;
    let found = match ahead {
        0 => "the destination's is this machine's, to the second".to_owned(),
        1.. => format!("the destination's is {ahead} s ahead of this machine's"),
        _ => format!("the destination's is {} s behind this machine's", -ahead),
    };
    match ahead.abs() {
        FAR_OFF.. => findings.fail("clock", (found, "set this machine's clock: chrony, or systemd-timesyncd"), &[4]),
        A_LITTLE_OFF.. => findings.warn("clock", (found, "set this machine's clock"), &[]),
        _ => findings.pass("clock", found),
    }
}

/// What was asked for is there: a service that does not know the header takes it in silence.
fn check_encryption(object: &Object, options: &CopyOptions, findings: &mut Findings<'_>) {
    let shown = object.metadata.encryption.as_deref();
    let right = match &options.encryption {
        None => {
            shown.inspect(|shown| findings.pass("encryption", format!("the bucket's own, {shown}")));
            return;
        }
        Some(Encryption::SseS3) => shown == Some("AES256"),
        Some(Encryption::SseKms { .. }) => shown == Some("aws:kms"),
        // The service adds the key's version.
        Some(Encryption::Cmek(key)) => shown.is_some_and(|shown| shown.starts_with(&**key)),
    };
    let Some(wanted) = &options.encryption else { return };
    match (right, shown) {
        (true, _) => findings.pass("encryption", format!("{wanted}, as it was asked for")),
        (false, shown) => {
            let found = format!("{wanted} was asked for, and the object shows {}", shown.unwrap_or("none"));
            findings.fail("encryption", (found, "this service does not encrypt as it is asked to"), &[]);
        }
    }
}

async fn read_back(sink: &dyn Sink, at: &Location, body: &Bytes, findings: &mut Findings<'_>) {
    let read = async {
        let Some(opened) = sink.open(at).await? else { return Ok(None) };
        let chunks: Vec<Result<Bytes, CopyError>> = opened.chunks.collect().await;
        let chunks = chunks.into_iter().collect::<Result<Vec<Bytes>, CopyError>>()?;
        Ok::<_, CopyError>(Some(chunks.concat()))
    };
    match read.await {
        Ok(Some(bytes)) if bytes == *body => findings.pass("read back", "every byte as it was sent"),
        Ok(_) => findings.fail("read back", ("other bytes than were sent", "do not use it"), &[3]),
        Err(error) => findings.warn("read back", &error, &[3]),
    }
}

async fn listed(sink: &dyn Sink, folder: &ProbeFolder, findings: &mut Findings<'_>) {
    match sink.list(folder.bucket(), folder.prefix(), ListFrom::Start).await {
        Ok(page) if page.objects.len() == 1 => findings.pass("list", "shows it"),
        Ok(page) => {
            let found = format!("shows {} objects instead of one", page.objects.len());
            findings.warn("list", (found, "`copy`, `scan` and `verify` compare by listings"), &[]);
        }
        Err(error) => {
            let CheckError { found, advice } = CheckError::from(&error);
            let advice = format!("agents need no listing; `copy`, `scan` and `verify` do: {advice}");
            findings.warn("list", CheckError::new(found, advice), &[]);
        }
    }
}

/// A body that comes with another's checksum.
pub async fn wrong_bytes(
    sink: &dyn Sink,
    folder: &ProbeFolder,
    options: &Arc<CopyOptions>,
    findings: &mut Findings<'_>,
) {
    if !sink.capabilities().checksums {
        return;
    }
    let (at, body) = (folder.at("wrong"), body(1000));
    let mut with = attributes(&at, &body, options);
    with.provenance.crc32c = with.provenance.crc32c.map(|crc| !crc);
    let answered = sink.put(&at, Payload::Whole(body), &with, &Expected::Any).await;
    let there = sink.head(&at).await.is_ok_and(|object| object.is_some());
    match answered {
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Refused) && !there => {
            folder.forget(&at);
            findings.pass("wrong bytes", "are refused before anything is published");
        }
        Ok(_) => {
            let advice = "checksums are ignored here: set [destination] profile to what it is, or use another endpoint";
            findings.fail("wrong bytes", ("a body with a wrong CRC32C was published", advice), &[3]);
        }
        Err(_) if there => {
            let advice = "a wrong body is visible for a moment";
            findings.fail("wrong bytes", ("are refused, but published nevertheless", advice), &[2, 3]);
        }
        Err(error) => findings.warn("wrong bytes", &error, &[3]),
    }
}

/// What was written, where the answer names it.
fn revision(published: WriteResult) -> Revision {
    published.revision.unwrap_or_else(|| Revision("".into()))
}

/// Back comes the revision that is there at last.
async fn conditional(place: &ProbeTarget<'_>, at: &Location, first: Revision, findings: &mut Findings<'_>) -> Revision {
    let ProbeTarget { sink, options, .. } = *place;
    if !sink.capabilities().conditional_put {
        let advice = "an older state can replace a newer one when two agents work on one key; `scan` repairs it";
        findings.warn("conditional write", ("this service has none", advice), &[4]);
        return first;
    }
    let advice = "set [destination] profile = \"generic\": then conditions are not relied on";
    // Other bytes than the first time: an ETag may be that of the bytes alone.
    let body = body(999);
    let with = attributes(at, &body, options);
    let put = async |expected: &Expected| sink.put(at, Payload::Whole(body.clone()), &with, expected).await;
    match put(&Expected::Absent).await {
        Err(error) if error.kind == ErrorKind::Precondition => {}
        Ok(published) => {
            findings.fail("conditional write", ("ignored: the existing object was replaced", advice), &[4]);
            return revision(published);
        }
        Err(error) => {
            findings.fail("conditional write", &error, &[4]);
            return first;
        }
    }
    let expected = Expected::Revision(first.clone());
    match put(&expected).await {
        Ok(published) => {
            findings.pass("conditional write", "an object is replaced only if it is the expected one");
            revision(published)
        }
        Err(error) => {
            findings.fail("conditional write", large::refused(place, at, &expected, &error).await, &[4]);
            first
        }
    }
}

async fn delete(sink: &dyn Sink, at: &Location, first: Revision, last: Revision, findings: &mut Findings<'_>) {
    if sink.capabilities().conditional_delete && first != last {
        match sink.delete(at, &Expected::Revision(first)).await {
            Err(error) if error.kind == ErrorKind::Precondition => {
                findings.pass("conditional delete", "a newer object is kept");
            }
            Ok(()) => {
                let advice = "leave `deletes` off: it could remove a newer object";
                findings.warn("conditional delete", ("ignored: a newer object was removed", advice), &[]);
            }
            Err(error) => findings.warn("conditional delete", &error, &[]),
        }
    }
    let gone = async {
        sink.delete(at, &Expected::Any).await?;
        sink.head(at).await
    };
    match gone.await {
        Ok(None) => findings.pass("delete", "its own object is deleted"),
        Ok(Some(_)) => findings.fail("delete", ("the object is still there", "check holds and retention"), &[3]),
        Err(error) => findings.fail("delete", &error, &[3]),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
