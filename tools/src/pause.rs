//! `skyferry pause` and `skyferry resume`: a whole fleet rests and continues, by a note in the ledger that every agent reads.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use skyferry_agent::fuse::DeletionCounts;
use skyferry_agent::pause::Pause;
use skyferry_agent::wiring::open_ledger;
use skyferry_config as config;
use skyferry_config::Settings;

use crate::cli::{self, Cli, DONE};
use crate::settings::ConfigArgument;
use crate::usage::UsageError;

/// Makes every agent of this ledger stop receiving messages. Objects in progress are finished.
///
/// Agents read the ledger about every 15 seconds, and a poll in progress may last another 20. They continue when the time is
/// over or after `skyferry resume`. A second pause replaces the first. Messages stay in the queue, whose retention continues
/// to run.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry pause --config /etc/skyferry/agent.toml --for 2h \\
    --reason 'the bucket moves'")]
pub struct PauseArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Duration: 90s, 30m, 2h, 1d [default: until `skyferry resume`].
    #[arg(long = "for", value_name = "TIME", value_parser = config::duration)]
    length: Option<Duration>,
    /// The reason; agents show it while they are paused.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Makes the agents of this ledger continue, within about 15 seconds.
///
/// With --deletes: allows deletions that were stopped because there were too many at once. For one hour all deletions are
/// carried out; those that were stopped are tried again within about five minutes. Then they are counted from zero.
#[derive(clap::Args)]
#[command(
    after_help = "Examples: skyferry resume --config /etc/skyferry/agent.toml\n          skyferry resume --config /etc/skyferry/agent.toml --deletes"
)]
pub struct ResumeArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Allow stopped deletions, instead of ending a pause.
    #[arg(long)]
    deletes: bool,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

impl cli::Command for PauseArguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let pause = Pause::new(self.length, self.reason.clone());
        change(cli, &self.config, Some(&pause), self.dry_run)
    }
}

impl cli::Command for ResumeArguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        match self.deletes {
            true => allow_deletions(cli, &self.config, self.dry_run),
            false => change(cli, &self.config, None, self.dry_run),
        }
    }
}

fn allow_deletions(cli: &Cli, config: &ConfigArgument, dry_run: bool) -> anyhow::Result<u8> {
    let settings = settings_with_notes(config)?;
    cli.block_on(async {
        let ledger = open_ledger(&settings).await?;
        let held = match dry_run {
            true => Some(DeletionCounts::read(&*ledger).await?),
            false => DeletionCounts::allow_all(&*ledger).await?,
        };
        let Some(held) = held else {
            bail!("the ledger did not accept the note: others change it at the same time; try again")
        };
        let now = match &held {
            Some(held) => format!("deletions are allowed for an hour; they were {held}"),
            None => "no deletions were held back; for an hour none will be".to_owned(),
        };
        cli.output.line(&if dry_run { format!("would be written: {now}") } else { now })?;
        cli.output.json(json!({ "dry_run": dry_run, "deletions_held": held }))?;
        Ok(DONE)
    })
}

/// None that keeps no notes.
pub fn settings_with_notes(config: &ConfigArgument) -> anyhow::Result<Settings> {
    let settings = config.load()?;
    if matches!(settings.ledger, config::LedgerSettings::None) {
        let text = "[ledger] kind = \"none\" has no place for a pause: stop the agents instead";
        return Err(UsageError(text.into()).into());
    }
    Ok(settings)
}

fn change(cli: &Cli, config: &ConfigArgument, to: Option<&Pause>, dry_run: bool) -> anyhow::Result<u8> {
    let settings = settings_with_notes(config)?;
    cli.block_on(async {
        let ledger = open_ledger(&settings).await?;
        let before = if dry_run { Pause::read(&*ledger).await } else { Pause::write(&*ledger, to).await }?;
        cli.output.line(&describe(to, before.as_ref(), dry_run))?;
        cli.output.json(json!({ "dry_run": dry_run, "paused": to, "before": before }))?;
        Ok(DONE)
    })
}

fn describe(to: Option<&Pause>, before: Option<&Pause>, dry_run: bool) -> String {
    let now = match (to, before) {
        (Some(pause), None) => pause.to_string(),
        (Some(pause), Some(before)) => format!("{pause} (before: {before})"),
        (None, Some(before)) => format!("resumed; it was {before}"),
        (None, None) => "nothing was paused".into(),
    };
    if dry_run { format!("would be written: {now}") } else { now }
}
