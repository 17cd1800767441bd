//! How many files a small change touches, as CONTRIBUTING.md says: what names one setting, one provider, one store.

use crate::{none, sources};

/// A name, and the files of the programs that may know it besides those that only use it on a machine of their own.
const KNOWN: [(&str, &[&str]); 3] = [
    // A setting: its row, its section, its use; the others name it in a message.
    (
        "max_delete_share",
        &[
            "agent/config/src/raw.rs",
            "agent/config/src/transfer.rs",
            "agent/src/wiring.rs",
            "agent/src/fuse.rs",
            "tools/src/scan.rs",
        ],
    ),
    // A provider: its settings, and how it is opened; `default_credentials` chooses it where none is set.
    (
        "ProviderSettings::Profile",
        &["agent/config/src/provider.rs", "agent/src/wiring/keys.rs", "tools/src/copy/default_credentials.rs"],
    ),
    // A store: its settings, and how it is opened.
    ("StoreSettings::Gcs", &["agent/config/src/store.rs", "agent/src/wiring/stores.rs"]),
];

#[test]
fn a_setting_a_provider_and_a_store_are_known_to_few_files() {
    let files = sources();
    let mut findings = Vec::new();
    for (name, known) in KNOWN {
        let production = files.iter().filter(|file| {
            let path = &file.path;
            ["agent/", "tools/src/"].iter().any(|start| path.starts_with(start))
                && path.contains("/src/")
                && !path.contains("tests")
        });
        let naming: Vec<&str> = production
            .filter(|file| file.text.lines().any(|line| line.contains(name) && !line.trim_start().starts_with("//")))
            .map(|file| file.path.as_str())
            .collect();
        assert!(!naming.is_empty(), "nothing names {name}");
        findings.extend(naming.iter().filter(|path| !known.contains(path)).map(|path| format!("{path}: {name}")));
    }
    none("files that a small change would touch as well", &findings);
}
