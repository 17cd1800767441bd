//! `skyferry verify`: the comparison of `scan` as a proof. What seems to differ is looked at once more before it is told,
//! and a share of the objects is read, if asked for.

mod reading;
mod report;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::compare::{Finding, Pair, Sides, Tally, Verdict, Why, side_by_side};
use crate::jobs::Jobs;
use crate::scope::{Scope, Scoped, Seen};
use crate::show::{Show, seconds};
use reading::{Reading, Share};
use report::Report;

/// Differences that are named on stdout; --report has all.
const NAMED: usize = 20;

/// Verifies that source and destination are equal, and reports every difference.
///
/// Compares as `scan` does, and checks each apparent difference a second time. --head compares stored checksums, headers and
/// metadata of every object without reading its data; --read reads a share of the objects, or all. Changes since the start
/// are left to their events and are not differences. Objects that are only at the destination are reported; they are
/// differences if transfer.deletes is on. The exit code is 1 if there is any difference.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry verify --config agent.toml --head --report differences.csv
  skyferry verify --config agent.toml --prefix photos/2025 --read 1%
  skyferry verify --config agent.toml --repair")]
pub struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Compare headers, metadata and stored checksums, with one HEAD per object and side. With transfer.metadata off, only
    /// where listings and ledger prove nothing.
    #[arg(long)]
    head: bool,
    /// Read this share of the objects and compare their digests with the source: 1%, 0.001, all.
    #[arg(long, value_name = "SHARE")]
    read: Option<Share>,
    /// Send a job for each object that is missing or different.
    #[arg(long)]
    repair: bool,
    /// With --repair: only count, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write every difference to this file: CSV, or JSON lines if the name ends in .json or .jsonl.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.scope.config.load()?;
        let report = self.report.as_deref().map(Report::create).transpose()?;
        cli.block_on(async {
            let mut scoped = self.scope.open(settings, self.head, &cli.voice).await?;
            scoped.judge.confirm = true;
            Verify::new(self, &scoped, cli, report).run().await
        })
    }
}

struct Verify<'a> {
    arguments: &'a Arguments,
    scoped: &'a Scoped,
    cli: &'a Cli,
    began: Instant,
    reading: Option<Reading>,
    found: Mutex<Found>,
    seen: Seen,
    jobs: tokio::sync::Mutex<Jobs>,
}

#[derive(Default)]
struct Found {
    tally: Tally,
    named: Vec<String>,
    report: Option<Report>,
}

impl<'a> Verify<'a> {
    fn new(arguments: &'a Arguments, scoped: &'a Scoped, cli: &'a Cli, report: Option<Report>) -> Verify<'a> {
        let agent = &scoped.agent;
        let reading =
            |share| Reading::new(share, agent.source().clone(), agent.sink().clone(), scoped.patience.clone());
        Verify {
            arguments,
            scoped,
            cli,
            began: Instant::now(),
            reading: arguments.read.map(reading),
            found: Mutex::new(Found { report, ..Found::default() }),
            seen: Seen::default(),
            jobs: tokio::sync::Mutex::new(Jobs::new(agent.queue().clone())),
        }
    }

    async fn run(self) -> anyhow::Result<u8> {
        let Scoped { sides, at_once, patience, .. } = self.scoped;
        let each = async |sides: &Sides, pairs| self.page(sides, pairs).await;
        let compared = tokio::select! {
            compared = side_by_side(sides, *at_once, patience, each) => compared,
            () = self.cli.ticker(|| self.found().tally.progress(self.began.elapsed())) => Ok(()),
        };
        compared.context("the comparison broke off, so nothing is proven")?;
        self.jobs.lock().await.flush().await.context("jobs could not be sent")?;
        if let Some(report) = &mut self.found().report {
            report.finish().context("the report could not be written")?;
        }
        self.cli.voice.clear();
        let sent = self.jobs.lock().await.sent();
        self.tell(&self.cli.show, sent)
    }

    async fn page(&self, sides: &Sides, pairs: Vec<Pair>) -> anyhow::Result<()> {
        if !pairs.is_empty() {
            self.seen.add(sides);
        }
        let mut judged = self.scoped.judge.judge(sides, pairs).await?;
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
        let wanting = |finding: &&Finding| finding.here.is_some() && matches!(finding.verdict, Verdict::Differs(_));
        for finding in judged.findings.iter().filter(wanting) {
            self.jobs.lock().await.send(finding.to_message()).await?;
        }
        Ok(())
    }

    /// What panicked elsewhere has been told there.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, show: &Show, sent: u64) -> anyhow::Result<u8> {
        let found = self.found();
        let tally = &found.tally;
        let extra = if self.scoped.settings.transfer.deletes { tally.differs(Why::Extra) } else { 0 };
        let nothing = self.seen.check(self.scoped, false);
        let in_sync = tally.wanting() + extra == 0 && nothing.is_ok();
        let as_of = Timestamp::from_second(self.scoped.began)?;
        found.named.iter().try_for_each(|line| show.say(line))?;
        let told = tally.wanting() + tally.differs(Why::Extra);
        if told > found.named.len() as u64 {
            show.say(&format!("and {} more (--report FILE has all)", HumanCount(told - found.named.len() as u64)))?;
        }
        show.say(&tally.table(self.arguments.head))?;
        if self.arguments.repair {
            show.say(&format!("{} jobs sent", HumanCount(sent)))?;
        }
        show.say(&match in_sync {
            true => format!("in sync as of {as_of}"),
            false => format!("NOT in sync as of {as_of}"),
        })?;
        let seconds = seconds(self.began.elapsed());
        show.json(Line { in_sync, as_of: as_of.to_string(), sent, tally, seconds })?;
        nothing.map(|()| if in_sync { DONE } else { FAILED })
    }
}

impl Found {
    fn note(&mut self, finding: &Finding) -> anyhow::Result<()> {
        let Verdict::Differs(why) = finding.verdict else { return Ok(()) };
        if self.named.len() < NAMED {
            let place = if why == Why::Extra { &finding.destination } else { &finding.source };
            self.named.push(format!("{:<9} {place}", why.name()));
        }
        self.report
            .as_mut()
            .map_or(Ok(()), |report| report.add(finding, why))
            .context("the report could not be written")
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
