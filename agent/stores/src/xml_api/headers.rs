//! What travels beside the bytes: metadata and provenance as headers, and an answer's headers as an `Object`. Headers of HTTP
//! go byte for byte; user metadata that a header cannot carry goes in the form in which S3 itself gives it (`rfc2047`).

use std::collections::BTreeMap;

use http::header::{
    self, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderMap,
    HeaderName, HeaderValue,
};

use super::super::http::Call;
use super::super::rfc2047;
use super::{Dialect, DialectTraits, XmlClient, length};
use skyferry_core::digest::StoredDigests;
use skyferry_core::model::{Revision, SourceIdentity};
use skyferry_core::store::{Metadata, Object, Retention, WriteAttributes, provenance};

const STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");
/// The tags and the expiry, where a service has neither.
const TAGS: &str = "tags";
const EXPIRES_META: &str = "skyferry-expires";

/// Adds the headers of a new object. The error says in words what this service cannot hold.
pub fn outgoing(facts: &DialectTraits, with: &WriteAttributes, headers: &mut HeaderMap) -> Result<(), String> {
    let metadata = &with.metadata;
    let mut custom = Vec::with_capacity(8 + metadata.user.len());
    let mut plain = vec![
        (CONTENT_TYPE, &metadata.content_type),
        (CONTENT_ENCODING, &metadata.content_encoding),
        (CONTENT_LANGUAGE, &metadata.content_language),
        (CONTENT_DISPOSITION, &metadata.content_disposition),
        (CACHE_CONTROL, &metadata.cache_control),
    ];
    match (facts.keeps_expires, &metadata.expires) {
        (false, Some(expires)) => custom.push((EXPIRES_META, expires.as_str())),
        (_, expires) => plain.push((EXPIRES, expires)),
    }
    for (name, value) in plain {
        if let Some(value) = value {
            let value = HeaderValue::from_bytes(&rfc2047::bytes(value));
            let value = value.map_err(|_| format!("the header {name} holds control characters"))?;
            headers.insert(name, value);
        }
    }
    if let Some(class) = &metadata.storage_class {
        let known = (facts.class_of)(class).and_then(|class| HeaderValue::from_str(class).ok());
        let known = known.ok_or_else(|| format!("the storage class {class:.40} is not known"))?;
        headers.insert(&facts.storage_class, known);
    }
    if let Some(Retention { mode, until }) = metadata.retention.as_ref().filter(|_| with.options.retention) {
        for (name, value) in facts.retention.iter().zip([mode, until]) {
            let value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot be sent as a header"))?;
            headers.insert(name, value);
        }
    }
    if let Some(tags) = metadata.tags.as_deref().filter(|tags| !tags.is_empty()) {
        match &facts.tagging {
            Some(name) => {
                let tags =
                    HeaderValue::from_str(tags).map_err(|_| "tags that cannot be sent as a header".to_owned())?;
                headers.insert(name, tags);
            }
            None if metadata.user.contains_key(TAGS) => {}
            None => custom.push((TAGS, tags)),
        }
    }
    let own = provenance::encode(&with.provenance);
    custom.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    let others = metadata.user.iter().filter(|(name, _)| !provenance::is_reserved(name));
    custom.extend(others.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut bytes = 0;
    for (name, value) in custom {
        bytes += add(facts, headers, name, value)?;
        if let Some(most) = facts.most_metadata.filter(|most| bytes > *most) {
            return Err(format!("more than {most} bytes of user metadata"));
        }
    }
    Ok(())
}

/// Adds a piece of user metadata; how many bytes it counts.
fn add(facts: &DialectTraits, headers: &mut HeaderMap, name: &str, value: &str) -> Result<usize, String> {
    let value = rfc2047::encode(value);
    let mut full = [0u8; 272];
    let (start, end) = (facts.meta.len(), facts.meta.len() + name.len());
    let header = (!name.is_empty() && end <= full.len()).then(|| {
        full[..start].copy_from_slice(facts.meta.as_bytes());
        full[start..end].copy_from_slice(name.as_bytes());
        HeaderName::from_bytes(&full[..end])
    });
    let Some(Ok(header)) = header else {
        return Err(format!("the metadata name {name:.60?} cannot be sent as a header"));
    };
    let header_value =
        HeaderValue::from_str(&value).map_err(|_| format!("the metadata {name:.60} cannot be sent as a header"))?;
    match headers.insert(header, header_value) {
        None => Ok(name.len() + value.len()),
        Some(_) => Err(format!("two pieces of metadata are named {name:.60}")),
    }
}

/// One state of an object as a GET or HEAD shows it: of `size` bytes; `whole`: the answer is for all of them, so its
/// checksums are too. The error says what is missing or wrong. An ETag may be missing: then it is empty, and the time
/// and the size have to do.
pub fn object(dialect: &dyn Dialect, headers: &HeaderMap, size: u64, whole: bool) -> Result<Object, String> {
    let facts = dialect.traits();
    let etag = etag(headers).unwrap_or_default();
    let modified = headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let modified = modified.ok_or("no Last-Modified")?;
    let last_modified = http_date(modified).ok_or_else(|| format!("Last-Modified {modified:.40}"))?;
    let revision = match dialect.revision(headers, Some(etag).filter(|etag| !etag.is_empty())) {
        Some(revision) => revision,
        None if facts.generations => return Err("no generation".into()),
        None => Revision("".into()),
    };
    let version = headers.get(&facts.version.0).and_then(|value| value.to_str().ok());
    let version = version.filter(|version| *version != "null").map(Into::into);
    let mut metadata = metadata(facts, headers);
    if !facts.keeps_expires {
        metadata.expires = metadata.user.remove(EXPIRES_META);
    }
    let provenance = provenance::take(&mut metadata.user);
    let stored =
        if whole { StoredDigests { length: Some(size), ..dialect.stored(headers) } } else { StoredDigests::default() };
    let identity = SourceIdentity { etag: etag.into(), size, last_modified, version };
    Ok(Object { identity, revision, metadata, stored, provenance })
}

fn metadata(facts: &DialectTraits, headers: &HeaderMap) -> Metadata {
    let text = |name: &HeaderName| headers.get(name).map(|value| rfc2047::text(value.as_bytes()));
    let [mode, until] = &facts.retention;
    let user = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(facts.meta)?;
        Some((name.to_owned(), rfc2047::decode(rfc2047::text(value.as_bytes()))))
    });
    let user: BTreeMap<String, String> = user.collect();
    let content_encoding = match headers.contains_key(STORED_ENCODING) {
        true => text(&STORED_ENCODING).filter(|encoding| encoding != "identity"),
        false => text(&CONTENT_ENCODING).and_then(without_framing),
    };
    Metadata {
        content_type: text(&CONTENT_TYPE),
        content_encoding,
        content_language: text(&CONTENT_LANGUAGE),
        content_disposition: text(&CONTENT_DISPOSITION),
        cache_control: text(&CACHE_CONTROL),
        expires: facts.keeps_expires.then(|| text(&EXPIRES)).flatten(),
        user,
        storage_class: text(&facts.storage_class),
        encryption: text(&facts.encryption),
        retention: text(mode).zip(text(until)).map(|(mode, until)| Retention { mode, until }),
        tags: None,
    }
}

/// Some servers keep the framing of the upload as if it were the object's own encoding.
fn without_framing(encoding: String) -> Option<String> {
    if !encoding.contains("aws-chunked") {
        return Some(encoding);
    }
    let own: Vec<&str> = encoding.split(',').map(str::trim).filter(|one| *one != "aws-chunked").collect();
    (!own.concat().is_empty()).then(|| own.join(","))
}

/// The service, or something before it, changed the encoding on the way and says so: these are not the object's bytes.
pub fn is_transcoded(headers: &HeaderMap) -> bool {
    let plain = |name: HeaderName| {
        let encoding = headers.get(name).and_then(|value| value.to_str().ok());
        encoding.filter(|encoding| !encoding.is_empty() && *encoding != "identity")
    };
    headers.contains_key(STORED_ENCODING) && plain(STORED_ENCODING) != plain(CONTENT_ENCODING)
}

/// Checksums as Amazon's headers name them. An ETag under KMS or a customer's key is no MD5.
pub fn stored_by_amazon(headers: &HeaderMap) -> StoredDigests {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let composite = text("x-amz-checksum-type").map(|kind| kind == "COMPOSITE");
    let mut stored = StoredDigests::default();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-checksum-")) {
        if let Ok(value) = value.to_str() {
            stored.amz_header(name.as_str(), value, composite).ok();
        }
    }
    let encrypted = text("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:kms"))
        || headers.contains_key("x-amz-server-side-encryption-customer-algorithm");
    if let Some(etag) = text("etag").filter(|_| !encrypted) {
        stored.md5_etag(etag);
    }
    stored
}

/// Without quotes; `None` where there is none, or an empty one.
pub fn etag(headers: &HeaderMap) -> Option<&str> {
    let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok()).map(unquoted);
    etag.filter(|etag| !etag.is_empty())
}

/// An ETag without its quotes; a weak one loses its `W/` too.
pub fn unquoted(etag: &str) -> &str {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

/// An HTTP date in seconds since the epoch.
pub fn http_date(text: &str) -> Option<i64> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(text).ok().map(jiff::Timestamp::as_second)
}

impl XmlClient {
    /// The object of an answer. What its service could not put into headers is reported where it is first seen.
    pub(super) fn describe(
        &self,
        call: &Call,
        headers: &HeaderMap,
        size: u64,
        whole: bool,
        first: bool,
    ) -> Result<Object, String> {
        if let Some(missing) = headers.get("x-amz-missing-meta").filter(|missing| first && *missing != "0") {
            tracing::warn!(
                bucket = %call.at.bucket, key = %call.at.key, missing = ?missing,
                "the {} keeps metadata of this object that no header can carry: it is not copied", call.side
            );
        }
        let size = length::stored(headers).unwrap_or(size);
        object(&*self.dialect, headers, size, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(http_date("Tue, 14 Nov 2023 22:13:20 GMT"), Some(1_700_000_000));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn an_etag_under_kms_is_no_md5() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, "\"9b2cf535f27731c974343645a3985328\"".parse().unwrap());
        assert!(stored_by_amazon(&headers).md5.is_some());
        headers.insert("x-amz-server-side-encryption", "aws:kms:dsse".parse().unwrap());
        assert!(stored_by_amazon(&headers).md5.is_none());
    }

    #[test]
    fn the_upload_s_framing_is_not_the_object_s_encoding() {
        for (sent, own) in [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("gzip, br", Some("gzip, br")),
        ] {
            assert_eq!(without_framing(sent.to_owned()).as_deref(), own);
        }
    }
}
