//! What is known of a file beside its bytes: headers, user metadata, provenance, the CRC32C of what was written.
//!
//! It lies in a small file of its own, named after the state that it speaks of, written before that state is published.
//! So it appears and ends with the state: after a crash, or when somebody edits the file, there is no way to take one
//! state's metadata for another's. It is not synced: a file that has lost it counts as somebody else's, which costs a
//! comparison and never a byte. (Extended attributes would do too, but hold 4 KiB and are missing on some file systems.)

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::root::{DirectoryRoot, DiskError, DiskResult, State, make_dir, open_file};
use skyferry_core::digest::{Checksum, StoredDigests};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::Revision;
use skyferry_core::store::{Metadata, Object, WriteAttributes, provenance};

const META: &str = "meta";

/// As it lies on disk. Provenance is among `user`, as on every sink.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sidecar {
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    expires: Option<String>,
    tags: Option<String>,
    user: BTreeMap<String, String>,
    /// Of the whole object, where it was known when the object was written.
    pub crc32c: Option<u32>,
}

impl Sidecar {
    pub(super) fn of(with: &WriteAttributes) -> Sidecar {
        let own = provenance::encode(&with.provenance).into_iter().map(|(name, value)| (name.to_string(), value));
        let theirs = with.metadata.user.clone().into_iter().filter(|(name, _)| !provenance::is_reserved(name));
        let metadata = with.metadata.clone();
        Sidecar {
            content_type: metadata.content_type,
            content_encoding: metadata.content_encoding,
            content_language: metadata.content_language,
            content_disposition: metadata.content_disposition,
            cache_control: metadata.cache_control,
            expires: metadata.expires,
            tags: metadata.tags,
            user: theirs.chain(own).collect(),
            crc32c: None,
        }
    }

    pub(super) fn write(&self, place: &DirectoryRoot, state: &State) -> DiskResult<()> {
        let text = serde_json::to_vec(self).map_err(|error| DiskError::new(ErrorKind::Local, error.to_string()))?;
        let (shard, name) = state.sidecar_path();
        let dir = make_dir(&place.aside(META)?, OsStr::new(&shard))?;
        let mut file = open_file(&dir, OsStr::new(&name), OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?;
        file.write_all(&text)?;
        Ok(())
    }

    /// What is known of this state; nothing, if it was never written or cannot be read.
    fn read(place: &DirectoryRoot, state: &State) -> Sidecar {
        let (shard, name) = state.sidecar_path();
        let mut text = Vec::new();
        let read = std::fs::File::open(place.aside_path(META).join(shard).join(name))
            .and_then(|mut file| file.read_to_end(&mut text));
        match read {
            Ok(_) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => Sidecar::default(),
        }
    }

    /// The state is no more.
    pub(super) fn remove(place: &DirectoryRoot, state: &State) -> DiskResult<()> {
        let (shard, name) = state.sidecar_path();
        let dir = make_dir(&place.aside(META)?, OsStr::new(&shard))?;
        match unlinkat(&dir, OsStr::new(&name), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A file as the traits show it.
pub(super) fn object(place: &DirectoryRoot, state: &State) -> Object {
    let mut sidecar = Sidecar::read(place, state);
    let provenance = provenance::take(&mut sidecar.user);
    Object {
        identity: state.identity(),
        revision: Revision(state.stamp()),
        metadata: Metadata {
            content_type: sidecar.content_type,
            content_encoding: sidecar.content_encoding,
            content_language: sidecar.content_language,
            content_disposition: sidecar.content_disposition,
            cache_control: sidecar.cache_control,
            expires: sidecar.expires,
            user: sidecar.user,
            storage_class: None,
            encryption: None,
            retention: None,
            tags: sidecar.tags,
        },
        stored: StoredDigests {
            length: Some(state.size),
            crc32c: sidecar.crc32c.map(Checksum::Full),
            ..StoredDigests::default()
        },
        provenance,
    }
}
