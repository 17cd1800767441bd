//! `skyferry scan`: what the predecessors' jobsender did. Lists both sides of every route, and sends a job for each object
//! that differs while it still lists. The agents look for themselves before they copy, so a job too many costs two HEADs.

mod removals;
pub mod resumable;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use skyferry_agent::leader::Leader;
use skyferry_config as config;
use skyferry_core::event::{self, ParsedMessage};
use skyferry_core::queue::{Depth, Message, Queue};
use tokio::time::Instant;

use crate::cli::{self, Cli, DONE};
use crate::compare::{ComparedSides, Comparison, Difference, ListedPair, Tally, side_by_side};
use crate::estimate::{CostEstimate, Estimate, FleetArguments};
use crate::jobs::JobSender;
use crate::output::{Output, counted, seconds};
use crate::report::{ObjectReport, ReportArguments};
use crate::scope::{ScopeArguments, ScopedRun, SeenKeys};
use crate::usage::UsageError;

use crate::locked;
use removals::Removals;

/// Lists source and destination and sends a job to the queue for every object that differs.
///
/// Both sides are listed at the same time and compared as the pages arrive. Objects are equal if they have the same size and
/// ETag, or if both still are what the ledger recorded. Where ETags decide nothing (multipart objects, SSE-KMS), size and
/// time decide; --head compares more. Agents look at an object again before they copy it, so a superfluous job does no harm,
/// and the queue need not be empty.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry scan --config agent.toml --dry-run
  skyferry scan --config agent.toml --prefix photos/2025 --older-than 1h
  skyferry scan --config s3_migration_cluster_config.ini --if-queue-empty")]
pub struct Arguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// Compare headers, metadata and stored checksums, with one HEAD per object and side. With transfer.metadata off, only
    /// where listings and ledger prove nothing.
    #[arg(long)]
    head: bool,
    /// Write the newest version of each object into its job, for agents with transfer.versions = "exact". Listing versions
    /// takes longer where there are many old ones.
    #[arg(long)]
    versions: bool,
    /// Also send jobs for objects that are only at the destination, so that agents delete them if they are Skyferry's. Needs
    /// transfer.deletes; none are sent if they are more than transfer.max_delete_share of all objects.
    #[arg(long)]
    deletes: bool,
    /// Do nothing while the queue holds messages, as the jobsender of the earlier programs did. The test event that S3 sends
    /// when a notification is configured does not count.
    #[arg(long)]
    if_queue_empty: bool,
    /// Do nothing if another scan with this option started less than TIME ago: for a timer on every machine of a fleet. The
    /// ledger decides which machine scans.
    #[arg(long, value_name = "TIME", conflicts_with = "dry_run", value_parser = config::duration)]
    once_per: Option<Duration>,
    /// Send nothing; show what would be sent, how long it would take and what it would cost.
    #[arg(long)]
    dry_run: bool,
    /// Prices for --dry-run [default: those of config/prices.toml].
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    #[command(flatten)]
    fleet: FleetArguments,
    #[command(flatten)]
    report: ReportArguments,
}

/// The note in the ledger of the scan that was the last to start.
const NOTE: &str = "scan";
/// How long the one message that there seems to be is waited for.
const LOOK: Duration = Duration::from_secs(2);

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.scope.config.load()?;
        if self.deletes && !settings.transfer.deletes {
            let text = "--deletes needs transfer.deletes = true: without it the agents delete nothing";
            return Err(UsageError(text.into()).into());
        }
        let estimate = Estimate::new(&settings, self.prices.as_deref())?;
        cli.stoppable(async {
            let opened = tokio::select! {
                opened = self.scope.open(settings, self.head, &cli.console) => opened,
                () = cli.shutdown.stop.cancelled() => return Ok(cli.stopped()),
            };
            let mut opened = opened?;
            opened.sides.iter_mut().for_each(|sides| sides.from.versions = self.versions);
            let report = self.report.create(&opened.settings)?;
            Scan::new(self, &opened, cli, estimate, report).run().await
        })
    }
}

struct Scan<'a> {
    arguments: &'a Arguments,
    scoped: &'a ScopedRun,
    cli: &'a Cli,
    began: Instant,
    tally: Mutex<Tally>,
    estimate: Mutex<Estimate>,
    removals: Mutex<Removals>,
    seen: SeenKeys,
    report: Mutex<Option<ObjectReport>>,
    jobs: tokio::sync::Mutex<JobSender>,
}

impl<'a> Scan<'a> {
    fn new(
        arguments: &'a Arguments,
        scoped: &'a ScopedRun,
        cli: &'a Cli,
        estimate: Estimate,
        report: Option<ObjectReport>,
    ) -> Scan<'a> {
        Scan {
            arguments,
            scoped,
            cli,
            began: Instant::now(),
            tally: Mutex::default(),
            estimate: Mutex::new(estimate),
            removals: Mutex::default(),
            seen: SeenKeys::default(),
            report: Mutex::new(report),
            jobs: tokio::sync::Mutex::new(JobSender::new(scoped.agent.queue().clone())),
        }
    }

    async fn run(self) -> anyhow::Result<u8> {
        let output = &self.cli.output;
        if self.arguments.if_queue_empty && !nothing_waits(&**self.scoped.agent.queue()).await? {
            output.line("the queue is not empty: nothing was listed")?;
            self.line(output, Tally::default(), 0, None).await?;
            return Ok(DONE);
        }
        if let Some(term) = self.arguments.once_per
            && !Leader::new(self.scoped.agent.ledger().clone(), NOTE, term).try_lead().await?
        {
            output.line("another scan of this fleet has just started: nothing was listed")?;
            self.line(output, Tally::default(), 0, None).await?;
            return Ok(DONE);
        }
        let ScopedRun { sides, at_once, patience, .. } = self.scoped;
        let each = async |sides: &ComparedSides, pairs| self.page(sides, pairs).await;
        let compared = tokio::select! {
            compared = side_by_side(sides, *at_once, patience, each) => Some(compared),
            () = self.cli.shutdown.stop.cancelled() => None,
            () = self.cli.ticker(|| locked(&self.tally).progress(self.began.elapsed())) => None,
        };
        let flushed = self.jobs.lock().await.flush().await;
        let removed = match (&compared, &flushed) {
            (Some(Ok(())), Ok(())) => self.remove().await,
            _ => Ok(()),
        };
        let report = locked(&self.report).take();
        if let Some(report) = report {
            report.finish(&self.scoped.agent).await.context("the report could not be written")?;
        }
        self.cli.console.clear();
        self.report(output).await?;
        flushed.context("jobs could not be sent")?;
        let Some(compared) = compared else {
            self.cli.console.line("skyferry: stopped; the same command finds the rest");
            return Ok(self.cli.stopped());
        };
        compared.context(
            "the comparison was interrupted; the differences found so far were sent, and the same command finds the rest",
        )?;
        removed?;
        self.seen.check(self.scoped, true)?;
        Ok(DONE)
    }

    async fn page(&self, sides: &ComparedSides, pairs: Vec<ListedPair>) -> anyhow::Result<()> {
        if !pairs.is_empty() {
            self.seen.add(sides);
        }
        let judged = self.scoped.classifier.classify(sides, pairs).await?;
        locked(&self.tally).add(&judged);
        for finding in &judged.findings {
            if let Some(report) = &mut *locked(&self.report) {
                report.add(finding).context("the report could not be written")?;
            }
            let Comparison::Differs(why) = finding.verdict else { continue };
            if self.cli.verbose && (why != Difference::Extra || self.arguments.deletes) {
                self.cli.console.line(&format!("{}: {}", why.name(), finding.source));
            }
            match &finding.here {
                Some(here) => {
                    locked(&self.estimate).add(here.size);
                    if !self.arguments.dry_run {
                        self.jobs.lock().await.send(finding.to_message()).await?;
                    }
                }
                None if self.arguments.deletes => locked(&self.removals).add(&finding.source)?,
                None => {}
            }
        }
        Ok(())
    }

    /// The fuse: a source that was emptied by mistake must not empty the destination.
    async fn remove(&self) -> anyhow::Result<()> {
        let removals = std::mem::take(&mut *locked(&self.removals));
        let there = locked(&self.tally).at_destination();
        let most = self.scoped.settings.transfer.max_delete_share;
        if removals.count() * 100 > there * u64::from(most) {
            bail!(
                "{} of {there} objects would be deleted, more than transfer.max_delete_share ({most} %): no deletion was sent; raise it if this is intended",
                removals.count()
            );
        }
        if self.arguments.dry_run {
            return Ok(());
        }
        let mut jobs = self.jobs.lock().await;
        for message in removals.into_messages()? {
            jobs.send(message?).await?;
        }
        Ok(jobs.flush().await?)
    }

    async fn report(&self, output: &Output) -> anyhow::Result<()> {
        let tally = locked(&self.tally).clone();
        let sent = self.jobs.lock().await.sent();
        output.line(&tally.table(self.arguments.head))?;
        let estimate =
            self.arguments.dry_run.then(|| locked(&self.estimate).calculate(tally.total_keys(), &self.arguments.fleet));
        match estimate {
            Some(_) => output
                .line(&format!("\n{}", locked(&self.estimate).describe(tally.total_keys(), &self.arguments.fleet)))?,
            None => {
                let seconds = self.began.elapsed().as_secs_f64();
                output.line(&format!(
                    "{} sent; {} in {seconds:.1} s",
                    counted(sent, "job"),
                    counted(tally.total_keys(), "key")
                ))?;
            }
        }
        self.line(output, tally, sent, estimate).await
    }

    async fn line(
        &self,
        output: &Output,
        tally: Tally,
        sent: u64,
        estimate: Option<CostEstimate>,
    ) -> anyhow::Result<()> {
        let seconds = seconds(self.began.elapsed());
        let line = Line { dry_run: self.arguments.dry_run, sent, tally, estimate, seconds };
        let line = serde_json::to_value(line)?;
        output.json(&line)?;
        self.arguments.report.notify(&line, &self.cli.console).await;
        Ok(())
    }
}

/// The queue is empty, or holds nothing but the test event that S3 sent when the notification was set up.
async fn nothing_waits(queue: &dyn Queue) -> anyhow::Result<bool> {
    let depth = queue.depth().await?;
    if depth != (Depth { visible: 1, ..Depth::default() }) {
        return Ok(depth.is_empty());
    }
    let messages = queue.receive(1, LOOK).await?;
    for message in &messages {
        queue.release(&message.receipt, Duration::ZERO).await?;
    }
    let is_test = |message: &Message| {
        matches!(event::parse(message.body.as_bytes()), ParsedMessage::Nothing(event::NoWorkReason::TestEvent))
    };
    Ok(!messages.is_empty() && messages.iter().all(is_test))
}

#[derive(Serialize)]
struct Line {
    dry_run: bool,
    sent: u64,
    #[serde(flatten)]
    tally: Tally,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<CostEstimate>,
    seconds: f64,
}
