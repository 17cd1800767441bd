//! What the predecessors logged of every transfer, for the metric filters that count bytes by these lines. Only their log
//! format listens (`legacy_log` of the agent); to any other these events cost a look at a flag.

use crate::model::Location;

/// What a filter names to let these pass.
pub const TARGET: &str = "traffic";

/// A part of a transfer: its number from 1, of how many. A small object is one of one.
#[derive(Clone, Copy, Debug)]
pub struct PartOf {
    /// From 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl PartOf {
    /// An object in one piece.
    pub const WHOLE: PartOf = PartOf { number: 1, of: 1 };
}

/// Logs that bytes were read.
pub fn downloading(bytes: u64, from: &Location, part: PartOf) {
    let PartOf { number, of } = part;
    tracing::info!(target: TARGET, "--->Downloading {bytes} Bytes {from} - {number}/{of}");
}

/// Logs that bytes were written.
pub fn uploading(bytes: u64, to: &Location, part: PartOf) {
    let PartOf { number, of } = part;
    tracing::info!(target: TARGET, "--->Uploading {bytes} Bytes {to} - {number}/{of}");
}

/// `done`: how many parts of the object have arrived, this one too.
pub fn complete(bytes: u64, from: &Location, part: PartOf, done: usize) {
    let PartOf { number, of } = part;
    let percent = 100.0 * done as f64 / f64::from(of.max(1));
    tracing::info!(target: TARGET, "--->Complete {bytes} Bytes {from} - {number}/{of} {percent:.2}%");
}
