//! Somebody who has a bucket and the README: its commands, as they stand there, against services on this machine. What is
//! added is said here: no terminal can answer, so `trigger add` gets --yes, and the service starts in this process.

use std::path::Path;
use std::process::Command;

use sandbox::Ministack;

use crate::fixture::{Fixture, LIST, SOURCE, errors, eventually, last_line};

/// The commands of the README's block that follows these words, without comments.
fn commands_after(words: &str) -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let block = readme.split(words).nth(1).and_then(|rest| rest.split("```").nth(1)).expect("a block");
    let lines = block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    lines.filter(|line| line.starts_with("skyferry")).map(str::to_owned).collect()
}

/// Runs a line of the README in the folder, with keys and services in the environment.
fn run(fixture: &Fixture, line: &str, more: &[&str]) -> std::process::Output {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("skyferry"), "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(words).args(more).current_dir(fixture.folder.path(""));
    command.env("XDG_STATE_HOME", fixture.folder.path("state"));
    command.envs([("AWS_ACCESS_KEY_ID", "SANDBOX"), ("AWS_SECRET_ACCESS_KEY", "sandbox")]);
    command.envs([("AWS_REGION", Ministack::REGION), ("AWS_ENDPOINT_URL", &fixture.cloud.endpoint())]);
    command.output().expect("it ran")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_commands_copy_verify_and_run_an_agent() {
    let fixture = Fixture::new().await;
    fixture.cloud.create_bucket_with_events("bucket", LIST).await.expect("a bucket");
    let photos = fixture.folder.path("photos");
    std::fs::create_dir_all(photos.join("2026")).expect("made");
    for name in ["a.jpg", "2026/b.jpg"] {
        std::fs::write(photos.join(name), name).expect("written");
    }
    let copy = commands_after("**Copy on one machine.**").into_iter().find(|line| line.contains("./photos"));
    let copy = copy.expect("a copy of a directory");
    let output = run(&fixture, &copy, &["--json"]);
    assert_eq!((output.status.code(), &last_line(&output)["copied"]), (Some(0), &2.into()), "{}", errors(&output));
    let output = run(&fixture, &copy.replace("skyferry copy", "skyferry verify"), &["--json"]);
    assert_eq!((output.status.code(), &last_line(&output)["equal"]), (Some(0), &2.into()), "{}", errors(&output));

    fixture.cloud.put_object(&format!("/{SOURCE}/before"), "before").await.expect("put");
    let commands = commands_after("**With your own machines.**");
    let verbs: Vec<&str> = commands.iter().filter_map(|line| line.split(" --config").next()).collect();
    assert_eq!(verbs, ["skyferry check", "skyferry trigger add", "skyferry-agent", "skyferry scan", "skyferry verify"]);
    let mut agent = None;
    for line in &commands {
        if line.starts_with("skyferry-agent") {
            agent = Some(fixture.agent().await);
            continue;
        }
        if line.starts_with("skyferry verify") {
            fixture.cloud.put_object(&format!("/{SOURCE}/after"), "after").await.expect("put");
            eventually("both are copied", async || fixture.is_copied("before") && fixture.is_copied("after")).await;
        }
        let output = run(&fixture, line, if line.contains("trigger add") { &["--yes"] } else { &[] });
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output);
        assert_eq!(output.status.code(), Some(0), "{line}: {printed}");
    }
    agent.expect("an agent").stop().await;
}
