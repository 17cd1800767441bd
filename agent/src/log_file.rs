//! `[log] file`: the lines of stderr in a file too, for log agents that read files. The file is opened by its name again when
//! another stands there, so that logrotate needs no signal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the name is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Clones write to the same file.
#[derive(Clone, Debug)]
pub struct LogFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    looked: Instant,
}

impl LogFile {
    /// Appends to the file, or makes it.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let open = Open { path: path.to_owned(), file: append(path)?, looked: Instant::now() };
        Ok(LogFile(Arc::new(Mutex::new(open))))
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

impl Open {
    /// Whether the open file still stands under its name.
    fn is_current(&self) -> bool {
        let id = |about: &std::fs::Metadata| (about.dev(), about.ino());
        let (there, open) = (std::fs::metadata(&self.path), self.file.metadata());
        matches!((&there, &open), (Ok(there), Ok(open)) if id(there) == id(open))
    }
}

impl Write for LogFile {
    /// A line that a full disk does not take is on stderr all the same.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.looked.elapsed() >= LOOK {
            open.looked = Instant::now();
            if !open.is_current()
                && let Ok(file) = append(&open.path)
            {
                open.file = file;
            }
        }
        // One line is one write: what several processes append stays whole.
        let _ = open.file.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_go_to_a_new_file_after_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("agent.log"), folder.path().join("agent.log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let mut log = LogFile::open(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        std::thread::sleep(LOOK);
        log.clone().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "before\none\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert!(LogFile::open(&folder.path().join("missing/agent.log")).is_err());
    }
}
