//! Uploads in parts. No precondition goes with any of these requests: the service refuses it at the beginning and
//! ignores it at the end.

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::client::Client;
use super::refusal::Refusal;
use super::{headers, write, xml};
use crate::digest::{Digests, Stored, Sum};
use crate::error::{CopyError, Kind};
use crate::object::{Key, Location, UploadId};
use crate::store::http::{Effect, again};
use crate::store::{Attributes, FinishedPart, Object, OpenUpload, Part, Payload, Published, Result};

const MOST_PARTS: u32 = 10_000;
/// The janitor comes again: more than this many open uploads are not held at once.
const MOST_UPLOADS: usize = 100_000;

impl Client {
    /// A lost answer may leave an empty upload behind, which the janitor finds by listing.
    pub async fn begin(&self, at: &Location, with: &Attributes) -> Result<UploadId> {
        let mut ask =
            self.about("CreateMultipartUpload", at, Method::POST, &[("uploads", None)], Effect::Idempotent)?;
        ask.headers = headers::outgoing(with).map_err(|why| ask.call.error(Kind::CannotHold, why))?;
        let body = self.document(&ask).await?;
        match xml::read::<xml::InitiateMultipartUploadResult>(&body) {
            Ok(begun) if !begun.upload_id.is_empty() => Ok(UploadId(begun.upload_id.into())),
            Ok(_) => Err(ask.call.error(Kind::Nonsense, "an empty upload id")),
            Err(why) => Err(ask.call.error(Kind::Nonsense, why.to_string())),
        }
    }

    /// Sent again it ends the same, so a lost answer is `Unavailable`. (It is not sent again here.)
    pub async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<Part> {
        let text = number.to_string();
        let query = [("partNumber", Some(text.as_bytes())), ("uploadId", Some(upload.0.as_bytes()))];
        let mut ask = self.about("UploadPart", at, Method::PUT, &query, Effect::Idempotent)?;
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(ask.call.error(Kind::Refused, format!("part {number}: there are parts 1 to {MOST_PARTS}")));
        }
        write::announce(&mut ask, &payload, None);
        let size = payload.length();
        let answer = self.send(&ask, payload).await.map_err(gone)?;
        let etag = headers::etag(&answer.headers);
        let etag = etag.ok_or_else(|| ask.call.error(Kind::Nonsense, "a part without an ETag"))?;
        let mut stored = Stored { length: Some(size), ..headers::stored(&answer.headers) };
        if stored.crc32c.is_none() && stored.md5.is_none() {
            // Opaque by the documents' word, an MD5 in fact: better than nothing for who asks for MD5.
            stored.md5_etag(&etag);
        }
        Ok(Part { number, etag: etag.into(), size, stored })
    }

    /// The listing tells no checksum: `stored` has the length alone. A part's ETag is opaque by the service's word.
    pub async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<Part>>> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let after = parts.last().map_or(0, |part| part.number);
            let text = after.to_string();
            let query = [("part-number-marker", Some(text.as_bytes())), ("uploadId", Some(upload.0.as_bytes()))];
            let query = if after == 0 { &query[1..] } else { &query };
            let ask = self.about("ListParts", at, Method::GET, query, Effect::Idempotent)?;
            let body = match again(|| self.document(&ask)).await {
                Ok(body) => body,
                Err(error) if gone(error.clone()).kind == Kind::UploadGone => return Ok(None),
                Err(error) => return Err(error),
            };
            let nonsense = |why: String| ask.call.error(Kind::Nonsense, why);
            let list: xml::ListPartsResult = xml::read(&body).map_err(|e| nonsense(e.to_string()))?;
            for row in list.parts {
                let last = parts.last().map_or(0, |part| part.number);
                if row.part_number <= last || row.part_number > MOST_PARTS {
                    return Err(nonsense(format!("part {} after part {last}", row.part_number)));
                }
                let stored = Stored { length: Some(row.size), ..Stored::default() };
                let etag = headers::unquoted(&row.etag).into();
                parts.push(Part { number: row.part_number, etag, size: row.size, stored });
            }
            if !list.is_truncated {
                return Ok(Some(parts));
            }
            if parts.last().is_none_or(|part| part.number == after) {
                return Err(nonsense("a listing of parts that does not move".into()));
            }
        }
    }

    /// Publishes. The answer may take minutes, and may be an error although it began as a success.
    ///
    /// Which object it made is said by generation and CRC32C in the answer's headers, else by a HEAD, whose object
    /// must have the generation or ETag that the answer named, or, if it named neither, the CRC32C of the whole.
    pub async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[FinishedPart],
        whole: &Digests,
    ) -> Result<Published> {
        let query = [("uploadId", Some(upload.0.as_bytes()))];
        let mut ask = self.about("CompleteMultipartUpload", at, Method::POST, &query, Effect::Write)?;
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        let body = xml::complete(parts).map_err(|why| ask.call.error(Kind::Refused, why.to_string()))?;
        let answer = self.send(&ask, Payload::Whole(body.into())).await.map_err(gone)?;
        let said = answer.headers.clone();
        let body = answer.read().await.map_err(lost)?;
        if xml::is_error(&body) {
            return Err(gone(Refusal::within(&said, &body).into_error(&ask.call, Effect::Write)));
        }
        let (revision, stored) = (headers::generation(&said), headers::stored(&said));
        if let (Some(revision), Some(_)) = (&revision, stored.crc32c) {
            return Ok(Published { revision: Some(revision.clone()), stored });
        }
        let etag = xml::read::<xml::CompleteMultipartUploadResult>(&body).ok().and_then(|result| result.etag);
        let etag = etag.map(|etag| headers::unquoted(&etag).to_owned()).or_else(|| headers::etag(&said));
        let is_ours = |object: &Object| match (&revision, &etag) {
            (Some(revision), _) => object.revision == *revision,
            (None, Some(etag)) => *object.identity.etag == **etag,
            (None, None) => object.stored.crc32c == Some(Sum::Full(whole.crc32c)),
        };
        self.published(at, is_ours, |why| ask.call.error(Kind::LostAnswer, why)).await
    }

    /// Done twice it succeeds; what has ended, one way or the other, is not found.
    pub async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        let query = [("uploadId", Some(upload.0.as_bytes()))];
        let ask = self.about("AbortMultipartUpload", at, Method::DELETE, &query, Effect::Idempotent)?;
        match again(|| self.send_bare(&ask)).await {
            Ok(_) => Ok(()),
            Err(error) if gone(error.clone()).kind == Kind::UploadGone => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        let mut found = Vec::new();
        let mut from: Option<(Key, String)> = None;
        loop {
            let (key, id) = (from.as_ref().map(|(key, _)| key.as_bytes()), from.as_ref().map(|(_, id)| id.as_bytes()));
            let mut query = vec![("encoding-type", Some(&b"url"[..]))];
            query.extend(key.map(|key| ("key-marker", Some(key))));
            query.extend(Some(prefix.as_bytes()).filter(|p| !p.is_empty()).map(|prefix| ("prefix", Some(prefix))));
            query.extend(id.filter(|id| !id.is_empty()).map(|id| ("upload-id-marker", Some(id))));
            query.push(("uploads", None));
            let ask = self.about_bucket("ListMultipartUploads", bucket, &query)?;
            let body = again(|| self.document(&ask)).await?;
            let nonsense = |why: String| ask.call.error(Kind::Nonsense, why);
            let next = page_of_uploads(&body, prefix, &mut found).map_err(nonsense)?;
            match next {
                Some(next) if from.as_ref() != Some(&next) && found.len() < MOST_UPLOADS => from = Some(next),
                Some(next) if from.as_ref() == Some(&next) => {
                    return Err(nonsense("a listing of uploads that does not move".into()));
                }
                _ => return Ok(found),
            }
        }
    }
}

/// Adds a page's rows; back comes where the next one begins.
fn page_of_uploads(body: &[u8], prefix: &Key, found: &mut Vec<OpenUpload>) -> Result<Option<(Key, String)>, String> {
    let list: xml::ListMultipartUploadsResult = xml::read(body).map_err(|e| e.to_string())?;
    for row in &list.uploads {
        let key = list.key(row).map_err(|e| e.to_string())?;
        if !key.as_bytes().starts_with(prefix.as_bytes()) {
            return Err(format!("the uploads under `{prefix}` show {key:?}"));
        }
        let initiated = row.initiated().map_err(|e| e.to_string())?;
        found.push(OpenUpload { key, id: UploadId(row.upload_id.as_str().into()), initiated });
    }
    if !list.is_truncated {
        return Ok(None);
    }
    let key = list.next_key_marker().map_err(|e| e.to_string())?;
    let key = key.ok_or("a listing that goes on, but not where")?;
    Ok(Some((key, list.next_upload_id_marker.unwrap_or_default())))
}

/// 404 for an upload, whatever its words, unless it is the bucket that is missing.
fn gone(error: CopyError) -> CopyError {
    match error.kind {
        Kind::NotFound => CopyError { kind: Kind::UploadGone, ..error },
        _ => error,
    }
}

/// The answer began as a success and broke off.
fn lost(error: CopyError) -> CopyError {
    CopyError { kind: Kind::LostAnswer, ..error }
}
