//! `skyferry status`: how a fleet is doing, from its queue, its ledger and its agents' own words. One look, or one every two
//! seconds.

pub mod agents;
mod describe;
mod snapshot;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use skyferry_config::Settings;
use tokio::time::{Instant, sleep};

use crate::cli::{self, Cli, DONE, FAILED};
use crate::settings::ConfigArgument;
use crate::usage::OrUsage as _;
use agents::Agents;
use snapshot::{FleetStatus, FleetTotals};

/// Between two looks; and what a rate is measured over at least.
const PERIOD: Duration = Duration::from_secs(2);
/// A rate is that of the last half minute.
const LOOKS: usize = 15;
/// Looks after which the ledger is asked again which agents there are.
const DISCOVERY: usize = 15;

/// Shows the state of a fleet: queue depth, objects in progress, throughput, lag, parked records with reasons, time to empty.
///
/// Queue and ledger are read with the credentials of the settings, and each agent is asked for its /status.json. Agents are
/// found by the notes that they keep in the ledger. One that does not answer is shown as such. Rates are measured over two seconds, or with --watch over the last half minute. SQS
/// does not report the age of its oldest message: the lag is the age of the message that an agent finished last.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry status --config /etc/skyferry/agent.toml \\
    --agent http://10.0.0.7:9180 --watch")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The status address of an agent; repeatable [default: those that the ledger knows, or the one of the settings, on this
    /// machine].
    #[arg(long = "agent", value_name = "URL")]
    agents: Vec<String>,
    /// Repeat every two seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.config.load()?;
        let agents = Agents::new(&self.agents, settings.listen).or_usage()?;
        cli.block_on(print_status(cli, self.watch, &settings, agents))
    }
}

async fn print_status(cli: &Cli, watch: bool, settings: &Settings, mut agents: Agents) -> anyhow::Result<u8> {
    let repaint = watch && !cli.output.is_json() && std::io::stdout().is_terminal();
    let places = snapshot::StatusSources::open(settings).await;
    let mut before: VecDeque<(Instant, FleetTotals)> = VecDeque::new();
    for look in 0.. {
        if look % DISCOVERY == 0 {
            agents.discover(places.members().await);
        }
        let (at, seen) = (Instant::now(), agents.ask().await);
        let totals = FleetTotals::of(&seen);
        // Nothing to measure a rate against yet.
        if before.is_empty() && totals.answering > 0 {
            before.push_back((at, totals));
            sleep(PERIOD).await;
            continue;
        }
        let rate = before.front().map(|(then, old)| totals.since(old, at - *then)).unwrap_or_default();
        let fleet = FleetStatus::new(places.snapshot().await, seen, totals, rate);
        let text = describe::describe(&fleet);
        cli.output.line(&if repaint { format!("\x1b[H\x1b[J{text}") } else { text })?;
        cli.output.json(&fleet)?;
        if !watch {
            return Ok(if fleet.queues.iter().any(|queue| queue.error.is_some()) { FAILED } else { DONE });
        }
        before.push_back((at, totals));
        if before.len() > LOOKS {
            before.pop_front();
        }
        sleep(PERIOD).await;
    }
    Ok(DONE)
}
