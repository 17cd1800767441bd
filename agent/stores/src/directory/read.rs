//! Reading a file as one state of it: what is handed out whole was there, all of it, at one time.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::names::path_of;
use super::root::{DirectoryRoot, DiskError, DiskResult, State, open_file, state_of};
use super::{CHUNK, Call, blocking, sidecar};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::Key;
use skyferry_core::store::{Chunks, OpenedObject, Pin, Result};

/// File systems stamp times in steps of some milliseconds. A file that was written within the last step could be written
/// again and keep its stamp, so its state is taken when that step is over.
const STEP: Duration = Duration::from_millis(20);

/// Opens the file of a key for reading; `None`: nothing there that is a file.
pub(super) fn find(place: &DirectoryRoot, key: &Key) -> DiskResult<Option<(File, State)>> {
    // A key that no file can have is a key that is not here.
    let Ok(names) = path_of(key) else { return Ok(None) };
    let Some(dir) = place.parent(&names)? else { return Ok(None) };
    match open_file(&dir, &names[names.len() - 1], OFlag::O_RDONLY) {
        Ok(file) if file.metadata()?.is_file() => {
            let state = state_of(&file)?;
            Ok(Some((file, state)))
        }
        Ok(_) | Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO) => Ok(None),
        // Of this file alone: its neighbours say nothing about it, nor it about them.
        Err(errno @ (Errno::EACCES | Errno::EPERM)) => Err(DiskError::new(ErrorKind::Unreadable, errno.desc())),
        Err(errno) => Err(errno.into()),
    }
}

/// The same for a source: a state that is still being written in this moment is waited for.
pub(super) fn find_settled(place: &DirectoryRoot, key: &Key) -> DiskResult<Option<(File, State)>> {
    let Some((file, state)) = find(place, key)? else { return Ok(None) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = now.as_nanos() as i128 - state.modified_ns();
    if (0..STEP.as_nanos() as i128).contains(&age) {
        std::thread::sleep(STEP - Duration::from_nanos(age as u64));
        let state = state_of(&file)?;
        return Ok(Some((file, state)));
    }
    Ok(Some((file, state)))
}

/// Whether a state is the pinned one.
pub(super) fn check_pin(state: &State, pin: &Pin) -> DiskResult<()> {
    match pin {
        Pin::State { identity, .. } if *identity.etag != *state.stamp() || identity.size != state.size => {
            Err(DiskError::new(ErrorKind::SourceChanged, "the file was replaced meanwhile"))
        }
        _ => Ok(()),
    }
}

/// Opens the body. A small one is read on the way: one hop to a thread that may block.
pub(super) async fn open(
    place: &DirectoryRoot,
    call: Call,
    pin: Pin,
    range: Option<Range<u64>>,
    settled: bool,
) -> Result<Option<OpenedObject>> {
    let (place, key) = (place.clone(), call.at.key.clone());
    let opened = blocking(&call, move || {
        let found = if settled { find_settled(&place, &key) } else { find(&place, &key) };
        let Some((file, state)) = found? else { return Ok(None) };
        check_pin(&state, &pin)?;
        let range = match range {
            None => 0..state.size,
            Some(range) if range.start < range.end && range.end <= state.size => range,
            Some(range) => {
                return Err(DiskError::new(
                    ErrorKind::Refused,
                    format!("bytes {range:?} of a file of {} bytes", state.size),
                ));
            }
        };
        let reader = Reader { file: Arc::new(file), state, at: range.start, end: range.end };
        let first = if range.end - range.start <= CHUNK as u64 { Some(reader.read()?) } else { None };
        Ok(Some((sidecar::object(&place, &reader.state), range.end - range.start, reader, first)))
    });
    let Some((object, length, reader, first)) = opened.await? else { return Ok(None) };
    let chunks: Chunks = match first {
        Some(bytes) if bytes.is_empty() => stream::empty().boxed(),
        Some(bytes) => stream::iter([Ok(bytes)]).boxed(),
        None => stream::try_unfold((reader, call), next).boxed(),
    };
    Ok(Some(OpenedObject { object, length, chunks }))
}

async fn next((mut reader, call): (Reader, Call)) -> Result<Option<(Bytes, (Reader, Call))>> {
    if reader.at == reader.end {
        return Ok(None);
    }
    let (bytes, reader) = blocking(&call, move || {
        let bytes = reader.read()?;
        reader.at += bytes.len() as u64;
        Ok((bytes, reader))
    })
    .await?;
    Ok(Some((bytes, (reader, call))))
}

struct Reader {
    file: Arc<File>,
    state: State,
    at: u64,
    end: u64,
}

impl Reader {
    /// The next chunk. The last one is handed out only if the file is still what it was at the opening.
    fn read(&self) -> DiskResult<Bytes> {
        let changed = || DiskError::new(ErrorKind::SourceChanged, "the file changed while it was read");
        let mut buffer = vec![0; (self.end - self.at).min(CHUNK as u64) as usize];
        self.file.read_exact_at(&mut buffer, self.at).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(),
            _ => error.into(),
        })?;
        let last = self.at + buffer.len() as u64 == self.end;
        if last && state_of(&self.file)? != self.state {
            return Err(changed());
        }
        Ok(buffer.into())
    }
}
