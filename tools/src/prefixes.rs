//! Prefixes that people write down: one a line, in files that may come from any editor.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};
use skyferry_core::model::Key;

/// The file's prefixes in its order. A byte order mark, line ends of any kind, empty lines and comments are no prefixes; one
/// that is there twice is taken once.
pub fn read(file: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = std::fs::read(file).with_context(|| format!("the prefix file {}", file.display()))?;
    let text =
        String::from_utf8(bytes).with_context(|| format!("the prefix file {}: not text in UTF-8", file.display()))?;
    let prefixes = parse(&text);
    if prefixes.is_empty() {
        bail!("the prefix file {} has no prefix in it", file.display());
    }
    Ok(prefixes)
}

fn parse(text: &str) -> Vec<String> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let meant = lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut seen = BTreeSet::new();
    meant.filter(|line| seen.insert(*line)).map(Into::into).collect()
}

/// What of these lies in a route: each with a slash at its end, none inside another. One that the route itself lies in is
/// all of the route.
pub fn within(prefixes: &[String], route: &Key) -> Vec<Key> {
    let whole = |prefix: &String| match prefix.is_empty() || prefix.ends_with('/') {
        true => prefix.clone(),
        false => format!("{prefix}/"),
    };
    let route = route.as_bytes();
    let meet = prefixes.iter().map(whole).filter_map(|prefix| match prefix.as_bytes() {
        inner if inner.starts_with(route) => Some(inner.to_vec()),
        outer if route.starts_with(outer) => Some(route.to_vec()),
        _ => None,
    });
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for prefix in meet.collect::<BTreeSet<_>>() {
        // Sorted, a prefix comes before all that it holds.
        if kept.last().is_none_or(|last| !prefix.starts_with(last)) {
            kept.push(prefix);
        }
    }
    kept.into_iter().map(Key::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_leave_marks_and_people_repeat_themselves() {
        assert_eq!(parse("\u{feff}a/\r\n\r\n# b/\na/\n  \nä b\n"), ["a/", "ä b"]);
    }

    #[test]
    fn a_prefix_is_a_folder_and_holds_what_is_in_it() {
        let of = |prefixes: &[&str], route: &str| -> Vec<String> {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).into()).collect();
            within(&prefixes, &Key::from(route)).iter().map(|key| key.to_string()).collect()
        };
        assert_eq!(of(&["sp", "sp2/", "sp/x"], ""), ["sp/", "sp2/"]);
        assert_eq!(of(&["p/a", "q", ""], "p/"), ["p/"]);
        assert_eq!(of(&["p/b", "p/a"], "p/"), ["p/a/", "p/b/"]);
        assert_eq!(of(&["q"], "p/"), Vec::<String>::new());
    }
}
