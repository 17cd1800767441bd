//! Multipart uploads as S3 has them: conditions at the end, full-object or composite checksums.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use md5::{Digest as _, Md5};

use super::{
    Asked, S3, checksums,
    objects::{attributes_of, write_conditions},
};
use crate::{
    call::Call,
    object::{quoted, receive, xml_text},
    refusal::{Failure, Refusal},
    server::{Answer, Commit},
    store::{
        ObjectInfo, StoredChecksum,
        data::Digests,
        uploads::{Ending, Part, Upload},
    },
    stored_options,
    xml::{self, Xml},
};

/// Hex of the MD5 of the parts' MD5s, `-N`; `None` where parts have none.
fn etag_of(parts: &[Part]) -> Option<String> {
    let mut all = Md5::new();
    for part in parts {
        all.update(part.digests.md5?);
    }
    Some(format!("{}-{}", hex::encode(all.finalize()), parts.len()))
}

/// The headers of a Complete that speak of the whole.
fn whole_agrees(call: &Call, checksum: Option<&StoredChecksum>, whole: &Digests) -> Result<(), Refusal> {
    let size = call.header("x-amz-mp-object-size").map(str::parse::<u64>);
    if size.is_some_and(|size| size != Ok(whole.size)) {
        return Err(Refusal::bad("InvalidRequest", format!("the parts have {} bytes", whole.size)));
    }
    let Some(checksum) = checksum else { return Ok(()) };
    let kind = checksums::kind(checksum.composite);
    if call.header("x-amz-checksum-type").is_some_and(|claimed| claimed != kind) {
        return Err(Refusal::bad("InvalidRequest", format!("the upload was begun with {kind}")));
    }
    match call.header(&format!("x-amz-checksum-{}", checksum.algorithm)) {
        Some(claimed) if claimed != checksum.value => {
            Err(Refusal::bad("BadDigest", format!("{claimed}, not {}", checksum.value)))
        }
        _ => Ok(()),
    }
}

impl S3 {
    pub(super) fn create(self: Arc<Self>, call: Call) -> Result<Commit, Failure> {
        stored_options::demanded(&call, self.options.demands.as_deref())?;
        let attributes = attributes_of(&call)?;
        let algorithm = call.header("x-amz-checksum-algorithm").map(checksums::algorithm).transpose()?;
        let composite = match (algorithm, call.header("x-amz-checksum-type")) {
            (Some("crc64nvme"), Some("COMPOSITE")) | (Some("sha256"), Some("FULL_OBJECT")) => {
                return Err(Refusal::bad("InvalidRequest", "no such type for this algorithm").into());
            }
            (_, Some(kind)) => kind == "COMPOSITE",
            (Some(named), None) => named != "crc64nvme",
            (None, None) => false,
        };
        let default = self.options.default_checksum.then_some("crc64nvme");
        let checksum = algorithm.or(default).map(|algorithm| (algorithm, composite));
        Ok(Box::new(move || {
            let id = self.store().create_upload(&call.bucket, &call.key, attributes, checksum)?;
            let mut xml = Xml::new("InitiateMultipartUploadResult");
            xml.leaf("Bucket", &call.bucket).leaf("Key", &call.key).leaf("UploadId", id);
            let mut begun = Answer::xml(StatusCode::OK, xml.end("InitiateMultipartUploadResult"));
            if let Some(algorithm) = algorithm {
                begun.add("x-amz-checksum-algorithm", algorithm.to_uppercase());
                begun.add("x-amz-checksum-type", checksums::kind(composite));
            }
            Ok(begun)
        }))
    }

    pub(super) async fn upload_part(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let number = call.part_number()?;
        let upload = self.store().upload_checksum(&call.bucket, &call.key, call.upload_id())?;
        let named = checksums::named(&call)?;
        let mut wanted = checksums::wanted(named);
        if let Some((algorithm, _)) = upload {
            let of_upload = checksums::wanted(Some(algorithm));
            wanted.crc32 |= of_upload.crc32;
            wanted.crc64 |= of_upload.crc64;
            wanted.sha256 |= of_upload.sha256;
        }
        let (data, digests) = receive(self.store(), &call, &mut body, wanted, &identity.payload).await?;
        let checksum = checksums::checked(&call, &body, named, &digests)?;
        let stored = self.store().upload_attributes(&call.bucket, &call.key, call.upload_id())?;
        let md5 = digests.md5.filter(|_| !stored_options::hides_md5(&stored));
        let etag = md5.map_or_else(|| format!("{:032x}", rand::random::<u128>()), hex::encode);
        Ok(Box::new(move || {
            let mut done = Answer::new(StatusCode::OK).with("etag", quoted(&etag));
            if let Some(checksum) = checksum {
                done.add(&format!("x-amz-checksum-{}", checksum.algorithm), checksum.value);
            }
            stored_options::show(&mut done, &stored, "x-amz-", false);
            let part = Part { data, digests, etag, modified: Timestamp::now() };
            self.store().put_part(&call.bucket, &call.key, call.upload_id(), number, part)?;
            Ok(done)
        }))
    }

    pub(super) async fn complete(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let text = xml_text(&call, &mut body, &identity.payload).await?;
        let listed = xml::complete(&text)?;
        Ok(Box::new(move || {
            let upload = (call.bucket.as_str(), call.key.as_str(), call.upload_id());
            let guard = |present: Option<&ObjectInfo>| write_conditions(&call, present);
            let ending = |upload: &Upload, parts: &[Part], whole: &Digests| {
                let checksum = upload
                    .checksum
                    .and_then(|(algorithm, composite)| checksums::of_parts(algorithm, composite, parts, whole));
                whole_agrees(&call, checksum.as_ref(), whole)?;
                let opaque = stored_options::hides_md5(&upload.attributes);
                let etag = match opaque {
                    true => Some(format!("{:032x}-{}", rand::random::<u128>(), parts.len())),
                    false => etag_of(parts),
                };
                Ok(Ending { etag, checksum })
            };
            let object = self.store().complete_upload(upload, &listed, guard, ending)?;
            let mut xml = Xml::new("CompleteMultipartUploadResult");
            xml.leaf("Bucket", &call.bucket).leaf("Key", &call.key).leaf("ETag", quoted(&object.info.etag));
            if let Some(checksum) = &object.info.checksum {
                xml.leaf(&format!("Checksum{}", checksum.algorithm.to_uppercase()), &checksum.value);
                xml.leaf("ChecksumType", checksums::kind(checksum.composite));
            }
            let mut done = Answer::xml(StatusCode::OK, xml.end("CompleteMultipartUploadResult"));
            stored_options::show(&mut done, &object.info.attributes, "x-amz-", false);
            if let Some(version) = &object.info.version_id {
                done.add("x-amz-version-id", version);
            }
            Ok(done)
        }))
    }

    pub(super) fn abort(self: Arc<Self>, call: Call) -> Commit {
        Box::new(move || {
            if self.store().abort_upload(&call.bucket, &call.key, call.upload_id())? {
                return Ok(Answer::new(StatusCode::NO_CONTENT));
            }
            Err(Refusal::not_found("NoSuchUpload", call.upload_id()))
        })
    }
}
