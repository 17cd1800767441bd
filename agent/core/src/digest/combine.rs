//! Parts end in any order; the whole object's digests are known when no gap is left.

use std::collections::BTreeMap;

use super::Digests;

/// Collects the digests of parts. Neighbours are joined at once, so memory follows the number of gaps, not of parts.
#[derive(Clone, Debug, Default)]
pub struct Combiner {
    /// Runs without a gap, by their first byte's offset.
    runs: BTreeMap<u64, Digests>,
}

/// A part was put in twice, or parts overlap: a fault of the caller, after which the sum would be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("digests of bytes from {offset} on overlap those that are there already")]
pub struct Overlap {
    /// Where in the object it begins, in bytes.
    pub offset: u64,
}

impl Combiner {
    /// Of nothing yet.
    pub fn new() -> Combiner {
        Combiner::default()
    }

    /// Puts in the digests of the bytes that begin at `offset`. Nothing changes on an error.
    pub fn insert(&mut self, offset: u64, digests: Digests) -> Result<(), Overlap> {
        if digests.length == 0 {
            return Ok(());
        }
        let end = offset.checked_add(digests.length).ok_or(Overlap { offset })?;
        let before = self.runs.range(..=offset).next_back().map(|(start, run)| (*start, *run));
        let after = self.runs.range(offset..).next().map(|(start, run)| (*start, *run));
        let overlaps = before.is_some_and(|(start, run)| start + run.length > offset)
            || after.is_some_and(|(start, _)| start < end);
        if overlaps {
            return Err(Overlap { offset });
        }
        let (mut start, mut run) = (offset, digests);
        if let Some((earlier, left)) = before.filter(|(start, run)| start + run.length == offset) {
            (start, run) = (earlier, left.then(&run));
        }
        if let Some((later, right)) = after.filter(|(start, _)| *start == end) {
            self.runs.remove(&later);
            run = run.then(&right);
        }
        self.runs.insert(start, run);
        Ok(())
    }

    /// The whole object's digests, once all of its `size` bytes are there and not one more.
    pub fn whole(&self, size: u64) -> Option<Digests> {
        if size == 0 {
            return self.runs.is_empty().then(|| Digests::of(b"", super::DigestSelection::default()));
        }
        let run = self.runs.get(&0)?;
        (self.runs.len() == 1 && run.length == size).then_some(*run)
    }
}
