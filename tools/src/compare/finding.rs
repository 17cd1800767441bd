//! What is compared, and what has been found out about one key.

use skyferry_core::event::{EventKind, EventRecord};
use skyferry_core::model::Location;
use skyferry_core::store::Listed;

use crate::pages::ListingTarget;

/// What is compared: all that is under a prefix of the source, and under the prefix that it is mapped to.
#[derive(Clone)]
pub struct ComparedSides {
    pub from: ListingTarget,
    pub to: ListingTarget,
    /// One of the predecessors' bucket pairs, which only a message that names its destination takes.
    pub pair: bool,
}

/// What the listings have of one key.
#[derive(Debug, PartialEq, Eq)]
pub enum ListedPair {
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
    pub verdict: Comparison,
}

impl Finding {
    /// The job that puts it right, in the predecessors' form.
    pub fn to_message(&self) -> String {
        let record = EventRecord {
            source: self.source.clone(),
            event: EventKind::Requested,
            size_hint: self.here.as_ref().map(|row| row.size),
            version: self.here.as_ref().and_then(|row| row.version.clone()),
            sequencer: None,
            destination: Some(self.destination.clone()),
        };
        record.to_message()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal(EqualityBasis),
    Differs(Difference),
    /// It changed while it was compared: an event of its own is on its way.
    Changing,
}

/// Why two objects count as equal, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EqualityBasis {
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
pub enum Difference {
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

impl EqualityBasis {
    pub const ALL: [EqualityBasis; 5] = [
        EqualityBasis::Read,
        EqualityBasis::Checksum,
        EqualityBasis::Etag,
        EqualityBasis::Ledger,
        EqualityBasis::SizeAndTime,
    ];

    pub fn name(self) -> &'static str {
        match self {
            EqualityBasis::Read => "read",
            EqualityBasis::Checksum => "checksum",
            EqualityBasis::Etag => "etag",
            EqualityBasis::Ledger => "ledger",
            EqualityBasis::SizeAndTime => "size-and-time",
        }
    }
}

impl Difference {
    pub const ALL: [Difference; 8] = [
        Difference::Missing,
        Difference::Size,
        Difference::Etag,
        Difference::Newer,
        Difference::Checksum,
        Difference::Content,
        Difference::Headers,
        Difference::Extra,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Difference::Missing => "missing",
            Difference::Size => "size",
            Difference::Etag => "etag",
            Difference::Newer => "newer",
            Difference::Checksum => "checksum",
            Difference::Content => "content",
            Difference::Headers => "headers",
            Difference::Extra => "extra",
        }
    }
}
