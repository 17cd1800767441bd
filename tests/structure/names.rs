//! A public type's name is enough to know it by: no two modules have one of the same name.

use std::collections::BTreeMap;

use crate::{none, sources};

/// What each command has of its own, and what a module's reader expects under this name.
const REPEATED: [&str; 3] = ["Arguments", "Error", "State"];

/// The name of the type that a line declares for other modules.
fn declared(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    let (keyword, rest) = rest.trim_start().split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (["struct", "enum", "trait", "type", "union"].contains(&keyword) && !name.is_empty()).then_some(name)
}

#[test]
fn a_public_type_name_stands_in_one_module() {
    let programs = ["agent/", "providers/", "tools/"];
    let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        if !programs.iter().any(|program| file.path.starts_with(program)) || !file.path.contains("/src/") {
            continue;
        }
        for name in file.text.lines().filter_map(declared) {
            modules.entry(name.to_owned()).or_default().push(file.path.clone());
        }
    }
    assert!(modules.len() > 300, "only {} names of types", modules.len());
    let findings: Vec<String> = modules
        .into_iter()
        .filter(|(name, files)| files.len() > 1 && !REPEATED.contains(&name.as_str()))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    none("names of more than one public type (say in the name which one it is)", &findings);
}

#[test]
fn declarations_are_read_whatever_their_visibility() {
    for (line, name) in [
        ("pub struct Key(Arc<[u8]>);", Some("Key")),
        ("    pub(crate) enum Plan {", Some("Plan")),
        ("pub(in crate::job) trait Sink: Send {", Some("Sink")),
        ("pub type Result<T> = std::result::Result<T, Error>;", Some("Result")),
        ("struct Private;", None),
        ("pub fn new() -> Key {", None),
        ("pub use model::Key;", None),
        ("// pub struct Key", None),
    ] {
        assert_eq!(declared(line), name, "{line}");
    }
}
