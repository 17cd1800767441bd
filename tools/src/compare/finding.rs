//! What is compared, and what has been found out about one key.

use skyferry_core::event::{Kind, Record};
use skyferry_core::object::Location;
use skyferry_core::store::Listed;

use crate::pages::Place;

/// What is compared: all that is under a prefix of the source, and under the prefix that it is mapped to.
#[derive(Clone)]
pub struct Sides {
    pub from: Place,
    pub to: Place,
    /// One of the predecessors' bucket pairs, which only a message that names its destination takes.
    pub pair: bool,
}

/// What the listings have of one key.
#[derive(Debug, PartialEq, Eq)]
pub enum Pair {
    Both(Listed, Listed),
    Source(Listed),
    Destination(Listed),
}

/// What has been found out about one key.
#[derive(Debug)]
pub struct Finding {
    pub source: Location,
    pub destination: Location,
    pub here: Option<Listed>,
    pub there: Option<Listed>,
    pub verdict: Verdict,
}

impl Finding {
    /// The job that puts it right, in the predecessors' form.
    pub fn to_message(&self) -> String {
        let record = Record {
            source: self.source.clone(),
            event: Kind::Requested,
            size_hint: self.here.as_ref().map(|row| row.size),
            version: self.here.as_ref().and_then(|row| row.version.clone()),
            sequencer: None,
            destination: Some(self.destination.clone()),
        };
        record.to_message()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Equal(Basis),
    Differs(Why),
    /// It changed while it was compared: an event of its own is on its way.
    Changing,
}

/// Why two objects count as equal, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Both sides' bytes were read.
    Read,
    /// Stored checksums, or what Skyferry wrote beside the object, agree.
    Checksum,
    /// Equal ETags.
    Etag,
    /// The ledger recorded this copy, and both sides still are as they were then.
    Ledger,
    /// Nothing else could be compared: the size is equal and the copy is not older.
    SizeAndTime,
}

/// In which way two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Missing,
    Size,
    Etag,
    /// The source changed after the destination was written.
    Newer,
    Checksum,
    /// The bytes that were read are not those of the source.
    Content,
    /// Equal bytes, but Content-Type, Content-Encoding, Cache-Control or another header, or metadata, is not the source's.
    Headers,
    /// There is nothing at the source.
    Extra,
}

impl Basis {
    pub const ALL: [Basis; 5] = [Basis::Read, Basis::Checksum, Basis::Etag, Basis::Ledger, Basis::SizeAndTime];

    pub fn name(self) -> &'static str {
        match self {
            Basis::Read => "read",
            Basis::Checksum => "checksum",
            Basis::Etag => "etag",
            Basis::Ledger => "ledger",
            Basis::SizeAndTime => "size-and-time",
        }
    }
}

impl Why {
    pub const ALL: [Why; 8] =
        [Why::Missing, Why::Size, Why::Etag, Why::Newer, Why::Checksum, Why::Content, Why::Headers, Why::Extra];

    pub fn name(self) -> &'static str {
        match self {
            Why::Missing => "missing",
            Why::Size => "size",
            Why::Etag => "etag",
            Why::Newer => "newer",
            Why::Checksum => "checksum",
            Why::Content => "content",
            Why::Headers => "headers",
            Why::Extra => "extra",
        }
    }
}
