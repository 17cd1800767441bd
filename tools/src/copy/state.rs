//! Where a copy remembers how far it came: a file for each pair of SRC and DST, and what is noted in it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

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

/// SQLite's three files.
pub fn delete(path: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("--restart: {} cannot be removed", name.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_what_is_not_there_is_no_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("s");
        std::fs::write(&file, "x").expect("written");
        delete(&file).expect("forgotten");
        delete(&file).expect("forgotten again");
        assert!(!file.exists());
    }
}
