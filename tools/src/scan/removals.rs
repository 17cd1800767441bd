//! Jobs for deletions. They wait in a temporary file until the whole comparison has ended well: a listing that breaks off
//! would make the rest look deleted.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use skyferry_core::event::{EventKind, EventRecord, Removal};
use skyferry_core::model::Location;

#[derive(Default)]
pub struct Removals {
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Removals {
    /// Nothing is at `source` any more.
    pub fn add(&mut self, source: &Location) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        let record = EventRecord {
            source: source.clone(),
            event: EventKind::Removed(Removal::Delete),
            size_hint: None,
            version: None,
            sequencer: None,
            destination: None,
        };
        self.count += 1;
        writeln!(file, "{}", record.to_message())
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The messages, in the order in which they came.
    pub fn into_messages(self) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        let mut file = self.file.map(|file| file.into_inner().map_err(|error| error.into_error())).transpose()?;
        if let Some(file) = &mut file {
            file.rewind()?;
        }
        Ok(file.into_iter().flat_map(|file| BufReader::new(file).lines()))
    }
}
