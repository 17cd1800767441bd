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

mod events;
mod goods;
mod leg;
mod meter;
mod proof;
mod report;
mod stage;
mod step;

use std::time::Instant;

use anyhow::Context as _;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::show::Show;
use goods::Goods;
use leg::Leg;
use report::{Facts, Source};
use stage::Stage;
use step::Step;

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
                facts = perform(self, directory.path(), &cli.show) => facts.map(Some),
                () = cli.shutdown.stop.cancelled() => Ok(None),
            }
        });
        let place = directory.path().display().to_string();
        directory.close().with_context(|| format!("{place} could not be removed"))?;
        let Some(facts) = ended? else {
            cli.show.say("Interrupted; everything has been removed.")?;
            return Ok(cli.stopped());
        };
        cli.show.say(&facts.table())?;
        cli.show.json(&facts)?;
        Ok(if facts.verified { DONE } else { FAILED })
    }
}

async fn perform(arguments: &Arguments, directory: &std::path::Path, show: &Show) -> anyhow::Result<Facts> {
    let started = Instant::now();
    let mut goods = Goods::new(arguments.quick);
    show.say(&report::opening(&goods, directory))?;
    let mut stage = Stage::set(directory)?;
    let bytes = goods.bytes();
    let filling = Step::new(show, "filling the source", goods.count(), bytes);
    let sent = goods.put_all(&stage.source, &filling).await?;
    filling.done(&format!("{sent} objects put into the source by its S3 API"))?;
    let mut legs = Vec::new();
    for number in 0..stage::DESTINATIONS {
        let destination = stage.destination(number)?;
        let leg = Leg { number, directory, source: &stage.source, destination: &destination };
        let crossed = leg.run(&mut goods, show).await.with_context(|| destination.name.to_owned())?;
        let reading = Step::new(show, "reading back", goods.count(), goods.bytes());
        let proof = proof::prove(&destination, &goods, &reading).await.with_context(|| destination.name.to_owned())?;
        reading.done(&proof.in_words(destination.name))?;
        legs.push(report::Leg::new(&destination, crossed, proof, &goods));
        // What it stored goes before the next one needs the room.
        destination.end()?;
    }
    Ok(Facts::new(Source { server: stage::S3_SERVER, objects: goods.count(), bytes }, legs, started.elapsed()))
}
