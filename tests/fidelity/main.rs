//! What arrives is all of what left, and nothing else: bits that flip anywhere, answers that are lost or late, sources that
//! move, and everything that travels beside the bytes.

#[path = "../regressions/running.rs"]
mod running;

mod attributes;
mod borders;
mod deletions;
mod flips;
mod headers;
mod lost;
mod moving;
