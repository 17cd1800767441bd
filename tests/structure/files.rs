//! What every file keeps.

use crate::{none, repository, sources};

const LONGEST: usize = 600;
/// Longer ones, each with the length that it may have and its reason.
const LONGER: &[(&str, usize)] = &[
    // The write protocol is one state machine: to read it is to read all of it.
    ("agent/core/src/protocol.rs", 750),
];

#[test]
fn every_source_file_opens_with_its_reason() {
    // A module's own tests have it in their name.
    let findings: Vec<String> = sources()
        .into_iter()
        .filter(|file| !file.path.ends_with("/tests.rs") && !file.text.starts_with("//! "))
        .map(|file| format!("{}: its first line is to say, after `//! `, why it exists", file.path))
        .collect();
    none("files without a reason", &findings);
}

#[test]
fn no_source_file_is_too_long_to_be_read_at_once() {
    let findings: Vec<String> = sources()
        .into_iter()
        .filter_map(|file| {
            let most = LONGER.iter().find(|(path, _)| *path == file.path).map_or(LONGEST, |(_, most)| *most);
            let lines = file.text.lines().count();
            (lines > most).then(|| format!("{}: {lines} lines, more than {most} (the aim is 400)", file.path))
        })
        .collect();
    none("long files", &findings);
}

#[test]
fn nothing_depends_on_the_machine_it_was_written_on() {
    // In pieces, so that this file does not name them.
    let words = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/tmp/", "peers"],
        ["index.", "crates.io"],
        ["static.", "crates.io"],
        ["pypi.", "org"],
        ["files.python", "hosted.org"],
        ["registry.", "npmjs.org"],
        ["--index", "-url"],
        ["--extra-index", "-url"],
        ["replace", "-with"],
    ]
    .map(|pieces| pieces.concat());
    let mut findings = Vec::new();
    for file in repository() {
        for (at, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: {word}", file.path, at + 1));
            }
        }
    }
    none("paths of one machine, or settings of a registry", &findings);
}
