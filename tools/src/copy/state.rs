//! Where a copy remembers how far it came: a file for each pair of SRC and DST, and what is noted in it.

use std::path::{Path, PathBuf};

/// The pair that the file belongs to.
pub const PAIR: &str = "copy pair";
/// What was left out by flags: messages that wait were chosen by it.
pub const FILTER: &str = "copy filter";
/// The last key that was listed and sent; none when a listing has come to its end.
pub const POSITION: &str = "copy position";
/// When the first run began of which nobody has cleaned up yet: seconds since the epoch.
pub const BEGAN: &str = "copy began";

/// The flag's file, or the pair's own.
pub fn path(flag: Option<&Path>, pair: &[u8]) -> anyhow::Result<PathBuf> {
    crate::state_file::file(flag, "copy", "sqlite", pair)
}
