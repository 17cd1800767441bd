//! The demo as a stranger types it: what it says, how it ends, and that nothing is left of it.

#![cfg(feature = "demo")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn demo(temporary: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.arg("demo").args(flags).env("TMPDIR", temporary).output().unwrap()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn every_byte_arrives_at_both_destinations_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--quick", "--json"]);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(is_empty(temporary.path()));

    let lines = String::from_utf8(output.stdout).unwrap();
    let facts: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(facts["verified"], true, "{facts}");
    let (objects, bytes) = (facts["source"]["objects"].as_u64().unwrap(), facts["source"]["bytes"].as_u64().unwrap());
    assert!(objects > 250 && bytes > 64 << 20, "{facts}");
    let legs = facts["destinations"].as_array().unwrap();
    assert_eq!(
        legs.iter().map(|leg| leg["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Google Cloud Storage", "S3"]
    );
    for leg in legs {
        assert_eq!(leg["objects"], objects, "{leg}");
        assert_eq!(leg["copied"], objects + 1, "the overwritten one twice: {leg}");
        assert_eq!((&leg["unchanged"], &leg["parked"]), (&1.into(), &1.into()), "{leg}");
        assert_eq!(leg["differences"], Value::Array(Vec::new()));
        assert!(leg["dead_letters"][0].as_str().unwrap().contains("not JSON"), "{leg}");
        assert!(leg["seconds"].as_f64().unwrap() > 0.0 && leg["bytes"].as_u64().unwrap() >= bytes, "{leg}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_behind_either() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    let mut child = command.args(["demo", "--json"]).env("TMPDIR", temporary.path()).spawn().unwrap();
    while is_empty(temporary.path()) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(is_empty(temporary.path()));
}

#[test]
fn wrong_usage_is_exit_2() {
    let temporary = tempfile::tempdir().unwrap();
    assert_eq!(demo(temporary.path(), &["--fast"]).status.code(), Some(2));
}
