//! How far an earlier run came with the same reports and the same choice: it continues there. Written after each flush, so a
//! kill costs one flush that is sent again.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::counts::InventoryCounts;

pub struct State {
    /// `None`: nothing is remembered.
    file: Option<PathBuf>,
    pub mark: ResumeMark,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeMark {
    /// A sum of the reports and of the choice: with others it means nothing.
    pub about: String,
    /// Files that are done, and rows of the next one that are.
    pub files: usize,
    pub rows: u64,
    pub counts: InventoryCounts,
}

impl State {
    pub fn none() -> State {
        State { file: None, mark: ResumeMark::default() }
    }

    /// Where an earlier run of the same work was, or at the beginning.
    pub fn open(file: PathBuf, about: String, restart: bool) -> anyhow::Result<State> {
        let read = match std::fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.with_context(|| file.display().to_string())?),
        };
        let known = read.and_then(|text| serde_json::from_slice::<ResumeMark>(&text).ok());
        let known = known.filter(|mark| !restart && mark.about == about);
        let mark = known.unwrap_or(ResumeMark { about, ..ResumeMark::default() });
        Ok(State { file: Some(file), mark })
    }

    /// In one step: a kill leaves the earlier mark or this one.
    pub fn save(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let write = || {
            let folder = file.parent().unwrap_or(file);
            let beside = tempfile::NamedTempFile::new_in(folder)?;
            std::fs::write(&beside, serde_json::to_vec(&self.mark)?)?;
            beside.persist(file)?;
            std::io::Result::Ok(())
        };
        write().with_context(|| format!("{} (another place: --state FILE)", file.display()))
    }

    /// The work is done.
    pub fn delete(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| file.display().to_string())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_by_the_same_work_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("state");
        let open = |about: &str, restart| State::open(file.clone(), about.into(), restart).expect("opened");
        let mut state = open("a", false);
        assert_eq!(state.mark, ResumeMark { about: "a".into(), ..ResumeMark::default() });
        (state.mark.files, state.mark.rows) = (2, 7);
        state.save().expect("saved");
        assert_eq!(open("a", false).mark, state.mark);
        assert_eq!((open("b", false).mark.rows, open("a", true).mark.rows), (0, 0));
        std::fs::write(&file, "{").expect("written");
        assert_eq!(open("a", false).mark.rows, 0, "what cannot be read is no mark");
        state.delete().expect("forgotten");
        state.delete().expect("forgotten twice");
        assert!(!file.exists());
    }
}
