//! `skyferry sync`: a copy, and then DST loses what is not at SRC. Nothing is deleted before both sides have been listed to
//! their ends after a copy without an error; each key is looked up on both sides once more before it is deleted, on the
//! condition that it still is what was found there.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::{Expected, Key, Location};
use skyferry_core::store::Pin;
use tokio::time::Instant;

use crate::cli::{self, Cli, DONE};
use crate::compare::{
    AT_ONCE as RANGES, Classifier, ComparedSides, Comparison, Difference, Finding, ListedPair, Tally, side_by_side,
};
use crate::copy::Copying;
use crate::copy::arguments::Job;
use crate::locked;
use crate::output::objects;
use crate::retry::RetryPolicy;
use crate::spool::Spool;
use crate::usage::UsageError;

/// Deletions at once.
const AT_ONCE: usize = 32;

/// Makes DST equal to SRC: copies what differs, then deletes at DST what is not at SRC.
///
/// The copy is that of `skyferry copy`, with the same forms of SRC and DST, the same flags and the same state. If it is complete
/// and without an error, both sides are listed, and objects that are only at DST are deleted, whoever wrote them; those that the
/// flags leave out are kept. Before each deletion the object is looked up at SRC and at DST again. On a terminal the
/// deletion is confirmed first; elsewhere --yes is required.
#[derive(clap::Args)]
#[command(override_usage = "skyferry sync [OPTIONS] SRC DST")]
#[command(after_help = "Examples:
  skyferry sync ./photos s3://bucket/photos --dry-run
  skyferry sync s3://from/photos gs://to/photos --exclude 'tmp/*' \\
    --max-delete 100 --yes")]
pub struct Arguments {
    #[command(flatten)]
    job: Job,
    /// Delete nothing if it would be more than so many objects, or more than this share of DST's objects: 100, 10%.
    #[arg(long, value_name = "N|N%", default_value = "50%")]
    max_delete: Limit,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// How many may be deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Objects(u64),
    Percent(u64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| "not a number like 100 or 10%".to_owned());
        match text.strip_suffix('%') {
            None => Ok(Limit::Objects(number(text)?)),
            Some(percent) => match number(percent)? {
                percent @ 0..=100 => Ok(Limit::Percent(percent)),
                _ => Err("more than 100%".into()),
            },
        }
    }
}

impl Limit {
    fn allows(self, deleted: u64, there: u64) -> bool {
        match self {
            Limit::Objects(most) => deleted <= most,
            Limit::Percent(share) => u128::from(deleted) * 100 <= u128::from(there) * u128::from(share),
        }
    }

    fn describe(self) -> String {
        match self {
            Limit::Objects(most) => most.to_string(),
            Limit::Percent(share) => format!("{share}%"),
        }
    }
}

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        if !self.yes && !self.job.dry_run && !cli::can_ask() {
            return Err(UsageError("sync deletes: without a terminal, --yes or --dry-run is required".into()).into());
        }
        cli.stoppable(self.perform(cli))
    }
}

impl Arguments {
    async fn perform(&self, cli: &Cli) -> anyhow::Result<u8> {
        let started = Instant::now();
        let Some(copying) = Copying::open(&self.job, &[], cli).await? else { return Ok(cli.stopped()) };
        if copying.is_single() {
            return Err(UsageError("SRC is one object: `skyferry copy` copies it".into()).into());
        }
        let extras = Extras {
            sides: copying.sides(),
            patience: RetryPolicy::new(self.job.patience, cli.console.clone()),
            ranges: if copying.is_ordered() { RANGES } else { 1 },
            tally: Mutex::default(),
            cli,
        };
        if self.job.dry_run {
            let (mut plan, classifier) = copying.plan(cli).await?;
            let Some(found) = extras.stoppable(extras.find(&classifier)).await? else { return Ok(cli.stopped()) };
            plan.summary.deleted = found.count();
            found
                .into_records()?
                .try_for_each(|key| cli.output.line(&format!("{:>12}  {}", "delete", Key::new(key?))))?;
            self.check(extras.there(), plan.summary.deleted)?;
            plan.print(&cli.output, started.elapsed())?;
            return Ok(DONE);
        }
        let (mut ending, code, classifier) = copying.copy(cli, started).await?;
        if code != DONE {
            cli.console.line("skyferry: the copy is not complete: nothing was deleted");
            ending.print(&cli.output)?;
            return Ok(code);
        }
        let deleted = AtomicU64::new(0);
        let ended = self.delete(&extras, &classifier, &deleted).await;
        ending.summary.deleted = deleted.load(Relaxed);
        ending.elapsed = started.elapsed();
        cli.console.clear();
        ending.print(&cli.output)?;
        Ok(ended?.map_or(cli.stopped(), |()| DONE))
    }

    /// `None`: stopped meanwhile.
    async fn delete(
        &self,
        extras: &Extras<'_>,
        classifier: &Classifier,
        deleted: &AtomicU64,
    ) -> anyhow::Result<Option<()>> {
        let found = extras.stoppable(extras.find(classifier)).await;
        let Some(found) = found.context("the comparison was interrupted: nothing was deleted")? else {
            return Ok(None);
        };
        let (count, there) = (found.count(), extras.there());
        if count == 0 {
            return Ok(Some(()));
        }
        self.check(there, count)?;
        if !self.yes && !self.is_confirmed(extras, count, there).await? {
            return Ok(None);
        }
        let each = stream::iter(found.into_records()?).map(async |key| {
            let key = Key::new(key?);
            match extras.remove(classifier, &key).await {
                Ok(true) => {
                    deleted.fetch_add(1, Relaxed);
                    extras.cli.note(|| format!("deleted: {key}"));
                }
                Ok(false) => extras.cli.note(|| format!("kept: {key} has changed meanwhile")),
                Err(error) => return Err(anyhow::Error::from(error)),
            }
            Ok(())
        });
        extras.stoppable(each.buffer_unordered(AT_ONCE).try_collect()).await
    }

    /// `false`: stopped meanwhile. No is an error.
    async fn is_confirmed(&self, extras: &Extras<'_>, count: u64, there: u64) -> anyhow::Result<bool> {
        extras.cli.console.clear();
        let at = &extras.sides.to;
        let question = format!("Delete {} of {there} at {}/{}?", objects(count), at.bucket, at.prefix);
        let answer = tokio::select! {
            answer = cli::ask(&question) => answer?,
            () = extras.cli.shutdown.stop.cancelled() => return Ok(false),
        };
        if !answer {
            bail!("nothing was deleted: the answer was not yes");
        }
        Ok(true)
    }

    fn check(&self, there: u64, count: u64) -> anyhow::Result<()> {
        if self.max_delete.allows(count, there) {
            return Ok(());
        }
        bail!(
            "{count} of {there} objects at DST would be deleted, more than --max-delete {}: nothing was deleted; raise it if this is intended",
            self.max_delete.describe()
        )
    }
}

/// What is only at DST.
struct Extras<'a> {
    sides: ComparedSides,
    patience: RetryPolicy,
    /// Key ranges that are listed at once.
    ranges: usize,
    tally: Mutex<Tally>,
    cli: &'a Cli,
}

impl Extras<'_> {
    /// `None`: stopped meanwhile.
    async fn stoppable<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
        let began = Instant::now();
        tokio::select! {
            ended = work => ended.map(Some),
            () = self.cli.shutdown.stop.cancelled() => Ok(None),
            () = self.cli.ticker(|| self.tally().progress(began.elapsed())) => Ok(None),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }

    /// Objects at DST.
    fn there(&self) -> u64 {
        self.tally().at_destination()
    }

    /// Lists both sides to their ends.
    async fn find(&self, classifier: &Classifier) -> anyhow::Result<Spool> {
        let spool = Mutex::new(Spool::default());
        let prefix = self.sides.to.prefix.as_bytes().len();
        let each = async |sides: &ComparedSides, pairs: Vec<ListedPair>| {
            let judged = classifier.classify(sides, pairs).await?;
            self.tally().add(&judged);
            let extra = |finding: &&Finding| finding.verdict == Comparison::Differs(Difference::Extra);
            for finding in judged.findings.iter().filter(extra) {
                // The prefix itself is a folder's marker.
                match finding.destination.key.as_bytes().get(prefix..) {
                    Some(rest) if !rest.is_empty() => locked(&spool).add(rest)?,
                    _ => {}
                }
            }
            Ok(())
        };
        side_by_side(std::slice::from_ref(&self.sides), self.ranges, &self.patience, each).await?;
        Ok(spool.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was deleted: not if it is at SRC again, or is another object at DST by now.
    async fn remove(&self, classifier: &Classifier, rest: &Key) -> Result<bool, CopyError> {
        let at = |side: &crate::pages::ListingTarget| {
            Location::new(side.bucket.as_str(), Key::new([side.prefix.as_bytes(), rest.as_bytes()].concat()))
        };
        let (source, destination) = (at(&self.sides.from), at(&self.sides.to));
        let look = &classifier.look;
        if self.patience.ask(true, || look.source.head(&source, &Pin::Newest)).await?.is_some() {
            return Ok(false);
        }
        let Some(there) = self.patience.ask(true, || look.sink.head(&destination)).await? else { return Ok(false) };
        let expected = Expected::Revision(there.revision);
        match self.patience.ask(true, || look.sink.delete(&destination, &expected)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == ErrorKind::Precondition => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share() {
        assert_eq!("100".parse(), Ok(Limit::Objects(100)));
        assert_eq!("10%".parse(), Ok(Limit::Percent(10)));
        for wrong in ["", "x", "101%", "-1", "1.5"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
        assert!(Limit::Objects(3).allows(3, 3) && !Limit::Objects(3).allows(4, 100));
        assert!(Limit::Percent(50).allows(1, 2) && !Limit::Percent(50).allows(2, 3));
        assert!(Limit::Percent(100).allows(3, 3) && !Limit::Percent(0).allows(1, u64::MAX));
    }
}
