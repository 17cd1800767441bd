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
