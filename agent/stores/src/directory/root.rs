//! One bucket's directory: opened names, never followed links, and what its errors mean.
//!
//! Every path is walked from the root by directory handles, each opened without following a link. So nothing that
//! somebody puts in the way, at whatever moment, leads a write out of the root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};

use super::names::OWN;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Location, SourceIdentity};

/// What went wrong, before it is known for which call.
#[derive(Debug)]
pub(super) enum DiskError {
    Io(io::Error),
    Known(ErrorKind, String),
}

pub(super) type DiskResult<T> = Result<T, DiskError>;

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        DiskError::Io(error)
    }
}

impl From<Errno> for DiskError {
    fn from(errno: Errno) -> Self {
        DiskError::Io(errno.into())
    }
}

impl DiskError {
    pub(super) fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        DiskError::Known(kind, why.into())
    }

    pub(super) fn is(&self, errno: Errno) -> bool {
        matches!(self, DiskError::Io(error) if error.raw_os_error() == Some(errno as i32))
    }

    pub(super) fn at(self, side: Side, operation: &'static str, at: &Location) -> CopyError {
        match self {
            DiskError::Known(kind, why) => CopyError::new(side, kind, operation, at, why),
            DiskError::Io(error) => CopyError::new(side, kind_of(&error), operation, at, error.to_string()),
        }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind::*;
    match error.kind() {
        PermissionDenied => ErrorKind::Denied,
        NotFound => ErrorKind::NotFound,
        NotADirectory | IsADirectory | DirectoryNotEmpty | InvalidFilename | FileTooLarge => ErrorKind::CannotHold,
        _ => ErrorKind::Local,
    }
}

/// One state of a file: what conditional writes and pinned reads compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Bytes.
    pub size: u64,
    inode: u64,
    modified_ns: i128,
}

impl State {
    /// `None`: not a file.
    pub(super) fn of(stat: &FileStat) -> Option<State> {
        (kind(stat) == SFlag::S_IFREG).then(|| State {
            size: stat.st_size as u64,
            inode: stat.st_ino,
            modified_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        })
    }

    /// A new file has another inode or, where that is used again, another time.
    pub(super) fn stamp(&self) -> Arc<str> {
        format!("{:x}-{:x}-{:x}", self.inode, self.modified_ns, self.size).into()
    }

    pub(super) fn modified(&self) -> i64 {
        self.modified_ns.div_euclid(1_000_000_000) as i64
    }

    pub(super) fn modified_ns(&self) -> i128 {
        self.modified_ns
    }

    pub(super) fn identity(&self) -> SourceIdentity {
        SourceIdentity { etag: self.stamp(), size: self.size, last_modified: self.modified(), version: None }
    }

    /// Where what is kept beside this state lies: by the state, not by the key, so that it moves and ends with it.
    pub(super) fn sidecar_path(&self) -> (String, String) {
        (format!("{:02x}", self.inode & 0xff), self.stamp().to_string())
    }
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// The state of an opened file.
pub(super) fn state_of(file: &File) -> DiskResult<State> {
    State::of(&fstat(file)?).ok_or_else(|| DiskError::new(ErrorKind::Local, "not a regular file"))
}

/// The state of `name` in `dir`; `None` where there is no file (nothing, a directory, a link).
pub(super) fn stat(dir: &OwnedFd, name: &OsStr) -> DiskResult<Option<State>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(State::of(&stat)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn open_file(dir: &OwnedFd, name: &OsStr, how: OFlag) -> nix::Result<File> {
    // Not blocking: a pipe in a file's place must not hold a thread.
    let flags = how | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    openat(dir, name, flags, Mode::from_bits_truncate(0o666)).map(File::from)
}

fn open_dir(dir: impl AsFd, name: &OsStr) -> nix::Result<OwnedFd> {
    openat(dir, name, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens a directory in `dir`, making it if need be, durably.
pub(super) fn make_dir(dir: &OwnedFd, name: &OsStr) -> DiskResult<OwnedFd> {
    match open_dir(dir, name) {
        Err(Errno::ENOENT) => {}
        opened => return opened.map_err(|errno| blocked_error(errno, name)),
    }
    match mkdirat(dir, name, Mode::from_bits_truncate(0o777)) {
        Ok(()) => sync_dir(dir)?,
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    open_dir(dir, name).map_err(|errno| blocked_error(errno, name))
}

fn blocked_error(errno: Errno, name: &OsStr) -> DiskError {
    match errno {
        Errno::ENOTDIR | Errno::ELOOP => {
            let name = name.to_string_lossy();
            DiskError::new(
                ErrorKind::CannotHold,
                format!("`{name}` is not a folder here, so it cannot contain anything"),
            )
        }
        errno => errno.into(),
    }
}

pub(super) fn sync_dir(dir: &OwnedFd) -> DiskResult<()> {
    match nix::unistd::fsync(dir) {
        // Some file systems have no such thing for directories.
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A bucket's directory.
#[derive(Clone, Debug)]
pub(super) struct DirectoryRoot {
    /// Without links.
    pub root: PathBuf,
    /// Where what is kept beside the files lies instead.
    pub metadata: Option<PathBuf>,
}

impl DirectoryRoot {
    /// The root itself may be a link: that is the operator's word.
    pub(super) fn open(&self) -> DiskResult<OwnedFd> {
        let file = File::options().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(&self.root);
        file.map(OwnedFd::from).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                DiskError::new(ErrorKind::BucketMissing, format!("{} is not a directory", self.root.display()))
            }
            _ => error.into(),
        })
    }

    /// The directory that holds the last of `names`; `None`: not there, or something is in the way.
    pub(super) fn parent(&self, names: &[OsString]) -> DiskResult<Option<OwnedFd>> {
        let mut dir = self.open()?;
        for name in &names[..names.len() - 1] {
            dir = match open_dir(&dir, name) {
                Ok(dir) => dir,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
        }
        Ok(Some(dir))
    }

    /// The same, made where it is not there.
    pub(super) fn make_parent(&self, names: &[OsString]) -> DiskResult<OwnedFd> {
        names[..names.len() - 1].iter().try_fold(self.open()?, |dir, name| make_dir(&dir, name))
    }

    /// One of our own directories, made if need be.
    pub(super) fn own_directory(&self, name: &str) -> DiskResult<OwnedFd> {
        make_dir(&make_dir(&self.open()?, OsStr::new(OWN))?, OsStr::new(name))
    }

    /// The same for what need not be on the files' own file system.
    pub(super) fn aside(&self, name: &str) -> DiskResult<OwnedFd> {
        let Some(path) = &self.metadata else { return self.own_directory(name) };
        let path = path.join(name);
        std::fs::create_dir_all(&path)?;
        let file = File::options().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(&path)?;
        Ok(file.into())
    }

    pub(super) fn aside_path(&self, name: &str) -> PathBuf {
        self.metadata.as_ref().map_or_else(|| self.own_path(name), |path| path.join(name))
    }

    /// Removes our own directories where they are empty.
    pub(super) fn tidy(&self) {
        let own = self.own_path("");
        for entry in std::fs::read_dir(&own).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(own);
    }

    /// Whether a file can stand at these names, as far as can be seen now.
    pub(super) fn check_parents(&self, names: &[OsString]) -> DiskResult<()> {
        let mut dir = self.open()?;
        for name in &names[..names.len() - 1] {
            dir = match open_dir(&dir, name) {
                Ok(dir) => dir,
                Err(Errno::ENOENT) => return Ok(()),
                Err(errno) => return Err(blocked_error(errno, name)),
            };
        }
        Ok(())
    }

    pub(super) fn own_path(&self, name: &str) -> PathBuf {
        self.root.join(OWN).join(name)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}
