//! A server that percent-encodes the keys of its listings and does not report it (no `EncodingType`) lists keys that
//! nobody finds afterwards. The first listed keys that look encoded are looked up, so that such a listing ends the command
//! before anything is done by it.

use percent_encoding::percent_decode;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Key, Location};
use skyferry_core::store::Listed;

use crate::pages::{ListedStore, ListingTarget};

/// A key may be deleted between the listing and the look, so that one missing key proves nothing yet.
const LOOKS: u32 = 3;

/// How a listing spells its keys, as far as it is known.
#[derive(Default)]
pub struct KeyEncoding {
    looks: u32,
}

impl KeyEncoding {
    /// Fails if a key of these rows is found under its decoded name only. What cannot be looked up decides nothing.
    pub async fn check(&mut self, place: &ListingTarget, rows: &[Listed]) -> Result<(), CopyError> {
        for row in rows {
            if self.looks >= LOOKS {
                break;
            }
            let spellings = decoded(row.key.as_bytes());
            if spellings.is_empty() {
                continue;
            }
            self.looks += 1;
            let at = |key: &Key| Location::new(place.bucket.as_str(), key.clone());
            if !matches!(place.head(&at(&row.key)).await, Ok(None)) {
                // It is there as it is listed, or nothing may be looked up.
                self.looks = LOOKS;
                break;
            }
            for key in spellings {
                let found = place.head(&at(&key)).await;
                if found.is_ok_and(|found| found.is_some_and(|object| object.identity.size == row.size)) {
                    return Err(encoded(place, &row.key, &key));
                }
            }
        }
        Ok(())
    }
}

/// What the key is if it is encoded: as a form's field (`+` is a space), and as a path. None for a key that is not.
fn decoded(key: &[u8]) -> Vec<Key> {
    let path = percent_decode(key).collect::<Vec<u8>>();
    let form = percent_decode(&key.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<u8>>())
        .collect::<Vec<u8>>();
    let mut found: Vec<Key> = [form, path].into_iter().filter(|other| other != key).map(Key::new).collect();
    found.dedup();
    found
}

fn encoded(place: &ListingTarget, listed: &Key, there: &Key) -> CopyError {
    let side = match place.end {
        ListedStore::Source(_) => Side::Source,
        ListedStore::Sink(_) => Side::Destination,
    };
    let answer = format!(
        "the listing names {listed}, which is not there, while {there} is: this server percent-encodes the keys of its \
         listings and does not report it (EncodingType)"
    );
    CopyError::new(
        side,
        ErrorKind::InvalidAnswer,
        "ListObjectsV2",
        &Location::new(place.bucket.as_str(), listed.clone()),
        answer,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_look_encoded_are_decoded_in_both_ways() {
        assert_eq!(decoded(b"a+b%41"), [Key::from("a bA"), Key::from("a+bA")]);
        assert_eq!(decoded(b"a%20b"), [Key::from("a b")]);
        assert_eq!(decoded(b"a+b"), [Key::from("a b")]);
        assert!(decoded(b"100%").is_empty() && decoded(b"plain/key").is_empty());
    }
}
