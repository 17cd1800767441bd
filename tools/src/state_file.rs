//! Where commands remember how far they came: a file for each work, under the user's state directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The file that was named, or `NAME-….EXTENSION` of its own for this work; its directory is made.
pub fn file(named: Option<&Path>, name: &str, extension: &str, work: &[u8]) -> anyhow::Result<PathBuf> {
    if let Some(file) = named {
        return Ok(std::path::absolute(file)?);
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let Some(base) = base else { bail!("neither XDG_STATE_HOME nor HOME is set: name a file with --state") };
    let directory = base.join("skyferry");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("{} (another place: --state FILE)", directory.display()))?;
    Ok(directory.join(format!("{name}-{:032x}.{extension}", fnv(work))))
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
}
