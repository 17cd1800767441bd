//! HEAD and GET; and how headers become an `Object`.

use std::ops::Range;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES,
    HeaderName, IF_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, Method, StatusCode};

use super::super::http::{Answer, Call, again};
use super::super::{Metadata, Object, Opened, Pin, Result, provenance, rfc2047};
use super::S3;
use super::refusal::Asked;
use super::request::Outgoing;
use crate::digest::Stored;
use crate::error::{Kind, Side};
use crate::object::{Location, Revision, SourceIdentity};

impl S3 {
    pub(super) async fn head_pinned(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        let answered = again(|| async {
            let answer = self.send(self.look(Method::HEAD, "HeadObject", at, pin)?).await?;
            let call = Call::new(self.side, "HeadObject", at);
            let size = answer.content_length().ok_or_else(|| S3::nonsense(&call, "no Content-Length"))?;
            pinned(&call, self.describe(&call, &answer.headers, size, true)?, pin)
        })
        .await;
        match answered {
            Ok(object) => Ok(Some(object)),
            // The answer to a HEAD has no body to say why: a key that is not there, or the whole bucket?
            // Refused credentials, or this object? A GET says. What a destination lacks, its PUT will say.
            Err(error) if error.kind == Kind::NotFound && self.side != Side::Source => Ok(None),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Denied | Kind::Refused | Kind::WrongRegion) => {
                Ok(self.open_pinned(at, pin, None).await?.map(|opened| opened.object))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn open_pinned(
        &self,
        at: &Location,
        pin: &Pin,
        range: Option<Range<u64>>,
    ) -> Result<Option<Opened>> {
        let opened = again(|| async {
            let mut get = self.look(Method::GET, "GetObject", at, pin)?;
            if let Some(range) = &range {
                get.header(RANGE, &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))?;
            }
            let call = get.call.clone();
            let answer = self.send(get).await?;
            self.opened(&call, answer, pin, range.as_ref())
        })
        .await;
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn look(&self, method: Method, operation: &'static str, at: &Location, pin: &Pin) -> Result<Outgoing> {
        let mut look = self.object(method, operation, at, Asked::Read)?;
        look.headers.insert("x-amz-checksum-mode", http::HeaderValue::from_static("ENABLED"));
        if let Pin::Version(version) = pin {
            look.query("versionId", version.to_string());
        }
        if let Pin::State { identity, by_version } = pin {
            look.header(IF_MATCH, &quoted(&identity.etag))?;
            if let Some(version) = identity.version.as_ref().filter(|_| *by_version) {
                look.query("versionId", version.to_string());
            }
        }
        Ok(look)
    }

    fn opened(&self, call: &Call, answer: Answer, pin: &Pin, range: Option<&Range<u64>>) -> Result<Opened> {
        let length = answer.content_length().ok_or_else(|| S3::nonsense(call, "no Content-Length"))?;
        let size = match (range, answer.status) {
            (Some(range), StatusCode::PARTIAL_CONTENT) => {
                let (got, size) = answer
                    .header(CONTENT_RANGE)
                    .and_then(content_range)
                    .ok_or_else(|| S3::nonsense(call, "no Content-Range"))?;
                if got.start != range.start || got.end != range.end.min(size) || length != got.end - got.start {
                    return Err(S3::nonsense(call, format!("bytes {got:?} of {size} instead of {range:?}")));
                }
                size
            }
            (None, StatusCode::OK) => length,
            (Some(range), StatusCode::OK) if *range == (0..length) => length,
            (_, status) => return Err(S3::nonsense(call, format!("status {status}"))),
        };
        // With a range that is just one part, S3 answers with the part's checksum.
        let object = self.describe(call, &answer.headers, size, length == size)?;
        Ok(Opened { object: pinned(call, object, pin)?, length, chunks: answer.chunks(length) })
    }

    /// `whole`: the answer is for the whole object, so its checksums are too.
    fn describe(&self, call: &Call, headers: &HeaderMap, size: u64, whole: bool) -> Result<Object> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text(ETAG).map(unquoted).ok_or_else(|| S3::nonsense(call, "no ETag"))?;
        let modified = text(LAST_MODIFIED).and_then(http_date);
        let last_modified = modified.ok_or_else(|| S3::nonsense(call, "no Last-Modified"))?;
        let version = text(VERSION).filter(|version| *version != "null").map(Into::into);
        let mut metadata = metadata(headers);
        let provenance = provenance::take(&mut metadata.user);
        Ok(Object {
            revision: Revision(etag.into()),
            identity: SourceIdentity { etag: etag.into(), size, last_modified, version },
            metadata,
            stored: if whole { stored(headers, Some(size)) } else { Stored::default() },
            provenance,
        })
    }
}

const VERSION: HeaderName = HeaderName::from_static("x-amz-version-id");
const META: &str = "x-amz-meta-";

/// If-Match compares ETags only: the same bytes written again with other headers keep theirs, and are another state.
fn pinned(call: &Call, object: Object, pin: &Pin) -> Result<Object> {
    let Pin::State { identity, .. } = pin else { return Ok(object) };
    let got = &object.identity;
    let same_version = identity.version.is_none() || got.version.is_none() || identity.version == got.version;
    if got.etag == identity.etag
        && got.size == identity.size
        && got.last_modified == identity.last_modified
        && same_version
    {
        return Ok(object);
    }
    Err(call.error(Kind::SourceChanged, "another state than the one that was asked for"))
}

fn metadata(headers: &HeaderMap) -> Metadata {
    let text = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let user = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), rfc2047::decode(String::from_utf8_lossy(value.as_bytes()).into_owned())))
    });
    Metadata {
        content_type: text(CONTENT_TYPE),
        // Some servers keep the framing of the upload as if it were the object's own.
        content_encoding: text(CONTENT_ENCODING).and_then(|encoding| {
            let own: Vec<&str> = encoding.split(',').map(str::trim).filter(|one| *one != "aws-chunked").collect();
            (!own.concat().is_empty()).then(|| own.join(","))
        }),
        content_language: text(CONTENT_LANGUAGE),
        content_disposition: text(CONTENT_DISPOSITION),
        cache_control: text(CACHE_CONTROL),
        expires: text(EXPIRES),
        user: user.collect(),
        storage_class: text(HeaderName::from_static("x-amz-storage-class")),
        tags: None,
    }
}

/// The checksums of an answer. One that cannot be read was not said.
pub(super) fn stored(headers: &HeaderMap, length: Option<u64>) -> Stored {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let composite = text("x-amz-checksum-type").map(|kind| kind == "COMPOSITE");
    let mut stored = Stored { length, ..Stored::default() };
    for (name, value) in headers {
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

fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..last.checked_add(1)?, size.parse().ok()?)).filter(|(range, _)| range.start < range.end)
}

pub(super) fn unquoted(etag: &str) -> &str {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn http_date(text: &str) -> Option<i64> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(jiff::Timestamp::as_second)
}

pub(super) fn timestamp(call: &Call, text: &str) -> Result<i64> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.map(jiff::Timestamp::as_second).map_err(|_| S3::nonsense(call, "a time that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranges_are_read() {
        assert_eq!(http_date("Tue, 14 Nov 2023 22:13:20 GMT"), Some(1_700_000_000));
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(content_range("bytes 5-9/20"), Some((5..10, 20)));
        for text in ["bytes */20", "bytes 9-5/20", "bytes 5-9/*", "5-9/20"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn an_etag_under_kms_is_no_md5() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, "\"9b2cf535f27731c974343645a3985328\"".parse().unwrap());
        assert!(stored(&headers, None).md5.is_some());
        headers.insert("x-amz-server-side-encryption", "aws:kms:dsse".parse().unwrap());
        assert!(stored(&headers, None).md5.is_none());
    }

    #[test]
    fn the_upload_s_framing_is_not_the_object_s_encoding() {
        let mut headers = HeaderMap::new();
        for (sent, own) in [("aws-chunked", None), ("aws-chunked,gzip", Some("gzip")), ("gzip, br", Some("gzip,br"))] {
            headers.insert(CONTENT_ENCODING, sent.parse().unwrap());
            assert_eq!(metadata(&headers).content_encoding.as_deref(), own);
        }
    }
}
