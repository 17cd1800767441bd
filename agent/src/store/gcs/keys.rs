//! What an object may be called here, and the URI that means it. The bytes of a key are percent-encoded and never
//! normalised: `a//b` and `a/../b` are names like any other.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::object::Key;
use crate::plan::Limits;
use crate::store::http::{encode_path, encode_query};

const LONGEST: usize = Limits::GCS.max_key_bytes;
/// Reserved for certificate authorities.
const CHALLENGE: &str = ".well-known/acme-challenge/";

/// Why this service cannot hold an object of this name. Asked before any request: some of these names would not be
/// refused but understood as something else, and an empty one names the bucket.
pub fn refusal(key: &Key) -> Option<String> {
    let Some(text) = key.as_str() else {
        return Some("a key must be UTF-8".into());
    };
    if text.len() > LONGEST {
        return Some(format!("a key of {} bytes, at most {LONGEST} are allowed", text.len()));
    }
    let why = match text {
        "" => "an empty key",
        "." | ".." => "a key must not be `.` or `..`",
        _ if text.contains(['\r', '\n']) => "a key must not hold a line break",
        _ if text.starts_with(CHALLENGE) => "keys under .well-known/acme-challenge/ are reserved",
        _ => return None,
    };
    Some(why.into())
}

/// Whether this can be a bucket's name at all: it becomes the first segment of the path.
pub fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 222 && name.bytes().all(plain) && !name.starts_with('.')
}

/// One parameter of a query, `None` for a bare name such as `uploads`.
pub type Parameter<'a> = (&'static str, Option<&'a [u8]>);

/// Where requests go: scheme and host, nothing more.
#[derive(Clone, Debug)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
}

impl Endpoint {
    /// `None` if it is no URL, or one with a path, a query or a user.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.parse::<Uri>().ok()?.into_parts();
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let spoken = scheme == Scheme::HTTPS || scheme == Scheme::HTTP;
        (bare && spoken && !authority.as_str().contains('@')).then_some(Endpoint { scheme, authority })
    }

    /// The object's URI, or the bucket's where `key` is empty. `query` must be sorted by name: it is signed as sent.
    pub fn uri(&self, bucket: &str, key: &Key, query: &[Parameter<'_>]) -> Option<Uri> {
        let mut path = String::with_capacity(64 + bucket.len() + key.as_bytes().len());
        path.push('/');
        encode_query(bucket.as_bytes(), &mut path);
        if !key.as_bytes().is_empty() {
            path.push('/');
            encode_path(key.as_bytes(), &mut path);
        }
        for (i, (name, value)) in query.iter().enumerate() {
            path.push(if i == 0 { '?' } else { '&' });
            path.push_str(name);
            if let Some(value) = value {
                path.push('=');
                encode_query(value, &mut path);
            }
        }
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(key: &str, query: &[Parameter<'_>]) -> String {
        let endpoint = Endpoint::parse("https://storage.googleapis.com/").unwrap();
        endpoint.uri("bucket", &Key::from(key), query).unwrap().to_string()
    }

    #[test]
    fn a_path_keeps_every_byte_of_the_key() {
        for (key, path) in [
            ("a//b", "/bucket/a//b"),
            ("a/../b", "/bucket/a/../b"),
            ("/abs", "/bucket//abs"),
            ("a b+c%2F", "/bucket/a%20b%2Bc%252F"),
            ("é?#&", "/bucket/%C3%A9%3F%23%26"),
            ("a/./b/", "/bucket/a/./b/"),
        ] {
            assert_eq!(uri(key, &[]), format!("https://storage.googleapis.com{path}"), "{key}");
        }
    }

    #[test]
    fn a_query_is_encoded_and_a_bare_name_stays_bare() {
        let query: [Parameter; 2] = [("partNumber", Some(b"7")), ("uploadId", Some(b"a/b+c="))];
        assert!(uri("k", &query).ends_with("/bucket/k?partNumber=7&uploadId=a%2Fb%2Bc%3D"));
        assert!(uri("k", &[("uploads", None)]).ends_with("/bucket/k?uploads"));
        assert!(uri("", &[("list-type", Some(b"2"))]).ends_with("/bucket?list-type=2"));
    }

    #[test]
    fn names_that_the_service_refuses_are_refused_before_any_request() {
        let long = "k".repeat(1025);
        for key in ["", ".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", &long] {
            assert!(refusal(&Key::from(key)).is_some(), "{key:?}");
        }
        assert!(refusal(&Key::new(vec![b'a', 0xff])).is_some());
        for key in ["a/./b", "a/../b", "...", ".well-known/x", "\u{1}", &long[..1024], "/"] {
            assert_eq!(refusal(&Key::from(key)), None, "{key:?}");
        }
    }

    #[test]
    fn a_bucket_is_one_segment_of_a_path() {
        for name in ["", "..", "a/b", "a?b", "a b", "é"] {
            assert!(!is_bucket(name), "{name:?}");
        }
        assert!(is_bucket("my-bucket_1.example.com"));
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for text in ["storage.googleapis.com", "https://h/path", "ftp://h", "https://u@h", "https://h?q", ""] {
            assert!(Endpoint::parse(text).is_none(), "{text}");
        }
        assert!(Endpoint::parse("http://127.0.0.1:8080").is_some());
    }
}
