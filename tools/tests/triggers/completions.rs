//! What a shell completes.

use std::process::Command;

fn completions(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_skyferry")).args(["completions", shell]).output().expect("it ran");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_shell_is_told_the_verbs_and_bash_takes_it() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = completions(shell);
        assert!(
            ["trigger", "deadletters", "redrive", "prefix-file"].iter().all(|word| script.contains(word)),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("skyferry.bash");
    std::fs::write(&file, completions("bash")).expect("written");
    let asks = format!(
        "source {}; COMP_WORDS=(skyferry trigger a); COMP_CWORD=2; _skyferry skyferry a trigger; echo \"${{COMPREPLY[*]}}\"",
        file.display()
    );
    let output = Command::new("bash").args(["-c", &asks]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "add apply", "{output:?}");
}
