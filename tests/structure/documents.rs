//! What README and docs/ contain, as far as a test can know it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use skyferry_config::Settings;

use crate::{none, root, sources};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README, its translation, and every page of `docs/`.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut paths: Vec<PathBuf> = ["README.md", "README.zh-CN.md"].map(|name| root().join(name)).into();
    paths.extend(docs);
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn all_pages() -> String {
    pages().into_iter().map(|(_, text)| text).collect()
}

/// The names between backquotes of every `(test: …)`.
fn tests_named(text: &str) -> Vec<&str> {
    let markers = text.split("(test: ").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
    markers.flat_map(|marker| marker.split('`').skip(1).step_by(2)).collect()
}

/// The targets of all links and pictures, in their order.
fn links(text: &str) -> Vec<&str> {
    let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let html = ["src=\"", "srcset=\""].into_iter().flat_map(|name| text.split(name).skip(1));
    markdown.chain(html.filter_map(|rest| rest.split('"').next())).collect()
}

/// What GitHub and mdBook make of each heading: its anchor.
fn anchors(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    let headings = prose.filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// A page's links to files of ours, whatever their language: the file, and which of its headings the anchor is.
fn targets(path: &Path, text: &str) -> Vec<(String, Option<usize>)> {
    let ours = links(text).into_iter().map(|link| link.split_once('#').unwrap_or((link, "")));
    ours.map(|(file, anchor)| {
        let target = if file.is_empty() { path.to_owned() } else { path.parent().expect("a folder").join(file) };
        let heading = (!anchor.is_empty() && target.exists())
            .then(|| anchors(&read(&target)).iter().position(|heading| heading == anchor));
        (file.replace(".zh-CN", ""), heading.flatten())
    })
    .collect()
}

/// The blocks of code, without their comments.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let lines = blocks.map(|line| line.split('#').next().unwrap_or_default().trim().to_string());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let text = all_pages();
    let named = tests_named(&text);
    assert!(named.len() > 20, "only {} tests are named", named.len());
    let code: String = sources().into_iter().map(|file| file.text).collect();
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let missing: Vec<String> = named
        .into_iter()
        .filter(|name| !words.contains(name.rsplit("::").next().unwrap_or(name)))
        .map(Into::into)
        .collect();
    none("tests named in the documents that are not there", &missing);
}

#[test]
fn every_promise_names_its_tests() {
    let text = read(&root().join("docs/guarantees.md"));
    let promises = text.split("\n## Promises").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("## Promises");
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
fn the_documents_list_the_metrics_that_there_are() {
    let metrics = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        words
            .filter(|word| word.starts_with("skyferry_") || word.starts_with("process_"))
            // Crates, and the names of packages, where a version follows.
            .filter(|word| !["skyferry_agent", "skyferry_providers", "skyferry_"].contains(word))
            .map(Into::into)
            .collect()
    };
    let code = read(&root().join("agent/core/src/metrics/families.rs"));
    let (code, documents) = (metrics(&code), metrics(&all_pages()));
    let differ: Vec<String> = code.symmetric_difference(&documents).cloned().collect();
    none("metrics in one of docs/monitoring.md and agent/core/src/metrics/families.rs", &differ);
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut missing = Vec::new();
    let others = [
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "deploy-gce/README.md",
        "deploy-ec2/README.md",
        "deploy-k8s/README.md",
        "deploy-monitoring/README.md",
        "findings/README.md",
    ];
    let others = others.map(|name| (root().join(name), read(&root().join(name))));
    for (path, text) in pages().into_iter().chain(others) {
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            if !target.exists()
                || (!anchor.is_empty() && !anchors(&read(&target)).iter().any(|heading| heading == anchor))
            {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    none("links to files or headings that are not there", &missing);
}

#[test]
fn the_settings_of_the_documents_are_read() {
    let text = all_pages();
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let settings = Settings::parse(Path::new("/etc/skyferry/agent.toml"), example, &BTreeMap::new());
        settings.unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

#[test]
fn every_page_of_the_documents_can_be_found_from_the_readme() {
    let (readme, chinese) = (read(&root().join("README.md")), read(&root().join("README.zh-CN.md")));
    let linked = [links(&readme), links(&chinese)].concat();
    let pages = pages().into_iter().map(|(path, _)| path.strip_prefix(root()).expect("ours").display().to_string());
    let lost: Vec<String> = pages
        .filter(|page| !["README.md", "docs/SUMMARY.md"].contains(&page.as_str()) && !linked.contains(&page.as_str()))
        .collect();
    none("pages without a link in README.md", &lost);
}

/// What stands where the version of a file of a release, or of an image, is named.
fn versions_named(text: &str) -> Vec<&str> {
    let places = text.match_indices("skyferry").filter_map(|(at, name)| {
        let rest = text[at + name.len()..].trim_start_matches("-lambda");
        rest.strip_prefix(['-', '_', ':']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    places.filter_map(|rest| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next()).collect()
}

#[test]
fn the_files_of_a_release_are_named_by_its_version() {
    let folders = ["", "docs", "deploy-ec2", "deploy-ec2/package", "deploy-gce", "deploy-k8s", "deploy-k8s/base"];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).expect(folder));
    let mut named = 0;
    for path in files.map(|file| file.expect("a file").path()).filter(|path| path.is_file()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for version in versions_named(&text) {
            named += 1;
            assert_eq!(version.trim_end_matches('.'), env!("CARGO_PKG_VERSION"), "{}", path.display());
        }
    }
    assert!(named >= 10, "{named}");
}

/// `mdbook` makes a site of what SUMMARY.md lists.
#[test]
fn every_page_is_in_the_book() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let listed = links(&summary);
    let pages = pages().into_iter().filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned()));
    let others = ["SUMMARY.md", "README.md", "README.zh-CN.md"];
    let lost: Vec<String> = pages.filter(|page| !others.contains(&&**page) && !listed.contains(&&**page)).collect();
    none("pages that docs/SUMMARY.md does not list", &lost);
}

#[test]
fn the_readme_is_short() {
    let length = read(&root().join("README.md")).len();
    assert!(length <= 8 * 1024, "README.md has {length} bytes");
}

#[test]
fn a_translation_has_the_commands_and_links_of_its_original() {
    let translated: Vec<_> =
        pages().into_iter().filter(|(path, _)| path.to_string_lossy().ends_with(".zh-CN.md")).collect();
    assert!(translated.len() >= 7, "{translated:?}");
    for (path, chinese) in translated {
        let name = path.to_string_lossy().into_owned();
        let original = PathBuf::from(name.replace(".zh-CN", ""));
        let english = read(&original);
        assert_eq!(commands(&english), commands(&chinese), "{name}");
        assert_eq!(anchors(&english).len(), anchors(&chinese).len(), "{name}: headings");
        // Each links to the other, and to translated pages where there are some.
        assert_eq!(targets(&original, &english), targets(&path, &chinese), "{name}");
    }
}

#[test]
fn the_templates_count_bytes_under_the_names_of_the_earlier_stacks() {
    for template in ["skyferry.yaml", "serverless.yaml"] {
        let text = read(&root().join("deploy-ec2").join(template));
        for (line, metric) in
            [("Complete", "Completed-bytes"), ("Uploading", "Uploading-bytes"), ("Downloading", "Downloading-bytes")]
        {
            assert!(text.contains(&format!("p=\"--->{line}\"")), "{template}: {line}");
            assert!(
                text.contains(&format!("MetricNamespace: s3_migrate, MetricName: {metric},")),
                "{template}: {metric}"
            );
        }
    }
}
