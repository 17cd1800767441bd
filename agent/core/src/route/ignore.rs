//! The ignore list: one shell pattern a line, matched against `bucket/key` on bytes. The predecessors' file format. Their own
//! programs compared some with the key alone: [`IgnoreList::also_by_key`].

use std::fmt;
use std::sync::Arc;

use crate::model::{Key, Location};

/// One pattern: `*` is any run of bytes (`/` too), `?` one character; all else is literal, and case counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreRule {
    /// Its line in the file, from 1.
    pub line: usize,
    /// As it stands in the list.
    pub pattern: Arc<[u8]>,
}

impl fmt::Display for IgnoreRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the ignore list: {}", self.line, Key::new(self.pattern.to_vec()))
    }
}

/// A line that is taken as it stands and likely means something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreWarning {
    /// From 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

impl fmt::Display for IgnoreWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the ignore list: {}", self.line, self.text)
    }
}

/// Patterns of objects that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreList {
    rules: Vec<IgnoreRule>,
    by_key: bool,
}

impl IgnoreList {
    /// Reads a file's content. Empty lines and lines that begin with `#` are comments; blanks around a pattern and a
    /// byte order mark before the first are dropped. Nothing is an error: what looks like a mistake is a warning.
    ///
    /// ```
    /// use skyferry_core::{model::Location, route::IgnoreList};
    ///
    /// let (list, warnings) = IgnoreList::parse(b"# temporary files\nphotos/*.tmp\n");
    /// assert!(list.matches(&Location::new("photos", "2026/a.tmp")).is_some());
    /// assert!(list.matches(&Location::new("other", "a.tmp")).is_none() && warnings.is_empty());
    /// ```
    pub fn parse(file: &[u8]) -> (IgnoreList, Vec<IgnoreWarning>) {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let (mut rules, mut warnings) = (Vec::new(), Vec::new());
        for (index, pattern) in file.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).enumerate() {
            if pattern.is_empty() || pattern.starts_with(b"#") {
                continue;
            }
            let rule = IgnoreRule { line: index + 1, pattern: pattern.into() };
            warnings.extend(suspicious(pattern).map(|text| IgnoreWarning { line: rule.line, text }));
            rules.push(rule);
        }
        (IgnoreList { rules, by_key: false }, warnings)
    }

    /// The same list as the predecessors read it: a pattern leaves out what it matches as `bucket/key` or as the key alone.
    #[must_use]
    pub fn also_by_key(self) -> IgnoreList {
        IgnoreList { by_key: true, ..self }
    }

    /// The first rule that matches `bucket/key`, or the key where that is asked for.
    pub fn matches(&self, source: &Location) -> Option<&IgnoreRule> {
        if self.rules.is_empty() {
            return None;
        }
        let name = source.to_bytes();
        let key = source.key.as_bytes();
        self.rules
            .iter()
            .find(|rule| matches_glob(&rule.pattern, &name) || (self.by_key && matches_glob(&rule.pattern, key)))
    }

    /// How many patterns.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

fn suspicious(pattern: &[u8]) -> Option<String> {
    let wildcard = pattern.iter().any(|b| matches!(b, b'*' | b'?'));
    let shown = Key::new(pattern.to_vec());
    if !wildcard && matches!(pattern.last(), Some(b'/' | b'_')) {
        Some(format!(
            "{shown} is not a prefix: without a wildcard it matches one object only; {shown}* matches all that begin with it"
        ))
    } else if !pattern.contains(&b'/') && !pattern.starts_with(b"*") {
        Some(format!(
            "{shown} matches nothing unless it begins with a bucket's name: patterns are compared with bucket/key"
        ))
    } else if pattern.contains(&b'[') {
        Some(format!("the brackets in {shown} are taken literally: only * and ? are wildcards"))
    } else {
        None
    }
}

/// Whether a pattern of the same language matches a whole name.
pub fn glob(pattern: &str, name: &[u8]) -> bool {
    matches_glob(pattern.as_bytes(), name)
}

/// Greedy, with one way back (to the last `*`): no pattern costs more than its length times the name's.
fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                n += char_len(&name[n..]);
                p += 1;
            }
            Some(byte) if *byte == name[n] => {
                n += 1;
                p += 1;
            }
            _ => match &mut last_star {
                Some((star, from)) => {
                    *from += char_len(&name[*from..]);
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Bytes of the first character; of what is not UTF-8 every byte is one.
fn char_len(bytes: &[u8]) -> usize {
    let length = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    if bytes.get(..length).is_some_and(|c| std::str::from_utf8(c).is_ok()) { length } else { 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> IgnoreList {
        IgnoreList::parse(text.as_bytes()).0
    }

    fn lines(list: &str) -> Vec<usize> {
        IgnoreList::parse(list.as_bytes()).1.iter().map(|w| w.line).collect()
    }

    #[test]
    fn patterns_are_matched_against_bucket_and_key() {
        let list = list("photos/tmp/*\n*.part\nphotos/?.txt\nphotos/exact");
        let line = |key: &str| list.matches(&Location::new("photos", key)).map(|r| r.line);
        assert_eq!(line("tmp/a/b"), Some(1));
        assert_eq!(line("x/y.part"), Some(2));
        assert_eq!((line("a.txt"), line("ä.txt"), line("ab.txt")), (Some(3), Some(3), None));
        assert_eq!((line("exact"), line("exactly"), line("EXACT"), line("TMP/a")), (Some(4), None, None, None));
        assert_eq!(list.matches(&Location::new("other", "tmp/a")), None);
    }

    #[test]
    fn fault_c5_the_predecessors_patterns_leave_out_what_they_match_by_the_key_alone_too() {
        let (place, text) = (Location::new("any", "private/x"), "private/*\nb/y");
        assert_eq!(list(text).matches(&place), None);
        assert_eq!(list(text).also_by_key().matches(&place).map(|r| r.line), Some(1));
        assert_eq!(list(text).also_by_key().matches(&Location::new("b", "y")).map(|r| r.line), Some(2));
    }

    #[test]
    fn comments_blank_lines_and_a_byte_order_mark_are_no_patterns() {
        let list = list("\u{feff}# mine\r\n\r\n  b/x*  \r\n");
        assert_eq!(list.len(), 1);
        assert_eq!(list.matches(&Location::new("b", "xy")).map(|r| r.line), Some(3));
    }

    #[test]
    fn a_line_that_looks_like_a_prefix_and_is_none_is_warned_of() {
        assert_eq!(lines("b/ok*\nb/folder/\nb/stem_\nb/file\nb/x*/"), [2, 3]);
        assert_eq!(lines("*.jpg\nfolder*\nb/[ab]*"), [2, 3]);
    }

    #[test]
    fn bytes_that_are_not_utf8_match_one_by_one() {
        let (list, _) = IgnoreList::parse(b"b/\xff?x");
        assert!(list.matches(&Location::new("b", Key::new(&b"\xff\xc3x"[..]))).is_some());
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = format!("b/{}b", "*a".repeat(500));
        assert!(list(&pattern).matches(&Location::new("b", "a".repeat(4000).as_str())).is_none());
    }

    /// The definition, exponential: what [`matches_glob`] must agree with.
    fn slow(p: &[char], n: &[char]) -> bool {
        match p.split_first() {
            None => n.is_empty(),
            Some(('*', rest)) => (0..=n.len()).any(|i| slow(rest, &n[i..])),
            Some(('?', rest)) => !n.is_empty() && slow(rest, &n[1..]),
            Some((c, rest)) => n.first() == Some(c) && slow(rest, &n[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[ab/é*?]{0,8}", name in "[ab/é]{0,10}") {
            let chars = |t: &str| t.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches_glob(pattern.as_bytes(), name.as_bytes()), slow(&chars(&pattern), &chars(&name)));
        }

        #[test]
        fn no_file_and_no_key_make_it_panic(file in proptest::collection::vec(any::<u8>(), 0..60),
                                            key in proptest::collection::vec(any::<u8>(), 0..30)) {
            let (list, _) = IgnoreList::parse(&file);
            list.matches(&Location::new("b", Key::new(key)));
        }
    }
}
