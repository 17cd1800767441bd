//! Metadata values beyond what a header carries, in the form in which S3 itself gives them: `=?UTF-8?B?<base64>?=`, or
//! `Q` for quoted-printable (RFC 2047). Both stores write the one and read both.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A value as a header can carry it: what is not printable ASCII, or has blanks at an end or in a row, is encoded.
pub(super) fn encode(value: &str) -> Cow<'_, str> {
    let printable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if printable && value.trim() == value && !value.contains("  ") && !value.starts_with("=?") {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("=?UTF-8?B?{}?=", STANDARD.encode(value)))
}

/// The value that was encoded; what is of no such form is text already.
pub(super) fn decode(value: String) -> String {
    if !value.starts_with("=?") {
        return value;
    }
    // A long value comes as several words, with blanks between them that are not its own.
    let bytes: Option<Vec<Vec<u8>>> = value.split_ascii_whitespace().map(word).collect();
    bytes.and_then(|words| String::from_utf8(words.concat()).ok()).unwrap_or(value)
}

fn word(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = inner.split_once('?')?;
    let (encoding, text) = rest.split_once('?')?;
    match encoding {
        _ if !charset.eq_ignore_ascii_case("utf-8") => None,
        "B" | "b" => STANDARD.decode(text).ok(),
        "Q" | "q" => quoted(text.as_bytes()),
        _ => None,
    }
}

fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => hex::decode([*rest.next()?, *rest.next()?]).ok()?.into_iter().for_each(|byte| bytes.push(byte)),
            b'_' => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_comes_back_as_it_went(value: String) {
            let header = encode(&value).into_owned();
            prop_assert!(header.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode(header), value);
        }

        #[test]
        fn no_value_of_others_is_a_panic(value: String) {
            decode(format!("=?UTF-8?Q?{value}?="));
            decode(format!("=?{value}"));
        }
    }

    #[test]
    fn s3_s_own_forms_are_read() {
        for (sent, read) in [
            ("=?UTF-8?B?w4PChMODwojDg8KU?=", "Ã\u{84}Ã\u{88}Ã\u{94}"),
            ("=?utf-8?Q?na=C3=AFve_one?=", "naïve one"),
            ("=?UTF-8?Q?na=C3?= =?UTF-8?Q?=AFve?=", "naïve"),
            ("=?ISO-8859-1?Q?na=EFve?=", "=?ISO-8859-1?Q?na=EFve?="),
            ("=?UTF-8?Q?=4?=", "=?UTF-8?Q?=4?="),
            ("plain =?UTF-8?B?w6k=?=", "plain =?UTF-8?B?w6k=?="),
        ] {
            assert_eq!(decode(sent.into()), read, "{sent}");
        }
    }
}
