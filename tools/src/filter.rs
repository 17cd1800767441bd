//! Which of the listed objects are meant: globs, sizes, ages, the ignore list.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use skyferry_config as config;
use skyferry_core::model::Location;
use skyferry_core::route::{IgnoreList, glob};
use skyferry_core::store::Listed;

/// The flags.
#[derive(clap::Args, Default)]
pub struct FilterArguments {
    /// Only keys that match one of these patterns. The pattern is compared with the part after the source's prefix. `*`
    /// matches any characters, including `/`; `?` matches one.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Exclude keys that match one of these patterns; takes precedence over --include.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// A file with one pattern per line, compared with bucket/key (for a directory: its name and the path in it).
    #[arg(long, value_name = "FILE")]
    pub ignore_list: Option<PathBuf>,
    /// Minimum size: 16MiB, 1GB, 100.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub min_size: Option<u64>,
    /// Maximum size.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Changed within this time: 30s, 15m, 12h, 7d.
    #[arg(long, value_name = "AGE", value_parser = config::duration)]
    pub newer_than: Option<Duration>,
    /// Not changed within this time.
    #[arg(long, value_name = "AGE", value_parser = config::duration)]
    pub older_than: Option<Duration>,
}

pub struct ObjectFilter {
    include: Vec<String>,
    exclude: Vec<String>,
    sizes: (u64, u64),
    /// Seconds since the epoch, both ends taken.
    modified: (i64, i64),
    ignore: IgnoreList,
    /// The same in words, for whoever asks whether it is still the same.
    description: String,
}

impl ObjectFilter {
    pub fn new(selection: &FilterArguments) -> anyhow::Result<ObjectFilter> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ago = |age: Duration| i64::try_from(now.saturating_sub(age).as_secs()).unwrap_or(i64::MAX);
        let (ignore, file) = selection.ignore_list.as_deref().map(read).transpose()?.unwrap_or_default();
        let FilterArguments { include, exclude, min_size, max_size, newer_than, older_than, .. } = selection;
        let description = format!("{include:?}{exclude:?}{min_size:?}{max_size:?}{newer_than:?}{older_than:?}{file:?}");
        Ok(ObjectFilter {
            include: include.clone(),
            exclude: exclude.clone(),
            sizes: (min_size.unwrap_or(0), max_size.unwrap_or(u64::MAX)),
            modified: (newer_than.map_or(i64::MIN, ago), older_than.map_or(i64::MAX, ago)),
            ignore,
            description,
        })
    }

    /// `rest` is what follows the source's prefix in the key of `row`.
    pub fn accepts(&self, bucket: &str, row: &Listed, rest: &[u8]) -> bool {
        let any = |globs: &[String]| globs.iter().any(|pattern| glob(pattern, rest));
        (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
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

fn size(text: &str) -> Result<u64, String> {
    config::size(text).map_err(|wanted| format!("not {wanted}"))
}

fn read(path: &Path) -> anyhow::Result<(IgnoreList, Vec<u8>)> {
    let file = std::fs::read(path).with_context(|| format!("--ignore-list {}", path.display()))?;
    let (ignore, warnings) = IgnoreList::parse(&file);
    for warning in warnings {
        eprintln!("skyferry: --ignore-list {}: {warning}", path.display());
    }
    Ok((ignore, file))
}

#[cfg(test)]
mod tests {
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
