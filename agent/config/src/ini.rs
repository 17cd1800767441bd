//! Ini files as Python's `configparser` reads them, which the predecessors did: `key = value` or `key: value`, names in any
//! case, comments on lines of their own only, and indented lines that continue with a value.

/// One option, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct IniEntry {
    pub section: String,
    /// As written.
    pub key: String,
    pub value: String,
}

/// The options, or the line that is none. Its text is not told: it may be a secret.
pub fn parse(text: &str) -> Result<Vec<IniEntry>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut section: Option<String> = None;
    let mut entries: Vec<IniEntry> = Vec::new();
    let mut goes_on = false;
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let at = |what: &str| format!("line {}: {what}", index + 1);
        if raw.starts_with([' ', '\t']) && goes_on {
            if let Some(last) = entries.last_mut() {
                last.value.push('\n');
                last.value.push_str(&line.replace("%%", "%"));
            }
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
            section = Some(name.to_owned());
            goes_on = false;
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return Err(at("neither a [section] nor `key = value`"));
        };
        let Some(section) = &section else {
            return Err(at("an option before the first [section]"));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().replace("%%", "%"));
        if entries.iter().any(|known| known.section == *section && known.key.eq_ignore_ascii_case(&key)) {
            return Err(at(&format!("{section}.{key} is there twice")));
        }
        entries.push(IniEntry { section: section.clone(), key, value });
        goes_on = true;
    }
    Ok(entries)
}

/// Whether a file is the predecessors' ini: by its name, or by its first section.
pub(super) fn is_ini(file: &std::path::Path, text: &str) -> bool {
    let by_name = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ini"));
    let first = text.trim_start_matches('\u{feff}').lines().map(str::trim).find(|line| line.starts_with('['));
    by_name || matches!(first, Some("[Basic]" | "[Mode]" | "[Debug]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ini_is_read_as_python_reads_it() {
        let text = "\u{feff}; comment\r\n[Basic]\r\n# more\r\nJobType = PUT\r\nurl: http://h:1/a=b\r\n\
                    Note = one # not a comment\r\n  ; comment\r\n  two\r\nEmpty =\r\n[Mode]\r\njobtype=x%%y\r\n";
        let entry = |section: &str, key: &str, value: &str| IniEntry {
            section: section.into(),
            key: key.into(),
            value: value.into(),
        };
        let wanted = [
            entry("Basic", "JobType", "PUT"),
            entry("Basic", "url", "http://h:1/a=b"),
            entry("Basic", "Note", "one # not a comment\ntwo"),
            entry("Basic", "Empty", ""),
            entry("Mode", "jobtype", "x%y"),
        ];
        assert_eq!(parse(text).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_ini_is_told_by_its_line_and_not_quoted() {
        for (text, expected) in [
            ("[Basic]\nhunter2", "line 2: neither"),
            ("a = hunter2", "line 1: an option before"),
            ("[Basic]\na = hunter2\nA = hunter2", "line 3: Basic.A is there twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
