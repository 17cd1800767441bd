//! A subject's `Key`. The predecessors' `bucket/key` wherever it is text and the only destination. Whatever else there is
//! begins with `/`, which no bucket's name does, so that it can never be somebody's `bucket/key`.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Subject;
use skyferry_core::model::Location;

/// DynamoDB's limit of a hash key.
const LONGEST: usize = 2048;

pub(super) fn key(subject: &Subject) -> String {
    let source = text(&subject.source);
    fit(match subject.primary {
        true => source,
        // The length says where the source ends: a key may hold any separator.
        false => format!("/{}/{source} -> {}", source.len(), text(&subject.destination)),
    })
}

/// Of the record of the source's first destination, which all destinations shared once.
pub(super) fn first_destination_key(subject: &Subject) -> String {
    fit(text(&subject.source))
}

fn fit(key: String) -> String {
    if key.len() <= LONGEST {
        return key;
    }
    format!("/sha256/{}", hex::encode(Sha256::digest(&key)))
}

fn text(at: &Location) -> String {
    match at.key.as_str() {
        Some(key) => format!("{}/{key}", at.bucket),
        None => {
            let mut text = format!("/bytes/{}/", at.bucket);
            for chunk in at.key.as_bytes().utf8_chunks() {
                text.push_str(&chunk.valid().replace('%', "%25"));
                for byte in chunk.invalid() {
                    let _ = write!(text, "%{byte:02x}");
                }
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use skyferry_core::model::Key;

    fn subject(key: Key, to: &str, primary: bool) -> Subject {
        Subject { source: Location::new("b", key), destination: Location::new("d", to), primary }
    }

    #[test]
    fn the_key_is_the_predecessors() {
        assert_eq!(key(&subject("a//b c+é".into(), "x", true)), "b/a//b c+é");
        assert_eq!(key(&subject("/1/x".into(), "x", true)), "b//1/x");
    }

    proptest! {
        #[test]
        fn two_subjects_never_share_a_key(
            subjects in proptest::collection::vec(
                (proptest::collection::vec(prop_oneof![Just(b'%'), Just(b'/'), Just(0xff), Just(b'2'), Just(b'5')], 1..5),
                 "[->/ ]{1,3}", any::<bool>()),
                1..40,
            ),
        ) {
            let mut seen = HashMap::new();
            for (bytes, to, primary) in subjects {
                let to = if primary { String::new() } else { to };
                let subject = subject(Key::new(bytes), &to, primary);
                if let Some(other) = seen.insert(key(&subject), subject.clone()) {
                    prop_assert_eq!(other, subject);
                }
            }
        }

        #[test]
        fn a_key_is_never_too_long(bytes in proptest::collection::vec(any::<u8>(), 900..1100), primary in any::<bool>()) {
            prop_assert!(key(&subject(Key::new(bytes), &"d".repeat(1024), primary)).len() <= LONGEST);
        }
    }
}
