//! The agent's command as an operator meets it: exit codes, and what it says of the settings.

use std::path::Path;
use std::process::{Command, Output};

fn agent(folder: &Path, file: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry-agent"));
    command.env_clear().arg("--config").arg(folder.join(file)).args(arguments);
    command.output().expect("the command runs")
}

fn folder(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(file), text).expect("written");
    folder
}

#[test]
fn museum_16_a_fatal_error_is_no_success() {
    let local = "[queue]\nkind = \"embedded\"\n[ledger]\nkind = \"embedded\"\n[destination]\nbucket = \"b\"\n";
    for (text, said) in [
        ("mode = \"give\"", "mode = \"give\""),
        (&format!("{local}[credentials]\nsource = \"file:no.json\"\ndestination = \"file:no.json\"\n"), "no.json"),
        (&format!("{local}[credentials]\nsource = \"environment:NO_\"\n"), "projects/P/secrets/S/versions/latest"),
    ] {
        let folder = folder("agent.toml", text);
        let out = agent(folder.path(), "agent.toml", &[]);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{told}");
        assert!(told.contains(said), "{told}");
    }
    let missing = tempfile::tempdir().expect("a folder");
    assert_eq!(agent(missing.path(), "agent.toml", &[]).status.code(), Some(2));
    assert_eq!(agent(missing.path(), "agent.toml", &["--nonsense"]).status.code(), Some(2));
}

#[test]
fn an_ini_is_printed_as_the_toml_that_it_means() {
    let ini = "\u{feff}[Basic]\r\nJobType = PUT\r\nDes_bucket_default = to\r\n[Mode]\r\nMaxThread = 20\r\nResumableThreshold = 5\r\n";
    let folder = folder("s3_migration_cluster_config.ini", ini);
    let out = agent(folder.path(), "s3_migration_cluster_config.ini", &["--print-config"]);
    let printed = String::from_utf8(out.stdout).expect("text");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(printed.contains("# Mode.MaxThread = \"20\" is without effect"), "{printed}");
    assert!(
        printed.contains("multipart_threshold = \"5MiB\"") && printed.contains("format = \"predecessor\""),
        "{printed}"
    );
}
