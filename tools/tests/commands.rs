//! `docs/commands.md` is what the program prints. `SKYFERRY_WRITE=1` with this test writes it again.

use std::path::Path;
use std::process::Command;

const OPENING: &str = "# Commands

What `skyferry COMMAND --help` prints. A test compares this page with the program.
";

/// The help of a command, 80 columns wide as on a plain terminal.
fn help(words: &[String]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_skyferry")).args(words).arg("--help").env("COLUMNS", "80").output();
    let out = out.expect("it starts");
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let rows = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = rows.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(Into::into).collect()
}

fn chapter(page: &mut String, words: &[String]) {
    let help = help(words);
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let wide: Vec<&&str> = lines.iter().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{words:?}: lines of more than 80 columns: {wide:#?}");
    // An example that the terminal wraps cannot be pasted.
    let examples = lines.iter().skip_while(|line| !line.starts_with("Example"));
    let mut before = "";
    for line in examples {
        let goes_on = !line.trim_start().starts_with("skyferry") && before.trim_start().starts_with("skyferry");
        assert!(
            !goes_on || line.is_empty() || before.ends_with('\\'),
            "{words:?}: a wrapped example: {before:?} {line:?}"
        );
        before = line;
    }
    let name = [&["skyferry".to_string()], words].concat().join(" ");
    page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n")));
    for command in listed(&help) {
        chapter(page, &[words, &[command]].concat());
    }
}

#[test]
fn the_page_of_commands_is_what_the_program_prints() {
    let mut page = OPENING.to_string();
    chapter(&mut page, &[]);
    assert!(page.matches("\n## ").count() > 20, "{page}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    if std::env::var_os("SKYFERRY_WRITE").is_some() {
        std::fs::write(&path, &page).expect("docs/commands.md");
    }
    let written = std::fs::read_to_string(&path).expect("docs/commands.md");
    let differ = written.lines().zip(page.lines()).find(|(written, printed)| written != printed);
    assert!(written == page, "docs/commands.md is not what the program prints: {differ:#?}");
}
