//! What the README says, as far as a test can know it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use skyferry_agent::config::Settings;

use crate::{none, root, sources};

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("a README.md")
}

/// The names between backquotes of every `(test: …)`.
fn tests_named(readme: &str) -> Vec<&str> {
    let markers = readme.split("(test: ").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
    markers.flat_map(|marker| marker.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let readme = readme();
    let named = tests_named(&readme);
    assert!(named.len() > 20, "only {} tests are named", named.len());
    let code: String = sources().into_iter().map(|file| file.text).collect();
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let missing: Vec<String> = named
        .into_iter()
        .filter(|name| !words.contains(name.rsplit("::").next().unwrap_or(name)))
        .map(Into::into)
        .collect();
    none("tests named in README.md that are not there", &missing);
}

#[test]
fn every_promise_of_the_readme_names_its_tests() {
    let readme = readme();
    let promises =
        readme.split("\n## Promises").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("## Promises");
    let missing: Vec<String> = (1..=12)
        .filter(|n| {
            let start = format!("\n{n}. ");
            let promise = promises.split(&start).nth(1).map(|rest| rest.split("\n\n").next().unwrap_or(rest));
            promise.is_none_or(|text| !text.contains("(test: "))
        })
        .map(|n| n.to_string())
        .collect();
    none("promises without a test", &missing);
}

#[test]
fn the_readme_lists_the_metrics_that_there_are() {
    let metrics = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        words
            .filter(|word| word.starts_with("skyferry_") && !["skyferry_agent", "skyferry_providers"].contains(word))
            .map(Into::into)
            .collect()
    };
    let code = std::fs::read_to_string(root().join("agent/src/metrics.rs")).expect("agent/src/metrics.rs");
    // The tests in that file name parts of a histogram.
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let (code, readme) = (metrics(code), metrics(&readme()));
    let differ: Vec<String> = code.symmetric_difference(&readme).cloned().collect();
    none("metrics in one of README.md and agent/src/metrics.rs", &differ);
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut missing = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            if !root().join(link).exists() {
                missing.push(format!("{document}: {link}"));
            }
        }
    }
    none("links to files that are not there", &missing);
}

#[test]
fn the_settings_of_the_readme_are_read() {
    let readme = readme();
    let examples: Vec<&str> = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let settings = Settings::parse(Path::new("/etc/skyferry/agent.toml"), example, &BTreeMap::new());
        settings.unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}
