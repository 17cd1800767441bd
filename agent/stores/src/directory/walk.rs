//! Listing in the order of the keys' bytes, without holding more than the names of the directories on the way down.
//!
//! A file sorts by its name and a directory by its name and a slash, as their keys do (`a-b` < `a/` < `a0`); walking the
//! sorted entries depth first gives all keys sorted.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::stat::lstat;

use super::names::part_of;
use super::root::{DirectoryRoot, DiskError, DiskResult, State};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Key, Revision};
use skyferry_core::store::Listed;

/// One listing on its way.
pub(super) struct DirectoryWalk {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    levels: Vec<Level>,
    /// The first directory that could not be read: told when all others are listed.
    unreadable: Option<DiskError>,
}

/// One directory on the way down, and what of it is still to come.
struct Level {
    path: PathBuf,
    key: Vec<u8>,
    entries: std::vec::IntoIter<Entry>,
}

struct Entry {
    /// The key's part, with a slash behind a directory's: what sorts.
    part: Vec<u8>,
    name: OsString,
    directory: bool,
}

impl DirectoryWalk {
    /// Of the keys that begin with `prefix` and come after `after`.
    pub(super) fn new(place: &DirectoryRoot, prefix: &Key, after: Option<&Key>) -> DiskResult<DirectoryWalk> {
        let mut walk = DirectoryWalk {
            prefix: prefix.as_bytes().to_vec(),
            after: after.map(|key| key.as_bytes().to_vec()),
            levels: Vec::new(),
            unreadable: None,
        };
        drop(place.open()?);
        walk.enter(place.root().to_path_buf(), Vec::new())?;
        Ok(walk)
    }

    /// The next file. One that vanishes meanwhile is left out; a directory that cannot be read ends the listing with its
    /// error, but only after everything else.
    pub(super) fn next(&mut self) -> DiskResult<Option<Listed>> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let (path, key) = (level.path.join(&entry.name), [&*level.key, &entry.part].concat());
            if entry.directory {
                match self.enter(path, key) {
                    Err(trouble @ DiskError::Known(ErrorKind::Unreadable, _)) => {
                        self.unreadable.get_or_insert(trouble);
                    }
                    entered => entered?,
                }
            } else if let Some(state) = state_at(&path)? {
                return Ok(Some(Listed {
                    key: Key::new(key),
                    size: state.size,
                    etag: state.stamp(),
                    last_modified: state.modified(),
                    storage_class: None,
                    revision: Some(Revision(state.stamp())),
                    version: None,
                }));
            }
        }
        match self.unreadable.take() {
            Some(trouble) => Err(trouble),
            None => Ok(None),
        }
    }

    /// Nothing more comes but this.
    pub(super) fn ends_with(&mut self, trouble: DiskError) {
        self.levels.clear();
        self.unreadable = Some(trouble);
    }

    fn enter(&mut self, path: PathBuf, key: Vec<u8>) -> DiskResult<()> {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(named(error, &path)),
        };
        let mut wanted = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| named(error, &path))?;
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(named(error, &path)),
            };
            if kind.is_symlink() {
                tracing::warn!(path = %entry.path().display(), "skipped: symbolic links are not followed");
            }
            let name = entry.file_name();
            let Some(part) = part_of(&name).filter(|_| kind.is_file() || kind.is_dir()) else { continue };
            let mut part = part.into_owned();
            if kind.is_dir() {
                part.push(b'/');
            }
            let whole = [&*key, &part].concat();
            if whole.is_empty() {
                tracing::warn!(path = %entry.path().display(), "skipped: this name has no key");
            } else if self.may_contain(&whole, kind.is_dir()) {
                wanted.push(Entry { part, name, directory: kind.is_dir() });
            }
        }
        wanted.sort_unstable_by(|a, b| a.part.cmp(&b.part));
        self.levels.push(Level { path, key, entries: wanted.into_iter() });
        Ok(())
    }

    /// Whether this key, or one in this directory, can be part of the answer.
    fn may_contain(&self, key: &[u8], directory: bool) -> bool {
        let prefixed = key.starts_with(&self.prefix) || directory && self.prefix.starts_with(key);
        let later = |after: &Vec<u8>| key > after.as_slice() || directory && after.starts_with(key);
        prefixed && self.after.as_ref().is_none_or(later)
    }
}

fn state_at(path: &Path) -> DiskResult<Option<State>> {
    match lstat(path) {
        Ok(stat) => Ok(State::of(&stat)),
        Err(errno) if is_missing(&errno.into()) => Ok(None),
        Err(errno) => Err(named(errno.into(), path)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A listing fails as a whole: the path says where.
fn named(error: io::Error, path: &Path) -> DiskError {
    let kind = if error.kind() == io::ErrorKind::PermissionDenied { ErrorKind::Unreadable } else { ErrorKind::Local };
    DiskError::new(kind, format!("{}: {error}", path.display()))
}
