//! `skyferry man`: pages for man(1), which the packages carry.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{self, Cli, DONE};
use crate::output::counted;

/// Writes the manual pages of all commands into a directory.
#[derive(clap::Args)]
#[command(hide = true)]
#[command(after_help = "Example: skyferry man /usr/local/share/man/man1")]
pub struct Arguments {
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let written = || -> std::io::Result<usize> {
            std::fs::create_dir_all(&self.directory)?;
            clap_mangen::generate_to(crate::Arguments::command(), &self.directory)?;
            Ok(std::fs::read_dir(&self.directory)?.count())
        };
        let count = written().with_context(|| self.directory.display().to_string())?;
        cli.output.line(&format!("{} in {}", counted(count as u64, "page"), self.directory.display()))?;
        cli.output.json(serde_json::json!({ "pages": count }))?;
        Ok(DONE)
    }
}
