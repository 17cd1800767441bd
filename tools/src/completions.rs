//! `skyferry completions`: what a shell needs to know to complete the words of this program.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{self, Cli, DONE};

/// Prints completions for a shell.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  source <(skyferry completions bash)
  skyferry completions zsh > ~/.zfunc/_skyferry
  skyferry completions fish > ~/.config/fish/completions/skyferry.fish")]
pub struct Arguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Arguments::command(), "skyferry", &mut script);
        cli.output.line(String::from_utf8(script)?.trim_end())?;
        Ok(DONE)
    }
}
