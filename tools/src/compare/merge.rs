//! Two sorted listings as one stream of pairs. Keys are compared by what follows their side's prefix.
//!
//! Some servers list directory by directory, not in the order of the keys' bytes. Then a key may come as two halves, one for
//! each side; a look at both sides puts them together. A range of such a listing means nothing, so it is refused.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::bail;
use skyferry_core::model::Key;
use skyferry_core::store::Listed;

use super::bounds::ListingRange;
use super::finding::ListedPair;
use crate::pages::Pages;

/// Pairs of one batch: about a page.
const BATCH: usize = 1000;

/// The rows of one side.
pub struct ListingRows {
    pages: Pages,
    rows: VecDeque<Listed>,
    /// Bytes of the prefix.
    prefix: usize,
    ended: bool,
}

impl ListingRows {
    /// `first` has been taken from `pages` already.
    pub fn new(pages: Pages, first: Vec<Listed>, prefix: usize) -> ListingRows {
        ListingRows { pages, rows: first.into(), prefix, ended: false }
    }

    async fn refill(&mut self) -> anyhow::Result<()> {
        while self.rows.is_empty() && !self.ended {
            match self.pages.next().await {
                Some(page) => self.rows = page?.into(),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn in_order(&self) -> bool {
        self.rows.iter().is_sorted_by(|a, b| a.key < b.key)
    }

    fn front(&self) -> Option<&[u8]> {
        self.rows.front().map(|row| row.key.as_bytes().get(self.prefix..).unwrap_or_default())
    }

    /// Nothing after this key comes any more.
    fn cut(&mut self, until: &[u8]) {
        let after = self.rows.iter().position(|row| row.key.as_bytes().get(self.prefix..).unwrap_or_default() > until);
        if let Some(after) = after {
            self.rows.truncate(after);
            self.ended = true;
        }
    }
}

/// One range of both sides.
pub struct Merge {
    here: ListingRows,
    there: ListingRows,
    bounds: Arc<ListingRange>,
}

impl Merge {
    pub fn new(here: ListingRows, there: ListingRows, bounds: Arc<ListingRange>) -> Merge {
        let mut merge = Merge { here, there, bounds };
        if !merge.here.rows.is_empty() {
            merge.bound();
        }
        merge
    }

    /// The next pairs; none are left when it is empty.
    pub async fn next(&mut self) -> anyhow::Result<Vec<ListedPair>> {
        let mut pairs = Vec::with_capacity(BATCH);
        while pairs.len() < BATCH {
            self.refill().await?;
            let order = match (self.here.front(), self.there.front()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(here), Some(there)) => here.cmp(there),
            };
            let here = if order.is_le() { self.here.rows.pop_front() } else { None };
            let there = if order.is_ge() { self.there.rows.pop_front() } else { None };
            pairs.extend(match (here, there) {
                (Some(here), Some(there)) => Some(ListedPair::Both(here, there)),
                (Some(here), None) => Some(ListedPair::Source(here)),
                (None, Some(there)) => Some(ListedPair::Destination(there)),
                (None, None) => None,
            });
        }
        Ok(pairs)
    }

    async fn refill(&mut self) -> anyhow::Result<()> {
        if self.here.rows.is_empty() && !self.here.ended {
            self.here.refill().await?;
            if self.bounds.is_cut() && !self.here.in_order() {
                bail!("the source does not list in byte order of its keys: use --listers 1");
            }
            self.bound();
        }
        if self.there.rows.is_empty() && !self.there.ended {
            self.there.refill().await?;
            self.bound_there();
        }
        Ok(())
    }

    /// The source decides where the range ends: it may have been cut shorter meanwhile.
    fn bound(&mut self) {
        let until = self.bounds.reach(self.here.rows.back().map(|row| &row.key));
        if let Some(until) = until {
            self.here.cut(self.rest(&until));
        }
        if self.here.ended {
            self.bounds.close();
            self.bound_there();
        }
    }

    /// Until the source has ended its range can still be cut shorter, and no row of the destination is told that lies
    /// behind what the source has reached.
    fn bound_there(&mut self) {
        if let (true, Some(until)) = (self.here.ended, self.bounds.until()) {
            self.there.cut(self.rest(&until));
        }
    }

    fn rest<'a>(&self, key: &'a Key) -> &'a [u8] {
        key.as_bytes().get(self.here.prefix..).unwrap_or_default()
    }
}
