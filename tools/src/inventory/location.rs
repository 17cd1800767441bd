//! Where reports lie: `s3://bucket/key`, or files of this machine.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use skyferry_core::model::{Key, Location};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    Bucket(Location),
    Disk(PathBuf),
}

impl FileLocation {
    pub fn parse(text: &OsStr) -> Result<FileLocation, String> {
        let Some(rest) = text.to_str().and_then(|text| text.strip_prefix("s3://")) else {
            return match text.to_str().and_then(|text| text.split_once("://")) {
                Some((scheme, _)) if !scheme.contains('/') => {
                    Err(format!("{}: a report is s3://bucket/…/manifest.json or a file", text.display()))
                }
                _ => Ok(FileLocation::Disk(text.into())),
            };
        };
        match rest.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(FileLocation::Bucket(Location::new(bucket, Key::from(key))))
            }
            _ => Err(format!("{} names no object", text.display())),
        }
    }

    /// `manifest.checksum` beside `manifest.json`.
    pub fn checksum(&self) -> FileLocation {
        match self {
            FileLocation::Disk(path) => FileLocation::Disk(path.with_extension("checksum")),
            FileLocation::Bucket(at) => {
                let key = at.key.as_str().unwrap_or_default();
                let stem = key.strip_suffix(".json").unwrap_or(key);
                FileLocation::Bucket(Location::new(at.bucket.clone(), Key::from(format!("{stem}.checksum").as_str())))
            }
        }
    }

    /// Where a file can be that the manifest at this place names, the likeliest first: by its own key in the same bucket; as
    /// S3 lays it out from the manifest, `data/x.csv.gz` beside the folder of the date; under the manifest; next to it.
    pub fn candidates(&self, key: &str) -> Vec<FileLocation> {
        let mut parts = key.rsplit('/').map(|part| if matches!(part, "" | "." | "..") { "_" } else { part });
        let name = parts.next().unwrap_or_default();
        let below = parts.next().map_or(name.to_owned(), |folder| format!("{folder}/{name}"));
        match self {
            FileLocation::Disk(path) => {
                let path = std::path::absolute(path).unwrap_or(path.clone());
                let folder = path.parent().map(PathBuf::from).unwrap_or_default();
                let beside = folder.parent().map(|outer| outer.join(&below));
                let within = [folder.join(&below), folder.join(name)];
                beside.into_iter().chain(within).map(FileLocation::Disk).collect()
            }
            FileLocation::Bucket(at) => {
                let folder = at.key.as_str().unwrap_or_default().rsplit_once('/').map_or("", |(folder, _)| folder);
                let join = |folder: &str, rest: &str| match folder {
                    "" => rest.to_owned(),
                    folder => format!("{folder}/{rest}"),
                };
                let outer = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
                let mut keys = vec![key.to_owned(), join(outer, &below), join(folder, &below), join(folder, name)];
                keys.dedup();
                let place =
                    |key: String| FileLocation::Bucket(Location::new(at.bucket.clone(), Key::from(key.as_str())));
                keys.into_iter().map(place).collect()
            }
        }
    }

    /// One name for one place, wherever it is typed.
    pub fn name(&self) -> String {
        match self {
            FileLocation::Disk(path) => std::fs::canonicalize(path).unwrap_or(path.clone()).display().to_string(),
            FileLocation::Bucket(_) => self.to_string(),
        }
    }
}

impl fmt::Display for FileLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileLocation::Bucket(at) => write!(f, "s3://{at}"),
            FileLocation::Disk(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> FileLocation {
        FileLocation::parse(OsStr::new(text)).expect("a place")
    }

    fn names(places: Vec<FileLocation>) -> Vec<String> {
        places.iter().map(FileLocation::to_string).collect()
    }

    #[test]
    fn objects_and_files_are_told_apart() {
        assert_eq!(place("s3://b/p/manifest.json").checksum(), place("s3://b/p/manifest.checksum"));
        assert_eq!(place("p/manifest.json").checksum(), FileLocation::Disk("p/manifest.checksum".into()));
        for wrong in ["s3://", "s3://b", "s3://b/", "s3:///k", "gs://b/manifest.json"] {
            assert!(FileLocation::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_are_looked_for_as_s3_lays_them_out_and_never_elsewhere() {
        let inside = place("s3://reports/p/photos/all/2026-01-01T00-00Z/manifest.json");
        assert_eq!(
            names(inside.candidates("p/photos/all/data/x.gz")),
            [
                "s3://reports/p/photos/all/data/x.gz",
                "s3://reports/p/photos/all/2026-01-01T00-00Z/data/x.gz",
                "s3://reports/p/photos/all/2026-01-01T00-00Z/x.gz"
            ]
        );
        let disk = place("/r/2026/manifest.json");
        assert_eq!(names(disk.candidates("p/data/x.gz")), ["/r/data/x.gz", "/r/2026/data/x.gz", "/r/2026/x.gz"]);
        assert_eq!(names(disk.candidates("../../etc/..")), ["/r/etc/_", "/r/2026/etc/_", "/r/2026/_"]);
    }
}
