//! The source: what states of which keys existed, in which order. This is the truth that everything is held against. Bytes
//! follow from key and state, so that a mixture of two states is equal to none.

use std::sync::Arc;

use bytes::Bytes;
use skyferry_core::digest::{Checksum, DigestSelection, Digests, StoredDigests};
use skyferry_core::model::SourceIdentity;

use crate::clock::{Time, seconds};
use crate::rng::Rng;

pub const BUCKET: &str = "photos";

/// One state of a key; without bytes it is a deletion.
#[derive(Clone, Debug)]
pub struct State {
    pub bytes: Option<Bytes>,
    pub identity: SourceIdentity,
    pub content_type: String,
    pub stored: StoredDigests,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub states: Vec<State>,
    /// The destination refuses it for good.
    pub poison: bool,
}

impl Entry {
    pub fn newest(&self) -> Option<&State> {
        self.states.last().filter(|state| state.bytes.is_some())
    }

    pub fn by_identity(&self, identity: &SourceIdentity) -> Option<(usize, &State)> {
        self.states.iter().enumerate().rfind(|(_, state)| state.bytes.is_some() && state.identity == *identity)
    }
}

#[derive(Debug, Default)]
pub struct Origin {
    pub versioned: bool,
    /// The bucket was written before S3 stored checksums of its own.
    pub bare: bool,
    pub entries: Vec<Entry>,
    pub made: u64,
}

impl Origin {
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A new object, or with `touch` the same bytes under another header.
    pub fn put(&mut self, index: usize, size: usize, touch: bool, now: Time) {
        self.made += 1;
        let made = self.made;
        let entry = &mut self.entries[index];
        let same = entry.newest().filter(|_| touch).and_then(|state| state.bytes.clone());
        let bytes = same.unwrap_or_else(|| contents(&entry.key, made, size));
        let digests = Digests::of(&bytes, DigestSelection { crc64nvme: true, md5: true, ..DigestSelection::default() });
        let stored = StoredDigests {
            length: Some(digests.length),
            crc64nvme: digests.crc64nvme.map(Checksum::Full).filter(|_| !self.bare),
            md5: digests.md5.map(Checksum::Full),
            ..StoredDigests::default()
        };
        let identity = SourceIdentity {
            etag: hex::encode(digests.md5.unwrap_or_default()).into(),
            size: digests.length,
            last_modified: seconds(now),
            version: self.versioned.then(|| Arc::from(format!("v{made}"))),
        };
        let content_type = format!("text/x-{made}");
        entry.states.push(State { bytes: Some(bytes), identity, content_type, stored });
    }

    pub fn delete(&mut self, index: usize, now: Time) {
        self.made += 1;
        let version = self.versioned.then(|| Arc::from(format!("v{}", self.made)));
        let identity = SourceIdentity { etag: "".into(), size: 0, last_modified: seconds(now), version };
        let state = State { bytes: None, identity, content_type: String::new(), stored: StoredDigests::default() };
        self.entries[index].states.push(state);
    }
}

fn contents(key: &str, made: u64, size: usize) -> Bytes {
    let mut dice = Rng::new(key.bytes().fold(made, |sum, byte| sum.wrapping_mul(31) + u64::from(byte)));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}
