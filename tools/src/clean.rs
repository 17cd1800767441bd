//! `skyferry clean`: ends multipart uploads that nobody will finish, and that everybody pays for. The agent does the same by
//! itself every few hours; this is for whoever wants to see it, or runs no agent any more.

use std::time::Duration;

use serde_json::json;
use skyferry_agent::janitor::{AGE, SweepReport, SweepScope};
use skyferry_agent::wiring::Agent;
use skyferry_config as config;

use crate::cli::{self, Cli, DONE};
use crate::output::counted;
use crate::settings::ConfigArgument;

/// Aborts leftover multipart uploads at the destinations of the settings' routes.
///
/// Only uploads that are certainly Skyferry's are aborted: at the destination of a key that the ledger knows, older than
/// --older-than, and not recorded by a writer that is still open. With a route for any source bucket nothing is certain, and
/// nothing is aborted.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry clean --config /etc/skyferry/agent.toml --dry-run")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only uploads older than this: 18h, 3d.
    #[arg(long, value_name = "AGE", value_parser = config::duration, default_value = "18h")]
    older_than: Duration,
    /// Show what would be aborted, and abort nothing.
    #[arg(long)]
    dry_run: bool,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.config.load()?;
        if self.older_than < AGE && !self.dry_run {
            cli.console.line(&format!(
                "skyferry: uploads younger than {} hours may be an agent's that is at work",
                AGE.as_secs() / 3600
            ));
        }
        let done = if self.dry_run { "would be ended" } else { "ended" };
        cli.block_on(async {
            let mut janitor = Agent::build_beside(&settings).await?.janitor();
            janitor.dry = self.dry_run;
            janitor.tell = Some(Box::new(move |at, upload| eprintln!("{done}: {at} (upload {upload})")));
            let SweepReport { aborted, live, foreign } = janitor.sweep(SweepScope::OlderThan(self.older_than)).await?;
            cli.output.line(&format!(
                "{} {done}, {live} in use by their writers, {foreign} not known to be Skyferry's",
                counted(aborted as u64, "upload"),
            ))?;
            cli.output.json(json!({ "dry_run": self.dry_run, "ended": aborted, "live": live, "foreign": foreign }))?;
            Ok(DONE)
        })
    }
}
