//! `skyferry inventory`: jobs for all that an S3 Inventory report lists.
//!
//! A file is read whole before a row of it is believed: to a temporary file, if it comes from a bucket, to take its MD5. Then
//! its rows pass in chunks, so that memory is the same for a thousand rows and for a billion; each chunk is flushed, then
//! remembered.
//!
//! ```text
//! place ▶ reports (manifest, files) ▶ rows (csv ◀ unpack, parquet; schema) ▶ walk ▶ choose (against) ▶ outlet
//! ```

mod arguments;
mod counts;
mod csv;
mod destination_index;
mod files;
mod job_sink;
mod listing;
mod location;
mod manifest;
mod parquet;
mod progress;
mod reports;
mod row;
mod row_filter;
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
use skyferry_config::{Settings, StoreSettings, VersionMode};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken as Stop;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::console::Console;
use crate::estimate::{CostEstimate, Estimate};
use crate::jobs::JobSender;
use crate::output::{Output, counted, seconds};
use crate::retry::RetryPolicy;
use crate::usage::OrUsage as _;
pub use arguments::Arguments;
use counts::InventoryCounts;
use destination_index::DestinationIndex;
use files::ReportFiles;
use job_sink::{FileSink, JobSink};
pub use listing::{Listing, ListingPosition};
use location::FileLocation;
use progress::InventoryProgress;
use reports::ReportFile;
use row_filter::{ListedJob, RowFilter};
use schema::Schema;
use state::State;
use walk::{RowChunk, RowWalk};

type Chunks = mpsc::Receiver<RowChunk<ListedJob>>;

/// How long the bucket of a report may refuse what only a person can repair.
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
    manifests: Vec<FileLocation>,
    against: Vec<FileLocation>,
    columns: Option<Schema>,
    estimate: Estimate,
}

impl Wanted {
    fn of(arguments: &Arguments, settings: &Settings) -> anyhow::Result<Wanted> {
        if arguments.deletes && !settings.transfer.deletes {
            return Err(anyhow!("--deletes needs deletes = true in [transfer] of {}", arguments.config.file.display()));
        }
        let places = |texts: &[OsString]| -> anyhow::Result<Vec<FileLocation>> {
            texts.iter().map(|text| FileLocation::parse(text).map_err(anyhow::Error::msg)).collect()
        };
        let names = arguments.columns.iter().map(String::as_str);
        let schema = (!arguments.columns.is_empty()).then(|| Schema::new(names)).transpose();
        let columns = schema.map_err(anyhow::Error::msg).context("--columns")?;
        if columns.as_ref().is_some_and(|schema| !schema.has(schema::Column::Bucket)) {
            return Err(anyhow!("--columns: no column Bucket, so the keys' bucket is unknown"));
        }
        let (manifests, against) = (places(&arguments.manifests)?, places(&arguments.against)?);
        Ok(Wanted { manifests, against, columns, estimate: Estimate::new(settings, arguments.prices.as_deref())? })
    }

    /// What the work is known by.
    fn name(&self, arguments: &Arguments) -> anyhow::Result<String> {
        let config = std::fs::canonicalize(&arguments.config.file)?;
        let names: Vec<String> = self.manifests.iter().map(FileLocation::name).collect();
        Ok(format!("{} {}", config.display(), names.join(" ")))
    }
}

async fn perform(arguments: &Arguments, settings: &Settings, wanted: Wanted, cli: &Cli) -> anyhow::Result<u8> {
    let (console, shutdown) = (&cli.console, &cli.shutdown);
    let begun = Instant::now();
    let agent = Agent::build_beside(settings).await?;
    let source = matches!(settings.source, StoreSettings::S3(_)).then(|| agent.source().clone());
    let files = ReportFiles::new(source, RetryPolicy::new(PATIENCE, console.clone()));
    let exact = settings.transfer.versions == VersionMode::Exact;
    let against = !wanted.against.is_empty();
    let row_filter = RowFilter::new(agent.router(), &arguments.selection, exact, arguments.deletes, against)?;
    let mut sending = tokio::select! {
        sending = Sending::prepare(arguments, wanted, files, row_filter, &agent) => sending?,
        () = shutdown.stop.cancelled() => return Ok(cli.stopped()),
    };
    let before = sending.state.mark.counts;
    if before.rows > 0 {
        console.line(&format!(
            "skyferry: continuing after {} of an earlier run (--restart starts over)",
            counted(before.rows, "row")
        ));
    }
    let progress = Arc::new(InventoryProgress::default());
    progress.at(sending.state.mark.files, &before);
    let shown = cli.progress().then(|| progress.show(console, sending.parts.len()));
    let whole = sending.run(arguments.keep_going, &progress, console, &shutdown.stop).await;
    drop(shown);
    console.clear();
    let counts = sending.state.mark.counts;
    let estimate = match whole {
        Ok(true) => {
            sending.state.delete()?;
            sending.sink.finish()?
        }
        _ => None,
    };
    report(arguments, &cli.output, &counts, estimate.as_ref(), begun.elapsed())?;
    match whole? {
        false => Ok(cli.stopped()),
        true => Ok(if counts.bad > 0 { FAILED } else { DONE }),
    }
}

/// Everything that is known before the first job is sent.
struct Sending {
    files: ReportFiles,
    parts: Vec<ReportFile>,
    /// Away while a file is read.
    row_filter: Option<(RowFilter, Option<DestinationIndex>)>,
    sink: JobSink,
    state: State,
}

impl Sending {
    async fn prepare(
        arguments: &Arguments,
        wanted: Wanted,
        files: ReportFiles,
        row_filter: RowFilter,
        agent: &Agent,
    ) -> anyhow::Result<Sending> {
        let parts = reports::open(&wanted.manifests, wanted.columns.as_ref(), &files).await?;
        let there = reports::open(&wanted.against, wanted.columns.as_ref(), &files).await.context("--against")?;
        let states: Vec<&str> = parts.iter().chain(&there).map(|part| part.state.as_str()).collect();
        let about = files::md5(format!("{} {}", states.join(" "), row_filter.description()).as_bytes());
        let against = match there.is_empty() {
            true => None,
            false => Some(table(there, &files).await.context("--against")?),
        };
        let name = wanted.name(arguments)?;
        let sink = match &arguments.to_file {
            Some(path) => JobSink::File(FileSink::new(path)?),
            None if arguments.dry_run => JobSink::Estimate(Box::new(wanted.estimate)),
            None => JobSink::Queue(JobSender::new(agent.queue().clone())),
        };
        let state = match &sink {
            JobSink::Queue(_) => {
                let file = crate::state_file::file(arguments.state.as_deref(), "inventory", "json", name.as_bytes())?;
                State::open(file, about, arguments.restart)?
            }
            // What is not sent is whole or nothing.
            _ => State::none(),
        };
        Ok(Sending { files, parts, row_filter: Some((row_filter, against)), sink, state })
    }

    /// `false`: it was told to stop.
    async fn run(
        &mut self,
        keep_going: bool,
        progress: &InventoryProgress,
        console: &Console,
        stop: &Stop,
    ) -> anyhow::Result<bool> {
        while let Some(part) = self.parts.get(self.state.mark.files) {
            let file = tokio::select! {
                file = part.fetch(&self.files) => file?,
                () = stop.cancelled() => return Ok(false),
            };
            let place = part.place.to_string();
            let (format, bucket) = (part.format.clone(), part.bucket.clone());
            let (mut row_filter, against) = self.row_filter.take().context("another file is still being read")?;
            let (from, (sender, chunks)) = (self.state.mark.rows, mpsc::channel(1));
            let reading = tokio::task::spawn_blocking(move || {
                let mut there = against.as_ref().map(DestinationIndex::ask).transpose()?;
                let walk = RowWalk::open(file, &format, from, keep_going)?;
                row_filter.accepts(walk.schema())?;
                walk.run(&sender, |row, chunk| row_filter.choose(row, &bucket, there.as_mut(), chunk))?;
                drop(there);
                anyhow::Ok((row_filter, against))
            });
            if !self.send(chunks, progress, console, stop).await? {
                return Ok(false);
            }
            self.row_filter = Some(reading.await?.context(place)?);
            (self.state.mark.files, self.state.mark.rows) = (self.state.mark.files + 1, 0);
            self.state.save()?;
        }
        Ok(true)
    }

    /// What is found in a file, chunk by chunk; the next is read meanwhile.
    async fn send(
        &mut self,
        mut chunks: Chunks,
        progress: &InventoryProgress,
        console: &Console,
        stop: &Stop,
    ) -> anyhow::Result<bool> {
        loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = stop.cancelled() => return Ok(false),
            };
            let Some(chunk) = chunk else { return Ok(true) };
            chunk.reported.iter().for_each(|line| console.line(&format!("skyferry: {line}")));
            self.sink.take(chunk.found).await?;
            self.state.mark.counts += chunk.counts;
            self.state.mark.rows = chunk.rows;
            self.state.save()?;
            progress.at(self.state.mark.files, &self.state.mark.counts);
        }
    }
}

/// What the destination's reports show.
async fn table(parts: Vec<ReportFile>, files: &ReportFiles) -> anyhow::Result<DestinationIndex> {
    let mut table = DestinationIndex::new()?;
    for part in parts {
        let file = part.fetch(files).await?;
        let ReportFile { format, bucket, place, .. } = part;
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

fn report(
    arguments: &Arguments,
    output: &Output,
    counts: &InventoryCounts,
    estimate: Option<&Estimate>,
    elapsed: Duration,
) -> anyhow::Result<()> {
    let jobs = match (arguments.dry_run, &arguments.to_file) {
        (true, _) => "would be sent",
        (_, Some(_)) => "jobs written",
        _ => "jobs sent",
    };
    output.line(&counts.describe(jobs))?;
    match estimate {
        // Nothing is listed.
        Some(estimate) => output.line(&format!("\n{}", estimate.describe(0, &arguments.fleet)))?,
        None => output.line(&format!("{} to copy, in {:.1} s", BinaryBytes(counts.bytes), elapsed.as_secs_f64()))?,
    }
    let estimate = estimate.map(|estimate| estimate.calculate(0, &arguments.fleet));
    let line = Line { dry_run: arguments.dry_run, counts: *counts, estimate, seconds: seconds(elapsed) };
    Ok(output.json(line)?)
}

#[derive(Serialize)]
struct Line {
    dry_run: bool,
    #[serde(flatten)]
    counts: InventoryCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<CostEstimate>,
    seconds: f64,
}
