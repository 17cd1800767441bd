//! Where a copy remembers how far it came: a file for each pair of SRC and DST, and what is noted in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The pair that the file belongs to.
pub const PAIR: &str = "copy pair";
/// What was left out by flags: messages that wait were chosen by it.
pub const FILTER: &str = "copy filter";
/// The last key that was listed and sent; none when a listing has come to its end.
pub const POSITION: &str = "copy position";
/// When the first run began of which nobody has cleaned up yet: seconds since the epoch.
pub const BEGAN: &str = "copy began";

/// The flag's file, or the pair's own under the user's state directory, which is made.
pub fn path(flag: Option<&Path>, pair: &[u8]) -> anyhow::Result<PathBuf> {
    if let Some(file) = flag {
        return Ok(std::path::absolute(file)?);
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let Some(base) = base else { bail!("neither XDG_STATE_HOME nor HOME is set: name a file with --state") };
    let directory = base.join("skyferry");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("{} (another place: --state FILE)", directory.display()))?;
    Ok(directory.join(format!("copy-{:032x}.sqlite", fnv(pair))))
}

/// SQLite's three files.
pub fn forget(path: &Path) -> anyhow::Result<()> {
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

/// FNV-1a: the same on every machine and in every version, which is all that a file's name asks for.
fn fnv(bytes: &[u8]) -> u128 {
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }

    #[test]
    fn forgetting_what_is_not_there_is_no_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("s");
        std::fs::write(&file, "x").expect("written");
        forget(&file).expect("forgotten");
        forget(&file).expect("forgotten again");
        assert!(!file.exists());
    }
}
