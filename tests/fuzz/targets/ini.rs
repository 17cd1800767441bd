//! The predecessors' ini, as far as settings.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use skyferry_config::Settings;

fuzz_target!(|text: &str| {
    let none = BTreeMap::new();
    let Ok(mut settings) = Settings::parse(Path::new("/etc/s3_migration_cluster_config.ini"), text, &none) else {
        return;
    };
    // The notes are the ini's.
    settings.notes.clear();
    let toml = settings.to_toml();
    let again = Settings::parse(Path::new("/etc/agent.toml"), &toml, &none);
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}\n{toml}")), settings);
});
