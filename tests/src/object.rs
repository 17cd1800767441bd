//! What both dialects do alike with an object's headers and body: reading attributes, ranges, conditions on reads, and
//! taking a body in with the checks that the request itself asks for.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::{
    body::RequestBody,
    call::Call,
    refusal::{Failure, Refusal},
    server::Answer,
    signature::Payload,
    store::{
        Attributes, Object, ObjectInfo, Store,
        data::{Data, Digests, Wanted},
    },
};

const CONTENT_HEADERS: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// The attributes that a request's headers give an object. `families` are the prefixes of its own headers, `x-goog-` or
/// `x-amz-`, `options` those that say how it is stored.
pub(crate) fn attributes(call: &Call, families: &[&str], options: &[&str]) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in &call.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if CONTENT_HEADERS.contains(&name.as_str()) {
            attributes.content.insert(name.as_str().to_owned(), value);
            continue;
        }
        let own = families.iter().find_map(|family| name.as_str().strip_prefix(family));
        match own {
            Some("storage-class") => attributes.storage_class = value,
            Some(own) if options.contains(&own) => drop(attributes.options.insert(own.to_owned(), value)),
            Some(own) => {
                if let Some(meta) = own.strip_prefix("meta-") {
                    let kept = attributes.metadata.entry(meta.to_owned()).or_default();
                    *kept = if kept.is_empty() { value } else { format!("{kept},{value}") };
                }
            }
            None => {}
        }
    }
    if attributes.storage_class.is_empty() {
        attributes.storage_class = "STANDARD".to_owned();
    }
    attributes
}

/// Bytes of user metadata: names and values.
pub(crate) fn metadata_size(attributes: &Attributes) -> usize {
    attributes.metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Refuses a POST or PUT that does not say its length.
pub(crate) fn needs_length(call: &Call) -> Result<(), Refusal> {
    if call.header("content-length").is_some() {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", "POST and PUT need a Content-Length"))
}

/// Reads a body to its end and checks what the request says of it: the signed SHA-256, Content-MD5, the decoded length.
pub(crate) async fn receive(
    store: &Store,
    call: &Call,
    body: &mut RequestBody,
    wanted: Wanted,
    payload: &Payload,
) -> Result<(Data, Digests), Failure> {
    let expected_md5 = call.header("content-md5").map(content_md5).transpose()?;
    let wanted = Wanted {
        md5: wanted.md5 || expected_md5.is_some(),
        sha256: wanted.sha256 || matches!(payload, Payload::Sha256(_)),
        ..wanted
    };
    let mut writer = store.writer(wanted);
    while let Some(bytes) = body.next().await? {
        writer.write(&bytes)?;
    }
    let (data, digests) = writer.finish();
    if matches!(payload, Payload::Sha256(signed) if digests.sha256 != Some(*signed)) {
        return Err(Refusal::bad("XAmzContentSHA256Mismatch", "the body is not the signed one").into());
    }
    if expected_md5.is_some_and(|md5| digests.md5 != Some(md5)) {
        return Err(Refusal::bad("BadDigest", "the body does not have the Content-MD5 given").into());
    }
    let decoded = call.header("x-amz-decoded-content-length").map(str::parse::<u64>);
    match decoded {
        Some(length) if length != Ok(digests.size) => {
            Err(Refusal::bad("IncompleteBody", "x-amz-decoded-content-length is another").into())
        }
        _ => Ok((data, digests)),
    }
}

/// Reads an XML body and checks it like any other.
pub(crate) async fn xml_text(call: &Call, body: &mut RequestBody, payload: &Payload) -> Result<String, Failure> {
    let text = body.text().await?;
    if matches!(payload, Payload::Sha256(signed) if Sha256::digest(&text)[..] != signed[..]) {
        return Err(Refusal::bad("XAmzContentSHA256Mismatch", "the body is not the signed one").into());
    }
    match call.header("content-md5").map(content_md5).transpose()? {
        Some(md5) if Md5::digest(&text)[..] != md5 => {
            Err(Refusal::bad("BadDigest", "the body does not have the Content-MD5 given").into())
        }
        _ => Ok(text),
    }
}

fn content_md5(text: &str) -> Result<[u8; 16], Refusal> {
    let invalid = || Refusal::bad("InvalidDigest", format!("Content-MD5: {text}"));
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| invalid())?;
    bytes.try_into().map_err(|_| invalid())
}

/// If-Match and If-None-Match on a read.
pub(crate) fn read_conditions(headers: &HeaderMap, info: &ObjectInfo) -> Result<(), Refusal> {
    let lists = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value == "*" || value.split(',').any(|tag| tag.trim().trim_matches('"') == info.etag))
    };
    if lists("if-match") == Some(false) {
        return Err(Refusal::precondition("If-Match"));
    }
    if lists("if-none-match") == Some(true) {
        return Err(Refusal::new(StatusCode::NOT_MODIFIED, "NotModified", "If-None-Match"));
    }
    Ok(())
}

/// The range asked for as start and end; `None`: the whole. What is no single byte range is ignored, as HTTP wants it.
pub(crate) fn range(call: &Call, size: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(spec) = call.header("range").and_then(|text| text.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Ok(None);
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.is_empty() => (start, size),
        (Err(_), Ok(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return Ok(None),
    };
    if start < end {
        return Ok(Some((start, end)));
    }
    Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", format!("{spec} of {size} bytes")))
}

/// 200 or 206 with the object's bytes and its content headers.
pub(crate) fn answer(object: &Object, range: Option<(u64, u64)>) -> Result<Answer, Refusal> {
    if object.data.is_discarded() && object.info.size > 0 {
        let why = "this peer discards bodies: they cannot be read";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", why));
    }
    Ok(shape(object, range))
}

/// The same for HEAD, which discarded bytes can answer too.
pub(crate) fn shape(object: &Object, range: Option<(u64, u64)>) -> Answer {
    let info = &object.info;
    let (start, end) = range.unwrap_or((0, info.size));
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = Answer { body: Some((object.data.clone(), start, end)), ..Answer::new(status) };
    if range.is_some() {
        answer.add("content-range", format!("bytes {start}-{}/{}", end - 1, info.size));
    }
    for (name, value) in &info.attributes.content {
        answer.add(name, value);
    }
    answer.add("etag", quoted(&info.etag));
    answer.add("last-modified", http_date(info.modified));
    answer.add("accept-ranges", "bytes");
    answer
}

pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(time: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

/// `1994-11-06T08:49:37.000Z`.
pub(crate) fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Base64 of a CRC32C in big-endian order, as both clouds write it.
pub(crate) fn crc_text(crc: u32) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}
