//! Which of the agent's crates may know which. Cargo holds it; this keeps the manifests from being widened in passing.

use crate::{none, root, sources};

/// A crate, and all of ours that it may depend on.
const KNOWS: &[(&str, &[&str])] = &[
    ("agent/core", &[]),
    ("agent/config", &["core"]),
    ("agent/stores", &["core", "providers"]),
    ("agent/aws", &["core", "providers"]),
    ("agent/sqlite", &["core"]),
    ("providers", &[]),
];

/// What has no place where nothing reaches the world outside.
const OUTSIDE: [&str; 8] = ["aws-", "axum", "http", "hyper", "nix", "reqwest", "rusqlite", "tokio"];

/// The dependencies in a crate's manifest, but for those of its tests.
fn dependencies(package: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a manifest");
    let table = manifest.split("\n[dependencies]\n").nth(1).expect("[dependencies]");
    let lines = table.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split(['.', ' ']).next()?.to_owned())).filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_crate_depends_only_on_those_below_it() {
    let findings = KNOWS.iter().flat_map(|(package, below)| {
        let ours =
            dependencies(package).into_iter().filter_map(|name| Some(name.strip_prefix("skyferry-")?.to_owned()));
        ours.filter(|name| !below.contains(&name.as_str())).map(move |name| format!("{package}: skyferry-{name}"))
    });
    none("dependencies that go up or sideways", &findings.collect::<Vec<_>>());
}

#[test]
fn the_core_reaches_nothing_outside() {
    let outside = |name: &String| OUTSIDE.iter().any(|start| name.starts_with(start));
    none("dependencies of agent/core", &dependencies("agent/core").into_iter().filter(outside).collect::<Vec<_>>());
}

#[test]
fn only_the_wiring_names_implementations() {
    let engine = sources().into_iter().filter(|file| {
        let inside = file.path.strip_prefix("agent/src/");
        inside
            .is_some_and(|path| !path.starts_with("wiring") && !path.ends_with("tests.rs") && !path.contains("tests/"))
    });
    let findings = engine.flat_map(|file| {
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let named = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let named = named.filter(|(_, line)| {
            ["skyferry_stores::", "skyferry_aws::", "skyferry_sqlite::"].iter().any(|name| line.contains(name))
        });
        named.map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())).collect::<Vec<_>>()
    });
    none("implementations named outside agent/src/wiring", &findings.collect::<Vec<_>>());
}
