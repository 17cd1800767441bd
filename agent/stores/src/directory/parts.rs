//! Multipart uploads: a directory for each, `.skyferry/uploads/<id>/`, until it is published or aborted.
//!
//! `about` says what is written, `data` takes the parts at their final offsets, `p<number>` records each part once its
//! bytes are on the disk. So publishing is a rename, and after a crash exactly the recorded parts are there. Offsets follow
//! from the first part's size. What does not fit that (a part sent again, parts before the first) gets a file of its own
//! and is copied to its place at the end: bytes that are recorded, or may still be coming, are never written over.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::fstatat;
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;

use super::root::{DirectoryRoot, DiskError, DiskResult, make_dir, open_file, sync_dir};
use super::sidecar::Sidecar;
use super::write::{LITTER, body, names, publish};
use super::{Call, blocking};
use skyferry_core::digest::{Checksum, Digests, StoredDigests};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, UploadId};
use skyferry_core::store::{CompletedPart, OpenUpload, Payload, Result, StoredPart, WriteAttributes, WriteResult};

const UPLOADS: &str = "uploads";
const ABOUT: &str = "about";
const DATA: &str = "data";

#[derive(Serialize, Deserialize)]
struct About {
    /// The key's bytes.
    key: Vec<u8>,
    initiated: i64,
    size: u64,
    sidecar: Sidecar,
}

/// A part whose bytes are safe.
#[derive(Serialize, Deserialize)]
struct Recorded {
    /// In `data`, or in this file of its own.
    own: Option<String>,
    offset: u64,
    size: u64,
    crc32c: u32,
    etag: String,
}

/// What this process knows of its open uploads.
#[derive(Default)]
pub(super) struct UploadTable(Mutex<HashMap<UploadId, Arc<Active>>>);

#[derive(Default)]
struct Active {
    /// Parts in writing hold it for reading: nothing is published or removed under their hands, even if their callers
    /// have gone away.
    gate: Arc<RwLock<()>>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    stride: Option<u64>,
    used: HashSet<u32>,
}

impl UploadTable {
    fn of(&self, id: &UploadId) -> Arc<Active> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone()
    }
    fn forget(&self, id: &UploadId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Active {
    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where in `data` a part goes; `None`: into a file of its own.
    fn offset(&self, open: &Open, number: u32, length: u64) -> Option<u64> {
        let recorded = open.record(number).ok().flatten().is_some();
        let mut slots = self.slots();
        if slots.stride.is_none() {
            let first = open.record(1).ok().flatten().filter(|first| first.own.is_none());
            slots.stride = first.map(|first| first.size);
        }
        let stride = slots.stride?;
        let offset = stride.checked_mul(u64::from(number) - 1)?;
        let end = offset.checked_add(length)?;
        let fits = length == stride && end <= open.about.size || length < stride && end == open.about.size;
        (fits && !recorded && slots.used.insert(number)).then_some(offset)
    }
}

/// An upload's directory.
struct Open {
    dir: OwnedFd,
    about: About,
}

fn upload_gone_error() -> DiskError {
    DiskError::new(ErrorKind::UploadGone, "no such upload")
}

/// A missing file means that the upload has ended meanwhile.
fn or_gone<T>(result: nix::Result<T>) -> DiskResult<T> {
    result.map_err(|errno| if errno == Errno::ENOENT { upload_gone_error() } else { errno.into() })
}

fn read_json<T: for<'a> Deserialize<'a>>(dir: &OwnedFd, name: &str) -> DiskResult<Option<T>> {
    let mut text = Vec::new();
    match open_file(dir, OsStr::new(name), OFlag::O_RDONLY) {
        Ok(mut file) => file.read_to_end(&mut text)?,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    Ok(serde_json::from_slice(&text).ok())
}

/// Appears whole or not at all.
fn write_json(dir: &OwnedFd, name: &str, value: &impl Serialize) -> DiskResult<()> {
    let text = serde_json::to_vec(value).map_err(|error| DiskError::new(ErrorKind::Local, error.to_string()))?;
    let temp: OsString = format!("{name}.{:016x}", rand::random::<u64>()).into();
    let mut file = or_gone(open_file(dir, &temp, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL))?;
    file.write_all(&text)?;
    file.sync_all()?;
    or_gone(renameat(dir, &*temp, dir, name))
}

impl Open {
    /// `None`: ended. One whose `data` has a second name was published, and only its removal is missing.
    fn find(place: &DirectoryRoot, id: &UploadId, key: &Key) -> DiskResult<Option<Open>> {
        if id.0.len() != 32 || !id.0.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let dir = match open_file(&place.own_directory(UPLOADS)?, OsStr::new(&*id.0), OFlag::O_DIRECTORY) {
            Ok(dir) => OwnedFd::from(dir),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let about = read_json::<About>(&dir, ABOUT)?.filter(|about| about.key == key.as_bytes());
        let alone = fstatat(&dir, DATA, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_nlink == 1);
        Ok(about.filter(|_| alone).map(|about| Open { dir, about }))
    }

    fn record(&self, number: u32) -> DiskResult<Option<Recorded>> {
        read_json(&self.dir, &format!("p{number}"))
    }
}

pub(super) async fn begin(place: &DirectoryRoot, call: &Call, with: &WriteAttributes) -> Result<UploadId> {
    let (place, key) = (place.clone(), call.at.key.clone());
    let id = format!("{:032x}", rand::random::<u128>());
    let about = About {
        key: key.as_bytes().to_vec(),
        initiated: skyferry_core::ambient::epoch_ms() / 1000,
        size: with.size,
        sidecar: Sidecar::of(with),
    };
    blocking(call, move || {
        place.check_parents(&names(&key)?)?;
        let dir = make_dir(&place.own_directory(UPLOADS)?, OsStr::new(&id))?;
        open_file(&dir, OsStr::new(DATA), OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)?;
        write_json(&dir, ABOUT, &about)?;
        sync_dir(&dir)?;
        Ok(UploadId(id.into()))
    })
    .await
}

pub(super) async fn part(
    place: &DirectoryRoot,
    uploads: &UploadTable,
    call: &Call,
    upload: &UploadId,
    number: u32,
    payload: Payload,
) -> Result<StoredPart> {
    let (place, active, length) = (place.clone(), uploads.of(upload), payload.length());
    if number == 1 {
        // Before anything is waited for: the parts that were started after it shall find their places.
        active.slots().stride.get_or_insert(length);
    }
    let gate = active.gate.clone().read_owned().await;
    let (id, key) = (upload.clone(), call.at.key.clone());
    let prepared = blocking(call, move || {
        let open = Open::find(&place, &id, &key)?.ok_or_else(upload_gone_error)?;
        if number == 0 {
            return Err(DiskError::new(ErrorKind::Refused, "parts are counted from 1"));
        }
        let offset = active.offset(&open, number, length);
        let own = offset.is_none().then(|| format!("b{number}.{:016x}", rand::random::<u64>()));
        let name = own.as_deref().unwrap_or(DATA);
        let how = if own.is_some() { OFlag::O_CREAT | OFlag::O_EXCL } else { OFlag::empty() };
        let mut file = or_gone(open_file(&open.dir, OsStr::new(name), OFlag::O_WRONLY | how))?;
        file.seek(SeekFrom::Start(offset.unwrap_or(0)))?;
        Ok((open, file, own, offset.unwrap_or(0), gate))
    });
    let (open, file, own, offset, gate) = match prepared.await {
        Err(error) if error.kind == ErrorKind::UploadGone => {
            uploads.forget(upload);
            return Err(error);
        }
        prepared => prepared?,
    };
    let (file, size, crc32c) = body(file, payload, call).await?;
    blocking(call, move || {
        file.sync_data()?;
        let etag = format!("{crc32c:08x}-{:08x}", rand::random::<u32>());
        let record = Recorded { own, offset, size, crc32c, etag: etag.clone() };
        write_json(&open.dir, &format!("p{number}"), &record)?;
        drop(gate);
        Ok(to_stored_part(number, &record))
    })
    .await
}

fn to_stored_part(number: u32, record: &Recorded) -> StoredPart {
    let stored = StoredDigests {
        length: Some(record.size),
        crc32c: Some(Checksum::Full(record.crc32c)),
        ..StoredDigests::default()
    };
    StoredPart { number, etag: record.etag.as_str().into(), size: record.size, stored }
}

pub(super) async fn parts(place: &DirectoryRoot, call: &Call, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
    let (place, id, key) = (place.clone(), upload.clone(), call.at.key.clone());
    blocking(call, move || {
        let Some(open) = Open::find(&place, &id, &key)? else { return Ok(None) };
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(place.own_path(UPLOADS).join(&*id.0))? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.strip_prefix('p')?.parse().ok()) else { continue };
            parts.extend(open.record(number)?.map(|record| to_stored_part(number, &record)));
        }
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    })
    .await
}

pub(super) async fn finish(
    place: &DirectoryRoot,
    uploads: &UploadTable,
    call: &Call,
    upload: &UploadId,
    wanted: (&[CompletedPart], &Digests),
    expected: &Expected,
) -> Result<WriteResult> {
    let alone = uploads.of(upload).gate.clone().write_owned().await;
    let (place, id, key) = (place.clone(), upload.clone(), call.at.key.clone());
    let (parts, whole, expected) = (wanted.0.to_vec(), *wanted.1, expected.clone());
    let done = blocking(call, move || {
        let open = Open::find(&place, &id, &key)?.ok_or_else(upload_gone_error)?;
        let records = check_parts(&open, &parts, &whole)?;
        let (name, file) = assemble(&open, &records)?;
        let mut sidecar = open.about.sidecar.clone();
        sidecar.crc32c = Some(whole.crc32c);
        let published = publish(&place, &names(&key)?, (&open.dir, OsStr::new(name)), &file, &sidecar, &expected)?;
        // It is published; what stays of the upload is litter.
        let _ = remove(&place, &id);
        drop(alone);
        Ok(published)
    });
    let done = done.await;
    if done.as_ref().err().is_none_or(|error| error.kind == ErrorKind::UploadGone) {
        uploads.forget(upload);
    }
    done
}

/// The records of the parts that shall be published, if they are what the caller believes, and make up the whole.
fn check_parts(open: &Open, parts: &[CompletedPart], whole: &Digests) -> DiskResult<Vec<Recorded>> {
    if parts.is_empty() || !parts.is_sorted_by(|a, b| a.number < b.number) {
        return Err(DiskError::new(ErrorKind::Refused, "parts must be there and in order"));
    }
    let (mut records, mut size, mut crc) = (Vec::with_capacity(parts.len()), 0, 0);
    for part in parts {
        let record =
            open.record(part.number)?.filter(|record| record.etag == *part.etag && record.crc32c == part.crc32c);
        let Some(record) = record else {
            return Err(DiskError::new(
                ErrorKind::Corrupt,
                format!("part {} is not the one that is stored", part.number),
            ));
        };
        crc = crc32c::crc32c_combine(crc, record.crc32c, record.size as usize);
        size += record.size;
        records.push(record);
    }
    if size != open.about.size || crc != whole.crc32c {
        return Err(DiskError::new(ErrorKind::Corrupt, format!("the parts make {size} bytes with CRC32C {crc:08x}")));
    }
    Ok(records)
}

/// The file that holds the whole: `data`, or a new one where the parts in it are not where they belong.
fn assemble(open: &Open, records: &[Recorded]) -> DiskResult<(&'static str, File)> {
    let offsets = records.iter().scan(0, |end, record| {
        let offset = *end;
        *end += record.size;
        Some(offset)
    });
    let in_place =
        records.iter().zip(offsets.clone()).all(|(record, offset)| record.own.is_some() || record.offset == offset);
    let name = if in_place { DATA } else { "whole" };
    let how = if in_place { OFlag::empty() } else { OFlag::O_CREAT | OFlag::O_TRUNC };
    let mut file = or_gone(open_file(&open.dir, OsStr::new(name), OFlag::O_RDWR | how))?;
    for (record, offset) in records.iter().zip(offsets) {
        if record.own.is_none() && in_place {
            continue;
        }
        let from = record.own.as_deref().unwrap_or(DATA);
        let mut from = or_gone(open_file(&open.dir, OsStr::new(from), OFlag::O_RDONLY))?;
        from.seek(SeekFrom::Start(record.offset))?;
        file.seek(SeekFrom::Start(offset))?;
        // Inside the kernel, and on some file systems without moving a byte.
        if std::io::copy(&mut from.take(record.size), &mut file)? != record.size {
            return Err(DiskError::new(ErrorKind::Corrupt, "a part is shorter than its record"));
        }
    }
    file.set_len(open.about.size)?;
    Ok((name, file))
}

pub(super) async fn abort(place: &DirectoryRoot, uploads: &UploadTable, call: &Call, upload: &UploadId) -> Result<()> {
    let alone = uploads.of(upload).gate.clone().write_owned().await;
    let (place, id, key) = (place.clone(), upload.clone(), call.at.key.clone());
    let done = blocking(call, move || {
        let _alone = alone;
        match Open::find(&place, &id, &key)? {
            Some(_) => remove(&place, &id),
            None => Ok(()),
        }
    });
    done.await?;
    uploads.forget(upload);
    Ok(())
}

/// `about` first: from then on the upload has ended, whatever happens to the rest.
fn remove(place: &DirectoryRoot, id: &UploadId) -> DiskResult<()> {
    let path = place.own_path(UPLOADS).join(&*id.0);
    for removed in [std::fs::remove_file(path.join(ABOUT)), std::fs::remove_dir_all(&path)] {
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

pub(super) async fn uploads(place: &DirectoryRoot, call: &Call) -> Result<Vec<OpenUpload>> {
    let (place, prefix) = (place.clone(), call.at.key.clone());
    blocking(call, move || {
        let mut found = Vec::new();
        for (id, dir) in all(&place)? {
            let Some(about) = read_json::<About>(&dir, ABOUT)? else { continue };
            if about.key.starts_with(prefix.as_bytes()) {
                found.push(OpenUpload {
                    key: Key::new(about.key),
                    id: UploadId(id.into()),
                    initiated: about.initiated,
                });
            }
        }
        found.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(found)
    })
    .await
}

fn all(place: &DirectoryRoot) -> DiskResult<Vec<(String, OwnedFd)>> {
    let dir = place.own_directory(UPLOADS)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place.own_path(UPLOADS))? {
        let name = entry?.file_name();
        if let (Some(id), Ok(upload)) = (name.to_str(), open_file(&dir, &name, OFlag::O_DIRECTORY)) {
            found.push((id.to_string(), upload.into()));
        }
    }
    Ok(found)
}

/// Removes the rest of uploads whose removal was cut off; best effort.
pub(super) fn sweep(place: &DirectoryRoot) {
    for (id, dir) in all(place).unwrap_or_default() {
        let path = place.own_path(UPLOADS).join(id);
        let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let old = modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LITTER));
        if old && matches!(read_json::<About>(&dir, ABOUT), Ok(None)) {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
