//! `skyferry verify`: the comparison of `scan` as a proof. What seems to differ is looked at once more before it is reported,
//! and a share of the objects is read, if asked for.

mod reading;

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::compare::{ComparedSides, Comparison, Difference, Finding, ListedPair, Tally, side_by_side};
use crate::copy::arguments::Connection;
use crate::jobs::JobSender;
use crate::output::{Output, counted, seconds};
use crate::report::{ObjectReport, ReportArguments};
use crate::scope::{ScopeArguments, ScopedRun, SeenKeys};
use reading::{ContentCheck, ReadShare};

/// Differences that are named on stdout; --report has all.
const NAMED: usize = 20;

/// Verifies that source and destination are equal, and reports every difference.
///
/// With SRC and DST, in the forms of `skyferry copy` and with its flags, these are compared; else the routes of the agent's
/// settings.
///
/// Compares as `scan` does, and checks each apparent difference a second time. --head compares stored checksums, headers and
/// metadata of every object without reading its data; --read reads a share of the objects, or all. Changes since the start
/// are left to their events and are not differences. Objects that are only at the destination are reported; they are
/// differences if transfer.deletes is on. The exit code is 1 if there is any difference.
#[derive(clap::Args)]
#[command(override_usage = "skyferry verify [OPTIONS] SRC DST\n       skyferry verify [OPTIONS] --config FILE")]
#[command(after_help = "Examples:
  skyferry verify s3://from/photos gs://to/photos --head
  skyferry verify --config agent.toml --head --report differences.csv
  skyferry verify --config agent.toml --prefix photos/2025 --read 1%
  skyferry verify --config agent.toml --repair")]
pub struct Arguments {
    #[command(flatten)]
    pair: Connection,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Compare headers, metadata and stored checksums, with one HEAD per object and side. With transfer.metadata off, only
    /// where listings and ledger prove nothing.
    #[arg(long)]
    head: bool,
    /// Read this share of the objects and compare their digests with the source: 1%, 0.001, all.
    #[arg(long, value_name = "SHARE")]
    read: Option<ReadShare>,
    /// Send a job for each object that is missing or different. Not with SRC and DST: `skyferry copy` copies these.
    #[arg(long, conflicts_with = "source")]
    repair: bool,
    /// With --repair: only count, and send nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: ReportArguments,
}

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = match self.pair.source {
            Some(_) => None,
            None => Some(self.scope.config.load()?),
        };
        cli.block_on(async {
            let mut scoped = match settings {
                Some(settings) => self.scope.open(settings, self.head, &cli.console).await?,
                None => self.scope.open_pair(&self.pair, self.head, &cli.console).await?,
            };
            scoped.classifier.confirm = true;
            let report = self.report.create(&scoped.settings)?;
            Verify::new(self, &scoped, cli, report).run().await
        })
    }
}

struct Verify<'a> {
    arguments: &'a Arguments,
    scoped: &'a ScopedRun,
    cli: &'a Cli,
    began: Instant,
    reading: Option<ContentCheck>,
    found: Mutex<Found>,
    seen: SeenKeys,
    jobs: tokio::sync::Mutex<JobSender>,
}

#[derive(Default)]
struct Found {
    tally: Tally,
    named: Vec<String>,
    report: Option<ObjectReport>,
}

impl<'a> Verify<'a> {
    fn new(arguments: &'a Arguments, scoped: &'a ScopedRun, cli: &'a Cli, report: Option<ObjectReport>) -> Verify<'a> {
        let agent = &scoped.agent;
        let reading =
            |share| ContentCheck::new(share, agent.source().clone(), agent.sink().clone(), scoped.patience.clone());
        Verify {
            arguments,
            scoped,
            cli,
            began: Instant::now(),
            reading: arguments.read.map(reading),
            found: Mutex::new(Found { report, ..Found::default() }),
            seen: SeenKeys::default(),
            jobs: tokio::sync::Mutex::new(JobSender::new(agent.queue().clone())),
        }
    }

    async fn run(self) -> anyhow::Result<u8> {
        let ScopedRun { sides, at_once, patience, .. } = self.scoped;
        let each = async |sides: &ComparedSides, pairs| self.page(sides, pairs).await;
        let compared = tokio::select! {
            compared = side_by_side(sides, *at_once, patience, each) => compared,
            () = self.cli.ticker(|| self.found().tally.progress(self.began.elapsed())) => Ok(()),
        };
        compared.context("the comparison was interrupted, so nothing is proven")?;
        self.jobs.lock().await.flush().await.context("jobs could not be sent")?;
        let report = self.found().report.take();
        if let Some(report) = report {
            report.finish(&self.scoped.agent).await.context("the report could not be written")?;
        }
        self.cli.console.clear();
        let sent = self.jobs.lock().await.sent();
        let (code, summary) = self.report(&self.cli.output, sent)?;
        self.arguments.report.notify(&summary, &self.cli.console).await;
        self.seen.check(self.scoped, false).map(|()| code)
    }

    async fn page(&self, sides: &ComparedSides, pairs: Vec<ListedPair>) -> anyhow::Result<()> {
        if !pairs.is_empty() {
            self.seen.add(sides);
        }
        let mut judged = self.scoped.classifier.classify(sides, pairs).await?;
        if let Some(reading) = &self.reading {
            reading.read(&mut judged.findings).await?;
        }
        {
            let mut found = self.found();
            found.tally.add(&judged);
            judged.findings.iter().try_for_each(|finding| found.note(finding))?;
        }
        if !self.arguments.repair || self.arguments.dry_run {
            return Ok(());
        }
        let wanting = |finding: &&Finding| finding.here.is_some() && matches!(finding.verdict, Comparison::Differs(_));
        for finding in judged.findings.iter().filter(wanting) {
            self.jobs.lock().await.send(finding.to_message()).await?;
        }
        Ok(())
    }

    /// What panicked elsewhere has been reported there.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, output: &Output, sent: u64) -> anyhow::Result<(u8, serde_json::Value)> {
        let found = self.found();
        let tally = &found.tally;
        let extra = if self.scoped.settings.transfer.deletes { tally.differs(Difference::Extra) } else { 0 };
        let nothing = self.seen.check(self.scoped, false);
        let in_sync = tally.missing_or_different() + extra == 0 && nothing.is_ok();
        let as_of = Timestamp::from_second(self.scoped.began)?;
        found.named.iter().try_for_each(|line| output.line(line))?;
        let reported = tally.missing_or_different() + tally.differs(Difference::Extra);
        if reported > found.named.len() as u64 {
            output.line(&format!(
                "and {} more (--report FILE has all)",
                HumanCount(reported - found.named.len() as u64)
            ))?;
        }
        output.line(&tally.table(self.arguments.head))?;
        if self.arguments.repair {
            output.line(&format!("{} sent", counted(sent, "job")))?;
        }
        output.line(&match in_sync {
            true => format!("in sync as of {as_of}"),
            false => format!("NOT in sync as of {as_of}"),
        })?;
        let seconds = seconds(self.began.elapsed());
        let line = serde_json::to_value(Line { in_sync, as_of: as_of.to_string(), sent, tally, seconds })?;
        output.json(&line)?;
        Ok((if in_sync { DONE } else { FAILED }, line))
    }
}

impl Found {
    fn note(&mut self, finding: &Finding) -> anyhow::Result<()> {
        self.report.as_mut().map_or(Ok(()), |report| report.add(finding)).context("the report could not be written")?;
        let Comparison::Differs(why) = finding.verdict else { return Ok(()) };
        if self.named.len() < NAMED {
            let place = if why == Difference::Extra { &finding.destination } else { &finding.source };
            self.named.push(format!("{:<9} {place}", why.name()));
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    in_sync: bool,
    as_of: String,
    sent: u64,
    #[serde(flatten)]
    tally: &'a Tally,
    seconds: f64,
}
