//! Where every verb looks for the agent's settings.

use std::process::Command;

/// `skyferry status` with these arguments and this `SKYFERRY_CONFIG`: exit code and stderr.
fn status(arguments: &[&str], variable: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.arg("status").args(arguments).env_remove("SKYFERRY_CONFIG");
    command.envs(variable.map(|file| ("SKYFERRY_CONFIG", file)));
    let output = command.output().expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_settings_are_those_of_the_flag_else_of_the_environment_else_the_package_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let [flag, variable] = ["flag.toml", "variable.toml"].map(|name| folder.path().join(name).display().to_string());
    for short in ["-c", "--config"] {
        let (code, output) = status(&[short, &flag], Some(&variable));
        assert!(code == Some(2) && output.contains(&flag), "{output}");
    }
    let (code, output) = status(&[], Some(&variable));
    assert!(code == Some(2) && output.contains(&variable), "{output}");
    // A machine that is an agent's has this file: then it is not the settings that fail.
    let package = "/etc/skyferry/agent.toml";
    if !std::path::Path::new(package).exists() {
        let (code, output) = status(&[], None);
        assert!(code == Some(2) && output.contains(package), "{output}");
    }
}
