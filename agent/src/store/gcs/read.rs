//! Looking, reading and listing. All of it may be asked again: nothing here changes anything.
//!
//! `Accept-Encoding: gzip` goes with every read (unsigned): without it the service decompresses objects that say
//! they are gzip, and what comes then is neither the stored bytes nor the stored length.

use std::ops::Range;

use http::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, HeaderValue, IF_MATCH, RANGE};
use http::{Method, StatusCode};

use super::client::{Ask, Client};
use super::keys::Parameter;
use super::{headers, xml};
use crate::error::{CopyError, Kind};
use crate::object::{Key, Location, Revision};
use crate::store::http::{Answer, Effect, again};
use crate::store::{ListFrom, Listed, Object, Opened, Page, Pin, Result};

/// What a HEAD's 404, which has no words, is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Nothing there.
    Believed,
    /// Asked for by GET, whose answer tells a missing object from a missing bucket.
    Confirmed,
}

impl Client {
    /// One state of an object without its bytes.
    pub async fn look(&self, at: &Location, pin: &Pin, absence: Absence) -> Result<Option<Object>> {
        let ask = self.reading("HeadObject", at, pin, Method::HEAD)?;
        let answer = match again(|| self.send_bare(&ask)).await {
            Ok(answer) => answer,
            Err(error) => match error.kind {
                Kind::NotFound if absence == Absence::Believed => return absent(pin, error),
                // An answer to HEAD has no body: the same question by GET tells a wrong signature, a missing
                // permission and a missing bucket apart.
                Kind::NotFound | Kind::Denied | Kind::Refused => {
                    return Ok(self.read(at, pin, None).await?.map(|opened| opened.object));
                }
                _ => return Err(unpinned(error)),
            },
        };
        state(&ask, &answer.headers, pin).map(Some)
    }

    /// Opens an object's bytes as they are stored.
    pub async fn read(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<Opened>> {
        let mut ask = self.reading("GetObject", at, pin, Method::GET)?;
        if let Some(range) = &range {
            let last = range.end.checked_sub(1).filter(|last| *last >= range.start);
            let Some(last) = last else {
                return Err(ask.call.error(Kind::Refused, "an empty range"));
            };
            let value = HeaderValue::from_str(&format!("bytes={}-{last}", range.start));
            ask.headers.extend(value.ok().map(|value| (RANGE, value)));
        }
        let answer = match again(|| self.send_bare(&ask)).await {
            Ok(answer) => answer,
            Err(error) if error.kind == Kind::NotFound => return absent(pin, error),
            Err(error) => return Err(unpinned(error)),
        };
        let object = state(&ask, &answer.headers, pin)?;
        let length = length(&answer, &object, range).map_err(|why| ask.call.error(Kind::Nonsense, why))?;
        Ok(Some(Opened { object, length, chunks: answer.chunks(length) }))
    }

    /// One page of a listing.
    pub async fn page(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        let (after, token) = match from {
            ListFrom::Start => (None, None),
            ListFrom::After(key) => (Some(key.as_bytes()), None),
            ListFrom::Token(token) => (None, Some(token.as_bytes())),
        };
        let all: [(Parameter<'_>, bool); 5] = [
            (("continuation-token", token), token.is_some()),
            (("encoding-type", Some(b"url")), true),
            (("list-type", Some(b"2")), true),
            (("prefix", Some(prefix.as_bytes())), !prefix.as_bytes().is_empty()),
            (("start-after", after), after.is_some()),
        ];
        let query: Vec<_> = all.into_iter().filter(|(_, given)| *given).map(|(parameter, _)| parameter).collect();
        let ask = self.about_bucket("ListObjects", bucket, &query)?;
        let body = again(|| self.document(&ask)).await?;
        let mut page = listed(&body, prefix, token).map_err(|why| ask.call.error(Kind::Nonsense, why))?;
        // Begins behind the key, also where a service should take the parameter for the first key to show.
        page.objects.retain(|row| after != Some(row.key.as_bytes()));
        Ok(page)
    }

    fn reading(&self, operation: &'static str, at: &Location, pin: &Pin, method: Method) -> Result<Ask> {
        let (etag, version) = match pin {
            Pin::Newest => (None, None),
            Pin::Version(version) => (None, Some(&**version)),
            Pin::State { identity, by_version } => {
                (Some(&identity.etag), identity.version.as_deref().filter(|_| *by_version))
            }
        };
        let generation: Option<Parameter<'_>> = version.map(|version| ("generation", Some(version.as_bytes())));
        let mut ask = self.about(operation, at, method, generation.as_slice(), Effect::Idempotent)?;
        ask.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(etag) = etag {
            let value = HeaderValue::from_str(&format!("\"{etag}\""));
            let value = value.map_err(|_| ask.call.error(Kind::SourceChanged, "an ETag that no header can carry"))?;
            ask.headers.insert(IF_MATCH, value);
        }
        Ok(ask)
    }
}

/// A version that is not there leaves open what the newest state is; else nothing is there.
fn absent<T>(pin: &Pin, error: CopyError) -> Result<Option<T>> {
    match pin {
        Pin::State { by_version: true, identity } if identity.version.is_some() => {
            Err(CopyError { kind: Kind::SourceChanged, ..error })
        }
        _ => Ok(None),
    }
}

/// A read's only condition is its pin.
fn unpinned(error: CopyError) -> CopyError {
    match error.kind {
        Kind::Precondition => CopyError { kind: Kind::SourceChanged, ..error },
        _ => error,
    }
}

/// The answer's object, if it is the state that was asked for.
fn state(ask: &Ask, headers: &HeaderMap, pin: &Pin) -> Result<Object> {
    let object = headers::object(headers).map_err(|why| ask.call.error(Kind::Nonsense, why))?;
    let Pin::State { identity: wanted, .. } = pin else {
        return Ok(object);
    };
    let got = &object.identity;
    let same = got.etag == wanted.etag
        && got.size == wanted.size
        && (wanted.version.is_none() || got.version == wanted.version);
    if same { Ok(object) } else { Err(ask.call.error(Kind::SourceChanged, "the answer shows another state")) }
}

/// How many bytes follow. Anything but the stored bytes of exactly what was asked is not understood.
fn length(answer: &Answer, object: &Object, range: Option<Range<u64>>) -> Result<u64, String> {
    if headers::is_transcoded(&answer.headers) {
        return Err("the content's encoding was changed on the way".into());
    }
    let announced = answer.content_length().ok_or("an answer without a length")?;
    let size = object.identity.size;
    let Some(range) = range else {
        let whole = answer.status == StatusCode::OK && announced == size;
        return if whole { Ok(size) } else { Err(format!("{announced} bytes of an object of {size}")) };
    };
    // A range that ends behind the object is cut to it.
    let end = range.end.min(size);
    let expected = format!("bytes {}-{}/{size}", range.start, end.saturating_sub(1));
    let got = answer.header(CONTENT_RANGE).unwrap_or_default();
    let exact = answer.status == StatusCode::PARTIAL_CONTENT && got == expected;
    match end.checked_sub(range.start) {
        Some(length) if exact && announced == length => Ok(length),
        _ => Err(format!("{} `{got:.60}` in answer to `{expected}`", answer.status.as_u16())),
    }
}

fn listed(body: &[u8], prefix: &Key, token: Option<&[u8]>) -> Result<Page, String> {
    let list: xml::ListBucketResult = xml::read(body).map_err(|e| e.to_string())?;
    let mut objects = Vec::with_capacity(list.contents.len());
    for row in &list.contents {
        let key = list.key(row).map_err(|e| e.to_string())?;
        if !key.as_bytes().starts_with(prefix.as_bytes()) {
            return Err(format!("the listing of `{prefix}` shows {key:?}"));
        }
        objects.push(Listed {
            key,
            size: row.size,
            etag: headers::unquoted(&row.etag).into(),
            last_modified: row.last_modified().map_err(|e| e.to_string())?,
            storage_class: row.storage_class.clone(),
            revision: row.generation.map(|generation| Revision(generation.to_string().into())),
            version: None,
        });
    }
    let next = list.next_continuation_token.filter(|_| list.is_truncated);
    if list.is_truncated && next.as_deref().is_none_or(|next| Some(next.as_bytes()) == token) {
        return Err("a listing that goes on, but not where".into());
    }
    Ok(Page { objects, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "<Contents><Key>a%2Fb</Key><Size>1</Size><ETag>\"e\"</ETag>\
                       <LastModified>2026-01-02T03:04:05Z</LastModified></Contents>";

    fn page(inner: &str, prefix: &str, token: Option<&[u8]>) -> Result<Page, String> {
        let body = format!("<ListBucketResult><EncodingType>url</EncodingType>{inner}</ListBucketResult>");
        listed(body.as_bytes(), &Key::from(prefix), token)
    }

    #[test]
    fn a_listing_shows_only_keys_under_its_prefix() {
        assert_eq!(page(ROW, "a/", None).unwrap().objects[0].key, Key::from("a/b"));
        assert!(page(ROW, "b", None).is_err());
    }

    #[test]
    fn a_listing_that_goes_on_must_say_where_and_move() {
        assert!(page("<IsTruncated>true</IsTruncated>", "", None).is_err());
        let truncated = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
        assert_eq!(page(truncated, "", None).unwrap().next.as_deref(), Some("t"));
        assert!(page(truncated, "", Some(b"t")).is_err(), "for ever the same page");
        assert_eq!(page("<NextContinuationToken>t</NextContinuationToken>", "", None).unwrap().next, None);
    }
}
