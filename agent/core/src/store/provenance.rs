//! How `Provenance` travels: up to eight pieces of user metadata beside the object, the same on every sink.
//!
//! Read strictly: an object counts as Skyferry's own only when all of it is there and well formed, because deletes
//! and replacements are allowed on its word.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::Provenance;
use crate::model::{Key, Location, SourceIdentity, Token};

/// Names without the service's own prefix (`x-amz-meta-`, `x-goog-meta-`).
const SOURCE: &str = "skyferry-source";
const ETAG: &str = "skyferry-etag";
const SIZE: &str = "skyferry-size";
const MODIFIED: &str = "skyferry-modified";
const VERSION: &str = "skyferry-version";
const TOKEN: &str = "skyferry-token";
const CRC32C: &str = "skyferry-crc32c";
const HEADERS: &str = "skyferry-headers";
const PREFIX: &str = "skyferry-";

/// A header's value must be visible ASCII, a key may be any bytes.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// An ETag is opaque: some are quoted differently or hold a colon. What a header takes stays readable.
const OPAQUE: AsciiSet = PLAIN.remove(b':').remove(b'=').remove(b'+');

/// Of a source that shows no ETag. A percent-encoded one has no `*`, and a header without a value is dropped by some.
const NO_ETAG: &str = "*";

/// The pairs to send, sorted by name; `version`, `crc32c` and `headers` only where they are known.
pub fn encode(provenance: &Provenance) -> Vec<(&'static str, String)> {
    let Provenance { source, identity, token, crc32c, headers } = provenance;
    let mut pairs = Vec::with_capacity(8);
    if let Some(crc32c) = crc32c {
        pairs.push((CRC32C, format!("{crc32c:08x}")));
    }
    let etag = percent_encode(identity.etag.as_bytes(), &OPAQUE).to_string();
    pairs.push((ETAG, if etag.is_empty() { NO_ETAG.into() } else { etag }));
    if let Some(headers) = headers {
        pairs.push((HEADERS, format!("{headers:08x}")));
    }
    pairs.push((MODIFIED, identity.last_modified.to_string()));
    pairs.push((SIZE, identity.size.to_string()));
    pairs.push((SOURCE, format!("{}/{}", source.bucket, encode_key(source.key.as_bytes()))));
    pairs.push((TOKEN, token.to_string()));
    if let Some(version) = &identity.version {
        pairs.push((VERSION, percent_encode(version.as_bytes(), &OPAQUE).to_string()));
    }
    pairs
}

/// Percent-encoded, or after a `*` in base64 where that is shorter: S3 holds 2 KB of user metadata, and a long key in
/// Chinese would fill it three times over. A percent-encoded key has no `*`.
fn encode_key(key: &[u8]) -> String {
    let readable = percent_encode(key, &PLAIN).to_string();
    if readable.len() <= 1 + key.len().div_ceil(3) * 4 { readable } else { format!("*{}", URL_SAFE_NO_PAD.encode(key)) }
}

fn decode_key(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix('*') {
        Some(dense) => URL_SAFE_NO_PAD.decode(dense).ok(),
        None => bytes(text),
    }
}

/// Takes Skyferry's pairs out of `user` (names in lower case) and reads them. `None`: not ours, or not whole.
pub fn take(user: &mut BTreeMap<String, String>) -> Option<Provenance> {
    let mut own = BTreeMap::new();
    user.retain(|name, value| {
        let ours = name.starts_with(PREFIX);
        if ours {
            own.insert(name.clone(), std::mem::take(value));
        }
        !ours
    });
    decode(&own)
}

/// Whether user metadata of a source must stay behind: its name is reserved for provenance.
pub fn is_reserved(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn decode(own: &BTreeMap<String, String>) -> Option<Provenance> {
    let text = |name: &str| own.get(name).map(String::as_str);
    let (bucket, key) = text(SOURCE)?.split_once('/')?;
    if bucket.is_empty() {
        return None;
    }
    let identity = SourceIdentity {
        etag: if text(ETAG)? == NO_ETAG { "".into() } else { opaque(text(ETAG)?)?.into() },
        size: number(text(SIZE)?)?,
        last_modified: number(text(MODIFIED)?)?,
        version: match text(VERSION) {
            Some(version) => Some(opaque(version)?.into()),
            None => None,
        },
    };
    let token = text(TOKEN)?;
    if token.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(Provenance {
        source: Location::new(bucket, Key::new(decode_key(key)?)),
        identity,
        token: Token::parse(token)?,
        crc32c: text(CRC32C).map_or(Some(None), crc)?,
        headers: text(HEADERS).map_or(Some(None), crc)?,
    })
}

/// `Some(Some(crc))`, or `None`: malformed.
fn crc(text: &str) -> Option<Option<u32>> {
    (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Some)
}

/// Only the canonical way to write a number.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

fn opaque(text: &str) -> Option<String> {
    String::from_utf8(bytes(text)?).ok().filter(|text| !text.is_empty())
}

/// Refuses a `%` that no byte follows: lenient decoding would let two spellings name different keys.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let whole =
        text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    (whole && text.is_ascii()).then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn provenance(key: &[u8], version: Option<&str>) -> Provenance {
        let identity = SourceIdentity {
            etag: "9b2cf535f27731c974343645a3985328-3".into(),
            size: 5,
            last_modified: 1_700_000_000,
            version: version.map(Into::into),
        };
        Provenance {
            source: Location::new("photos", Key::new(key.to_vec())),
            identity,
            token: Token(0xfeed),
            crc32c: Some(7),
            headers: Some(9),
        }
    }

    fn pairs(of: &Provenance) -> BTreeMap<String, String> {
        encode(of).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    proptest! {
        #[test]
        fn every_key_survives_the_way_through_metadata(key: Vec<u8>, version: Option<String>) {
            let before = provenance(&key, version.as_deref().filter(|v| !v.is_empty()));
            let mut user = pairs(&before);
            prop_assert!(user.values().all(|v| v.bytes().all(|b| b.is_ascii_graphic())));
            prop_assert_eq!(take(&mut user), Some(before));
            prop_assert!(user.is_empty());
        }
    }

    #[test]
    fn incomplete_or_malformed_provenance_is_not_ours() {
        let good = pairs(&provenance(b"a/b", None));
        for name in [SOURCE, ETAG, SIZE, MODIFIED, TOKEN] {
            let mut user = good.clone();
            user.remove(name);
            assert_eq!(take(&mut user), None, "without {name}");
        }
        for (name, value) in [
            (SOURCE, "no-slash"),
            (SOURCE, "/key"),
            (SOURCE, "photos/%4"),
            (SOURCE, "photos/%zz"),
            (SIZE, "-1"),
            (SIZE, "+5"),
            (SIZE, "05"),
            (MODIFIED, "today"),
            (TOKEN, "feed"),
            (TOKEN, "+000000000000000000000000000feed0"),
            (ETAG, ""),
            (VERSION, "%ff"),
            (CRC32C, "7"),
            (HEADERS, "0000000g"),
        ] {
            let mut user = good.clone();
            user.insert(name.into(), value.into());
            assert_eq!(take(&mut user), None, "{name}: {value}");
        }
    }

    #[test]
    fn fault_a18_a_source_without_an_etag_is_remembered_too() {
        let mut before = provenance(b"folder/", None);
        before.identity.etag = "".into();
        let mut user = pairs(&before);
        assert!(user.values().all(|value| !value.is_empty()));
        assert_eq!(take(&mut user), Some(before));
    }

    #[test]
    fn a_long_key_in_chinese_fits_into_2_kb() {
        let key = "照片".repeat(170);
        let before = provenance(key.as_bytes(), Some("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"));
        let mut user = pairs(&before);
        assert!(user.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() < 1800);
        assert_eq!(take(&mut user), Some(before));
    }

    #[test]
    fn metadata_of_others_stays() {
        let mut user = pairs(&provenance(b"k", Some("v1")));
        user.insert("owner".into(), "me".into());
        assert!(take(&mut user).is_some());
        assert_eq!(user, BTreeMap::from([("owner".to_owned(), "me".to_owned())]));
        assert!(is_reserved("Skyferry-Token") && !is_reserved("owner"));
    }
}
