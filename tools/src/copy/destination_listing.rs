//! The destination's listing, walked beside the source's: what stands there already.

use std::collections::VecDeque;

use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::Key;
use skyferry_core::store::Listed;

use crate::console::Console;
use crate::pages::{ListingTarget, Pages};
use crate::retry::RetryPolicy;

/// What the listing says of one key.
pub enum DestinationRow {
    Nothing,
    Row(Listed),
    /// It may not be listed: whoever copies has to look.
    Unknown,
}

pub struct DestinationListing {
    /// `None`: it may not be listed.
    pages: Option<Pages>,
    rows: VecDeque<Listed>,
    prefix: usize,
    console: Console,
}

impl DestinationListing {
    pub fn new(
        place: ListingTarget,
        after: Option<Key>,
        patience: RetryPolicy,
        console: Console,
    ) -> DestinationListing {
        let prefix = place.prefix.as_bytes().len();
        DestinationListing { pages: Some(Pages::new(place, after, patience)), rows: VecDeque::new(), prefix, console }
    }

    /// Looks for what follows the prefix. To be asked in the order of the keys; a listing in another order finds less, and
    /// then the job looks.
    pub async fn find(&mut self, rest: &[u8]) -> Result<DestinationRow, CopyError> {
        loop {
            while let Some(row) = self.rows.front() {
                match row.key.as_bytes().get(self.prefix..).unwrap_or_default().cmp(rest) {
                    std::cmp::Ordering::Less => drop(self.rows.pop_front()),
                    std::cmp::Ordering::Equal => {
                        return Ok(self.rows.pop_front().map_or(DestinationRow::Nothing, DestinationRow::Row));
                    }
                    std::cmp::Ordering::Greater => return Ok(DestinationRow::Nothing),
                }
            }
            let Some(pages) = &mut self.pages else { return Ok(DestinationRow::Unknown) };
            match pages.next().await {
                Some(Ok(page)) => self.rows.extend(page),
                None => return Ok(DestinationRow::Nothing),
                // Keys that may only write are good enough: then every object is looked at by itself.
                Some(Err(error)) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused) => {
                    self.console.line(&format!("skyferry: {error}; looking at every object instead"));
                    self.pages = None;
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}
