//! What the predecessors logged of every transfer, for the metric filters that count bytes by these lines. Only their log
//! format listens (`predecessor.rs`); to any other these events cost a look at a flag.

use crate::object::Location;

/// What a filter names to let these pass.
pub const TARGET: &str = "traffic";

/// A part of a transfer: its number from 1, of how many. A small object is one of one.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub number: u32,
    pub of: u32,
}

impl Part {
    pub const WHOLE: Part = Part { number: 1, of: 1 };
}

pub fn downloading(bytes: u64, from: &Location, part: Part) {
    let Part { number, of } = part;
    tracing::info!(target: TARGET, "--->Downloading {bytes} Bytes {from} - {number}/{of}");
}

pub fn uploading(bytes: u64, to: &Location, part: Part) {
    let Part { number, of } = part;
    tracing::info!(target: TARGET, "--->Uploading {bytes} Bytes {to} - {number}/{of}");
}

/// `done`: how many parts of the object have arrived, this one too.
pub fn complete(bytes: u64, from: &Location, part: Part, done: usize) {
    let Part { number, of } = part;
    let percent = 100.0 * done as f64 / f64::from(of.max(1));
    tracing::info!(target: TARGET, "--->Complete {bytes} Bytes {from} - {number}/{of} {percent:.2}%");
}
