//! `skyferry clean`: ends multipart uploads that nobody will finish, and that everybody pays for. The agent does the same by
//! itself every few hours; this is for whoever wants to see it, or runs no agent any more.

use std::time::Duration;

use skyferry_agent::janitor::{AGE, Begun, Swept};
use skyferry_agent::wiring::Agent;
use skyferry_config as config;

use crate::settings::Config;
use crate::show::Show;
use crate::{DONE, WRONG};

/// Aborts leftover multipart uploads at the destinations of the settings' routes.
///
/// Only uploads that are certainly Skyferry's are aborted: at the destination of a key that the ledger knows, older than
/// --older-than, and not recorded by a writer that is still open. With a route for any source bucket nothing is certain, and
/// nothing is aborted.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry clean --config /etc/skyferry/agent.toml --dry-run")]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
    /// Only uploads older than this: 18h, 3d.
    #[arg(long, value_name = "AGE", value_parser = config::duration, default_value = "18h")]
    older_than: Duration,
    /// Show what would be aborted, and abort nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the counts as one line of JSON on stdout; everything else goes to stderr.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let show = Show::new(arguments.json, false);
    let Some(settings) = arguments.config.load() else { return Ok(WRONG) };
    if arguments.older_than < AGE && !arguments.dry_run {
        eprintln!("skyferry: uploads younger than {} hours may be an agent's that is at work", AGE.as_secs() / 3600);
    }
    let words = if arguments.dry_run { "would be ended" } else { "ended" };
    let runtime = skyferry_agent::process::runtime()?;
    let swept = runtime.block_on(async {
        let mut janitor = Agent::build(&settings).await?.janitor();
        janitor.dry = arguments.dry_run;
        janitor.tell = Some(Box::new(move |at, upload| eprintln!("{words}: {at} (upload {upload})")));
        anyhow::Ok(janitor.sweep(Begun::Ago(arguments.older_than)).await?)
    });
    let Swept { aborted, live, foreign } = swept?;
    show.say(&format!(
        "{aborted} uploads {words}, {live} left to their writers, {foreign} not known to be Skyferry's"
    ))?;
    if arguments.json {
        let dry_run = arguments.dry_run;
        show.json(
            &serde_json::json!({ "dry_run": dry_run, "ended": aborted, "live": live, "foreign": foreign }).to_string(),
        )?;
    }
    Ok(DONE)
}
