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

use super::place::{Place, Res, State, Trouble, make_dir, open_file};
use skyferry_core::digest::{Stored, Sum};
use skyferry_core::error::Kind;
use skyferry_core::object::Revision;
use skyferry_core::store::{Attributes, Metadata, Object, provenance};

const META: &str = "meta";

/// As it lies on disk. Provenance is among `user`, as on every sink.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Beside {
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    expires: Option<String>,
    tags: Option<String>,
    user: BTreeMap<String, String>,
    pub crc32c: Option<u32>,
}

impl Beside {
    pub(super) fn of(with: &Attributes) -> Beside {
        let own = provenance::encode(&with.provenance).into_iter().map(|(name, value)| (name.to_string(), value));
        let theirs = with.metadata.user.clone().into_iter().filter(|(name, _)| !provenance::is_reserved(name));
        let metadata = with.metadata.clone();
        Beside {
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

    pub(super) fn write(&self, place: &Place, state: &State) -> Res<()> {
        let text = serde_json::to_vec(self).map_err(|error| Trouble::new(Kind::Local, error.to_string()))?;
        let (shard, name) = state.beside();
        let dir = make_dir(&place.own(META)?, OsStr::new(&shard))?;
        let mut file = open_file(&dir, OsStr::new(&name), OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?;
        file.write_all(&text)?;
        Ok(())
    }

    /// What is known of this state; nothing, if it was never written or cannot be read.
    fn read(place: &Place, state: &State) -> Beside {
        let (shard, name) = state.beside();
        let mut text = Vec::new();
        let read = std::fs::File::open(place.own_path(META).join(shard).join(name))
            .and_then(|mut file| file.read_to_end(&mut text));
        match read {
            Ok(_) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => Beside::default(),
        }
    }

    /// The state is no more.
    pub(super) fn remove(place: &Place, state: &State) -> Res<()> {
        let (shard, name) = state.beside();
        let dir = make_dir(&place.own(META)?, OsStr::new(&shard))?;
        match unlinkat(&dir, OsStr::new(&name), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A file as the traits show it.
pub(super) fn object(place: &Place, state: &State) -> Object {
    let mut beside = Beside::read(place, state);
    let provenance = provenance::take(&mut beside.user);
    Object {
        identity: state.identity(),
        revision: Revision(state.stamp()),
        metadata: Metadata {
            content_type: beside.content_type,
            content_encoding: beside.content_encoding,
            content_language: beside.content_language,
            content_disposition: beside.content_disposition,
            cache_control: beside.cache_control,
            expires: beside.expires,
            user: beside.user,
            storage_class: None,
            tags: beside.tags,
        },
        stored: Stored { length: Some(state.size), crc32c: beside.crc32c.map(Sum::Full), ..Stored::default() },
        provenance,
    }
}
