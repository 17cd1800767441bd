//! Keys as paths and back, one to one: every key has one path, every path that a directory can hold has one key.
//!
//! A key is cut at `/` into names, and nearly every name stands for itself. What no file can be called is escaped:
//!
//! | in a key | on disk | |
//! |---|---|---|
//! | nothing (`a//b`, `/a`, `folder/`) | `%2F` | as a whole name |
//! | `.`, `..` | `%2E`, `%2E%2E` | as a whole name |
//! | `.skyferry` | `%2Eskyferry` | as a whole name: the directory of our own files |
//! | a NUL byte | `%00` | anywhere in a name |
//!
//! What looks like such an escape already, or like the escape of one, gets one `25` more (`%2F` → `%252F` → `%25252F`) and
//! loses it on the way back. So a file that somebody else called `a%20b` or even `%2F` keeps a key of its own, and
//! nothing but these few names is ever changed. One path has no key, because the empty key is none: a file `%2F` in the
//! root itself.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use skyferry_core::model::Key;

/// The directory of temporary files, open uploads and what is kept beside the files; never listed, never a key's.
pub(super) const OWN: &str = ".skyferry";
/// Names that escape as a whole, and what stands for them after the `%`.
const WHOLE: [(&[u8], &[u8]); 4] = [(b"", b"2F"), (b".", b"2E"), (b"..", b"2E%2E"), (b".skyferry", b"2Eskyferry")];
/// What file systems take (Linux's NAME_MAX).
const LONGEST: usize = 255;

/// The names from the root down to the file. The error says why there is no such path.
pub(super) fn path_of(key: &Key) -> Result<Vec<OsString>, String> {
    if key.as_bytes().is_empty() {
        return Err("an empty key is not a file name".into());
    }
    key.as_bytes().split(|&byte| byte == b'/').map(name_of).collect()
}

/// The part of a key that a name on disk stands for; `None` for our own directory.
pub(super) fn part_of(name: &OsStr) -> Option<Cow<'_, [u8]>> {
    let name = name.as_bytes();
    if name == OWN.as_bytes() {
        return None;
    }
    Some(match whole(name) {
        Some((0, plain, _)) => Cow::Borrowed(plain),
        Some((_, _, _)) => Cow::Owned([b"%", &name[3..]].concat()),
        None => shift_nuls(name, false),
    })
}

fn name_of(part: &[u8]) -> Result<OsString, String> {
    let name = match WHOLE.iter().find(|(plain, _)| *plain == part) {
        Some((_, escaped)) => [b"%", *escaped].concat(),
        None if whole(part).is_some() => [b"%25", &part[1..]].concat(),
        None => shift_nuls(part, true).into_owned(),
    };
    if name.len() > LONGEST {
        return Err(format!("a name between two slashes takes {} bytes; files have at most {LONGEST}", name.len()));
    }
    Ok(OsString::from_vec(name))
}

/// Whether this is `%`, some `25`s and one of the whole names' escapes: how many `25`s, and which.
fn whole(name: &[u8]) -> Option<(usize, &'static [u8], &'static [u8])> {
    let (count, rest) = after_shifts(name)?;
    WHOLE.iter().find(|(_, escaped)| *escaped == rest).map(|(plain, escaped)| (count, *plain, *escaped))
}

/// What follows a `%` and its `25`s, and their number.
fn after_shifts(from: &[u8]) -> Option<(usize, &[u8])> {
    let mut rest = from.strip_prefix(b"%")?;
    let mut count = 0;
    while let Some(shorter) = rest.strip_prefix(b"25") {
        (rest, count) = (shorter, count + 1);
    }
    Some((count, rest))
}

/// NUL, `%00`, `%2500`, … one step along this chain (`to_disk`) or back.
fn shift_nuls(name: &[u8], to_disk: bool) -> Cow<'_, [u8]> {
    if !name.contains(&0) && !name.windows(2).any(|pair| pair == b"00") {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len() + 8);
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let token = after_shifts(rest).filter(|(_, tail)| tail.starts_with(b"00"));
        rest = match (byte, token) {
            (0, _) if to_disk => {
                out.extend(b"%00");
                after
            }
            (_, Some((count, tail))) => {
                match if to_disk { Some(count + 1) } else { count.checked_sub(1) } {
                    None => out.push(0),
                    Some(count) => out.extend([b"%", &*b"25".repeat(count), b"00"].concat()),
                }
                &tail[2..]
            }
            _ => {
                out.push(byte);
                after
            }
        };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_disk(key: &str) -> String {
        let names = path_of(&Key::from(key)).expect("a path");
        names.join(OsStr::new("/")).into_string().expect("UTF-8")
    }

    fn key_of(names: &[OsString]) -> Option<Vec<u8>> {
        let parts = names.iter().map(|name| part_of(name)).collect::<Option<Vec<_>>>()?;
        Some(parts.join(&b'/'))
    }

    #[test]
    fn plain_keys_stay_plain() {
        for key in [
            "a", "a/b.txt", "a b+c%zz", "a%20b", "100%", "%", "%2", "%25", "%2f", "ü/é", "…", ".hidden", "a..b", "~",
            "a%2Fb",
        ] {
            assert_eq!(on_disk(key), key);
        }
    }

    #[test]
    fn only_what_no_file_can_be_called_is_escaped() {
        for (key, path) in [
            ("a//b", "a/%2F/b"),
            ("/abs", "%2F/abs"),
            ("folder/", "folder/%2F"),
            ("/", "%2F/%2F"),
            ("a/../b", "a/%2E%2E/b"),
            ("./a", "%2E/a"),
            (".skyferry/tmp", "%2Eskyferry/tmp"),
            ("a/.skyferry", "a/%2Eskyferry"),
            ("a\0b", "a%00b"),
            ("a%00b", "a%2500b"),
            ("%2F", "%252F"),
            ("%252F", "%25252F"),
            ("%2E%2E", "%252E%2E"),
        ] {
            assert_eq!(on_disk(key), path);
        }
    }

    #[test]
    fn a_name_too_long_for_a_file_has_no_path() {
        assert!(path_of(&Key::from(&*"a".repeat(255))).is_ok());
        assert!(path_of(&Key::from(&*"é".repeat(128))).is_err());
        assert!(path_of(&Key::from(&*format!("{}\0", "a".repeat(254)))).is_err());
        assert!(path_of(&Key::from("")).is_err());
    }

    /// Bytes that meet the escapes as often as can be.
    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"%".to_vec()),
            Just(b"25".to_vec()),
            Just(b"00".to_vec()),
            Just(b"2F".to_vec()),
            Just(b"2E".to_vec()),
            Just(b"2Eskyferry".to_vec()),
            Just(b".skyferry".to_vec()),
            Just(b".".to_vec()),
            Just(b"/".to_vec()),
            Just(b"\0".to_vec()),
            Just(b"0".to_vec()),
            prop::collection::vec(any::<u8>(), 1..3),
        ];
        prop::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

        #[test]
        fn every_key_comes_back_from_its_path(key in tricky()) {
            let names = path_of(&Key::new(key.clone())).expect("short names");
            for name in &names {
                let name = name.as_bytes();
                prop_assert!(!name.is_empty() && name != b"." && name != b".." && name != OWN.as_bytes());
                prop_assert!(!name.contains(&0) && !name.contains(&b'/'));
            }
            prop_assert_eq!(key_of(&names), Some(key));
        }

        #[test]
        fn every_path_comes_back_from_its_key(bytes in tricky()) {
            let names: Vec<OsString> = bytes.split(|&b| b == b'/').map(|name| OsString::from_vec(name.to_vec())).collect();
            let possible = |name: &OsString| {
                let name = name.as_bytes();
                !name.is_empty() && name != b"." && name != b".." && name != OWN.as_bytes() && !name.contains(&0)
            };
            prop_assume!(names.iter().all(possible) && bytes != b"%2F");
            let key = key_of(&names).expect("a key");
            prop_assert_eq!(path_of(&Key::new(key)), Ok(names));
        }
    }
}
