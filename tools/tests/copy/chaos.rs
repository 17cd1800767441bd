//! The promises by force: kills, stops, cuts and flips at moments that nobody chose, and after each the same questions: is
//! the tree byte for byte the same, was anything wrong ever shown, is an upload left over?
//!
//! The short form takes about a minute; `SKYFERRY_FORCE=long` takes as long as it says. Every test prints its seed;
//! `SKYFERRY_SEED` sets it.

mod cuts;
mod flips;
mod kills;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};

use sandbox::StorePeer;

use crate::fixture::BUCKET;

/// Of the short form and of the long one.
pub fn times(short: usize, long: usize) -> usize {
    match std::env::var("SKYFERRY_FORCE").as_deref() {
        Ok("long") => long,
        Ok(other) if !other.is_empty() => panic!("SKYFERRY_FORCE is `long` or not set, not {other}"),
        _ => short,
    }
}

/// SplitMix64, so that a seed is all there is to know.
pub struct Rng(u64);

impl Rng {
    pub fn new() -> Rng {
        let given = std::env::var("SKYFERRY_SEED").ok().map(|seed| seed.parse().expect("a number as SKYFERRY_SEED"));
        let clock =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let seed = given.unwrap_or_else(clock);
        eprintln!("SKYFERRY_SEED={seed}");
        Rng(seed)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// Every state that a source ever had, by key: what may be shown.
#[derive(Default)]
pub struct ValidStates(BTreeMap<String, BTreeSet<(u64, u32)>>);

impl ValidStates {
    pub fn had(&mut self, key: &str, bytes: &[u8]) {
        self.0.entry(key.to_owned()).or_default().insert((bytes.len() as u64, crc32c::crc32c(bytes)));
    }

    /// Nothing but these was ever visible at the peer, and nothing is left open.
    pub fn check(&self, peer: &StorePeer) {
        for shown in peer.publications() {
            let Some(object) = shown.object else { continue };
            let known = self.0.get(&shown.key).is_some_and(|states| states.contains(&(object.size, object.crc32c)));
            assert!(known, "something wrong was published: {object:?}");
        }
        let open = peer.open_uploads(BUCKET);
        assert!(open.is_empty(), "left over: {open:?}");
    }
}
