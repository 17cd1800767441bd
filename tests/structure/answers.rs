//! The documentation's table of answers is the code's: this compares the two, and writes it again with `UPDATE_DOCS=1`.

use std::fmt::{Display, Write};

use skyferry_core::error::{CopyError, ErrorKind, Side, Verdict};
use skyferry_core::model::Location;
use skyferry_stores::xml_api::answers::{self, AnswerRow, CODES, NO_CODE, RequestKind, UNKNOWN_CODES};

use crate::root;

const DOCUMENT: &str = "docs/answers.md";

const OPENING: &str = "\
# What an answer is taken for

Services, gateways and load balancers also send answers that a specification does not name. This page shows what Skyferry takes
each of them for, on S3, its dialects and GCS alike. It is generated from the code: do not edit it. To regenerate it, run
`UPDATE_DOCS=1 cargo test --test structure`.

- A success counts only if its body is the document that was asked for. An empty body, a page or another document is an answer
  that was not understood; a write whose success reads so is looked up at the destination.
- A success whose body is an `<Error>` counts as that error; if its code is not listed below, as status 500.
- An object is gone only when the service's own code reports it. HEAD has no body: a listing of that key confirms its 404, or a GET
  where listing is not permitted.
- Retry-After, in seconds or as a date, is followed for at most 15 minutes.

Where the meaning depends on the request, the exception follows after a semicolon.
";

const PARTS: &[(&str, &str)] = &[
    ("Codes of the service", "Whatever the status is, a code that Skyferry knows decides."),
    ("Status with an unknown code", "The answer is an `<Error>` whose code is not listed above."),
    (
        "Status without a code",
        "An empty answer, an HTML page of a load balancer, JSON. What is not listed here is read as in the table above.",
    ),
    (
        "What Skyferry does about it",
        "During an outage nothing succeeds against that side; then messages are kept, and no attempts are counted.",
    ),
];

/// Every request kind with its name, the commonest ones first: exceptions are counted against them.
const ASKED: [(RequestKind, &str); 6] = [
    (RequestKind::Control, "parts, listings and control requests"),
    (RequestKind::Read, "GET"),
    (RequestKind::Head, "HEAD"),
    (RequestKind::Write, "a write without a condition"),
    (RequestKind::WriteIf, "a write under a condition"),
    (RequestKind::Delete, "a delete"),
];

/// What most requests take it for, then the others with their requests.
fn taken(kind: impl Fn(RequestKind) -> ErrorKind) -> String {
    let mut groups: Vec<(ErrorKind, Vec<&str>)> = Vec::new();
    for (asked, name) in ASKED {
        let kind = kind(asked);
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name),
            None => groups.push((kind, vec![name])),
        }
    }
    // Stable: of two as frequent the first stays first.
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut text = String::new();
    for (n, (kind, names)) in groups.iter().enumerate() {
        let (before, after) = if n == 0 { ("", String::new()) } else { ("; ", format!(" for {}", names.join(", "))) };
        text.extend([before, kind.as_str(), &after]);
    }
    text
}

fn heading(into: &mut String, part: usize, columns: &str) {
    let (title, words) = PARTS[part];
    let rule = "|---".repeat(columns.matches('|').count() - 1);
    into.extend(["\n## ", title, "\n\n", words, "\n\n", columns, "\n", &rule, "|\n"]);
}

fn rows<T: Display>(into: &mut String, rows: &[AnswerRow<T>]) {
    for row in rows {
        let answers: Vec<String> = row.answers.iter().map(|answer| format!("`{answer}`")).collect();
        let taken = taken(|asked| row.taken.kind(asked));
        writeln!(into, "| {} | {} | {taken} |", answers.join(", "), row.meaning).expect("a String grows");
    }
}

/// What no row names is probed with a status that none has.
fn others(into: &mut String, code: &str) {
    for (name, status) in [("any other 3xx", 399), ("any other 4xx", 499), ("any other 5xx", 599)] {
        writeln!(into, "| {name} | | {} |", taken(|asked| answers::kind(status, code, asked))).expect("a String grows");
    }
}

/// Each kind that an answer can be taken for, once, in the order of the tables.
fn kinds() -> Vec<ErrorKind> {
    let taken = CODES.iter().map(|row| row.taken).chain(UNKNOWN_CODES.iter().chain(NO_CODE).map(|row| row.taken));
    let mut kinds = Vec::new();
    for kind in taken.flat_map(|taken| ASKED.map(|(asked, _)| taken.kind(asked))) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn done_about(kind: ErrorKind) -> &'static str {
    let error = CopyError::new(Side::Destination, kind, "PutObject", &Location::new("bucket", "key"), "");
    match error.verdict() {
        Verdict::Retry => "tried again; parked after its attempts",
        Verdict::Outage => "an outage; parked after its attempts where other objects succeed meanwhile",
        Verdict::Refused => {
            "parked at once where other objects succeed meanwhile, after its attempts where nothing else is tried; else an outage"
        }
        Verdict::Park(_) => "parked at once",
        Verdict::Cancelled => "nothing",
    }
}

fn document() -> String {
    let mut text = OPENING.to_owned();
    heading(&mut text, 0, "| Code | Meaning | Taken for |");
    rows(&mut text, CODES);
    heading(&mut text, 1, "| Status | Meaning | Taken for |");
    rows(&mut text, UNKNOWN_CODES);
    others(&mut text, "AnUnknownCode");
    heading(&mut text, 2, "| Status | Meaning | Taken for |");
    rows(&mut text, NO_CODE);
    others(&mut text, "");
    heading(&mut text, 3, "| Taken for | What happens |");
    for kind in kinds() {
        writeln!(text, "| {} | {} |", kind.as_str(), done_about(kind)).expect("a String grows");
    }
    text
}

#[test]
fn the_table_of_answers_in_the_documentation_is_the_code_s() {
    let (path, wanted) = (root().join(DOCUMENT), document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("docs/ can be made");
        std::fs::write(&path, &wanted).expect("docs/answers.md can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let line = wanted.lines().zip(found.lines()).position(|(wanted, found)| wanted != found);
    assert!(found == wanted, "{DOCUMENT} is not what the code does (line {line:?}): write it anew with UPDATE_DOCS=1");
}

#[test]
fn a_status_that_no_row_names_is_probed_with_one_that_none_has() {
    for row in UNKNOWN_CODES.iter().chain(NO_CODE) {
        assert!(row.answers.iter().all(|status| ![399, 499, 599].contains(status)), "{row:?}");
    }
}
