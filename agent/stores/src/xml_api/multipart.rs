//! Uploads in parts.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::super::http::{Call, retry_idempotent};
use super::answers::RequestKind;
use super::document::{Completed, Initiated, ListedPart, ListedUpload, PartListing, UploadListing};
use super::headers::unquoted;
use super::list::text;
use super::write::as_lost_answer;
use super::{XmlClient, document, headers};
use skyferry_core::digest::{Digests, StoredDigests};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::{Expected, Key, Location, UploadId};
use skyferry_core::store::{CompletedPart, OpenUpload, Payload, Result, StoredPart, WriteAttributes, WriteResult};

/// The answer to a Complete may take minutes, and the more the more parts there are: one that is given up would be sent
/// again with all its parts.
const COMPLETE: Duration = Duration::from_secs(600);
const COMPLETE_A_PART: Duration = Duration::from_millis(100);

/// The janitor comes again: more than this many open uploads are not held at once.
const MOST_UPLOADS: usize = 100_000;

impl XmlClient {
    /// A lost answer may leave an empty upload behind, which the janitor finds by listing.
    pub(super) async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId> {
        let mut begin = self.object(Method::POST, "CreateMultipartUpload", at, RequestKind::Control)?;
        begin.query("uploads", "");
        self.attributes(&mut begin, with)?;
        self.dialect.initiate_headers(&mut begin.headers);
        let call = begin.call.clone();
        let answer = self.send(begin).await?;
        let Initiated { upload_id } = self.document(&call, RequestKind::Control, answer).await?;
        match upload_id.is_empty() {
            false => Ok(UploadId(upload_id.into())),
            true => Err(call.error(ErrorKind::InvalidAnswer, "an empty upload id")),
        }
    }

    /// Sent again it ends the same, so a lost answer is `Unavailable`. (It is not sent again here.)
    pub(super) async fn part(
        &self,
        at: &Location,
        upload: &UploadId,
        number: u32,
        payload: Payload,
    ) -> Result<StoredPart> {
        let mut put = self.object(Method::PUT, "UploadPart", at, RequestKind::Control)?;
        let most = self.traits().limits.max_parts;
        if !(1..=most).contains(&number) {
            return Err(put.call.error(ErrorKind::Refused, format!("part {number}: there are parts 1 to {most}")));
        }
        put.query("partNumber", number.to_string());
        put.query("uploadId", upload.to_string());
        self.announce(&mut put, &payload, None);
        let size = payload.length();
        put.payload = Some(payload);
        let call = put.call.clone();
        let answer = self.send(put).await.map_err(as_upload_gone)?;
        let headers = self.settled(&call, RequestKind::Control, answer).await?;
        let etag =
            headers::etag(&headers).ok_or_else(|| call.error(ErrorKind::InvalidAnswer, "a part without an ETag"))?;
        let mut stored = StoredDigests { length: Some(size), ..self.dialect.stored(&headers) };
        if !self.traits().md5_etags && stored.crc32c.is_none() && stored.md5.is_none() {
            // Opaque by the documents' word, an MD5 in fact: better than nothing for who asks for MD5.
            stored.md5_etag(etag);
        }
        Ok(StoredPart { number, etag: etag.into(), size, stored })
    }

    pub(super) async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
        let call = Call::new(self.side, "ListParts", at);
        let (mut parts, mut marker) = (BTreeMap::new(), None::<String>);
        loop {
            let page = retry_idempotent(|| async {
                let mut list = self.object(Method::GET, "ListParts", at, RequestKind::Control)?;
                list.query("uploadId", upload.to_string());
                if let Some(marker) = &marker {
                    list.query("part-number-marker", marker.clone());
                }
                let answer = self.send(list).await?;
                self.document::<PartListing>(&call, RequestKind::Control, answer).await
            })
            .await;
            let PartListing { is_truncated, next_part_number_marker, parts: rows } = match page.map_err(as_upload_gone)
            {
                Err(error) if error.kind == ErrorKind::UploadGone => return Ok(None),
                page => page?,
            };
            let (before, last) = (parts.len(), rows.iter().map(|row| row.part_number).max());
            for row in rows {
                let part = self.listed_part(&call, row)?;
                parts.insert(part.number, part);
            }
            if !is_truncated {
                return Ok(Some(parts.into_values().collect()));
            }
            marker = next_part_number_marker.filter(|marker| !marker.is_empty()).or(last.map(|last| last.to_string()));
            if parts.len() == before {
                return Err(call.error(ErrorKind::InvalidAnswer, "the listing of parts does not advance"));
            }
        }
    }

    fn listed_part(&self, call: &Call, row: ListedPart) -> Result<StoredPart> {
        let etag = unquoted(&row.etag);
        if etag.is_empty() || !(1..=self.traits().limits.max_parts).contains(&row.part_number) {
            return Err(
                call.error(ErrorKind::InvalidAnswer, format!("part {} with the ETag `{etag:.40}`", row.part_number))
            );
        }
        // A part's checksum is of the part's bytes whatever the object's type is.
        let mut stored = stored_digests(&row.crc32c, &row.crc64nvme, Some(false));
        stored.length = Some(row.size);
        Ok(StoredPart { number: row.part_number, etag: etag.into(), size: row.size, stored })
    }

    /// Publishes. The answer may take minutes, and may be an error although it began as a success.
    pub(super) async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[CompletedPart],
        whole: &Digests,
        expected: &Expected,
    ) -> Result<WriteResult> {
        let enforced = self.traits().capabilities.conditional_finish;
        let mut complete = self.writing(Method::POST, "CompleteMultipartUpload", at, expected, enforced)?;
        complete.query("uploadId", upload.to_string());
        complete.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        self.dialect.complete_headers(&mut complete.headers, whole);
        let body = document::complete(parts, self.traits().part_checksums);
        complete.payload = Some(Payload::Whole(body.into()));
        complete.patience = COMPLETE + COMPLETE_A_PART * parts.len().try_into().unwrap_or(u32::MAX);
        let (call, asked) = (complete.call.clone(), complete.asked);
        let answer = match self.send(complete).await {
            Ok(answer) => answer,
            Err(error) => return Err(Box::pin(self.explain_precondition(at, expected, as_upload_gone(error))).await),
        };
        let headers = answer.headers.clone();
        let completed: Completed =
            self.document(&call, asked, answer).await.map_err(|error| as_upload_gone(as_lost_answer(error)))?;
        let etag = completed.etag.as_deref().map(unquoted).filter(|etag| !etag.is_empty());
        let mut stored = self.dialect.stored(&headers);
        let composite = completed.checksum_type.as_deref().map(|kind| kind == "COMPOSITE");
        let named = stored_digests(&completed.crc32c, &completed.crc64nvme, composite);
        (stored.crc32c, stored.crc64nvme) = (stored.crc32c.or(named.crc32c), stored.crc64nvme.or(named.crc64nvme));
        if self.traits().md5_etags {
            etag.inspect(|etag| stored.md5_etag(etag));
        }
        Ok(WriteResult { revision: self.dialect.revision(&headers, etag), stored })
    }

    /// Done twice it succeeds; what has ended, one way or the other, is not found.
    pub(super) async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        let aborted = retry_idempotent(|| async {
            let mut abort = self.object(Method::DELETE, "AbortMultipartUpload", at, RequestKind::Control)?;
            abort.query("uploadId", upload.to_string());
            let call = abort.call.clone();
            let answer = self.send(abort).await?;
            self.settled(&call, RequestKind::Control, answer).await
        })
        .await;
        match aborted.map_err(as_upload_gone) {
            Err(error) if error.kind != ErrorKind::UploadGone => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        let at = Location::new(bucket, prefix.clone());
        let call = Call::new(self.side, "ListMultipartUploads", &at);
        let nonsense = |why: String| call.error(ErrorKind::InvalidAnswer, why);
        let (mut found, mut marker, mut began) = (Vec::new(), None::<(String, String)>, None);
        loop {
            let page = retry_idempotent(|| async {
                let mut list = self.bucket(Method::GET, call.operation, &at);
                list.query("uploads", "");
                list.query("encoding-type", "url");
                if !prefix.as_bytes().is_empty() {
                    list.query("prefix", text(&call, prefix)?);
                }
                if let Some((key, id)) = &marker {
                    list.query("key-marker", key.clone());
                    if !id.is_empty() {
                        list.query("upload-id-marker", id.clone());
                    }
                }
                let answer = self.send(list).await?;
                self.document::<UploadListing>(&call, RequestKind::Control, answer).await
            })
            .await;
            let page = match page {
                // Some services have no other word for none.
                Err(error) if error.kind == ErrorKind::UploadGone => return Ok(found),
                page => page?,
            };
            let (next, rows) = page_of_uploads(page, prefix).map_err(nonsense)?;
            let begins = rows.first().map(|upload: &OpenUpload| (upload.key.clone(), upload.id.clone()));
            if begins.is_some() && begins == began || next.is_some() && next == marker {
                return Err(nonsense("the listing of uploads does not advance".into()));
            }
            found.extend(rows);
            (marker, began) = (next, begins);
            if marker.is_none() || found.len() >= MOST_UPLOADS {
                return Ok(found);
            }
        }
    }
}

type Marker = (String, String);

/// A page's rows, and where the next one begins.
fn page_of_uploads(page: UploadListing, prefix: &Key) -> Result<(Option<Marker>, Vec<OpenUpload>), String> {
    let encoding = page.encoding_type.as_deref();
    let row = |row: ListedUpload| {
        let key = document::key(&row.key, encoding)?;
        if !key.as_bytes().starts_with(prefix.as_bytes()) {
            return Err(format!("the uploads under `{prefix}` show {key:?}"));
        }
        if row.upload_id.is_empty() {
            return Err(format!("an upload of {key:?} without an id"));
        }
        Ok(OpenUpload { key, id: UploadId(row.upload_id.into()), initiated: document::seconds(&row.initiated)? })
    };
    let next = match page.is_truncated {
        false => None,
        true => {
            let key = page.next_key_marker.ok_or("a truncated listing without a token to continue from")?;
            let key = document::key(&key, encoding)?;
            let key = key.as_str().ok_or("a marker that is not UTF-8")?.to_owned();
            Some((key, page.next_upload_id_marker.unwrap_or_default()))
        }
    };
    Ok((next, page.uploads.into_iter().map(row).collect::<Result<_, _>>()?))
}

/// Some services say of an upload that has ended that its key is not there.
fn as_upload_gone(error: CopyError) -> CopyError {
    match error.kind {
        ErrorKind::NotFound => CopyError { kind: ErrorKind::UploadGone, ..error },
        _ => error,
    }
}

/// Checksums as a document names them. One that does not parse was not said.
fn stored_digests(crc32c: &Option<String>, crc64nvme: &Option<String>, composite: Option<bool>) -> StoredDigests {
    let mut stored = StoredDigests::default();
    for (name, value) in [("x-amz-checksum-crc32c", crc32c), ("x-amz-checksum-crc64nvme", crc64nvme)] {
        if let Some(value) = value {
            stored.amz_header(name, value, composite).ok();
        }
    }
    stored
}
