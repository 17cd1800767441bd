//! How many bytes an answer has, and of how many. Content-Range decides what a range's answer is, whatever the status.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName};

/// What Google stores, where what is sent may be something else.
const STORED_LENGTH: HeaderName = HeaderName::from_static("x-goog-stored-content-length");

/// A GET's bytes. `None`: the answer does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySpan {
    /// Of the answer.
    pub length: Option<u64>,
    /// Of the object.
    pub size: Option<u64>,
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The object's size, where a header of its own says it.
pub fn stored(headers: &HeaderMap) -> Option<u64> {
    number(headers, STORED_LENGTH)
}

/// What a success with these headers holds. Anything but exactly what was asked for is an error, in words.
pub fn span(headers: &HeaderMap, asked: Option<&Range<u64>>) -> Result<BodySpan, String> {
    let announced = number(headers, CONTENT_LENGTH);
    if super::headers::is_transcoded(headers) {
        return Err("the content's encoding was changed on the way".into());
    }
    let text = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let (got, size) = match text.as_deref().map(|text| content_range(text).ok_or(text)) {
        Some(Ok(range)) => range,
        Some(Err(text)) => return Err(format!("Content-Range `{text:.60}`")),
        // All of it, though perhaps only some was asked for.
        None => {
            let size = stored(headers).or(announced);
            let all = asked.is_none_or(|asked| asked.start == 0 && size.is_some_and(|size| asked.end >= size));
            let agree = announced.is_none() || announced == size;
            return match all && agree {
                true => Ok(BodySpan { length: announced.and(size), size }),
                false => {
                    Err(format!("{announced:?} bytes without a Content-Range, of {size:?}, in answer to {asked:?}"))
                }
            };
        }
    };
    let wanted = asked.map_or(0..size, |asked| asked.start..asked.end.min(size));
    let length = got.end - got.start;
    let agree = got == wanted && announced.is_none_or(|announced| announced == length);
    match agree && stored(headers).is_none_or(|stored| stored == size) {
        true => Ok(BodySpan { length: Some(length), size: Some(size) }),
        false => Err(format!("bytes {got:?} of {size} in place of {wanted:?}, {announced:?} of them")),
    }
}

fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    Some((first..last.checked_add(1)?, size)).filter(|(range, size)| range.start < range.end && range.end <= *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &str)], asked: Option<Range<u64>>) -> Result<BodySpan, String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        span(&headers, asked.as_ref())
    }

    fn some(length: u64, size: u64) -> Result<BodySpan, String> {
        Ok(BodySpan { length: Some(length), size: Some(size) })
    }

    #[test]
    fn fault_a13_content_range_decides_what_a_range_s_answer_is() {
        let range = ("content-range", "bytes 5-9/20");
        assert_eq!(of(&[range, ("content-length", "5")], Some(5..10)), some(5, 20));
        assert_eq!(of(&[range], Some(5..10)), some(5, 20), "and no length is needed");
        assert_eq!(of(&[("content-range", "bytes 5-19/20")], Some(5..99)), some(15, 20), "cut at the end");
        assert_eq!(of(&[("content-length", "5")], Some(0..9)), some(5, 5), "all of a short object");
        assert!(of(&[range, ("content-length", "6")], Some(5..10)).is_err());
        assert!(of(&[range], Some(0..10)).is_err() && of(&[range], None).is_err());
        assert!(of(&[("content-length", "20")], Some(5..10)).is_err(), "the range was passed over");
        for text in ["bytes */20", "bytes 9-5/20", "bytes 5-9/*", "5-9/20", "bytes 5-9/9"] {
            assert!(of(&[("content-range", text)], Some(5..10)).is_err(), "{text}");
        }
    }

    #[test]
    fn fault_a12_a_length_that_is_not_said_is_not_made_up() {
        assert_eq!(of(&[("content-length", "7")], None), some(7, 7));
        assert_eq!(of(&[], None), Ok(BodySpan { length: None, size: None }));
        assert!(of(&[], Some(0..4)).is_err());
    }

    #[test]
    fn a_decompressed_answer_is_seen() {
        let stored = [("x-goog-stored-content-length", "40"), ("x-goog-stored-content-encoding", "gzip")];
        let with = |more: &[(&'static str, &'static str)]| of(&[&stored, more].concat(), None);
        assert!(with(&[]).is_err());
        assert_eq!(with(&[("content-encoding", "gzip"), ("content-length", "40")]), some(40, 40));
        assert!(with(&[("content-encoding", "gzip"), ("content-length", "41")]).is_err());
        let plain = [("x-goog-stored-content-encoding", "identity"), ("content-encoding", "gzip")];
        assert!(of(&plain, None).is_err(), "compressed on the way is not the object either");
    }
}
