//! `skyferry limit`: the bandwidth of a fleet that runs, by a note in the ledger that every agent reads.

use std::time::Duration;

use serde_json::json;
use skyferry_agent::bandwidth::{BandwidthNote, parse_limit};
use skyferry_agent::fleet_note;
use skyferry_agent::wiring::open_ledger;
use skyferry_config as config;

use crate::cli::{self, Cli, DONE};
use crate::pause::settings_with_notes;
use crate::settings::ConfigArgument;

/// Limits the bandwidth of every agent of this ledger while they run.
///
/// RATE is bytes per second of each agent (10MB/s), 0 for no limit, or `off`: then the agents return to `max_bandwidth` of their
/// settings. Agents read the ledger about every 15 seconds. (After SIGHUP an agent also reads `max_bandwidth` from its settings
/// file again.)
#[derive(clap::Args)]
#[command(
    after_help = "Examples: skyferry limit 10MB/s --config /etc/skyferry/agent.toml --for 8h\\n          skyferry limit off --config /etc/skyferry/agent.toml"
)]
pub struct Arguments {
    /// Bytes per second of each agent, 0 or off.
    #[arg(value_name = "RATE", value_parser = parse_limit)]
    rate: NewRate,
    #[command(flatten)]
    config: ConfigArgument,
    /// Duration: 90s, 30m, 2h, 1d [default: until `skyferry limit off`].
    #[arg(long = "for", value_name = "TIME", value_parser = config::duration)]
    length: Option<Duration>,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// `None`: off.
type NewRate = Option<u64>;

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = settings_with_notes(&self.config)?;
        let note = self.rate.map(|rate| BandwidthNote::new(rate, self.length));
        cli.block_on(async {
            let ledger = open_ledger(&settings).await?;
            let before = match self.dry_run {
                true => fleet_note::read(&*ledger).await,
                false => fleet_note::write(&*ledger, note.as_ref()).await,
            }?;
            cli.output.line(&describe(note.as_ref(), before.as_ref(), self.dry_run))?;
            cli.output.json(json!({ "dry_run": self.dry_run, "limit": note, "before": before }))?;
            Ok(DONE)
        })
    }
}

fn describe(to: Option<&BandwidthNote>, before: Option<&BandwidthNote>, dry_run: bool) -> String {
    let now = to.map_or_else(|| "max_bandwidth of the settings".to_owned(), BandwidthNote::to_string);
    let before = before.map(|before| format!(" (before: {before})")).unwrap_or_default();
    format!("{}{now}{before}", if dry_run { "would be written: " } else { "" })
}
