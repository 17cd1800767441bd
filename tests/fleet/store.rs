//! The destination, with the laws of S3, of Google Cloud Storage or of a store without preconditions. Every request takes
//! effect at one moment; what becomes of it on the way is `port.rs`'s.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use skyferry_core::digest::{Checksum, DigestSelection, Digests, StoredDigests};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, Revision, SourceIdentity, UploadId};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{
    Capabilities, CompletedPart, Metadata, Object, OpenUpload, Provenance, StoredPart, WriteAttributes, WriteResult,
};

use crate::clock::{Time, seconds};

pub const BUCKET: &str = "copies";
pub const PREFIX: &str = "in/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    S3,
    Gcs,
    /// No preconditions: Alibaba OSS and others.
    Plain,
}

/// As the clouds have them, but for sizes, which are a five-thousandth.
const LIMITS: SinkLimits =
    SinkLimits { min_part: 1 << 10, max_part: 1 << 20, max_object: 1 << 30, max_single_put: 4 << 20, ..SinkLimits::S3 };

#[derive(Clone, Debug)]
pub struct Copy {
    pub bytes: Bytes,
    pub revision: Revision,
    pub metadata: Metadata,
    pub provenance: Option<Provenance>,
    pub modified: i64,
}

#[derive(Clone, Debug)]
pub struct Upload {
    pub key: Key,
    pub with: Option<WriteAttributes>,
    pub parts: BTreeMap<u32, Bytes>,
    pub initiated: Time,
    /// Aborted, and still listed until then.
    pub lingers: Option<Time>,
}

pub struct Bucket {
    pub law: Law,
    pub objects: BTreeMap<Key, Copy>,
    pub uploads: BTreeMap<UploadId, Upload>,
    next: u64,
}

type Answer<T> = Result<T, ErrorKind>;

impl Bucket {
    pub fn new(law: Law) -> Bucket {
        Bucket { law, objects: BTreeMap::new(), uploads: BTreeMap::new(), next: 0 }
    }

    pub fn capabilities(&self) -> Capabilities {
        let conditional = self.law != Law::Plain;
        Capabilities {
            conditional_put: conditional,
            conditional_finish: self.law == Law::S3,
            conditional_delete: conditional,
            checksums: true,
            metadata: true,
        }
    }

    pub fn limits() -> &'static SinkLimits {
        &LIMITS
    }

    pub fn head(&self, key: &Key) -> Option<Object> {
        let copy = self.objects.get(key)?;
        let identity = SourceIdentity {
            etag: copy.revision.0.clone(),
            size: copy.bytes.len() as u64,
            last_modified: copy.modified,
            version: None,
        };
        Some(Object {
            identity,
            revision: copy.revision.clone(),
            metadata: copy.metadata.clone(),
            stored: stored(&copy.bytes),
            provenance: copy.provenance.clone(),
        })
    }

    fn holds(&self, key: &Key, expected: &Expected, enforced: bool) -> Answer<()> {
        let there = self.objects.get(key).map(|copy| &copy.revision);
        let right = match expected {
            Expected::Any => true,
            Expected::Absent => there.is_none(),
            Expected::Revision(revision) => there == Some(revision),
        };
        if right || !enforced { Ok(()) } else { Err(ErrorKind::Precondition) }
    }

    pub fn put(
        &mut self,
        key: &Key,
        bytes: Bytes,
        with: &WriteAttributes,
        expected: &Expected,
        now: Time,
    ) -> Answer<WriteResult> {
        self.holds(key, expected, self.law != Law::Plain)?;
        Ok(self.publish(key, bytes, with, "", now))
    }

    fn publish(&mut self, key: &Key, bytes: Bytes, with: &WriteAttributes, suffix: &str, now: Time) -> WriteResult {
        self.next += 1;
        // Google counts; the others name states by their bytes, so that an old name can come back.
        let revision = match self.law {
            Law::Gcs => Revision(format!("{}", 1_000_000 + self.next).into()),
            _ => {
                let md5 = Digests::of(&bytes, DigestSelection { md5: true, ..DigestSelection::default() })
                    .md5
                    .unwrap_or_default();
                Revision(format!("{}{suffix}", hex::encode(md5)).into())
            }
        };
        let copy = Copy {
            bytes: bytes.clone(),
            revision: revision.clone(),
            metadata: with.metadata.clone(),
            provenance: Some(with.provenance.clone()),
            modified: seconds(now),
        };
        self.objects.insert(key.clone(), copy);
        WriteResult { revision: Some(revision), stored: stored(&bytes) }
    }

    pub fn begin(&mut self, key: &Key, with: Option<WriteAttributes>, now: Time) -> UploadId {
        self.next += 1;
        let id = UploadId(format!("u{:06}", self.next).into());
        let upload = Upload { key: key.clone(), with, parts: BTreeMap::new(), initiated: now, lingers: None };
        self.uploads.insert(id.clone(), upload);
        id
    }

    fn open(&mut self, key: &Key, id: &UploadId) -> Answer<&mut Upload> {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.lingers.is_none() && upload.key == *key);
        upload.ok_or(ErrorKind::UploadGone)
    }

    pub fn part(&mut self, key: &Key, id: &UploadId, number: u32, bytes: Bytes) -> Answer<StoredPart> {
        let upload = self.open(key, id)?;
        upload.parts.insert(number, bytes.clone());
        Ok(part(number, &bytes))
    }

    pub fn parts(&mut self, id: &UploadId, now: Time) -> Option<Vec<StoredPart>> {
        self.uploads.retain(|_, upload| upload.lingers.is_none_or(|until| until > now));
        let upload = self.uploads.get(id)?;
        Some(upload.parts.iter().map(|(number, bytes)| part(*number, bytes)).collect())
    }

    pub fn complete(
        &mut self,
        key: &Key,
        id: &UploadId,
        parts: &[CompletedPart],
        whole: &Digests,
        expected: &Expected,
        now: Time,
    ) -> Answer<WriteResult> {
        let law = self.law;
        let upload = self.open(key, id)?.clone();
        let mut bytes = BytesMut::new();
        for (at, wanted) in parts.iter().enumerate() {
            let Some(found) = upload.parts.get(&wanted.number).filter(|found| etag(found) == *wanted.etag) else {
                return Err(ErrorKind::Refused);
            };
            if (found.len() as u64) < LIMITS.min_part && at + 1 < parts.len() {
                return Err(ErrorKind::Refused);
            }
            bytes.extend_from_slice(found);
        }
        if parts.is_empty() {
            return Err(ErrorKind::Refused);
        }
        let bytes = bytes.freeze();
        if law == Law::S3 && Digests::of(&bytes, DigestSelection::default()).crc32c != whole.crc32c {
            return Err(ErrorKind::Corrupt);
        }
        self.holds(key, expected, law == Law::S3)?;
        let with = upload.with.ok_or(ErrorKind::Refused)?;
        self.uploads.remove(id);
        Ok(self.publish(key, bytes, &with, &format!("-{}", parts.len()), now))
    }

    /// `lingers`: it is still listed until then.
    pub fn abort(&mut self, id: &UploadId, lingers: Option<Time>) {
        match (self.uploads.get_mut(id), lingers) {
            (Some(upload), Some(until)) if upload.lingers.is_none() => upload.lingers = Some(until),
            (Some(Upload { lingers: Some(_), .. }) | None, _) => {}
            (Some(_), _) => {
                self.uploads.remove(id);
            }
        }
    }

    pub fn list_uploads(&self, prefix: &Key, now: Time) -> Vec<OpenUpload> {
        let listed = self.uploads.iter().filter(|(_, upload)| upload.lingers.is_none_or(|until| until > now));
        let under = listed.filter(|(_, upload)| upload.key.as_bytes().starts_with(prefix.as_bytes()));
        let open = under.map(|(id, upload)| OpenUpload {
            key: upload.key.clone(),
            id: id.clone(),
            initiated: seconds(upload.initiated),
        });
        open.collect()
    }

    pub fn delete(&mut self, key: &Key, expected: &Expected) -> Answer<()> {
        if self.objects.contains_key(key) {
            self.holds(key, expected, self.law != Law::Plain)?;
        }
        self.objects.remove(key);
        Ok(())
    }
}

/// A part is named by its bytes: what is sent twice has one name.
fn etag(bytes: &Bytes) -> String {
    format!("{:08x}-{}", Digests::of(bytes, DigestSelection::default()).crc32c, bytes.len())
}

fn part(number: u32, bytes: &Bytes) -> StoredPart {
    StoredPart { number, etag: etag(bytes).into(), size: bytes.len() as u64, stored: stored(bytes) }
}

fn stored(bytes: &Bytes) -> StoredDigests {
    let digests = Digests::of(bytes, DigestSelection::default());
    StoredDigests {
        length: Some(digests.length),
        crc32c: Some(Checksum::Full(digests.crc32c)),
        ..StoredDigests::default()
    }
}
