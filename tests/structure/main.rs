//! What the code's shape promises, held by tests: which crate may know which (`crates`), and what every file and the documents keep.

mod answers;
mod changes;
mod crates;
mod documents;
mod files;
mod monitoring;
mod names;
mod permissions;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace around this package").to_path_buf()
}

/// A file of the repository: its path from the root, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

/// Every text file, but for what is built. Sorted.
fn repository() -> Vec<File> {
    let (root, mut found) = (root(), Vec::new());
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("a directory's entry").path();
            let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            if path.is_symlink() || name == ".git" || name == "target" {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push(File { path: name, text });
            }
        }
    }
    assert!(found.len() > 100, "only {} files under {}", found.len(), root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn sources() -> Vec<File> {
    repository().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// One line a finding, all of them at once.
fn none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n  {}\n", findings.join("\n  "));
}
