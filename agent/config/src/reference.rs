//! The table of settings as `docs/settings.md`. `SKYFERRY_WRITE=1` with the test rewrites the page.

use super::raw::SECTIONS;

const OPENING: &str = "# Settings

Every setting with its type, default and meaning. This page is generated from the program's table of settings; a test compares it.
[Configuration](configuration.md) explains how a file is written and read.

Sizes are written like `\"16MiB\"`, durations like `\"2m\"`. A setting of a section is also read from the environment:
`SKYFERRY__SECTION__NAME`. Every section with an `endpoint` also takes AWS's own `AWS_ENDPOINT_URL` variables.
";

/// What a section is about; an empty name is what is outside any.
fn about(section: &str) -> &'static str {
    match section {
        "" => "## Outside any section",
        "credentials" => {
            "## [credentials]\n\n`source`, `destination`, `queue` and `ledger` are a provider each, as a table or as one text \
             (`\"environment:SRC_\"`). Queue and ledger use the source's by default."
        }
        "queue" => "## [queue]\n\nSeveral queues are `[[queues]]` with the same settings.",
        "ledger" => "## [ledger]",
        "source" => "## [source]",
        "destination" => "## [destination]",
        "routes" => {
            "## [[routes]]\n\nOnly the buckets of routes are read. Without any route: every bucket whose events reach the queue."
        }
        "transfer" => "## [transfer]",
        "filter" => "## [filter]",
        "status" => "## [status]",
        _ => "## [log]",
    }
}

fn page() -> String {
    let mut page = OPENING.to_owned();
    for (section, rows) in SECTIONS {
        page += &format!("\n{}\n\n| Setting | Type | Default | Meaning |\n|---|---|---|---|\n", about(section));
        for row in rows {
            let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
            page += &format!("| `{}` | {} | {default} | {} |\n", row.name, row.kind, row.help);
        }
    }
    page
}

#[test]
fn the_page_of_settings_is_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    if std::env::var_os("SKYFERRY_WRITE").is_some() {
        std::fs::write(&path, page()).expect("docs/settings.md");
    }
    let written = std::fs::read_to_string(&path).expect("docs/settings.md");
    let page = page();
    let differ = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert!(written == page, "docs/settings.md is not the table: {differ:#?}");
}
