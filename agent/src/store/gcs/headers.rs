//! What travels beside the bytes: metadata and provenance as headers, and an answer's headers as an `Object`.
//!
//! Two things that this service cannot keep as they are go in a form that reads back as it was:
//! - A user metadata value that a header cannot carry byte for byte (beyond printable ASCII, blanks at an end or in a
//!   row) goes as `=?UTF-8?B?<base64>?=` (RFC 2047): the form in which S3 itself gives such values.
//! - `Expires`, which is no metadata of an object here, goes as the user metadata `skyferry-expires`.

use std::collections::BTreeMap;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::digest::{self, Stored};
use crate::object::{Revision, SourceIdentity};
use crate::plan::Limits;
use crate::store::{Attributes, Metadata, Object, provenance, rfc2047};

pub const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
pub const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-goog-storage-class");
const STORED_LENGTH: HeaderName = HeaderName::from_static("x-goog-stored-content-length");
const STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");
const META: &str = "x-goog-meta-";
/// The source's tags, as a URL's query.
const TAGS: &str = "tags";
const EXPIRES: &str = "skyferry-expires";
/// Of all names and values of custom metadata together.
const MOST_METADATA: usize = Limits::GCS.max_metadata_bytes;

/// This service's class for a class of either service. `None`: unknown.
///
/// The classes that S3 moves by access go to NEARLINE, those that answer at once but rarely to COLDLINE, the archives
/// to ARCHIVE. One zone or reduced redundancy is about where, not how often: those that are read often are STANDARD.
pub fn storage_class(name: &str) -> Option<&'static str> {
    Some(match name {
        "STANDARD" | "REDUCED_REDUNDANCY" | "EXPRESS_ONEZONE" => "STANDARD",
        "NEARLINE" | "STANDARD_IA" | "ONEZONE_IA" | "INTELLIGENT_TIERING" => "NEARLINE",
        "COLDLINE" | "GLACIER_IR" => "COLDLINE",
        "ARCHIVE" | "GLACIER" | "DEEP_ARCHIVE" => "ARCHIVE",
        "MULTI_REGIONAL" => "MULTI_REGIONAL",
        "REGIONAL" => "REGIONAL",
        "DURABLE_REDUCED_AVAILABILITY" => "DURABLE_REDUCED_AVAILABILITY",
        _ => return None,
    })
}

/// The headers of a new object. The error says in words what this service cannot hold.
pub fn outgoing(with: &Attributes) -> Result<HeaderMap, String> {
    let Metadata {
        content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        expires,
        user,
        storage_class: class,
        tags,
    } = &with.metadata;
    let mut headers = HeaderMap::with_capacity(24);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_ENCODING, content_encoding),
        (header::CONTENT_LANGUAGE, content_language),
        (header::CONTENT_DISPOSITION, content_disposition),
        (header::CACHE_CONTROL, cache_control),
    ] {
        if let Some(value) = value {
            let value = HeaderValue::from_bytes(value.as_bytes());
            let value = value.map_err(|_| format!("the header {name} holds control characters"))?;
            headers.insert(name, value);
        }
    }
    if let Some(class) = class {
        let known = storage_class(class).ok_or_else(|| format!("the storage class {class:.40} is not known"))?;
        headers.insert(STORAGE_CLASS, HeaderValue::from_static(known));
    }
    let mut custom = Custom { headers: &mut headers, bytes: 0 };
    for (name, value) in provenance::encode(&with.provenance) {
        custom.add(name, &value)?;
    }
    if let Some(expires) = expires {
        custom.add(EXPIRES, expires)?;
    }
    // There are no tags here.
    if let Some(tags) = tags.as_ref().filter(|tags| !tags.is_empty() && !user.contains_key(TAGS)) {
        custom.add(TAGS, tags)?;
    }
    for (name, value) in user.iter().filter(|(name, _)| !provenance::is_reserved(name)) {
        custom.add(name, value)?;
    }
    Ok(headers)
}

/// Adds custom metadata and counts it.
struct Custom<'a> {
    headers: &'a mut HeaderMap,
    bytes: usize,
}

impl Custom<'_> {
    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let value = rfc2047::encode(value);
        self.bytes += name.len() + value.len();
        if self.bytes > MOST_METADATA {
            return Err(format!("more than {MOST_METADATA} bytes of user metadata"));
        }
        let mut full = [0u8; META.len() + 256];
        let end = META.len() + name.len();
        let header = (!name.is_empty() && end <= full.len()).then(|| {
            full[..META.len()].copy_from_slice(META.as_bytes());
            full[META.len()..end].copy_from_slice(name.as_bytes());
            HeaderName::from_bytes(&full[..end])
        });
        let Some(Ok(header)) = header else {
            return Err(format!("the metadata name {name:.60?} fits into no header"));
        };
        let value =
            HeaderValue::from_str(&value).map_err(|_| format!("the metadata {name:.60} fits into no header"))?;
        match self.headers.insert(header, value) {
            None => Ok(()),
            Some(_) => Err(format!("two pieces of metadata are named {name:.60}")),
        }
    }
}

/// The header that lets the service refuse a body other than this one.
pub fn hash_of(crc32c: u32) -> HeaderValue {
    HeaderValue::from_str(&digest::goog_hash(crc32c)).unwrap_or(HeaderValue::from_static(""))
}

/// The checksums that an answer names. One that does not parse was not said.
pub fn stored(headers: &HeaderMap) -> Stored {
    let mut stored = Stored { length: number(headers, &STORED_LENGTH), ..Stored::default() };
    for value in headers.get_all(HASH) {
        value.to_str().ok().map(|hashes| stored.goog_hash(hashes));
    }
    stored
}

/// One state of an object as a GET or HEAD shows it. The error says what is missing or wrong.
pub fn object(headers: &HeaderMap) -> Result<Object, String> {
    let size = size(headers).ok_or("no length")?;
    let etag = etag(headers).ok_or("no ETag")?;
    let generation = generation(headers).ok_or("no generation")?;
    let modified = text(headers, &header::LAST_MODIFIED).ok_or("no Last-Modified")?;
    let last_modified = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(&modified)
        .map_err(|_| format!("Last-Modified {modified:.40}"))?
        .as_second();
    let mut metadata = metadata(headers);
    metadata.expires = metadata.user.remove(EXPIRES);
    let provenance = provenance::take(&mut metadata.user);
    let identity = SourceIdentity { etag: etag.into(), size, last_modified, version: Some(generation.0.clone()) };
    let stored = Stored { length: Some(size), ..stored(headers) };
    Ok(Object { identity, revision: generation, metadata, stored, provenance })
}

fn metadata(headers: &HeaderMap) -> Metadata {
    let mut user = BTreeMap::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(META) {
            user.insert(name.to_owned(), rfc2047::decode(String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    let content_encoding = match headers.contains_key(STORED_ENCODING) {
        true => text(headers, &STORED_ENCODING).filter(|encoding| encoding != "identity"),
        false => text(headers, &header::CONTENT_ENCODING),
    };
    Metadata {
        content_type: text(headers, &header::CONTENT_TYPE),
        content_encoding,
        content_language: text(headers, &header::CONTENT_LANGUAGE),
        content_disposition: text(headers, &header::CONTENT_DISPOSITION),
        cache_control: text(headers, &header::CACHE_CONTROL),
        expires: None,
        user,
        storage_class: text(headers, &STORAGE_CLASS),
        tags: None,
    }
}

/// Bytes as stored: what Content-Length says is something else when the service decompresses, or for a range.
fn size(headers: &HeaderMap) -> Option<u64> {
    let total = |range: String| range.rsplit_once('/').and_then(|(_, total)| total.parse().ok());
    match headers.get(STORED_LENGTH) {
        Some(_) => number(headers, &STORED_LENGTH),
        None => match text(headers, &header::CONTENT_RANGE) {
            Some(range) => total(range),
            None => number(headers, &header::CONTENT_LENGTH),
        },
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The service, or something before it, changed the encoding on the way: these are not the object's bytes.
pub fn is_transcoded(headers: &HeaderMap) -> bool {
    let plain = |encoding: Option<String>| encoding.filter(|encoding| !encoding.is_empty() && encoding != "identity");
    headers.contains_key(STORED_ENCODING)
        && plain(text(headers, &STORED_ENCODING)) != plain(text(headers, &header::CONTENT_ENCODING))
}

/// The revision that an answer names: digits only, as it is sent back in a header.
pub fn generation(headers: &HeaderMap) -> Option<Revision> {
    let text = text(headers, &GENERATION)?;
    text.parse::<u64>().ok().map(|number| Revision(number.to_string().into()))
}

/// Without quotes.
pub fn etag(headers: &HeaderMap) -> Option<String> {
    text(headers, &header::ETAG).map(|etag| unquoted(&etag).to_owned()).filter(|etag| !etag.is_empty())
}

pub fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sum;
    use crate::object::{Location, Token};
    use crate::store::Provenance;

    fn attributes(metadata: Metadata) -> Attributes {
        let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
        let source = Location::new("photos", "é/\n");
        Attributes { metadata, provenance: Provenance { source, identity, token: Token(7), crc32c: None }, size: 3 }
    }

    /// What HEAD would answer for an object that was stored with these headers.
    fn answered(mut headers: HeaderMap) -> HeaderMap {
        for (name, value) in [
            ("content-length", "3"),
            ("etag", "\"900150983cd24fb0d6963f7d28e17f72\""),
            ("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("x-goog-generation", "1767323045000001"),
            ("x-goog-hash", "crc32c=Nks/tw=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.append("x-goog-hash", HeaderValue::from_static("md5=kAFQmDzST7DWlj99KOF/cg=="));
        headers
    }

    #[test]
    fn storage_classes_of_both_services_are_mapped_and_others_are_refused() {
        for (from, to) in [
            ("STANDARD", "STANDARD"),
            ("STANDARD_IA", "NEARLINE"),
            ("ONEZONE_IA", "NEARLINE"),
            ("INTELLIGENT_TIERING", "NEARLINE"),
            ("GLACIER_IR", "COLDLINE"),
            ("GLACIER", "ARCHIVE"),
            ("DEEP_ARCHIVE", "ARCHIVE"),
            ("NEARLINE", "NEARLINE"),
            ("COLDLINE", "COLDLINE"),
            ("ARCHIVE", "ARCHIVE"),
            ("REDUCED_REDUNDANCY", "STANDARD"),
        ] {
            assert_eq!(storage_class(from), Some(to), "{from}");
        }
        for unknown in ["", "standard", "OUTPOSTS", "SNOW"] {
            assert_eq!(storage_class(unknown), None, "{unknown}");
        }
        let refused = outgoing(&attributes(Metadata { storage_class: Some("SNOW".into()), ..Metadata::default() }));
        assert!(refused.unwrap_err().contains("SNOW"));
    }

    #[test]
    fn metadata_and_provenance_come_back_as_they_went() {
        let user = [("plain", "two words"), ("latin", "naïve"), ("blanks", " a  b "), ("empty", ""), ("lines", "a\nb")];
        let metadata = Metadata {
            content_type: Some("text/plain; charset=utf-8".into()),
            content_encoding: Some("gzip".into()),
            content_language: Some("fr".into()),
            content_disposition: Some("attachment; filename=\"é.txt\"".into()),
            cache_control: Some("no-cache".into()),
            expires: Some("Thu, 01 Dec 1994 16:00:00 GMT".into()),
            user: user.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            storage_class: Some("NEARLINE".into()),
            tags: None,
        };
        let with = attributes(metadata);
        let headers = outgoing(&with).unwrap();
        assert!(headers.keys().all(|name| !name.as_str().starts_with("x-amz-") && !name.as_str().contains("acl")));
        let object = object(&answered(headers)).unwrap();
        assert_eq!(object.metadata, with.metadata);
        assert_eq!(object.provenance, Some(with.provenance));
        assert_eq!(object.stored.crc32c, Some(Sum::Full(0x364b_3fb7)));
        assert!(object.stored.md5.is_some());
        assert_eq!(object.revision, Revision("1767323045000001".into()));
        assert_eq!((object.identity.size, object.identity.last_modified), (3, 1_767_323_045));
    }

    #[test]
    fn tags_become_metadata_unless_that_name_is_taken() {
        let tags = Some("team=a%26b".to_owned());
        let sent = |metadata: Metadata| {
            let headers = outgoing(&attributes(metadata)).unwrap();
            headers.get("x-goog-meta-tags").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(sent(Metadata { tags: tags.clone(), ..Metadata::default() }), tags);
        assert_eq!(sent(Metadata { tags: Some(String::new()), ..Metadata::default() }), None);
        let user = [("tags".to_owned(), "mine".to_owned())].into();
        assert_eq!(sent(Metadata { tags, user, ..Metadata::default() }).as_deref(), Some("mine"));
    }

    #[test]
    fn metadata_that_does_not_fit_is_refused() {
        let with = |name: &str, value: &str| {
            let user = [(name.to_owned(), value.to_owned())].into();
            outgoing(&attributes(Metadata { user, ..Metadata::default() }))
        };
        assert!(with("a", &"v".repeat(7000)).is_ok());
        assert!(with("a", &"v".repeat(8192)).is_err());
        assert!(with("a", &"é".repeat(3500)).is_err(), "counted as it is sent");
        for name in ["", "a b", "é", "a:b", &"n".repeat(300)] {
            assert!(with(name, "v").is_err(), "{name}");
        }
        assert!(
            outgoing(&attributes(Metadata { content_type: Some("a\r\nb".into()), ..Metadata::default() })).is_err()
        );
    }

    #[test]
    fn a_source_cannot_forge_provenance() {
        let user = [("skyferry-token".to_owned(), "0".repeat(32))].into();
        let headers = outgoing(&attributes(Metadata { user, ..Metadata::default() })).unwrap();
        assert_eq!(object(&answered(headers)).unwrap().provenance.unwrap().token, Token(7));
    }

    #[test]
    fn a_decompressed_answer_is_seen_and_its_stored_size_is_told() {
        let mut headers = answered(HeaderMap::new());
        headers.insert(STORED_LENGTH, HeaderValue::from_static("40"));
        headers.insert(STORED_ENCODING, HeaderValue::from_static("gzip"));
        assert!(is_transcoded(&headers));
        let object = object(&headers).unwrap();
        assert_eq!((object.identity.size, object.metadata.content_encoding.as_deref()), (40, Some("gzip")));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_transcoded(&headers));
        headers.insert(STORED_ENCODING, HeaderValue::from_static("identity"));
        assert!(is_transcoded(&headers), "compressed on the way is not the object either");
    }

    #[test]
    fn an_answer_without_the_essentials_is_not_understood() {
        for name in ["content-length", "etag", "last-modified", "x-goog-generation"] {
            let mut headers = answered(HeaderMap::new());
            headers.remove(name);
            assert!(object(&headers).is_err(), "{name}");
        }
        let mut headers = answered(HeaderMap::new());
        headers.insert(GENERATION, HeaderValue::from_static("-1\u{9}"));
        assert!(object(&headers).is_err());
    }

    #[test]
    fn a_hash_is_big_endian_base64() {
        assert_eq!(hash_of(0x364b_3fb7), "crc32c=Nks/tw==");
        assert_eq!(hash_of(0), "crc32c=AAAAAA==");
    }
}
