//! One request, read: bucket and key as their exact bytes, the query decoded, the operation named. The path is never
//! normalised, because a store takes `a//b`, `a/../b` and `/abs` for what they are.

use http::{HeaderMap, Method, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{operation::Operation, refusal::Refusal};

/// The decoded query, in the order sent. A name without `=` has the empty value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?));
        }
        Ok(Query(pairs))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A number between 0 and `most`, `most` if it is not there or larger.
    pub(crate) fn at_most(&self, name: &str, most: usize) -> Result<usize, Refusal> {
        match self.get(name) {
            None | Some("") => Ok(most),
            Some(text) => {
                let number: usize = text.parse().map_err(|_| Refusal::argument(format!("{name}={text}")))?;
                Ok(number.min(most))
            }
        }
    }
}

/// One request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path as it was sent, still encoded: the signature is over it.
    pub(crate) raw_path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) bucket: String,
    /// Empty for a request on the bucket.
    pub(crate) key: String,
    pub(crate) operation: Operation,
}

impl Call {
    pub(crate) fn read(head: Parts) -> Result<Self, Refusal> {
        let raw_path = head.uri.path().to_owned();
        let query = Query::parse(head.uri.query().unwrap_or(""))?;
        let rest = raw_path.strip_prefix('/').unwrap_or(&raw_path);
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        let copies = head.headers.contains_key("x-amz-copy-source") || head.headers.contains_key("x-goog-copy-source");
        let operation =
            if bucket.is_empty() { Operation::Other } else { Operation::of(&head.method, &key, &query, copies) };
        Ok(Call { method: head.method, raw_path, query, headers: head.headers, bucket, key, operation })
    }

    /// A header's first value; `None` too when it is not visible ASCII or UTF-8.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    /// Whether any header's name starts with `family` (`x-goog-`, `x-amz-`).
    pub(crate) fn speaks(&self, family: &str) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with(family))
    }

    /// The upload id of the query.
    pub(crate) fn upload_id(&self) -> &str {
        self.query.get("uploadId").unwrap_or("")
    }

    /// The part number of the query, 1 to 10,000.
    pub(crate) fn part_number(&self) -> Result<u32, Refusal> {
        let text = self.query.get("partNumber").unwrap_or("");
        match text.parse() {
            Ok(number @ 1..=10_000) => Ok(number),
            _ => Err(Refusal::argument(format!("partNumber={text}: 1 to 10000"))),
        }
    }

    /// Where a copy comes from: bucket and key, decoded.
    pub(crate) fn copy_source(&self) -> Result<(String, String), Refusal> {
        let raw = self.header("x-goog-copy-source").or_else(|| self.header("x-amz-copy-source")).unwrap_or("");
        let raw = raw.strip_prefix('/').unwrap_or(raw);
        let raw = raw.split_once("?versionId=").map_or(raw, |(path, _)| path);
        let (bucket, key) = raw.split_once('/').ok_or_else(|| Refusal::argument(format!("copy source {raw}")))?;
        Ok((decode(bucket)?, decode(key)?))
    }
}

/// Percent-decodes; what is no UTF-8 is refused.
pub(crate) fn decode(text: &str) -> Result<String, Refusal> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Refusal::bad("InvalidURI", format!("a broken percent sign in {text}")));
        }
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Refusal::bad("InvalidURI", format!("{text} is not UTF-8"))),
    }
}
