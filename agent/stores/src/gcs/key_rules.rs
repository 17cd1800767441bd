//! What an object may be called here.

use skyferry_core::model::Key;
use skyferry_core::plan::SinkLimits;

const LONGEST: usize = SinkLimits::GCS.max_key_bytes;
/// Reserved for certificate authorities.
const CHALLENGE: &str = ".well-known/acme-challenge/";

/// Why this service cannot hold an object of this name. Asked before any request: some of these names would not be
/// refused but understood as something else, and an empty one names the bucket.
pub fn rejection(key: &Key) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_service_refuses_are_refused_before_any_request() {
        let long = "k".repeat(1025);
        for key in ["", ".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", &long] {
            assert!(rejection(&Key::from(key)).is_some(), "{key:?}");
        }
        assert!(rejection(&Key::new(vec![b'a', 0xff])).is_some());
        for key in ["a/./b", "a/../b", "...", ".well-known/x", "\u{1}", &long[..1024], "/"] {
            assert_eq!(rejection(&Key::from(key)), None, "{key:?}");
        }
    }
}
