//! `skyferry inventory`: jobs for all that an S3 Inventory report lists.
//!
//! A file is read whole before a row of it is believed: to a temporary file, if it comes from a bucket, to take its MD5. Then
//! its rows pass in chunks, so that memory is the same for a thousand rows and for a billion; each chunk is flushed, then
//! remembered.
//!
//! ```text
//! place ▶ reports (manifest, files) ▶ rows (csv ◀ unpack, parquet; schema) ▶ walk ▶ choose (against) ▶ outlet
//! ```

mod against;
mod arguments;
mod choose;
mod counts;
mod csv;
mod files;
mod listing;
mod manifest;
mod outlet;
mod parquet;
mod place;
mod progress;
mod reports;
mod row;
mod rows;
mod schema;
mod state;
mod unpack;
mod walk;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::BinaryBytes;
use serde::Serialize;
use skyferry_agent::wiring::Agent;
use skyferry_config::{Settings, Store, Versions};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken as Stop;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::estimate::{Estimate, Reckoned};
use crate::jobs::Jobs;
use crate::patience::Patience;
use crate::show::{Show, seconds};
use crate::usage::OrUsage as _;
use crate::voice::Voice;
use against::Against;
pub use arguments::Arguments;
use choose::{Chooser, Job};
use counts::Counts;
use files::Files;
pub use listing::{Listing, Position};
use outlet::{Outlet, ToFile};
use place::Place;
use progress::Progress;
use reports::Part;
use schema::Schema;
use state::State;
use walk::{Chunk, Walk};

type Chunks = mpsc::Receiver<Chunk<Job>>;

/// How long the bucket of a report may refuse what only a person can mend.
const PATIENCE: Duration = Duration::from_secs(30);

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.config.load()?;
        let wanted = Wanted::of(self, &settings).or_usage()?;
        cli.stoppable(perform(self, &settings, wanted, cli))
    }
}

/// What was typed, understood.
struct Wanted {
    manifests: Vec<Place>,
    against: Vec<Place>,
    columns: Option<Schema>,
    estimate: Estimate,
}

impl Wanted {
    fn of(arguments: &Arguments, settings: &Settings) -> anyhow::Result<Wanted> {
        if arguments.deletes && !settings.transfer.deletes {
            return Err(anyhow!("--deletes needs deletes = true in [transfer] of {}", arguments.config.file.display()));
        }
        let places = |texts: &[OsString]| -> anyhow::Result<Vec<Place>> {
            texts.iter().map(|text| Place::parse(text).map_err(anyhow::Error::msg)).collect()
        };
        let names = arguments.columns.iter().map(String::as_str);
        let schema = (!arguments.columns.is_empty()).then(|| Schema::new(names)).transpose();
        let columns = schema.map_err(anyhow::Error::msg).context("--columns")?;
        if columns.as_ref().is_some_and(|schema| !schema.has(schema::Column::Bucket)) {
            return Err(anyhow!("--columns: no column Bucket, so the bucket of these keys is not known"));
        }
        let (manifests, against) = (places(&arguments.manifests)?, places(&arguments.against)?);
        Ok(Wanted { manifests, against, columns, estimate: Estimate::new(settings, arguments.prices.as_deref())? })
    }

    /// What the work is known by.
    fn name(&self, arguments: &Arguments) -> anyhow::Result<String> {
        let config = std::fs::canonicalize(&arguments.config.file)?;
        let names: Vec<String> = self.manifests.iter().map(Place::name).collect();
        Ok(format!("{} {}", config.display(), names.join(" ")))
    }
}

async fn perform(arguments: &Arguments, settings: &Settings, wanted: Wanted, cli: &Cli) -> anyhow::Result<u8> {
    let (voice, shutdown) = (&cli.voice, &cli.shutdown);
    let begun = Instant::now();
    let agent = Agent::build(settings).await?;
    let source = matches!(settings.source, Store::S3(_)).then(|| agent.source().clone());
    let files = Files::new(source, Patience::new(PATIENCE, voice.clone()));
    let exact = settings.transfer.versions == Versions::Exact;
    let against = !wanted.against.is_empty();
    let chooser = Chooser::new(agent.router(), &arguments.selection, exact, arguments.deletes, against)?;
    let mut sending = tokio::select! {
        sending = Sending::prepare(arguments, wanted, files, chooser, &agent) => sending?,
        () = shutdown.stop.cancelled() => return Ok(cli.stopped()),
    };
    let before = sending.state.mark.counts;
    if before.rows > 0 {
        voice.line(&format!("skyferry: going on after {} rows of an earlier run (--restart begins anew)", before.rows));
    }
    let progress = Arc::new(Progress::default());
    progress.at(sending.state.mark.files, &before);
    let shown = cli.progress().then(|| progress.show(voice, sending.parts.len()));
    let whole = sending.run(arguments.keep_going, &progress, voice, &shutdown.stop).await;
    drop(shown);
    voice.clear();
    let counts = sending.state.mark.counts;
    let estimate = match whole {
        Ok(true) => {
            sending.state.forget()?;
            sending.outlet.finish()?
        }
        _ => None,
    };
    tell(arguments, &cli.show, &counts, estimate.as_ref(), begun.elapsed())?;
    match whole? {
        false => Ok(cli.stopped()),
        true => Ok(if counts.bad > 0 { FAILED } else { DONE }),
    }
}

/// Everything that is known before the first job is sent.
struct Sending {
    files: Files,
    parts: Vec<Part>,
    /// Away while a file is read.
    chooser: Option<(Chooser, Option<Against>)>,
    outlet: Outlet,
    state: State,
}

impl Sending {
    async fn prepare(
        arguments: &Arguments,
        wanted: Wanted,
        files: Files,
        chooser: Chooser,
        agent: &Agent,
    ) -> anyhow::Result<Sending> {
        let parts = reports::open(&wanted.manifests, wanted.columns.as_ref(), &files).await?;
        let there = reports::open(&wanted.against, wanted.columns.as_ref(), &files).await.context("--against")?;
        let states: Vec<&str> = parts.iter().chain(&there).map(|part| part.state.as_str()).collect();
        let about = files::md5(format!("{} {}", states.join(" "), chooser.in_words()).as_bytes());
        let against = match there.is_empty() {
            true => None,
            false => Some(table(there, &files).await.context("--against")?),
        };
        let name = wanted.name(arguments)?;
        let outlet = match &arguments.to_file {
            Some(path) => Outlet::File(ToFile::new(path)?),
            None if arguments.dry_run => Outlet::Estimate(Box::new(wanted.estimate)),
            None => Outlet::Queue(Jobs::new(agent.queue().clone())),
        };
        let state = match &outlet {
            Outlet::Queue(_) => {
                let file = crate::remember::file(arguments.state.as_deref(), "inventory", "json", name.as_bytes())?;
                State::open(file, about, arguments.restart)?
            }
            // What is not sent is whole or nothing.
            _ => State::none(),
        };
        Ok(Sending { files, parts, chooser: Some((chooser, against)), outlet, state })
    }

    /// `false`: it was told to stop.
    async fn run(&mut self, keep_going: bool, progress: &Progress, voice: &Voice, stop: &Stop) -> anyhow::Result<bool> {
        while let Some(part) = self.parts.get(self.state.mark.files) {
            let file = tokio::select! {
                file = part.fetch(&self.files) => file?,
                () = stop.cancelled() => return Ok(false),
            };
            let place = part.place.to_string();
            let (format, bucket) = (part.format.clone(), part.bucket.clone());
            let (mut chooser, against) = self.chooser.take().context("another file is still read")?;
            let (from, (sender, chunks)) = (self.state.mark.rows, mpsc::channel(1));
            let reading = tokio::task::spawn_blocking(move || {
                let mut there = against.as_ref().map(Against::ask).transpose()?;
                let walk = Walk::open(file, &format, from, keep_going)?;
                chooser.accepts(walk.schema())?;
                walk.run(&sender, |row, chunk| chooser.choose(row, &bucket, there.as_mut(), chunk))?;
                drop(there);
                anyhow::Ok((chooser, against))
            });
            if !self.send(chunks, progress, voice, stop).await? {
                return Ok(false);
            }
            self.chooser = Some(reading.await?.context(place)?);
            (self.state.mark.files, self.state.mark.rows) = (self.state.mark.files + 1, 0);
            self.state.save()?;
        }
        Ok(true)
    }

    /// What is found in a file, chunk by chunk; the next is read meanwhile.
    async fn send(
        &mut self,
        mut chunks: Chunks,
        progress: &Progress,
        voice: &Voice,
        stop: &Stop,
    ) -> anyhow::Result<bool> {
        loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = stop.cancelled() => return Ok(false),
            };
            let Some(chunk) = chunk else { return Ok(true) };
            chunk.told.iter().for_each(|line| voice.line(&format!("skyferry: {line}")));
            self.outlet.take(chunk.found).await?;
            self.state.mark.counts += chunk.counts;
            self.state.mark.rows = chunk.rows;
            self.state.save()?;
            progress.at(self.state.mark.files, &self.state.mark.counts);
        }
    }
}

/// What the destination's reports show.
async fn table(parts: Vec<Part>, files: &Files) -> anyhow::Result<Against> {
    let mut table = Against::new()?;
    for part in parts {
        let file = part.fetch(files).await?;
        let Part { format, bucket, place, .. } = part;
        let filled = tokio::task::spawn_blocking(move || {
            let mut fill = table.fill()?;
            walk::all(file, &format, |row| fill.add(&bucket, row))?;
            drop(fill);
            anyhow::Ok(table)
        });
        table = filled.await?.context(place.to_string())?;
    }
    Ok(table)
}

fn tell(
    arguments: &Arguments,
    show: &Show,
    counts: &Counts,
    estimate: Option<&Estimate>,
    elapsed: Duration,
) -> anyhow::Result<()> {
    let jobs = match (arguments.dry_run, &arguments.to_file) {
        (true, _) => "would be sent",
        (_, Some(_)) => "jobs written",
        _ => "jobs sent",
    };
    show.say(&counts.in_words(jobs))?;
    match estimate {
        // Nothing is listed.
        Some(estimate) => show.say(&format!("\n{}", estimate.words(0, &arguments.fleet)))?,
        None => show.say(&format!("{} to copy, in {:.1} s", BinaryBytes(counts.bytes), elapsed.as_secs_f64()))?,
    }
    let estimate = estimate.map(|estimate| estimate.reckon(0, &arguments.fleet));
    let line = Line { dry_run: arguments.dry_run, counts: *counts, estimate, seconds: seconds(elapsed) };
    Ok(show.json(line)?)
}

#[derive(Serialize)]
struct Line {
    dry_run: bool,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Reckoned>,
    seconds: f64,
}
