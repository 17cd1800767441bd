//! Jobs for deletions. They wait until the whole comparison has ended well: a listing that breaks off would make the rest look
//! deleted.

use std::io;

use skyferry_core::event::{EventKind, EventRecord, Removal};
use skyferry_core::model::Location;

use crate::spool::Spool;

#[derive(Default)]
pub struct Removals(Spool);

impl Removals {
    /// Nothing is at `source` any more.
    pub fn add(&mut self, source: &Location) -> io::Result<()> {
        let record = EventRecord {
            source: source.clone(),
            event: EventKind::Removed(Removal::Delete),
            size_hint: None,
            version: None,
            sequencer: None,
            destination: None,
        };
        self.0.add(record.to_message().as_bytes())
    }

    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The messages, in the order in which they came.
    pub fn into_messages(self) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        let text = |record: io::Result<Vec<u8>>| String::from_utf8(record?).map_err(io::Error::other);
        Ok(self.0.into_records()?.map(text))
    }
}
