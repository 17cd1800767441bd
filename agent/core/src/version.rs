//! Which build this is: every program, the status page and the metrics show the same. The commit is the release's, which names
//! it to the compiler (`tools/release/programs`): a source archive needs no git, and a developer's commit compiles nothing again.

use std::env::consts::{ARCH, OS};
use std::sync::LazyLock;

/// Of every crate of the workspace: `0.2.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty where nobody named it.
pub const COMMIT: &str = match option_env!("SKYFERRY_COMMIT") {
    Some(commit) => commit,
    None => "",
};

const LIBRARY: &str = if cfg!(target_env = "musl") {
    "-musl"
} else if cfg!(target_env = "gnu") {
    "-gnu"
} else {
    ""
};

/// `x86_64-linux-musl`.
pub fn target() -> &'static str {
    static TARGET: LazyLock<String> = LazyLock::new(|| format!("{ARCH}-{OS}{LIBRARY}"));
    &TARGET
}

/// `0.2.0 (0123456789ab, x86_64-linux-musl)`.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let commit = if COMMIT.is_empty() { String::new() } else { format!("{COMMIT}, ") };
        format!("{VERSION} ({commit}{})", target())
    });
    &LONG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_names_its_version_and_its_target() {
        assert!(
            long().starts_with(&format!("{VERSION} (")) && long().ends_with(&format!("{})", target())),
            "{}",
            long()
        );
        assert!(target().starts_with(&format!("{ARCH}-{OS}")));
    }
}
