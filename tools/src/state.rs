//! `skyferry state`: the files in which interrupted copies and reports are remembered.

use std::path::Path;

use anyhow::bail;
use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::{self, Cli, DONE};
use crate::output::counted;
use crate::state_file::{self, Remembered};
use crate::usage::UsageError;

/// Shows or deletes what commands remember to continue after an interruption.
///
/// `copy` and `sync` keep a file per SRC and DST, `inventory` one per report, in $XDG_STATE_HOME/skyferry or
/// ~/.local/state/skyferry. Files that were not used for 30 days are deleted by the next copy. Without its file, a copy compares
/// every object again and sends none that is equal.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry state list
  skyferry state forget copy-4f1f2c --dry-run")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Lists the files, with what they belong to, size and last use.
    #[command(after_help = "Example: skyferry state list --json")]
    List,
    /// Deletes files by the beginning of their names, or all.
    #[command(after_help = "Example: skyferry state forget copy-4f1f2c")]
    Forget {
        /// The beginning of a file's name, as `list` shows it.
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Show what would be deleted, and delete nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let directory = state_file::directory()?;
        let known = state_file::all(&directory)?;
        match &self.verb {
            Verb::List => list(cli, &directory, &known),
            Verb::Forget { names, all, dry_run } => {
                let meant: Vec<&Remembered> =
                    known.iter().filter(|one| *all || names.iter().any(|name| one.name.starts_with(name))).collect();
                let unknown = names.iter().find(|name| !known.iter().any(|one| one.name.starts_with(*name)));
                if let Some(name) = unknown {
                    return Err(UsageError(format!("no file in {} begins with {name}", directory.display())).into());
                }
                forget(cli, &meant, *dry_run)
            }
        }
    }
}

fn list(cli: &Cli, directory: &Path, known: &[Remembered]) -> anyhow::Result<u8> {
    for one in known {
        let used = Timestamp::try_from(one.used).unwrap_or_default();
        let used = Timestamp::from_second(used.as_second()).unwrap_or_default().to_string();
        let of = one.belongs_to();
        cli.output.line(&format!("{}  {used}  {:>10}  {of}", one.name, BinaryBytes(one.bytes).to_string()))?;
        cli.output.json(json!({ "name": one.name, "used": used, "bytes": one.bytes, "of": of }))?;
    }
    cli.output.line(&format!("{} in {}", counted(known.len() as u64, "file"), directory.display()))?;
    Ok(DONE)
}

fn forget(cli: &Cli, meant: &[&Remembered], dry_run: bool) -> anyhow::Result<u8> {
    for one in meant {
        if !dry_run && !one.forget()? {
            bail!("{} is in use by another command", one.name);
        }
        cli.output.line(&format!("{}{}", if dry_run { "would be deleted: " } else { "deleted: " }, one.name))?;
    }
    cli.output.json(json!({ "dry_run": dry_run, "deleted": meant.len() }))?;
    Ok(DONE)
}
