//! The agent in ranks: a file imports only from lower ones, so that it can be read knowing what is below it and nothing else.

use crate::imports::{self, Import};
use crate::{File, none, repository};

/// Every module of the agent. A module in a file of its own that has a row is a unit; the rest belong to the one they are in,
/// and files of one unit import each other as they like.
const RANKS: &[(i8, &[&str])] = &[
    (-1, &["ambient"]),
    (0, &["object"]),
    (
        1,
        &[
            "event", "route", "plan", "digest", "protocol", "error", "config", "backoff", "metrics", "process",
            "traffic",
        ],
    ),
    (2, &["queue", "ledger", "store", "pace", "embedded", "roots"]),
    (3, &["aws", "lease", "leader", "fuse", "store::http", "store::metadata", "store::provenance", "store::rfc2047"]),
    (4, &["store::xml_api"]),
    (5, &["queue::*", "ledger::*", "store::*", "copy"]),
    (6, &["job", "janitor", "notice", "pause", "backlog"]),
    (7, &["drain", "status", "predecessor", "log_file", "emf"]),
    (8, &["wiring"]),
];

/// Implementations behind a trait: only `wiring` says which is taken. (`embedded` is the file behind two of them.)
const CONCRETE: &[&str] = &["queue::*", "ledger::*", "store::gcs", "store::s3", "store::directory", "embedded"];

/// The two that see everything: the map, and the program's start.
const FREE: [&str; 2] = ["lib", "main"];

/// The unit that a path belongs to, and its rank: of the rows that fit the longest, a name before a star.
fn unit(path: &[String]) -> Option<(i8, String)> {
    let rows = RANKS.iter().flat_map(|(rank, names)| names.iter().map(move |name| (*rank, *name)));
    let fitting = rows.filter_map(|(rank, row)| Some((rank, row, fits(row, path)?)));
    let (rank, _, length) = fitting.max_by_key(|(_, row, length)| (*length, !row.ends_with('*')))?;
    Some((rank, path[..length].join("::")))
}

/// How many of the path's names the row takes. A star is one module, so not a type or a function.
fn fits(row: &str, path: &[String]) -> Option<usize> {
    let names: Vec<&str> = row.split("::").collect();
    let is = |(name, word): (&&str, &String)| {
        *name == word || (*name == "*" && word.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    (path.len() >= names.len() && names.iter().zip(path).all(is)).then_some(names.len())
}

fn concrete(unit: &str) -> bool {
    let path: Vec<String> = unit.split("::").map(Into::into).collect();
    CONCRETE.iter().any(|row| fits(row, &path) == Some(path.len()))
}

struct Module {
    file: File,
    path: Vec<String>,
}

/// The agent's modules, without those that are only for tests.
fn modules() -> Vec<Module> {
    let files = repository().into_iter().filter_map(|file| {
        let name = file.path.strip_prefix("agent/src/")?.strip_suffix(".rs")?;
        let name = name.strip_suffix("/mod").unwrap_or(name);
        let path: Vec<String> = name.split('/').map(Into::into).collect();
        (!FREE.contains(&name)).then_some(Module { path, file })
    });
    let modules: Vec<Module> = files.collect();
    let tests: Vec<Vec<String>> =
        modules.iter().flat_map(|m| imports::read(&m.file.text, &m.path).test_modules).collect();
    modules.into_iter().filter(|module| !tests.iter().any(|test| module.path.starts_with(test))).collect()
}

/// Functions of a parent look like modules; only names that have a file are modules.
fn to_modules(path: &[String], known: &[Vec<String>]) -> Vec<String> {
    (0..=path.len()).rev().map(|n| path[..n].to_vec()).find(|start| known.contains(start)).unwrap_or_default()
}

fn findings(modules: &[Module], wrong: impl Fn((i8, &str), (i8, &str)) -> Option<String>) -> Vec<String> {
    let known: Vec<Vec<String>> = modules.iter().map(|module| module.path.clone()).collect();
    let mut findings = Vec::new();
    for Module { file, path } in modules {
        let Some((rank, own)) = unit(path) else { continue };
        for Import { line, path } in imports::read(&file.text, path).imports {
            let Some((theirs, other)) = unit(&to_modules(&path, &known)) else { continue };
            if other != own
                && let Some(why) = wrong((rank, &own), (theirs, &other))
            {
                findings.push(format!("{}:{line}: crate::{}: {why}", file.path, path.join("::")));
            }
        }
    }
    findings
}

#[test]
fn every_module_of_the_agent_has_a_rank() {
    let without = modules().into_iter().filter(|module| unit(&module.path).is_none());
    let without: Vec<String> = without.map(|module| module.file.path).collect();
    none("give it a row in RANKS", &without);
}

#[test]
fn a_module_of_the_agent_imports_only_from_lower_ranks() {
    let findings = findings(&modules(), |(rank, own), (theirs, other)| {
        (theirs >= rank).then(|| format!("{own} has rank {rank}, {other} has rank {theirs}"))
    });
    none("imports that go up or sideways", &findings);
}

#[test]
fn only_the_wiring_names_implementations() {
    let findings = findings(&modules(), |(_, own), (_, other)| {
        (concrete(other) && own != "wiring" && !concrete(own)).then(|| format!("{own} is to know its trait only"))
    });
    none("implementations named outside wiring.rs", &findings);
}

/// The rules above hold something: an import that breaks them is found.
#[test]
fn an_import_that_goes_up_is_found() {
    let module = |name: &str, text: &str| Module {
        file: File { path: format!("agent/src/{name}.rs"), text: text.to_owned() },
        path: name.split('/').map(Into::into).collect(),
    };
    let modules = [
        module("plan", "use crate::{object::Key,\n job::Job};"),
        module("job", "use super::store::s3::S3;\nuse crate::store::open;\nuse crate::copy::Copy;"),
        module("object", ""),
        module("store", "pub fn open() {}"),
        module("copy", ""),
        module("store/s3", "use super::http::Transport;"),
        module("store/http", ""),
    ];
    let up = findings(&modules, |(rank, _), (theirs, _)| (theirs >= rank).then(String::new));
    assert_eq!(up, ["agent/src/plan.rs:2: crate::job::Job: "]);
    let named = findings(&modules, |(_, own), (_, other)| (concrete(other) && !concrete(own)).then(String::new));
    assert_eq!(named, ["agent/src/job.rs:1: crate::store::s3::S3: "]);
}
