//! Objects: GET, HEAD, PUT, DELETE, with S3's conditions.

use std::sync::Arc;

use http::StatusCode;

use super::{Asked, S3, checksums};
use crate::{
    call::Call,
    object::{answer, attributes, metadata_size, quoted, range, read_conditions, receive, shape},
    operation::Operation,
    refusal::{Failure, Refusal},
    server::{Answer, Commit},
    store::{Attributes, Draft, ObjectInfo, StoredChecksum},
    stored_options,
};

const STORAGE_CLASSES: [&str; 10] = [
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
    "OUTPOSTS",
    "EXPRESS_ONEZONE",
];
/// The most user metadata in bytes: 2 KB.
const MOST_METADATA: usize = 2 << 10;

/// The attributes of a write, without the framing's `aws-chunked`.
pub(super) fn attributes_of(call: &Call) -> Result<Attributes, Refusal> {
    let mut read = attributes(call, &["x-amz-"], stored_options::AMAZON);
    if let Some(encoding) = read.content.remove("content-encoding") {
        let kept: Vec<&str> = encoding.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect();
        if !kept.is_empty() {
            read.content.insert("content-encoding".to_owned(), kept.join(","));
        }
    }
    if !STORAGE_CLASSES.contains(&read.storage_class.as_str()) {
        return Err(Refusal::bad("InvalidStorageClass", read.storage_class));
    }
    if metadata_size(&read) > MOST_METADATA {
        return Err(Refusal::bad("MetadataTooLarge", "more than 2 KB of user metadata"));
    }
    stored_options::allowed_by_amazon(&read)?;
    Ok(read)
}

/// If-Match and If-None-Match on a write or a delete.
pub(super) fn write_conditions(call: &Call, present: Option<&ObjectInfo>) -> Result<(), Refusal> {
    if let Some(wanted) = call.header("if-match") {
        let present = present.ok_or_else(|| Refusal::not_found("NoSuchKey", call.key.clone()))?;
        if wanted != "*" && wanted.trim_matches('"') != present.etag {
            return Err(Refusal::precondition("If-Match"));
        }
    }
    match call.header("if-none-match") {
        Some("*") if present.is_some() => Err(Refusal::precondition("If-None-Match")),
        Some("*") | None => Ok(()),
        Some(_) => Err(Refusal::not_implemented("If-None-Match takes only *")),
    }
}

/// `x-amz-checksum-…` and its type.
pub(super) fn add_checksum(answer: &mut Answer, checksum: &StoredChecksum) {
    answer.add(&format!("x-amz-checksum-{}", checksum.algorithm), &checksum.value);
    answer.add("x-amz-checksum-type", checksums::kind(checksum.composite));
}

impl S3 {
    pub(super) fn get(self: Arc<Self>, call: Call) -> Commit {
        Box::new(move || {
            let object = self.store().object(&call.bucket, &call.key, call.query.get("versionId"))?;
            let info = &object.info;
            read_conditions(&call.headers, info)?;
            let first = info.part_size.filter(|_| call.query.get("partNumber") == Some("1"));
            let range = match first {
                Some(first) => Some((0, first)),
                None => range(&call, info.size)?,
            };
            let archived = matches!(info.attributes.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
            let mut found = if call.operation == Operation::HeadObject {
                shape(&object, range)
            } else if archived {
                return Err(Refusal::forbidden("InvalidObjectState", info.attributes.storage_class.clone()));
            } else {
                answer(&object, range)?
            };
            if let Some(parts) = info.parts.filter(|_| first.is_some()) {
                found.add("x-amz-mp-parts-count", parts.to_string());
            }
            for (name, value) in &info.attributes.metadata {
                found.add(&format!("x-amz-meta-{name}"), value);
            }
            if info.attributes.storage_class != "STANDARD" {
                found.add("x-amz-storage-class", &info.attributes.storage_class);
            }
            stored_options::show(&mut found, &info.attributes, "x-amz-", true);
            if let Some(version) = &info.version_id {
                found.add("x-amz-version-id", version);
            }
            let shows = call.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"));
            if let Some(checksum) = info.checksum.as_ref().filter(|_| shows && range.is_none()) {
                add_checksum(&mut found, checksum);
            }
            Ok(found)
        })
    }

    pub(super) async fn put(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        stored_options::demanded(&call, self.options.demands.as_deref())?;
        let attributes = attributes_of(&call)?;
        let named = checksums::named(&call)?;
        let wanted = checksums::wanted(named);
        let (data, digests) = receive(self.store(), &call, &mut body, wanted, &identity.payload).await?;
        let checksum = checksums::checked(&call, &body, named, &digests)?;
        let opaque = stored_options::hides_md5(&attributes);
        let etag = digests.md5.filter(|_| !opaque).map(hex::encode);
        let draft = Draft { data, digests, attributes, etag, parts: None, part_size: None, checksum };
        Ok(Box::new(move || {
            let guard = |present: Option<&ObjectInfo>| write_conditions(&call, present);
            let object = self.store().publish(&call.bucket, &call.key, draft, guard)?;
            let mut done = Answer::new(StatusCode::OK).with("etag", quoted(&object.info.etag));
            if let Some(checksum) = &object.info.checksum {
                add_checksum(&mut done, checksum);
            }
            stored_options::show(&mut done, &object.info.attributes, "x-amz-", false);
            if let Some(version) = &object.info.version_id {
                done.add("x-amz-version-id", version);
            }
            Ok(done)
        }))
    }

    pub(super) fn delete(self: Arc<Self>, call: Call) -> Commit {
        Box::new(move || {
            self.store().delete(&call.bucket, &call.key, |present| write_conditions(&call, present))?;
            Ok(Answer::new(StatusCode::NO_CONTENT))
        })
    }
}
