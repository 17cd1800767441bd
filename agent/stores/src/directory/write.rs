//! Publishing: bytes go to a temporary file beside the tree, are synced, and appear under their name in one step.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::names::path_of;
use super::root::{DirectoryRoot, DiskError, DiskResult, State, kind, open_file, stat, state_of, sync_dir};
use super::sidecar::Sidecar;
use super::{CHUNK, Call, blocking};
use skyferry_core::digest::{Checksum, StoredDigests};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, Revision};
use skyferry_core::store::{Payload, Result, WriteAttributes, WriteResult};

const TMP: &str = "tmp";
const LOCKS: &str = "locks";
/// A temporary file this old belongs to a process that is no more.
pub(super) const LITTER: Duration = Duration::from_secs(24 * 3600);

/// A file without a name in the tree; removed unless it is published.
struct Temp {
    dir: OwnedFd,
    name: OsString,
    published: bool,
}

impl Temp {
    fn new(place: &DirectoryRoot) -> DiskResult<(Temp, File)> {
        let dir = place.own_directory(TMP)?;
        let name: OsString = format!("{:032x}", rand::random::<u128>()).into();
        let file = open_file(&dir, &name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)?;
        Ok((Temp { dir, name, published: false }, file))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            let _ = unlinkat(&self.dir, &*self.name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Writes a whole object.
pub(super) async fn put(
    place: &DirectoryRoot,
    call: &Call,
    payload: Payload,
    with: &WriteAttributes,
    expected: &Expected,
) -> Result<WriteResult> {
    let (place, key) = (place.clone(), call.at.key.clone());
    let (sidecar, expected) = (Sidecar::of(with), expected.clone());
    match payload {
        Payload::Whole(bytes) => {
            blocking(call, move || {
                let names = names(&key)?;
                let (mut temp, mut file) = Temp::new(&place)?;
                file.write_all(&bytes)?;
                complete(&place, &names, &mut temp, &file, sidecar, crc32c::crc32c(&bytes), &expected)
            })
            .await
        }
        streamed => {
            let here = place.clone();
            let opened = blocking(call, move || Ok((names(&key)?, Temp::new(&here)?)));
            let (names, (mut temp, file)) = opened.await?;
            let (file, _, crc32c) = body(file, streamed, call).await?;
            blocking(call, move || complete(&place, &names, &mut temp, &file, sidecar, crc32c, &expected)).await
        }
    }
}

fn complete(
    place: &DirectoryRoot,
    names: &[OsString],
    temp: &mut Temp,
    file: &File,
    mut sidecar: Sidecar,
    crc32c: u32,
    expected: &Expected,
) -> DiskResult<WriteResult> {
    sidecar.crc32c = Some(crc32c);
    let published = publish(place, names, (&temp.dir, &temp.name), file, &sidecar, expected)?;
    temp.published = true;
    Ok(published)
}

pub(super) fn names(key: &Key) -> DiskResult<Vec<OsString>> {
    path_of(key).map_err(|why| DiskError::new(ErrorKind::CannotHold, why))
}

/// Writes a payload where the file stands; back come the file, the bytes' number and their CRC32C.
pub(super) async fn body(mut file: File, payload: Payload, call: &Call) -> Result<(File, u64, u32)> {
    let (length, mut chunks) = match payload {
        Payload::Whole(bytes) => (bytes.len() as u64, futures_util::stream::iter([Ok(bytes)]).boxed()),
        Payload::Stream { length, chunks, .. } => (length, chunks),
    };
    let (mut written, mut crc, mut ended) = (0, 0, false);
    while !ended {
        let (mut batch, mut size) = (Vec::new(), 0);
        while size < CHUNK && !ended {
            match chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    size += chunk.len();
                    batch.push(chunk);
                }
                None => ended = true,
            }
        }
        written += size as u64;
        if written > length {
            return Err(call.error(ErrorKind::Corrupt, "the source sent more bytes than announced"));
        }
        if size > 0 {
            (file, crc) = blocking(call, move || {
                write_all(&mut file, &batch)?;
                let crc = batch.iter().fold(crc, |crc, chunk| crc32c::crc32c_append(crc, chunk));
                Ok((file, crc))
            })
            .await?;
        }
    }
    if written < length {
        return Err(call.error(ErrorKind::Corrupt, format!("the source ended {} bytes early", length - written)));
    }
    Ok((file, written, crc))
}

fn write_all(file: &mut File, batch: &[Bytes]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice> = batch.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    // Leaves out empty ones at the front.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a written file appear under its name, if what is there is as expected.
pub(super) fn publish(
    place: &DirectoryRoot,
    names: &[OsString],
    from: (&OwnedFd, &OsStr),
    file: &File,
    sidecar: &Sidecar,
    expected: &Expected,
) -> DiskResult<WriteResult> {
    file.sync_all()?;
    let state = state_of(file)?;
    sidecar.write(place, &state)?;
    let lock = lock(place, names)?;
    let (dir, old) = match appear(place, names, from, expected) {
        Ok(done) => done,
        Err(trouble) => {
            let _ = Sidecar::remove(place, &state);
            return Err(trouble);
        }
    };
    drop(lock);
    // From here on it is visible, so an error can only say that nobody knows whether it will still be after a power cut.
    sync_dir(&dir).map_err(|trouble| DiskError::new(ErrorKind::LostAnswer, format!("{trouble:?}")))?;
    if let Some(old) = old.filter(|old| *old != state) {
        let _ = Sidecar::remove(place, &old);
    }
    let stored = StoredDigests {
        length: Some(state.size),
        crc32c: sidecar.crc32c.map(Checksum::Full),
        ..StoredDigests::default()
    };
    Ok(WriteResult { revision: Some(Revision(state.stamp())), stored })
}

/// The step itself, under the key's lock; back come the directory and what was replaced. Tried again when a directory is
/// removed meanwhile because a delete has emptied it, or when an empty one is in the way.
fn appear(
    place: &DirectoryRoot,
    names: &[OsString],
    from: (&OwnedFd, &OsStr),
    expected: &Expected,
) -> DiskResult<(OwnedFd, Option<State>)> {
    let name = names[names.len() - 1].as_os_str();
    let mut tries = 0;
    loop {
        tries += 1;
        let dir = match place.make_parent(names) {
            Err(trouble) if trouble.is(Errno::ENOENT) && tries < 8 => continue,
            dir => dir?,
        };
        let old = stat(&dir, name)?;
        check(expected, old.as_ref())?;
        let moved = match expected {
            Expected::Absent => link(&dir, name, from),
            _ => renameat(from.0, from.1, &dir, name),
        };
        match moved {
            Ok(()) => return Ok((dir, old)),
            Err(Errno::ENOENT) if tries < 8 => {}
            Err(Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY) => {
                match unlinkat(&dir, name, UnlinkatFlags::RemoveDir) {
                    Ok(()) if tries < 8 => {}
                    _ => return Err(occupied(&dir, name)),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Fails if anything has the name: also what another process, which asks no lock, has just made.
fn link(dir: &OwnedFd, name: &OsStr, from: (&OwnedFd, &OsStr)) -> nix::Result<()> {
    match linkat(from.0, from.1, dir, name, AtFlags::empty()) {
        Ok(()) => {
            // It is published; a first name that stays is litter.
            let _ = unlinkat(from.0, from.1, UnlinkatFlags::NoRemoveDir);
            Ok(())
        }
        // No hard links here: the lock and the look before have to do.
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK) => renameat(from.0, from.1, dir, name),
        Err(errno) => Err(errno),
    }
}

fn occupied(dir: &OwnedFd, name: &OsStr) -> DiskError {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| kind(&stat)) {
        Ok(SFlag::S_IFREG) | Err(Errno::ENOENT) => {
            DiskError::new(ErrorKind::Precondition, "a file was created meanwhile")
        }
        Ok(SFlag::S_IFDIR) => DiskError::new(ErrorKind::CannotHold, "a folder has this name"),
        Ok(_) => DiskError::new(ErrorKind::CannotHold, "something that is not a file has this name"),
        Err(errno) => errno.into(),
    }
}

fn check(expected: &Expected, there: Option<&State>) -> DiskResult<()> {
    let fine = match (expected, there) {
        (Expected::Any, _) | (Expected::Absent, None) => true,
        (Expected::Revision(revision), Some(state)) => revision.0 == state.stamp(),
        (Expected::Absent, Some(_)) | (Expected::Revision(_), None) => false,
    };
    if fine {
        return Ok(());
    }
    let there = there.map_or("nothing".into(), |state| state.stamp().to_string());
    Err(DiskError::new(ErrorKind::Precondition, format!("there is {there}")))
}

/// Removes the file if it is as expected, and the folders that this leaves empty.
pub(super) fn delete(place: &DirectoryRoot, key: &Key, expected: &Expected) -> DiskResult<()> {
    let Ok(names) = path_of(key) else { return Ok(()) };
    let lock = lock(place, &names)?;
    let Some(dir) = place.parent(&names)? else { return Ok(()) };
    let name = names[names.len() - 1].as_os_str();
    let Some(state) = stat(&dir, name)? else { return Ok(()) };
    check(expected, Some(&state))?;
    match unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    sync_dir(&dir)?;
    drop(lock);
    Sidecar::remove(place, &state)?;
    for depth in (1..names.len()).rev() {
        let Some(dir) = place.parent(&names[..depth])? else { break };
        if unlinkat(&dir, &*names[depth - 1], UnlinkatFlags::RemoveDir).is_err() {
            break;
        }
    }
    Ok(())
}

/// Between looking at a file and replacing it nobody else may: not another thread, nor another process of ours. One of
/// 64 locks by the key's hash. Where the file system has no locks, a write between the look and the rename goes unseen.
fn lock(place: &DirectoryRoot, names: &[OsString]) -> DiskResult<File> {
    let hash = names.iter().fold(0, |crc, name| crc32c::crc32c_append(crc, name.as_encoded_bytes()));
    let dir = place.aside(LOCKS)?;
    let name: OsString = format!("{:02x}", hash % 64).into();
    let file = open_file(&dir, &name, OFlag::O_RDWR | OFlag::O_CREAT)?;
    match file.lock() {
        Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(error.into()),
        _ => Ok(file),
    }
}

/// Removes what processes that are no more have left behind; best effort.
pub(super) fn sweep(place: &DirectoryRoot) {
    let old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > LITTER);
    let Ok(entries) = std::fs::read_dir(place.own_path(TMP)) else { return };
    for entry in entries.flatten() {
        if entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(old) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
