//! PUT, the parts of an upload and its ends, DELETE. Nothing here is tried again: whether a lost write took effect is
//! the protocol's question.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, EXPIRES, HeaderName,
    HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use md5::{Digest as _, Md5};

use super::super::http::{Answer, Call, again};
use super::super::{Attributes, FinishedPart, OpenUpload, Part, Payload, Published, Result, provenance, rfc2047};
use super::read::{quoted, stored, timestamp, unquoted};
use super::refusal::{self, Asked};
use super::request::Outgoing;
use super::{S3, xml};
use crate::digest::{Digests, Stored, base64_crc32};
use crate::error::Kind;
use crate::object::{Expected, Key, Location, Revision, UploadId};

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
const SIZE: HeaderName = HeaderName::from_static("x-amz-mp-object-size");
const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

impl S3 {
    pub(super) async fn put_object(
        &self,
        at: &Location,
        payload: Payload,
        with: &Attributes,
        expected: &Expected,
    ) -> Result<Published> {
        let (expected, asked) = conditional(self.profile.conditional_put, expected);
        let mut put = self.object(Method::PUT, "PutObject", at, asked)?;
        attributes(&mut put, with)?;
        condition(&mut put, expected)?;
        self.digest(&mut put, &payload, with.provenance.crc32c)?;
        put.payload = Some(payload);
        let call = put.call.clone();
        let answer = self.send(put).await?;
        published(&call, &answer)
    }

    pub(super) async fn begin_upload(&self, at: &Location, with: &Attributes) -> Result<UploadId> {
        let mut begin = self.object(Method::POST, "CreateMultipartUpload", at, Asked::Control)?;
        begin.query("uploads", "");
        attributes(&mut begin, with)?;
        if self.profile.checksums {
            begin.headers.insert(CHECKSUM_ALGORITHM, HeaderValue::from_static("CRC32C"));
        }
        if self.profile.full_object {
            begin.headers.insert(CHECKSUM_TYPE, HeaderValue::from_static("FULL_OBJECT"));
        }
        let call = begin.call.clone();
        let body = self.send(begin).await?.read().await?;
        let result: xml::InitiateMultipartUploadResult = xml::parse(&call, &body)?;
        Ok(UploadId(result.upload_id.into()))
    }

    pub(super) async fn upload_part(
        &self,
        at: &Location,
        upload: &UploadId,
        number: u32,
        payload: Payload,
    ) -> Result<Part> {
        let mut put = self.object(Method::PUT, "UploadPart", at, Asked::Control)?;
        put.query("partNumber", number.to_string());
        put.query("uploadId", upload.to_string());
        self.digest(&mut put, &payload, None)?;
        let size = payload.length();
        put.payload = Some(payload);
        let call = put.call.clone();
        let answer = self.send(put).await?;
        let Published { revision, stored } = published(&call, &answer)?;
        let etag = revision.ok_or_else(|| S3::nonsense(&call, "no ETag"))?.0;
        Ok(Part { number, etag, size, stored: Stored { length: Some(size), ..stored } })
    }

    pub(super) async fn list_parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<Part>>> {
        let (mut parts, mut marker) = (Vec::new(), None::<String>);
        loop {
            let page = again(|| async {
                let mut list = self.object(Method::GET, "ListParts", at, Asked::Control)?;
                list.query("uploadId", upload.to_string());
                if let Some(marker) = &marker {
                    list.query("part-number-marker", marker.clone());
                }
                let call = list.call.clone();
                let body = self.send(list).await?.read().await?;
                xml::parse::<xml::ListPartsResult>(&call, &body)
            })
            .await;
            let page = match page {
                Err(error) if matches!(error.kind, Kind::UploadGone | Kind::NotFound) => return Ok(None),
                page => page?,
            };
            parts.extend(page.parts.into_iter().map(|part| Part {
                number: part.part_number,
                etag: unquoted(&part.etag).into(),
                size: part.size,
                // A part's checksum is of the part's bytes whatever the object's type is.
                stored: said(&part.crc32c, &part.crc64nvme, Some(false), Some(part.size), &part.etag),
            }));
            let last = std::mem::replace(&mut marker, page.next_part_number_marker);
            if !page.is_truncated {
                return Ok(Some(parts));
            }
            if marker.is_none() || marker == last {
                return Err(S3::nonsense(&Call::new(self.side, "ListParts", at), "truncated, and no marker to go on"));
            }
        }
    }

    pub(super) async fn complete_upload(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[FinishedPart],
        whole: &Digests,
        expected: &Expected,
    ) -> Result<Published> {
        let (expected, asked) = conditional(self.profile.conditional_finish, expected);
        let mut complete = self.object(Method::POST, "CompleteMultipartUpload", at, asked)?;
        complete.query("uploadId", upload.to_string());
        condition(&mut complete, expected)?;
        complete.headers.insert("content-type", HeaderValue::from_static("application/xml"));
        if self.profile.full_object {
            complete.header(CHECKSUM, &base64_crc32(whole.crc32c))?;
            complete.headers.insert(CHECKSUM_TYPE, HeaderValue::from_static("FULL_OBJECT"));
            complete.headers.insert(SIZE, whole.length.into());
        }
        complete.payload = Some(Payload::Whole(xml::complete(parts, self.profile.checksums)));
        let call = complete.call.clone();
        let body =
            self.send(complete).await?.read().await.map_err(|error| call.error(Kind::LostAnswer, error.answer))?;
        if let Some(error) = refusal::in_success(&call, &body, asked) {
            return Err(error);
        }
        let result: xml::CompleteMultipartUploadResult =
            xml::parse(&call, &body).map_err(|error| call.error(Kind::LostAnswer, error.answer))?;
        let composite = result.checksum_type.as_deref().map(|kind| kind == "COMPOSITE");
        Ok(Published {
            stored: said(&result.crc32c, &result.crc64nvme, composite, None, &result.etag),
            revision: Some(Revision(unquoted(&result.etag).into())),
        })
    }

    pub(super) async fn abort_upload(&self, at: &Location, upload: &UploadId) -> Result<()> {
        let aborted = again(|| async {
            let mut abort = self.object(Method::DELETE, "AbortMultipartUpload", at, Asked::Control)?;
            abort.query("uploadId", upload.to_string());
            self.send(abort).await?.read().await
        })
        .await;
        match aborted {
            Err(error) if !matches!(error.kind, Kind::UploadGone | Kind::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn list_uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        let at = Location::new(bucket, prefix.clone());
        let call = Call::new(self.side, "ListMultipartUploads", &at);
        let text = prefix.as_str().ok_or_else(|| call.error(Kind::CannotHold, "an S3 key is UTF-8"))?;
        let (mut found, mut marker) = (Vec::new(), None::<(String, String)>);
        loop {
            let page = again(|| async {
                let mut list = self.bucket(Method::GET, "ListMultipartUploads", &at);
                list.query("uploads", "");
                list.query("encoding-type", "url");
                if !text.is_empty() {
                    list.query("prefix", text.to_owned());
                }
                if let Some((key, id)) = &marker {
                    list.query("key-marker", key.clone());
                    list.query("upload-id-marker", id.clone());
                }
                let body = self.send(list).await?.read().await?;
                xml::parse::<xml::ListMultipartUploadsResult>(&call, &body)
            })
            .await?;
            let encoding = page.encoding_type.as_deref();
            for upload in &page.uploads {
                found.push(OpenUpload {
                    key: xml::key(&upload.key, encoding),
                    id: UploadId(upload.upload_id.as_str().into()),
                    initiated: timestamp(&call, &upload.initiated)?,
                });
            }
            let key = page.next_key_marker.and_then(|key| xml::key(&key, encoding).as_str().map(str::to_owned));
            let next = key.map(|key| (key, page.next_upload_id_marker.unwrap_or_default()));
            let last = std::mem::replace(&mut marker, next);
            if !page.is_truncated {
                return Ok(found);
            }
            if marker.is_none() || marker == last {
                return Err(S3::nonsense(&call, "truncated, and no marker to go on"));
            }
        }
    }

    pub(super) async fn delete_object(&self, at: &Location, expected: &Expected) -> Result<()> {
        if *expected == Expected::Absent {
            return Ok(()); // only nothing may be removed
        }
        let (expected, _) = conditional(self.profile.conditional_delete, expected);
        // Gone already is what was wanted: here a 404 keeps its plain meaning.
        let mut delete = self.object(Method::DELETE, "DeleteObject", at, Asked::Publish { conditional: false })?;
        condition(&mut delete, expected)?;
        match self.send(delete).await {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// The digest before the bytes, where they are all here: what was computed when they were read, so that what has
    /// changed since is refused.
    fn digest(&self, put: &mut Outgoing, payload: &Payload, known: Option<u32>) -> Result<()> {
        match payload {
            Payload::Whole(bytes) if self.profile.checksums => {
                put.header(CHECKSUM, &base64_crc32(known.unwrap_or_else(|| crc32c::crc32c(bytes))))
            }
            Payload::Whole(bytes) if self.profile.content_md5 => {
                put.header(CONTENT_MD5, &STANDARD.encode(Md5::digest(bytes)))
            }
            _ => Ok(()),
        }
    }
}

/// What may be replaced, as far as the dialect enforces it.
fn conditional(enforced: bool, expected: &Expected) -> (&Expected, Asked) {
    let expected = if enforced { expected } else { &Expected::Any };
    (expected, Asked::Publish { conditional: *expected != Expected::Any })
}

fn condition(request: &mut Outgoing, expected: &Expected) -> Result<()> {
    match expected {
        Expected::Any => Ok(()),
        Expected::Absent => request.header(IF_NONE_MATCH, "*"),
        Expected::Revision(Revision(etag)) => request.header(IF_MATCH, &quoted(etag)),
    }
}

fn attributes(request: &mut Outgoing, with: &Attributes) -> Result<()> {
    let metadata = &with.metadata;
    for (name, value) in [
        (CONTENT_TYPE, &metadata.content_type),
        (CONTENT_ENCODING, &metadata.content_encoding),
        (CONTENT_LANGUAGE, &metadata.content_language),
        (CONTENT_DISPOSITION, &metadata.content_disposition),
        (CACHE_CONTROL, &metadata.cache_control),
        (EXPIRES, &metadata.expires),
        (STORAGE_CLASS, &metadata.storage_class),
        (TAGGING, &metadata.tags.clone().filter(|tags| !tags.is_empty())),
    ] {
        if let Some(value) = value {
            request.header(name, &rfc2047::encode(value))?;
        }
    }
    let own = provenance::encode(&with.provenance);
    let others = metadata.user.iter().filter(|(name, _)| !provenance::is_reserved(name));
    let pairs =
        own.iter().map(|(name, value)| (*name, value)).chain(others.map(|(name, value)| (name.as_str(), value)));
    for (name, value) in pairs {
        let header = HeaderName::try_from(format!("x-amz-meta-{name}"));
        let header = header.map_err(|_| request.call.error(Kind::CannotHold, "a metadata name that is no header"))?;
        request.header(header, &rfc2047::encode(value))?;
    }
    Ok(())
}

fn published(call: &Call, answer: &Answer) -> Result<Published> {
    let etag = answer.header(ETAG).map(unquoted).ok_or_else(|| S3::nonsense(call, "no ETag"))?;
    Ok(Published { revision: Some(Revision(etag.into())), stored: stored(&answer.headers, None) })
}

/// Checksums as a document says them.
fn said(
    crc32c: &Option<String>,
    crc64nvme: &Option<String>,
    composite: Option<bool>,
    length: Option<u64>,
    etag: &str,
) -> Stored {
    let mut stored = Stored { length, ..Stored::default() };
    for (name, value) in [("x-amz-checksum-crc32c", crc32c), ("x-amz-checksum-crc64nvme", crc64nvme)] {
        if let Some(value) = value {
            stored.amz_header(name, value, composite).ok();
        }
    }
    stored.md5_etag(unquoted(etag));
    stored
}
