//! What arrives is all of what left, and nothing else: bits that flip anywhere, answers that are lost or late, sources that
//! move, and everything that travels beside the bytes.

#[path = "../museum/running.rs"]
mod running;

mod borders;
mod deletions;
mod fidelity;
mod flips;
mod headers;
mod lost;
mod moving;

use std::sync::Arc;

use sandbox::ObjectInfo;

/// Bytes that differ from offset to offset and from seed to seed.
fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ (i >> 8) as u8).collect()
}

/// Nothing but these states was ever visible under a key.
fn only_ever_showed(history: &[Option<Arc<ObjectInfo>>], states: &[&[u8]], what: &str) {
    let right: Vec<u32> = states.iter().map(|state| crc32c::crc32c(state)).collect();
    for info in history.iter().flatten() {
        assert!(right.contains(&info.crc32c), "{what}: something else was published: {info:?}");
    }
}
