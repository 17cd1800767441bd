//! Where a range of a listing begins and ends, and where it may be cut into two.

use std::sync::{Mutex, MutexGuard, PoisonError};

use skyferry_core::model::Key;

/// Pages that a range has to have listed before it is worth a request to cut it.
const LONG: u32 = 4;
/// The last byte of keys that is tried: what is above is text of more than one byte.
const TOP: u8 = 0x7f;

/// Where a range stands. Whoever lists it and whoever cuts it share this.
#[derive(Default)]
pub struct ListingRange(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    reached: Option<Key>,
    /// The last key that belongs to it, if it were there.
    until: Option<Key>,
    /// The source is known to have nothing between this and the end; the destination may.
    quiet: Option<Key>,
    /// Another range lies before it.
    begins: bool,
    /// Pages since it was cut.
    pages: u32,
    closed: bool,
}

impl ListingRange {
    pub fn rest(until: Option<Key>, quiet: Option<Key>) -> ListingRange {
        ListingRange(Mutex::new(Standing { until, quiet, begins: true, ..Standing::default() }))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that ends with this key has been taken. Back comes the range's end.
    pub fn reach(&self, last: Option<&Key>) -> Option<Key> {
        let mut standing = self.standing();
        standing.pages += 1;
        if let Some(last) = last {
            standing.reached = Some(last.clone());
        }
        standing.until.clone()
    }

    /// Whether it is less than the whole, so that it relies on the order of the keys.
    pub fn is_cut(&self) -> bool {
        let standing = self.standing();
        standing.until.is_some() || standing.begins
    }

    pub fn is_closed(&self) -> bool {
        self.standing().closed
    }

    /// The end stays where it is.
    pub fn close(&self) {
        self.standing().closed = true;
    }

    pub fn until(&self) -> Option<Key> {
        self.standing().until.clone()
    }

    /// How much it is worth to be cut, and where.
    pub fn middle(&self, prefix: usize) -> Option<(u32, Key)> {
        let standing = self.standing();
        let reached = standing.reached.as_ref().filter(|_| !standing.closed && standing.pages >= LONG)?;
        let high = standing.quiet.as_ref().or(standing.until.as_ref());
        let middle = between(reached.as_bytes(), high.map(Key::as_bytes), prefix)?;
        Some((standing.pages, Key::new(middle)))
    }

    /// Cuts it at `middle`, if there is something `found` after it and it has not got there meanwhile. Back comes the rest.
    pub fn cut(&self, middle: &Key, found: Option<&Key>) -> Option<ListingRange> {
        let mut standing = self.standing();
        if standing.closed || standing.reached.as_ref().is_some_and(|reached| reached >= middle) {
            return None;
        }
        if found.is_none_or(|found| standing.until.as_ref().is_some_and(|until| found > until)) {
            standing.quiet = Some(middle.clone());
            return None;
        }
        standing.pages = 0;
        let until = standing.until.replace(middle.clone());
        Some(ListingRange::rest(until, standing.quiet.take()))
    }
}

/// A key between two, neither of them, as text: services take nothing else. `None`: there is none, or not in one byte.
fn between(low: &[u8], high: Option<&[u8]>, prefix: usize) -> Option<Vec<u8>> {
    if high.is_some_and(|high| high <= low) {
        return None;
    }
    let common = high.map_or(0, |high| low.iter().zip(high).take_while(|(a, b)| a == b).count());
    let mut at = common.max(prefix);
    let mut top = high.and_then(|high| high.get(at)).map_or(TOP, |top| TOP.min(*top));
    while at <= low.len() {
        // Control characters are none that a service takes in a text.
        let bottom = low.get(at).copied().unwrap_or(0).max(b' ' - 1);
        if top > bottom + 1 {
            let middle = [&low[..at], &[bottom.midpoint(top)]].concat();
            return std::str::from_utf8(&middle).is_ok().then_some(middle);
        }
        at += 1;
        top = TOP;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_between_two_lies_between_them(low in "[ -~é\u{1}]{0,6}", high in "[ -~é\u{1}]{0,6}") {
            let (low, high) = if low < high { (low, high) } else { (high, low) };
            if let Some(middle) = between(low.as_bytes(), Some(high.as_bytes()), 0) {
                prop_assert!(low.as_bytes() < &middle[..] && &middle[..] < high.as_bytes());
            }
            if let Some(middle) = between(low.as_bytes(), None, 0) {
                prop_assert!(low.as_bytes() < &middle[..]);
                prop_assert!(String::from_utf8(middle).is_ok(), "longer characters are never torn");
            }
        }
    }

    #[test]
    fn the_end_of_a_listing_is_closed_in_on_byte_by_byte() {
        let low = b"logs/2026/11/a";
        let (mut high, mut steps) = (None::<Vec<u8>>, 0);
        while let Some(middle) = between(low, high.as_deref(), b"logs/".len()) {
            (high, steps) = (Some(middle), steps + 1);
        }
        assert!(high.is_some_and(|high| high.starts_with(b"logs/2026/11/")) && steps < 100, "{steps}");
    }
}
