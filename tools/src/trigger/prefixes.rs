//! A file of prefixes, one a line, as editors of any system write it.

use std::path::Path;

use super::entry::Filter;
use crate::usage::Usage;

/// In the file's order, each once. Two of which one begins with the other are refused here, where their lines are known.
pub fn read(file: &Path, suffix: &str) -> Result<Vec<Filter>, Usage> {
    let wrong = |what: String| Usage(format!("{}: {what}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    parse(&bytes, suffix).map_err(|Usage(what)| wrong(what))
}

fn parse(bytes: &[u8], suffix: &str) -> Result<Vec<Filter>, Usage> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Usage(format!("line {line} is not UTF-8"))
    })?;
    let mut found: Vec<(usize, Filter)> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line_number = index + 1;
        let filter = Filter::new(line, suffix).map_err(|Usage(wrong)| Usage(format!("line {line_number}: {wrong}")))?;
        if found.iter().any(|(_, known)| *known == filter) {
            continue;
        }
        if let Some((before, other)) = found.iter().find(|(_, known)| known.overlaps(&filter)) {
            return Err(Usage(format!(
                "lines {before} and {line_number} overlap ({} and {}), which S3 refuses: leave the longer one out",
                other.prefix, filter.prefix
            )));
        }
        found.push((line_number, filter));
    }
    if found.is_empty() {
        return Err(Usage("there is no prefix in it".into()));
    }
    Ok(found.into_iter().map(|(_, filter)| filter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_line_ends_blanks_comments_and_duplicates_do_not_matter() {
        let read = parse("\u{feff}a/\r\n\r\n  b/ \r\n# c/\r\na/\r\nä ö/".as_bytes(), "").unwrap();
        let prefixes: Vec<&str> = read.iter().map(|filter| filter.prefix.as_str()).collect();
        assert_eq!(prefixes, ["a/", "b/", "ä ö/"]);
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_line() {
        for (file, word) in [
            (&b"a/\n\xff\n"[..], "line 2 is not UTF-8"),
            (b"b/\n\na/*\n", "line 3"),
            (b"a/\nb/\na/c/\n", "lines 1 and 3 overlap (a/ and a/c/)"),
            (b"\n# nothing\n", "no prefix"),
        ] {
            let Usage(text) = parse(file, "").unwrap_err();
            assert!(text.contains(word), "{text}");
        }
    }
}
