//! Listings and the delete of many keys: the same XML in both dialects.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use percent_encoding::{AsciiSet, utf8_percent_encode};

use crate::{
    call::Call,
    object::{iso, quoted},
    refusal::Refusal,
    server::Answer,
    signature::STRICT,
    store::{Store, listing::ListQuery},
    xml::Xml,
};

/// What `encoding-type=url` leaves as it is.
const URL: &AsciiSet = &STRICT.remove(b'/').remove(b'*');

/// A name as the listing's `encoding-type` wants it.
fn name_in(call: &Call, name: &str) -> String {
    match call.query.get("encoding-type") {
        Some("url") => utf8_percent_encode(name, URL).to_string(),
        _ => name.to_owned(),
    }
}

/// GET of a bucket with `list-type=2`.
/// `generations`: as GCS tells them.
pub(crate) fn objects(store: &Store, call: &Call, generations: bool) -> Result<Answer, Refusal> {
    let query = &call.query;
    if query.get("list-type") != Some("2") {
        return Err(Refusal::not_implemented("only list-type=2"));
    }
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let after = match query.get("continuation-token") {
        Some(token) => from_token(token)?,
        None => text("start-after"),
    };
    let most = query.at_most("max-keys", 1000)?;
    let asked = ListQuery { prefix: text("prefix"), delimiter: text("delimiter"), after, most };
    let page = store.list(&call.bucket, &asked)?;

    let mut xml = Xml::new("ListBucketResult");
    xml.leaf("Name", &call.bucket).leaf("Prefix", name_in(call, &asked.prefix));
    for (name, element) in [("start-after", "StartAfter"), ("delimiter", "Delimiter")] {
        if let Some(value) = query.get(name) {
            xml.leaf(element, name_in(call, value));
        }
    }
    if let Some(encoding) = query.get("encoding-type") {
        xml.leaf("EncodingType", encoding);
    }
    xml.leaf("KeyCount", page.objects.len() + page.prefixes.len()).leaf("MaxKeys", most);
    xml.leaf("IsTruncated", page.next.is_some());
    if let Some(token) = query.get("continuation-token") {
        xml.leaf("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        xml.leaf("NextContinuationToken", BASE64_URL_SAFE_NO_PAD.encode(next));
    }
    for info in &page.objects {
        xml.open("Contents").leaf("Key", name_in(call, &info.key)).leaf("LastModified", iso(info.modified));
        xml.leaf("ETag", quoted(&info.etag)).leaf("Size", info.size);
        if generations {
            xml.leaf("Generation", info.generation).leaf("MetaGeneration", info.metageneration);
        }
        xml.leaf("StorageClass", &info.attributes.storage_class).close("Contents");
    }
    for prefix in &page.prefixes {
        xml.open("CommonPrefixes").leaf("Prefix", name_in(call, prefix)).close("CommonPrefixes");
    }
    Ok(Answer::xml(StatusCode::OK, xml.end("ListBucketResult")))
}

fn from_token(token: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::argument(format!("continuation-token {token}"));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

/// GET of a bucket with `uploads`.
pub(crate) fn uploads(store: &Store, call: &Call) -> Result<Answer, Refusal> {
    let query = &call.query;
    let text = |name: &str| query.get(name).unwrap_or_default();
    let (prefix, after) = (text("prefix"), (text("key-marker"), text("upload-id-marker")));
    let most = query.at_most("max-uploads", 1000)?;
    let (page, more) = store.list_uploads(&call.bucket, prefix, after, most)?;
    let mut xml = Xml::new("ListMultipartUploadsResult");
    xml.leaf("Bucket", &call.bucket).leaf("Prefix", name_in(call, prefix));
    xml.leaf("KeyMarker", name_in(call, after.0)).leaf("UploadIdMarker", after.1);
    if let Some(encoding) = query.get("encoding-type") {
        xml.leaf("EncodingType", encoding);
    }
    if let Some((key, id, _)) = page.last().filter(|_| more) {
        xml.leaf("NextKeyMarker", name_in(call, key)).leaf("NextUploadIdMarker", id);
    }
    xml.leaf("MaxUploads", most).leaf("IsTruncated", more);
    for (key, id, started) in &page {
        xml.open("Upload").leaf("Key", name_in(call, key)).leaf("UploadId", id);
        xml.leaf("StorageClass", "STANDARD").leaf("Initiated", iso(*started)).close("Upload");
    }
    Ok(Answer::xml(StatusCode::OK, xml.end("ListMultipartUploadsResult")))
}

/// GET of a key with `uploadId`.
pub(crate) fn parts(store: &Store, call: &Call) -> Result<Answer, Refusal> {
    let most = call.query.at_most("max-parts", 1000)?;
    let marker = call.query.get("part-number-marker").filter(|text| !text.is_empty()).map(str::parse);
    let after: u32 = marker.transpose().map_err(|_| Refusal::argument("part-number-marker"))?.unwrap_or(0);
    let upload = (call.bucket.as_str(), call.key.as_str(), call.upload_id());
    let (page, more) = store.list_parts(upload, after, most)?;
    let mut xml = Xml::new("ListPartsResult");
    xml.leaf("Bucket", &call.bucket).leaf("Key", name_in(call, &call.key)).leaf("UploadId", call.upload_id());
    xml.leaf("StorageClass", "STANDARD").leaf("PartNumberMarker", after);
    xml.leaf("NextPartNumberMarker", page.last().map_or(after, |(number, _)| *number));
    xml.leaf("MaxParts", most).leaf("IsTruncated", more);
    for (number, part) in page {
        xml.open("Part").leaf("PartNumber", number).leaf("LastModified", iso(part.modified));
        xml.leaf("ETag", quoted(&part.etag)).leaf("Size", part.digests.size).close("Part");
    }
    Ok(Answer::xml(StatusCode::OK, xml.end("ListPartsResult")))
}

/// POST `?delete`: a key that is not there counts as deleted.
pub(crate) fn delete_many(store: &Store, call: &Call, keys: &[String], quiet: bool) -> Result<Answer, Refusal> {
    let mut xml = Xml::new("DeleteResult");
    for key in keys {
        store.delete(&call.bucket, key, |_| Ok(()))?;
        if !quiet {
            xml.open("Deleted").leaf("Key", key).close("Deleted");
        }
    }
    Ok(Answer::xml(StatusCode::OK, xml.end("DeleteResult")))
}
