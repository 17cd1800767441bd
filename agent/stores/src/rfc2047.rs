//! A header's value and the text that stands for it, both ways without a loss.
//!
//! A value is bytes, mostly UTF-8. A byte that is not is held as a character that nobody uses ([`text`], [`bytes`]), so that
//! Latin-1 comes out as it came in. User metadata has one more form, for what a header cannot carry or S3 would mangle:
//! `=?UTF-8?B?<base64>?=` (RFC 2047), in which S3 itself gives such values. Both stores write the one and read both.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The first of 256 characters of private use, at the end of the last plane: one for each byte that is not UTF-8.
const BYTES: u32 = 0x10_ff00;

/// Bytes as text. What is not UTF-8, or would be taken for such a byte, stands as one character a byte.
pub(super) fn text(value: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(value)
        && is_plain(text)
    {
        return text.to_owned();
    }
    let mut text = String::with_capacity(value.len() + 16);
    let mut hold = |byte: &u8| text_of_byte(*byte);
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c as u32 >= BYTES {
                true => text.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(&mut hold)),
                false => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(&mut hold));
    }
    text
}

/// No character stands for a byte.
fn is_plain(text: &str) -> bool {
    text.is_ascii() || text.chars().all(|c| (c as u32) < BYTES)
}

fn text_of_byte(byte: u8) -> char {
    char::from_u32(BYTES + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes that the text stands for.
pub(super) fn bytes(text: &str) -> Cow<'_, [u8]> {
    if is_plain(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match (c as u32).checked_sub(BYTES) {
            Some(byte) => bytes.push(byte as u8),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// A value of user metadata as a header carries it: what is beyond ASCII, holds control characters other than tabs or has
/// blanks at an end is encoded, and so is what would be decoded. Blanks within stay.
pub(super) fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\t');
    if plain && value.trim() == value && (!value.starts_with("=?") || decode(value.to_owned()) == value) {
        return Cow::Borrowed(value);
    }
    let bytes = bytes(value);
    let charset = if std::str::from_utf8(&bytes).is_ok() { "UTF-8" } else { "ISO-8859-1" };
    Cow::Owned(format!("=?{charset}?B?{}?=", STANDARD.encode(bytes)))
}

/// The value that was encoded; what is of no such form is text already.
pub(super) fn decode(value: String) -> String {
    if !value.starts_with("=?") {
        return value;
    }
    if let Some(word) = value.strip_prefix("=?ISO-8859-1?B?").and_then(|word| word.strip_suffix("?=")) {
        // Only what `encode` writes: whatever is UTF-8 has the other name.
        let bytes = STANDARD.decode(word).ok().filter(|bytes| std::str::from_utf8(bytes).is_err());
        return bytes.map_or(value.clone(), |bytes| text(&bytes));
    }
    // A long value comes as several words, with blanks between them that are not its own.
    let words: Option<Vec<Vec<u8>>> = value.split_ascii_whitespace().map(decode_word).collect();
    let bytes = words.map(|words| words.concat()).filter(|bytes| std::str::from_utf8(bytes).is_ok());
    bytes.map_or(value, |bytes| text(&bytes))
}

fn decode_word(word: &str) -> Option<Vec<u8>> {
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
            prop_assert!(header.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\t'));
            prop_assert_eq!(decode(header), text(&bytes(&value)));
        }

        #[test]
        fn fault_a16_bytes_survive_as_text_and_as_a_header(value: Vec<u8>) {
            let held = text(&value);
            prop_assert_eq!(&*bytes(&held), &value[..]);
            let back = decode(encode(&held).into_owned());
            prop_assert_eq!(&*bytes(&back), &value[..]);
        }

        #[test]
        fn no_value_of_others_is_a_panic(value: String) {
            decode(format!("=?UTF-8?Q?{value}?="));
            decode(format!("=?{value}"));
        }
    }

    #[test]
    fn fault_a16_what_a_header_carries_goes_as_it_is() {
        for value in ["a  b", "a\tb", "=?ISO-8859-1?Q?na=EFve?=", "=?", "", "plain =?UTF-8?B?w6k=?="] {
            assert_eq!(encode(value), value);
        }
        for value in [" a", "a ", "a\nb", "é", "=?UTF-8?Q?=C3=A9?="] {
            assert!(encode(value).starts_with("=?UTF-8?B?"), "{value}");
        }
        assert_eq!(text(b"\xe9"), "\u{10ffe9}");
        assert_eq!(text("é".as_bytes()), "é");
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
