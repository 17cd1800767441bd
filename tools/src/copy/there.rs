//! The destination's listing, walked beside the source's: what stands there already.

use std::collections::VecDeque;

use skyferry_core::error::{CopyError, Kind};
use skyferry_core::object::Key;
use skyferry_core::store::Listed;

use crate::pages::{Pages, Place};
use crate::patience::Patience;
use crate::voice::Voice;

/// What the listing says of one key.
pub enum Seen {
    Nothing,
    Row(Listed),
    /// It may not be listed: whoever copies has to look.
    Unknown,
}

pub struct There {
    /// `None`: it may not be listed.
    pages: Option<Pages>,
    rows: VecDeque<Listed>,
    prefix: usize,
    voice: Voice,
}

impl There {
    pub fn new(place: Place, after: Option<Key>, patience: Patience, voice: Voice) -> There {
        let prefix = place.prefix.as_bytes().len();
        There { pages: Some(Pages::new(place, after, patience)), rows: VecDeque::new(), prefix, voice }
    }

    /// Looks for what follows the prefix. To be asked in the order of the keys; a listing in another order finds less, and
    /// then the job looks.
    pub async fn find(&mut self, rest: &[u8]) -> Result<Seen, CopyError> {
        loop {
            while let Some(row) = self.rows.front() {
                match row.key.as_bytes().get(self.prefix..).unwrap_or_default().cmp(rest) {
                    std::cmp::Ordering::Less => drop(self.rows.pop_front()),
                    std::cmp::Ordering::Equal => return Ok(self.rows.pop_front().map_or(Seen::Nothing, Seen::Row)),
                    std::cmp::Ordering::Greater => return Ok(Seen::Nothing),
                }
            }
            let Some(pages) = &mut self.pages else { return Ok(Seen::Unknown) };
            match pages.next().await {
                Some(Ok(page)) => self.rows.extend(page),
                None => return Ok(Seen::Nothing),
                // Keys that may only write are good enough: then every object is looked at by itself.
                Some(Err(error)) if matches!(error.kind, Kind::Denied | Kind::Refused) => {
                    self.voice.line(&format!("skyferry: {error}; looking at every object instead"));
                    self.pages = None;
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}
