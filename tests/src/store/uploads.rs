//! Multipart uploads: parts are kept apart and become an object in one step. An upload that was aborted or completed is
//! gone for good, which is what the agent's fence rests on.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Attributes, Draft, Object, ObjectInfo, Store, StoredChecksum,
    data::{Data, Digests},
};
use crate::refusal::Refusal;

/// The smallest part but for the last, in bytes: 5 MiB.
pub(crate) const SMALLEST_PART: u64 = 5 << 20;

/// One uploaded part.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) data: Data,
    pub(crate) digests: Digests,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
}

/// An upload that is open.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) started: Timestamp,
    pub(crate) attributes: Attributes,
    /// S3: the algorithm named at the start, and whether it is COMPOSITE.
    pub(crate) checksum: Option<(&'static str, bool)>,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// An open upload, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadInfo {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The upload id.
    pub upload_id: String,
    /// When it was started.
    pub started: Timestamp,
    /// The attributes that the object will have.
    pub attributes: Attributes,
    /// Part numbers and sizes in bytes.
    pub parts: Vec<(u32, u64)>,
}

/// What a dialect decides at the end of an upload from the parts in order.
pub(crate) struct Ending {
    /// Without quotes; `None`: opaque.
    pub(crate) etag: Option<String>,
    pub(crate) checksum: Option<StoredChecksum>,
}

/// One part of a Complete request: number, and ETag with or without quotes.
pub(crate) type Listed = (u32, String);

fn gone(id: &str) -> Refusal {
    Refusal::not_found("NoSuchUpload", format!("no such upload: {id}"))
}

impl Store {
    pub(crate) fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
        checksum: Option<(&'static str, bool)>,
    ) -> Result<String, Refusal> {
        let id = format!("U{:032x}", rand::random::<u128>());
        let upload = Upload { started: Timestamp::now(), attributes, checksum, parts: BTreeMap::new() };
        self.with(bucket, |bucket| Ok(bucket.uploads.insert((key.to_owned(), id.clone()), upload)))?;
        Ok(id)
    }

    /// The upload as it stands.
    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Refusal> {
        let upload = (key.to_owned(), id.to_owned());
        self.with(bucket, |bucket| bucket.uploads.get(&upload).cloned().ok_or_else(|| gone(id)))
    }

    /// The checksum that the upload's start named; refuses an upload that is gone.
    pub(crate) fn upload_checksum(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<Option<(&'static str, bool)>, Refusal> {
        let upload = (key.to_owned(), id.to_owned());
        self.with(bucket, |bucket| bucket.uploads.get(&upload).map(|upload| upload.checksum).ok_or_else(|| gone(id)))
    }

    pub(crate) fn upload_attributes(&self, bucket: &str, key: &str, id: &str) -> Result<Attributes, Refusal> {
        let upload = (key.to_owned(), id.to_owned());
        self.with(bucket, |bucket| {
            bucket.uploads.get(&upload).map(|upload| upload.attributes.clone()).ok_or_else(|| gone(id))
        })
    }

    pub(crate) fn put_part(&self, bucket: &str, key: &str, id: &str, number: u32, part: Part) -> Result<(), Refusal> {
        let upload = (key.to_owned(), id.to_owned());
        self.with(bucket, |bucket| {
            let upload = bucket.uploads.get_mut(&upload).ok_or_else(|| gone(id))?;
            upload.parts.insert(number, part);
            Ok(())
        })
    }

    /// Ends an upload; says whether it was there.
    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<bool, Refusal> {
        let upload = (key.to_owned(), id.to_owned());
        self.with(bucket, |bucket| Ok(bucket.uploads.remove(&upload).is_some()))
    }

    /// Publishes the listed parts as one object and ends the upload, in one step.
    pub(crate) fn complete_upload(
        &self,
        (bucket, key, id): (&str, &str, &str),
        listed: &[Listed],
        guard: impl FnOnce(Option<&ObjectInfo>) -> Result<(), Refusal>,
        ending: impl FnOnce(&Upload, &[Part], &Digests) -> Result<Ending, Refusal>,
    ) -> Result<Object, Refusal> {
        let options = self.options();
        let at = (key.to_owned(), id.to_owned());
        let mut state = self.state();
        let kept = state.bucket(bucket, options)?;
        let upload = kept.uploads.get(&at).ok_or_else(|| gone(id))?;
        let parts = chosen(upload, listed)?;
        let whole = parts.iter().fold(Digests::empty(), |whole, part| whole.then(&part.digests));
        guard(kept.objects.get(key).map(|object| &*object.info))?;
        let ending = ending(upload, &parts, &whole)?;
        let draft = Draft {
            digests: whole,
            attributes: upload.attributes.clone(),
            etag: ending.etag,
            parts: u32::try_from(parts.len()).ok(),
            part_size: parts.first().map(|part| part.digests.size),
            checksum: ending.checksum,
            data: Data::joined(parts.into_iter().map(|part| part.data)),
        };
        kept.uploads.remove(&at);
        state.publish(bucket, key, draft, options)
    }

    /// Every open upload of a bucket.
    pub(crate) fn open_uploads(&self, bucket: &str) -> Vec<UploadInfo> {
        let state = self.state();
        let uploads = state.buckets.get(bucket).into_iter().flat_map(|kept| &kept.uploads);
        let info = |((key, id), upload): (&(String, String), &Upload)| UploadInfo {
            bucket: bucket.to_owned(),
            key: key.clone(),
            upload_id: id.clone(),
            started: upload.started,
            attributes: upload.attributes.clone(),
            parts: upload.parts.iter().map(|(number, part)| (*number, part.digests.size)).collect(),
        };
        uploads.map(info).collect()
    }

    /// Every state now visible in a bucket, in key order.
    pub(crate) fn visible(&self, bucket: &str) -> Vec<Arc<ObjectInfo>> {
        let state = self.state();
        let objects = state.buckets.get(bucket).into_iter().flat_map(|kept| kept.objects.values());
        objects.map(|object| Arc::clone(&object.info)).collect()
    }
}

/// The parts that a Complete lists: in ascending order, known, with their ETags, all but the last large enough.
fn chosen(upload: &Upload, listed: &[Listed]) -> Result<Vec<Part>, Refusal> {
    if listed.is_empty() {
        return Err(Refusal::bad("MalformedXML", "a multipart upload needs at least one part"));
    }
    if listed.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(Refusal::bad("InvalidPartOrder", "parts must be listed in ascending order"));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(listed.len());
    for (number, etag) in listed {
        let part = upload.parts.get(number).filter(|part| part.etag == etag.trim_matches('"'));
        let part = part.ok_or_else(|| Refusal::bad("InvalidPart", format!("part {number} with ETag {etag}")))?;
        parts.push(part.clone());
    }
    let small = |part: &Part| part.digests.size < SMALLEST_PART;
    if parts.iter().rev().skip(1).any(small) {
        return Err(Refusal::bad("EntityTooSmall", "a part but the last is smaller than 5 MiB"));
    }
    Ok(parts)
}
