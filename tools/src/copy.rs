//! `skyferry copy`: the agent's core on one machine, with its queue and its ledger in one file, fed by a listing.
//!
//! ```text
//! arguments  what is typed            place      SRC and DST
//! open       both sides, opened
//! settings   → the agent's settings   state      the file that remembers
//! lister     feeds the queue: pages of the source beside those `destination_listing`
//! progress   how far it is            ending     the summary and the exit code
//! single_node  the predecessors' ini as the command that it means
//! default_keys where keys come from that no flag names
//! ```

pub mod arguments;
mod default_credentials;
mod destination_listing;
mod endpoint_arg;
mod lister;
mod open;
mod progress;
mod settings;
mod single_node;
mod state;
mod summary;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, anyhow};
use skyferry_agent::janitor::{Janitor, SweepReport, SweepScope};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_config::StoreSettings;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Key, Location};
use skyferry_core::store::Listed;
use skyferry_sqlite::queue::{DeadLetterTable as _, SqliteQueue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::{self, Cli, DONE, FAILED, WRONG};
use crate::compare::{Classifier, ComparedSides};
use crate::console::Console;
use crate::filter::ObjectFilter;
use crate::inventory::Listing;
use crate::output::{Output, counted};
use crate::retry::RetryPolicy;
use crate::scope;
use crate::usage::{OrUsage as _, UsageError};
pub use arguments::Arguments;
use arguments::Job;
use lister::Lister;
pub use open::{Opened, Pair};
use progress::CopyProgress;
pub use state::PAIR;
pub use summary::{CopySummary, DryRunReport};

/// By how many seconds this clock and the destination's may differ.
const SKEW: i64 = 60;

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let Some(config) = &self.config else { return cli.stoppable(perform(self, cli)) };
        let meant = single_node::read(config).with_context(|| format!("--config {}", config.display())).or_usage()?;
        eprintln!("{}", meant.describe(config));
        match meant.arguments(std::env::args_os()) {
            Ok(arguments) => cli.stoppable(perform(&arguments, cli)),
            Err(error) => {
                let _ = error.print();
                Ok(WRONG)
            }
        }
    }
}

async fn perform(arguments: &Arguments, cli: &Cli) -> anyhow::Result<u8> {
    let started = Instant::now();
    let Some(prepared) = Copying::open(&arguments.job, &arguments.inventory, cli).await? else {
        return Ok(cli.stopped());
    };
    if arguments.job.dry_run {
        let (plan, _) = prepared.plan(cli).await?;
        plan.print(&cli.output, started.elapsed())?;
        return Ok(DONE);
    }
    let (ending, code, _) = prepared.copy(cli, started).await?;
    ending.print(&cli.output)?;
    Ok(code)
}

/// Everything that is known before the first object moves.
pub struct Copying {
    agent: Agent,
    lister: Lister,
    queue: Arc<SqliteQueue>,
    /// Compares both sides.
    classifier: Classifier,
    patience: RetryPolicy,
    /// When the work began that nobody has cleaned up after.
    began: i64,
    /// Of a dry run: what stands for a state or a destination that is not there.
    _scratch: Option<tempfile::TempDir>,
}

impl Copying {
    /// `None`: stopped meanwhile.
    pub async fn open(job: &Job, manifests: &[OsString], cli: &Cli) -> anyhow::Result<Option<Copying>> {
        let patience = RetryPolicy::new(job.patience, cli.console.clone());
        tokio::select! {
            prepared = Copying::prepare(job, manifests, &patience, &cli.console) => prepared.map(Some),
            () = cli.shutdown.stop.cancelled() => Ok(None),
        }
    }

    pub fn is_single(&self) -> bool {
        self.lister.single.is_some()
    }

    /// Both sides list in the order of the keys' bytes.
    pub fn is_ordered(&self) -> bool {
        self.lister.ordered
    }

    /// What is copied.
    pub fn sides(&self) -> ComparedSides {
        ComparedSides { from: self.lister.from.clone(), to: self.lister.to.clone(), pair: false }
    }

    async fn prepare(
        job: &Job,
        manifests: &[OsString],
        patience: &RetryPolicy,
        console: &Console,
    ) -> anyhow::Result<Copying> {
        let filter = ObjectFilter::new(&job.selection).or_usage()?;
        let pair = Pair {
            connection: &job.connection,
            transfer: &job.transfer,
            state: job.state.as_deref(),
            read_only: job.dry_run,
            restart: job.restart,
            look: manifests.is_empty(),
        };
        let opened = pair.open(patience, console).await?;
        let Opened { agent, settings, origin, from, to, renamed, pair, state, scratch } = opened;
        let queue = agent.embedded().context("the queue of one machine")?.clone();
        let inventory = inventory(manifests, &settings.source, &agent, patience).await?;
        let chosen = format!("{}{}", filter.description(), inventory.as_ref().map(Listing::sum).unwrap_or_default());
        let began = begin(&queue, &pair, &chosen, &state, job.dry_run).await?;
        let classifier = scope::classifier(&agent, &settings, filter.clone(), patience, scope::now());
        let lister = Lister {
            from,
            to,
            single: origin.single.clone(),
            renamed,
            inventory,
            filter,
            router: agent.router(),
            queue: queue.clone(),
            ledger: agent.ledger().clone(),
            metrics: agent.metrics().clone(),
            counts: Arc::default(),
            patience: patience.clone(),
            console: console.clone(),
            ordered: settings.source.lists_in_order(),
            own: origin.key_of(&state),
            log_object: None,
        };
        Ok(Copying { agent, lister, queue, classifier, patience: patience.clone(), began, _scratch: scratch })
    }

    /// The dry run.
    pub async fn plan(mut self, cli: &Cli) -> anyhow::Result<(DryRunReport, Classifier)> {
        let lines = Output::new(cli.output.is_json(), false);
        let prefix = self.lister.from.prefix.as_bytes().len();
        self.lister.log_object = Some(Box::new(move |row: &Listed| {
            let rest = Key::new(row.key.as_bytes().get(prefix..).unwrap_or_default().to_vec());
            lines.line(&format!("{:>12}  {rest}", row.size))
        }));
        self.lister.run().await?;
        let plan = DryRunReport { counts: self.lister.counts.clone(), summary: self.agent.metrics().summary() };
        Ok((plan, self.classifier))
    }

    /// Back comes what it did, and the exit code.
    pub async fn copy(self, cli: &Cli, started: Instant) -> anyhow::Result<(CopySummary, u8, Classifier)> {
        let (console, shutdown) = (&cli.console, &cli.shutdown);
        let Copying { agent, lister, queue, classifier, patience, began, _scratch } = self;
        let (metrics, counts) = (agent.metrics().clone(), lister.counts.clone());
        let origin = Location::new(lister.from.bucket.as_str(), lister.from.prefix.clone());
        let (janitor, breaker) = (agent.janitor(), agent.breaker().clone());
        let shown = CopyProgress { metrics: metrics.clone(), counts: counts.clone(), console: console.clone() };
        let shown = cli.progress().then(|| AbortOnDropHandle::new(tokio::spawn(shown.show())));

        let _stopping = AbortOnDropHandle::new(tokio::spawn(announce(console.clone(), shutdown.clone())));

        let all = CancellationToken::new();
        let listing = async {
            let listed = tokio::select! {
                listed = lister.run() => listed,
                () = shutdown.stop.cancelled() => Ok(()),
            };
            // What was listed is carried over, whatever the listing ended with.
            all.cancel();
            listed
        };
        let given_up = async {
            tokio::select! {
                error = patience.watch(&breaker) => error.into(),
                error = patience.wait_until_stuck(&queue, &counts.ended, &breaker) => error,
            }
        };
        let work = async { tokio::join!(agent.run(RunUntil::AllSent(all.clone()), shutdown.clone()), listing) };
        tokio::pin!(work);
        let (mut trouble, (ran, listed)) = tokio::select! {
            ended = &mut work => (None, ended),
            error = given_up => {
                shutdown.stop.cancel();
                (Some(error), work.await)
            }
        };
        drop(shown);
        let report = ran?;
        trouble = trouble.or(listed.err());
        let clean = trouble.is_none() && shutdown.reason().is_none() && report.drained == Default::default();
        if clean {
            sweep(&janitor, began, &queue, console).await?;
        }
        console.clear();
        let parked = queue.dead_letters(0, summary::TOLD).await?;
        let summary = summary::count_each_once(report.summary, counts.listed.load(Relaxed));
        trouble = trouble.or(summary::check_against_listing(&summary, counts.sent.load(Relaxed), &origin));
        let ended = if !clean || trouble.is_some() || report.has_failures() { FAILED } else { DONE };
        let kept = shutdown.reason().map(|_| metrics.bytes_passed().saturating_sub(summary.bytes));
        let ending = CopySummary { summary, elapsed: started.elapsed(), trouble, parked, kept };
        Ok((ending, shutdown.reason().map_or(ended, ShutdownReason::exit_code), classifier))
    }
}

/// After a complete copy: ends the uploads that killed runs left behind.
async fn sweep(janitor: &Janitor, began: i64, queue: &SqliteQueue, console: &Console) -> anyhow::Result<()> {
    match janitor.sweep(SweepScope::Since(began - SKEW)).await {
        Ok(SweepReport { aborted: 0, .. }) => {}
        Ok(SweepReport { aborted, .. }) => {
            let uploads = counted(aborted as u64, "upload");
            console.line(&format!("skyferry: aborted {uploads} that a crash had left behind"));
        }
        // A server that lists no uploads, or not to these keys, is not wrong.
        Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused) => {
            tracing::debug!(%error, "uploads cannot be listed");
        }
        // The copy itself is complete; the next run looks again.
        Err(error) => {
            console.line(&format!(
                "skyferry: warning: the search for uploads that a crash may have left behind failed: {error}"
            ));
            return Ok(());
        }
    }
    Ok(queue.feed(Vec::new(), vec![(state::BEGAN, None)]).await?)
}

/// Tells the person who pressed Ctrl-C that it was heard.
async fn announce(console: Console, shutdown: Shutdown) {
    shutdown.stop.cancelled().await;
    if shutdown.reason().is_some() {
        console.line("skyferry: stopping; finishing parts in flight (once more: at once)");
    }
}

/// The reports that stand for SRC's listing.
async fn inventory(
    manifests: &[OsString],
    source: &StoreSettings,
    agent: &Agent,
    patience: &RetryPolicy,
) -> anyhow::Result<Option<Listing>> {
    if manifests.is_empty() {
        return Ok(None);
    }
    if !matches!(source, StoreSettings::S3(_)) {
        return Err(UsageError("--inventory requires an s3:// SRC".into()).into());
    }
    let source = Some(agent.source().clone());
    Ok(Some(Listing::open(manifests, source, patience.clone()).await.context("--inventory")?))
}

/// Checks that the state is this pair's, and drops what waits in it if other objects are meant now. Back comes when the
/// work began.
async fn begin(queue: &SqliteQueue, pair: &[u8], chosen: &str, file: &Path, dry: bool) -> anyhow::Result<i64> {
    let known = queue.note(state::PAIR).await?;
    if known.as_deref().is_some_and(|known| known != pair) {
        let file = file.display();
        let error = anyhow!("{file} belongs to another SRC and DST: name another --state, or forget it with --restart");
        return Err(UsageError(error.to_string()).into());
    }
    let began = queue.note(state::BEGAN).await?.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
    let began = began.unwrap_or_else(scope::now);
    if dry {
        return Ok(began);
    }
    let mut notes = vec![
        (state::PAIR, Some(pair.to_vec())),
        (state::FILTER, Some(chosen.as_bytes().to_vec())),
        (state::BEGAN, Some(began.to_be_bytes().to_vec())),
    ];
    if known.is_some() && queue.note(state::FILTER).await?.as_deref() != Some(chosen.as_bytes()) {
        queue.clear().await?;
        notes.push((state::POSITION, None));
    }
    queue.clear_dead_letters().await?;
    queue.feed(Vec::new(), notes).await?;
    Ok(began)
}
