//! Which of the listed objects are meant: globs, lists, sizes, ages, the ignore list.

mod globs;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use skyferry_config as config;
use skyferry_core::model::Location;
use skyferry_core::route::IgnoreList;
use skyferry_core::store::Listed;

use crate::time::{self, Since};
use globs::{Globs, Rules};

/// The flags.
#[derive(clap::Args, Clone, Default)]
pub struct FilterArguments {
    /// Only keys that match one of these patterns, which are compared with the part after the source's prefix. `*` and `**`
    /// match any characters, including `/`; `?` matches one, `[01]` one of these, `{a,b}` either; `\` takes the next
    /// character as it is.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Exclude keys that match one of these patterns; takes precedence over --include.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// A file of rules, `-` for stdin: `+ GLOB` includes and `- GLOB` excludes, the first that matches decides, and keys that
    /// none matches are included. `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub filter_from: Option<PathBuf>,
    /// Only the keys in this file, `-` for stdin: one per line, without the source's prefix. `copy` looks these up and lists
    /// nothing.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// A file with one pattern per line, compared with bucket/key (for a directory: its name and the path in it).
    #[arg(long, value_name = "FILE")]
    pub ignore_list: Option<PathBuf>,
    /// Minimum size: 2K, 16MiB, 1GB, 100.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub min_size: Option<u64>,
    /// Maximum size.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Changed within this time (15m, 1d12h), or since then (2026-01-01, 2026-01-01T12:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = time::since)]
    pub newer_than: Option<Since>,
    /// Not changed within this time, or since then.
    #[arg(long, value_name = "TIME", value_parser = time::since)]
    pub older_than: Option<Since>,
}

#[derive(Clone)]
pub struct ObjectFilter {
    include: Globs,
    exclude: Globs,
    rules: Rules,
    names: Option<BTreeSet<Vec<u8>>>,
    sizes: (u64, u64),
    /// Seconds since the epoch, both ends taken.
    modified: (i64, i64),
    ignore: IgnoreList,
    /// The same in words, for whoever asks whether it is still the same.
    description: String,
}

impl ObjectFilter {
    pub fn new(selection: &FilterArguments) -> anyhow::Result<ObjectFilter> {
        let (ignore, file) = selection.ignore_list.as_deref().map(ignore_list).transpose()?.unwrap_or_default();
        let FilterArguments { include, exclude, min_size, max_size, newer_than, older_than, .. } = selection;
        let rules = selection.filter_from.as_deref().map(|path| read(path, "--filter-from")).transpose()?;
        let listed = selection.files_from.as_deref().map(|path| read(path, "--files-from")).transpose()?;
        let mut description =
            format!("{include:?}{exclude:?}{min_size:?}{max_size:?}{newer_than:?}{older_than:?}{file:?}");
        for file in [&rules, &listed].into_iter().flatten() {
            description.push_str(&format!("{:032x}", crate::state_file::fnv(file)));
        }
        let rules = match (&selection.filter_from, rules) {
            (Some(path), Some(text)) => {
                Rules::parse(&text).map_err(|(line, why)| anyhow::anyhow!("{}:{line}: {why}", path.display()))?
            }
            _ => Rules::default(),
        };
        Ok(ObjectFilter {
            include: Globs::new(include).context("--include")?,
            exclude: Globs::new(exclude).context("--exclude")?,
            rules,
            names: listed.map(|text| lines(&text).map(<[u8]>::to_vec).collect()),
            sizes: (min_size.unwrap_or(0), max_size.unwrap_or(u64::MAX)),
            modified: (newer_than.map_or(i64::MIN, Since::second), older_than.map_or(i64::MAX, Since::second)),
            ignore,
            description,
        })
    }

    /// The keys that --files-from names, without the source's prefix.
    pub fn names(&self) -> Option<&BTreeSet<Vec<u8>>> {
        self.names.as_ref()
    }

    /// Only this key, without the source's prefix.
    pub fn only(self, name: &[u8]) -> ObjectFilter {
        ObjectFilter { names: Some(BTreeSet::from([name.to_vec()])), ..self }
    }

    /// `rest` is what follows the source's prefix in the key of `row`.
    pub fn accepts(&self, bucket: &str, row: &Listed, rest: &[u8]) -> bool {
        (self.include.is_empty() || self.include.any(rest))
            && !self.exclude.any(rest)
            && self.rules.take(rest)
            && self.names.as_ref().is_none_or(|names| names.contains(rest))
            && (self.sizes.0..=self.sizes.1).contains(&row.size)
            && (self.modified.0..=self.modified.1).contains(&row.last_modified)
            && (self.ignore.is_empty() || self.ignore.matches(&Location::new(bucket, row.key.clone())).is_none())
    }

    /// Of what is at the destination alone: sizes and ages are the source's, so flags about these take none of it.
    pub fn accepts_key(&self, source: &Location, rest: &[u8]) -> bool {
        let row = Listed {
            key: source.key.clone(),
            size: 0,
            etag: "".into(),
            last_modified: 0,
            storage_class: None,
            revision: None,
            version: None,
        };
        let any = (0, u64::MAX) == self.sizes && (i64::MIN, i64::MAX) == self.modified;
        any && self.accepts(&source.bucket, &row, rest)
    }

    pub fn description(&self) -> &str {
        &self.description
    }
}

/// A file's bytes, or stdin's.
fn read(path: &Path, flag: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut bytes).map(drop),
        _ => std::fs::read(path).map(|read| bytes = read),
    }
    .with_context(|| format!("{flag} {}", path.display()))?;
    Ok(bytes)
}

/// Without line ends and empty lines; keys may hold anything else.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty())
}

fn size(text: &str) -> Result<u64, String> {
    config::size(text).map_err(|wanted| format!("not {wanted}"))
}

fn ignore_list(path: &Path) -> anyhow::Result<(IgnoreList, Vec<u8>)> {
    let file = std::fs::read(path).with_context(|| format!("--ignore-list {}", path.display()))?;
    let (ignore, warnings) = IgnoreList::parse(&file);
    for warning in warnings {
        eprintln!("skyferry: --ignore-list {}: {warning}", path.display());
    }
    Ok((ignore, file))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use clap::Parser as _;
    use skyferry_core::model::Key;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        selection: FilterArguments,
    }

    fn takes(flags: &[&str], key: &str, size: u64, age: i64) -> bool {
        let typed = ["copy"].iter().chain(flags);
        let filter = ObjectFilter::new(&Typed::parse_from(typed).selection).expect("a filter");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let row = Listed {
            key: Key::new(format!("p/{key}")),
            size,
            etag: "e".into(),
            last_modified: now - age,
            storage_class: None,
            revision: None,
            version: None,
        };
        filter.accepts("photos", &row, key.as_bytes())
    }

    #[test]
    fn globs_are_about_what_follows_the_source_and_exclude_decides() {
        assert!(takes(&[], "a/b.jpg", 1, 0));
        assert!(takes(&["--include", "*.jpg"], "a/b.jpg", 1, 0));
        assert!(!takes(&["--include", "*.jpg"], "a/b.png", 1, 0));
        assert!(!takes(&["--include", "b.jpg"], "a/b.jpg", 1, 0));
        assert!(!takes(&["--include", "*", "--exclude", "a/*"], "a/b.jpg", 1, 0));
    }

    #[test]
    fn globs_have_alternatives_classes_and_escapes() {
        assert!(takes(&["--include", "*.{jpg,png}"], "a/b.png", 1, 0));
        assert!(!takes(&["--include", "*.{jpg,png}"], "a/b.gif", 1, 0));
        assert!(
            takes(&["--include", "log[01]/**"], "log1/a/b", 1, 0)
                && !takes(&["--include", "log[01]/**"], "log2/a", 1, 0)
        );
        assert!(takes(&["--include", r"a\[1\]"], "a[1]", 1, 0));
    }

    #[test]
    fn files_name_rules_and_keys() {
        let (rules, keys) =
            (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new().expect("a file"));
        std::fs::write(rules.path(), "# rules\n+ keep/*\n- *.tmp\n- keep/no\n").expect("written");
        std::fs::write(keys.path(), "a b\r\nc/d\n\n").expect("written");
        let flags = ["--filter-from", rules.path().to_str().expect("UTF-8")];
        let taken = ["keep/a.tmp", "keep/no", "x/a.tmp", "x/a"].map(|key| takes(&flags, key, 1, 0));
        assert_eq!(taken, [true, true, false, true]);
        let flags = ["--files-from", keys.path().to_str().expect("UTF-8")];
        assert_eq!(["a b", "c/d", "c", ""].map(|key| takes(&flags, key, 1, 0)), [true, true, false, false]);
        std::fs::write(rules.path(), "+ a\nb\n").expect("written");
        let typed = Typed::parse_from(["copy", "--filter-from", rules.path().to_str().expect("UTF-8")]);
        let error = ObjectFilter::new(&typed.selection).err().expect("refused").to_string();
        assert!(error.contains(":2: "), "{error}");
    }

    #[test]
    fn sizes_and_ages_have_two_ends() {
        let between = ["--min-size", "1KiB", "--max-size", "2KiB"];
        let sizes = [1023, 1024, 2048, 2049].map(|size| takes(&between, "a", size, 0));
        assert_eq!(sizes, [false, true, true, false]);
        assert!(takes(&["--newer-than", "1h"], "a", 1, 60) && !takes(&["--newer-than", "1h"], "a", 1, 4000));
        assert!(takes(&["--older-than", "1h"], "a", 1, 4000) && !takes(&["--older-than", "1h"], "a", 1, 60));
    }

    #[test]
    fn the_ignore_list_is_about_bucket_and_key() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "photos/p/tmp/*\n").expect("written");
        let flags = ["--ignore-list", file.path().to_str().expect("UTF-8")];
        assert!(!takes(&flags, "tmp/a", 1, 0) && takes(&flags, "a", 1, 0));
    }
}
