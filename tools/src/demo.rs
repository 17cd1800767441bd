//! `skyferry demo`: the whole thing on one machine, without an account anywhere. A source bucket, two destinations, a
//! queue of S3 events and the agent itself run in this process; then every byte is read back and compared.
//!
//! ```text
//! goods    what the source holds: keys, bytes made from a seed, metadata
//! stage    the servers, the keys to them, and clients of the demo's own
//! events   what S3 would have told
//! leg      one run of the agent to one destination, with trouble in the middle
//! proof    the reading back
//! meter    what it cost
//! report   the table and the JSON
//! step     progress
//! ```

mod dataset;
mod events;
mod report;
mod run;
mod rusage;
mod servers;
mod step;
mod verify;

use std::time::Instant;

use anyhow::Context as _;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::output::Output;
use dataset::Dataset;
use report::{DemoReport, SourceReport};
use run::DemoRun;
use servers::DemoServers;
use step::DemoStep;

/// Runs and verifies a copy to GCS and to S3, all on this machine.
///
/// Starts object stores on free ports of 127.0.0.1, sends S3 events for several hundred objects and one of 1 GiB to the
/// agent, disturbs it, and compares every byte at the end. Needs up to 3.5 GiB in the temporary directory for less than a
/// minute, and removes everything afterwards.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry demo --quick")]
pub struct Arguments {
    /// Use a large object of 64 MiB instead of 1 GiB.
    #[arg(long)]
    quick: bool,
}

/// The directory outlives the runtime: nobody writes into it when it goes.
impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let directory = tempfile::Builder::new().prefix("skyferry-demo-").tempdir().context("a temporary directory")?;
        let ended = cli.stoppable(async {
            tokio::select! {
                facts = perform(self, directory.path(), &cli.output) => facts.map(Some),
                () = cli.shutdown.stop.cancelled() => Ok(None),
            }
        });
        let place = directory.path().display().to_string();
        directory.close().with_context(|| format!("{place} could not be removed"))?;
        let Some(facts) = ended? else {
            cli.output.line("Interrupted; everything has been removed.")?;
            return Ok(cli.stopped());
        };
        cli.output.line(&facts.table())?;
        cli.output.json(&facts)?;
        Ok(if facts.verified { DONE } else { FAILED })
    }
}

async fn perform(arguments: &Arguments, directory: &std::path::Path, output: &Output) -> anyhow::Result<DemoReport> {
    let started = Instant::now();
    let mut dataset = Dataset::new(arguments.quick);
    output.line(&report::opening(&dataset, directory))?;
    let mut stage = DemoServers::set(directory)?;
    let bytes = dataset.bytes();
    let filling = DemoStep::new(output, "filling the source", dataset.count(), bytes);
    let sent = dataset.put_all(&stage.source, &filling).await?;
    filling.done(&format!("{sent} objects put into the source by its S3 API"))?;
    let mut legs = Vec::new();
    for number in 0..servers::DESTINATIONS {
        let destination = stage.destination(number)?;
        let leg = DemoRun { number, directory, source: &stage.source, destination: &destination };
        let crossed = leg.run(&mut dataset, output).await.with_context(|| destination.name.to_owned())?;
        let reading = DemoStep::new(output, "reading back", dataset.count(), dataset.bytes());
        let proof =
            verify::verify(&destination, &dataset, &reading).await.with_context(|| destination.name.to_owned())?;
        reading.done(&proof.describe(destination.name))?;
        legs.push(report::DestinationReport::new(&destination, crossed, proof, &dataset));
        // What it stored goes with it, before the next one needs the room.
    }
    Ok(DemoReport::new(
        SourceReport { server: servers::S3_SERVER, objects: dataset.count(), bytes },
        legs,
        started.elapsed(),
    ))
}
