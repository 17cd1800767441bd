//! `skyferry version`: which program this is.

use serde_json::json;
use skyferry_core::version;

use crate::cli::{self, Cli, DONE};

/// Prints the version, and with --json also what the program runs on.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry version --json")]
pub struct Arguments {}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        if !cli.output.is_json() {
            cli.output.line(&format!("skyferry {}", version::long()))?;
        }
        let (version, commit, target) = (version::VERSION, version::COMMIT, version::target());
        cli.output.json(json!({ "version": version, "commit": commit, "target": target }))?;
        Ok(DONE)
    }
}
