//! Patterns about keys, as shells and rclone write them. (The ignore list has its own, which are the predecessors'.)

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;
use globset::{GlobBuilder, GlobMatcher};

/// Patterns any of which may match.
#[derive(Clone, Default)]
pub struct Globs(Vec<GlobMatcher>);

impl Globs {
    pub fn new(patterns: &[String]) -> anyhow::Result<Globs> {
        Ok(Globs(patterns.iter().map(|pattern| glob(pattern)).collect::<anyhow::Result<_>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn any(&self, key: &[u8]) -> bool {
        self.0.iter().any(|glob| matches(glob, key))
    }
}

/// `+ GLOB` and `- GLOB`: the first that matches decides.
#[derive(Clone, Default)]
pub struct Rules(Vec<(bool, GlobMatcher)>);

impl Rules {
    /// The error has the number of the line.
    pub fn parse(text: &[u8]) -> Result<Rules, (usize, String)> {
        let mut rules = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |why: String| (number + 1, why);
            let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8".into()))?.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (take, pattern) = match line.split_at_checked(1) {
                Some(("+", pattern)) => (true, pattern),
                Some(("-", pattern)) => (false, pattern),
                _ => return Err(wrong("a rule is `+ GLOB` or `- GLOB`".into())),
            };
            rules.push((take, glob(pattern.trim_start()).map_err(|error| wrong(format!("{error:#}")))?));
        }
        Ok(Rules(rules))
    }

    pub fn take(&self, key: &[u8]) -> bool {
        self.0.iter().find(|(_, glob)| matches(glob, key)).is_none_or(|(take, _)| *take)
    }
}

fn glob(pattern: &str) -> anyhow::Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    Ok(glob.with_context(|| format!("`{pattern}` is not a pattern"))?.compile_matcher())
}

fn matches(glob: &GlobMatcher, key: &[u8]) -> bool {
    glob.is_match(OsStr::from_bytes(key))
}
