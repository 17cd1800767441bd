//! Where commands remember how far they came: a file for each work, under the user's state directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use skyferry_sqlite::OpenError;

/// How long a file is kept that nobody uses.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// The file that was named, or `NAME-….EXTENSION` of its own for this work; its directory is made.
pub fn file(named: Option<&Path>, name: &str, extension: &str, work: &[u8]) -> anyhow::Result<PathBuf> {
    if let Some(file) = named {
        return Ok(std::path::absolute(file)?);
    }
    let directory = directory()?;
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("{} (another place: --state FILE)", directory.display()))?;
    let file = directory.join(format!("{name}-{:032x}.{extension}", fnv(work)));
    prune(&directory, &file);
    Ok(file)
}

/// The user's state directory; it need not exist.
pub fn directory() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let Some(base) = base else { bail!("neither XDG_STATE_HOME nor HOME is set: name a file with --state") };
    Ok(base.join("skyferry"))
}

/// A file of a work, with those that SQLite keeps beside it.
pub struct Remembered {
    pub name: String,
    path: PathBuf,
    pub used: SystemTime,
    pub bytes: u64,
}

/// The files of all works, the newest first.
pub fn all(directory: &Path) -> anyhow::Result<Vec<Remembered>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| directory.display().to_string())?,
    };
    let mut known = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = (name.starts_with("copy-") && name.ends_with(".sqlite"))
            || (name.starts_with("inventory-") && name.ends_with(".json"));
        if !ours {
            continue;
        }
        let parts: Vec<_> = beside(&path).filter_map(|path| std::fs::metadata(path).ok()).collect();
        let used = parts.iter().filter_map(|part| part.modified().ok()).max().unwrap_or(SystemTime::UNIX_EPOCH);
        let bytes = parts.iter().map(std::fs::Metadata::len).sum();
        known.push(Remembered { name, path, used, bytes });
    }
    known.sort_by_key(|one| std::cmp::Reverse(one.used));
    Ok(known)
}

impl Remembered {
    fn is_copy(&self) -> bool {
        self.name.starts_with("copy-")
    }

    /// SRC and DST of a copy.
    pub fn belongs_to(&self) -> String {
        if !self.is_copy() {
            return "an inventory report".into();
        }
        match skyferry_sqlite::note::read_closed(&self.path, crate::copy::PAIR) {
            Ok(Some(pair)) => {
                let names: Vec<_> = pair.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                let [source, _, destination, _] = &names[..] else { return "unknown".into() };
                format!("{source} → {destination}")
            }
            Err(OpenError::InUse { .. }) => "in use".into(),
            Ok(None) | Err(_) => "unknown".into(),
        }
    }

    /// `false`: another process uses it.
    pub fn forget(&self) -> anyhow::Result<bool> {
        if self.is_copy() && skyferry_sqlite::is_in_use(&self.path) {
            return Ok(false);
        }
        remove(&self.path)?;
        Ok(true)
    }
}

/// Removes a file, with those that SQLite keeps beside it.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    for path in beside(path) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    let path = path.as_os_str().to_owned();
    ["", "-wal", "-shm"].into_iter().map(move |suffix| {
        let mut name = path.clone();
        name.push(suffix);
        name.into()
    })
}

/// Removes what was not used for long, as far as it can be. It only makes a later command compare more.
fn prune(directory: &Path, but: &Path) {
    let old = |one: &Remembered| one.used.elapsed().is_ok_and(|age| age > KEPT) && one.path != but;
    for one in all(directory).unwrap_or_default().iter().filter(|one| old(one)) {
        if let Err(error) = one.forget() {
            tracing::debug!(%error, "an old state is left");
        }
    }
}

/// FNV-1a: the same on every machine and in every version, which is all that a file's name asks for.
pub fn fnv(bytes: &[u8]) -> u128 {
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_thirty_days_is_pruned_and_the_rest_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in
            ["copy-1.sqlite", "copy-1.sqlite-wal", "copy-2.sqlite", "inventory-1.json", "other-1.json", "copy-3.sqlite"]
        {
            let file = std::fs::File::create(at(name)).expect("written");
            if !name.starts_with("copy-2") {
                file.set_modified(SystemTime::now() - KEPT - Duration::from_secs(60)).expect("aged");
            }
        }
        prune(directory.path(), &at("copy-3.sqlite"));
        let mut left: Vec<_> =
            std::fs::read_dir(directory.path()).expect("read").map(|e| e.expect("one").file_name()).collect();
        left.sort();
        assert_eq!(left, ["copy-2.sqlite", "copy-3.sqlite", "other-1.json"]);
    }

    #[test]
    fn forgetting_what_is_not_there_is_no_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("s");
        std::fs::write(&file, "x").expect("written");
        remove(&file).expect("forgotten");
        remove(&file).expect("forgotten again");
        assert!(!file.exists());
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }
}
