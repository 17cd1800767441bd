//! `skyferry copy`: the agent's core on one machine, with its queue and its ledger in one file, fed by a listing.
//!
//! ```text
//! arguments  what is typed            place      SRC and DST
//! settings   → the agent's settings   state      the file that remembers
//! lister     feeds the queue: pages of the source beside those `destination_listing`
//! progress   how far it is            ending     the summary and the exit code
//! single_node  the predecessors' ini as the command that it means
//! default_keys where keys come from that no flag names
//! ```

mod arguments;
mod default_credentials;
mod destination_listing;
mod endpoint_arg;
mod lister;
mod progress;
mod settings;
mod single_node;
mod state;
mod summary;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use skyferry_agent::janitor::{SweepReport, SweepScope};
use skyferry_agent::shutdown::ShutdownReason;
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_config::{Settings, StoreSettings};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Key, Location};
use skyferry_core::store::{ListFrom, Listed, Pin};
use skyferry_sqlite::queue::SqliteQueue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::{self, Cli, DONE, FAILED, WRONG};
use crate::console::Console;
use crate::filter::ObjectFilter;
use crate::inventory::Listing;
use crate::output::Output;
use crate::pages::{ListedStore, ListingTarget as Side};
use crate::retry::RetryPolicy;
use crate::usage::{OrUsage as _, UsageError};
pub use arguments::Arguments;
use endpoint_arg::EndpointArgument;
use lister::Lister;
use progress::CopyProgress;
use settings::CopyOrigin;
use summary::CopySummary;

/// By how many seconds this clock and the destination's may differ.
const SKEW: i64 = 60;

impl cli::Command for Arguments {
    const WARNINGS: bool = true;

    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let Some(config) = &self.config else { return cli.interruptible(perform(self, cli)) };
        let meant = single_node::read(config).with_context(|| format!("--config {}", config.display())).or_usage()?;
        eprintln!("{}", meant.describe(config));
        match meant.arguments(std::env::args_os()) {
            Ok(arguments) => cli.interruptible(perform(&arguments, cli)),
            Err(error) => {
                let _ = error.print();
                Ok(WRONG)
            }
        }
    }
}

async fn perform(arguments: &Arguments, cli: &Cli) -> anyhow::Result<u8> {
    let started = Instant::now();
    let patience = RetryPolicy::new(arguments.patience, cli.console.clone());
    let prepared = tokio::select! {
        prepared = Copying::prepare(arguments, &patience, &cli.console) => prepared?,
        () = cli.shutdown.stop.cancelled() => return Ok(cli.stopped()),
    };
    if arguments.dry_run {
        return prepared.report_dry_run(cli, started).await;
    }
    prepared.copy(cli, started).await
}

/// Everything that is known before the first object moves.
struct Copying {
    agent: Agent,
    lister: Lister,
    queue: Arc<SqliteQueue>,
    patience: RetryPolicy,
    /// When the work began that nobody has cleaned up after.
    began: i64,
    /// Of a dry run: what stands for a state or a destination that is not there.
    _scratch: Option<tempfile::TempDir>,
}

impl Copying {
    async fn prepare(arguments: &Arguments, patience: &RetryPolicy, console: &Console) -> anyhow::Result<Copying> {
        let named = |text: &Option<OsString>, which: &str| {
            EndpointArgument::parse(text.as_deref().unwrap_or_default()).map_err(|why| anyhow!("{which}: {why}"))
        };
        let source = named(&arguments.source, "SRC").or_usage()?;
        let destination = named(&arguments.destination, "DST").or_usage()?;
        let filter = ObjectFilter::new(&arguments.selection).or_usage()?;
        let mut origin = CopyOrigin::of(&source)?;
        let pair = pair(arguments, &source, &destination);
        let mut file = state::path(arguments.state.as_deref(), &pair).or_usage()?;
        let scratch = match arguments.dry_run {
            true => Some(tempfile::tempdir().context("a temporary directory")?),
            false => None,
        };
        if arguments.restart && scratch.is_none() {
            state::delete(&file)?;
        }
        if let Some(scratch) = scratch.as_ref().filter(|_| arguments.restart || !file.exists()) {
            file = scratch.path().join("state");
        }
        let settings = |origin: &CopyOrigin| -> anyhow::Result<Settings> {
            let places = [&source, &destination];
            let mut settings = settings::settings(arguments, origin, places, &file).or_usage()?;
            if let (Some(scratch), StoreSettings::Directory { path }) = (&scratch, &mut settings.destination)
                && !path.exists()
            {
                *path = scratch.path().join("nothing");
            }
            Ok(settings)
        };
        let by_default = default_credentials::sides(arguments, [&source, &destination]);
        for (side, taken) in &by_default {
            console.line(&format!("skyferry: {side} keys: {}", taken.description));
        }
        let mut resolved = settings(&origin)?;
        let mut agent = build(&resolved).await?;
        if let Some((role, error)) = agent.missing().filter(|(role, _)| by_default.iter().any(|(side, _)| side == role))
        {
            let error = anyhow!("no {role} keys ({error}): set AWS_ACCESS_KEY_ID, or name --{role}-credentials");
            return Err(UsageError(error.to_string()).into());
        }
        if let (None, EndpointArgument::Remote { rest, .. }) = (&origin.single, &source)
            && arguments.inventory.is_empty()
            && !is_prefix(&agent, &origin, rest, &source, patience).await?
        {
            drop(agent);
            origin = origin.object(rest);
            resolved = settings(&origin)?;
            agent = build(&resolved).await?;
        }
        let ordered = resolved.source.lists_in_order();
        let queue = agent.embedded().context("the queue of one machine")?.clone();
        let inventory = inventory(arguments, &resolved.source, &agent, patience).await?;
        let chosen = format!("{}{}", filter.description(), inventory.as_ref().map(Listing::sum).unwrap_or_default());
        let began = begin(&queue, &pair, &chosen, &file, scratch.is_some()).await?;
        let (from, to) = sides(&agent, &origin)?;
        let lister = Lister {
            from,
            to,
            single: origin.single.clone(),
            inventory,
            filter,
            queue: queue.clone(),
            ledger: agent.ledger().clone(),
            metrics: agent.metrics().clone(),
            counts: Arc::default(),
            patience: patience.clone(),
            console: console.clone(),
            ordered,
            own: origin.key_of(&file),
            log_object: None,
        };
        Ok(Copying { agent, lister, queue, patience: patience.clone(), began, _scratch: scratch })
    }

    /// The dry run.
    async fn report_dry_run(mut self, cli: &Cli, started: Instant) -> anyhow::Result<u8> {
        let lines = Output::new(cli.output.is_json(), false);
        let prefix = self.lister.from.prefix.as_bytes().len();
        self.lister.log_object = Some(Box::new(move |row: &Listed| {
            let rest = Key::new(row.key.as_bytes().get(prefix..).unwrap_or_default().to_vec());
            lines.line(&format!("{:>12}  {rest}", row.size))
        }));
        self.lister.run().await?;
        summary::print_dry_run(&cli.output, &self.lister.counts, self.agent.metrics().summary(), started.elapsed())?;
        Ok(DONE)
    }

    async fn copy(self, cli: &Cli, started: Instant) -> anyhow::Result<u8> {
        let (console, shutdown) = (&cli.console, &cli.shutdown);
        let Copying { agent, lister, queue, patience, began, _scratch } = self;
        let (metrics, counts) = (agent.metrics().clone(), lister.counts.clone());
        let origin = Location::new(lister.from.bucket.as_str(), lister.from.prefix.clone());
        let (janitor, breaker) = (agent.janitor(), agent.breaker().clone());
        let shown = CopyProgress { metrics, counts: counts.clone(), console: console.clone() };
        let shown = cli.progress().then(|| AbortOnDropHandle::new(tokio::spawn(shown.show())));

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
            match janitor.sweep(SweepScope::Since(began - SKEW)).await {
                Ok(SweepReport { aborted: 0, .. }) => queue.feed(Vec::new(), vec![(state::BEGAN, None)]).await?,
                Ok(SweepReport { aborted, .. }) => {
                    console.line(&format!("skyferry: aborted {aborted} uploads that a crash had left behind"));
                    queue.feed(Vec::new(), vec![(state::BEGAN, None)]).await?;
                }
                // A server that lists no uploads, or not to these keys, is not wrong.
                Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused) => {
                    tracing::debug!(%error, "uploads cannot be listed");
                    queue.feed(Vec::new(), vec![(state::BEGAN, None)]).await?;
                }
                // The copy itself is complete; the next run looks again.
                Err(error) => console.line(&format!(
                    "skyferry: warning: uploads that a crash may have left behind could not be looked for: {error}"
                )),
            }
        }
        console.clear();
        let parked = queue.dead_letters(0, summary::TOLD).await?;
        let summary = summary::count_each_once(report.summary, counts.listed.load(Relaxed));
        trouble = trouble.or(summary::check_against_listing(&summary, counts.sent.load(Relaxed), &origin));
        let ended = if !clean || trouble.is_some() || report.has_failures() { FAILED } else { DONE };
        CopySummary { summary, elapsed: started.elapsed(), trouble, parked }.print(&cli.output)?;
        Ok(shutdown.reason().map_or(ended, ShutdownReason::exit_code))
    }
}

/// What the state belongs to.
fn pair(arguments: &Arguments, source: &EndpointArgument, destination: &EndpointArgument) -> Vec<u8> {
    let endpoint = |endpoint: &Option<String>| endpoint.clone().unwrap_or_default().into_bytes();
    let parts = [
        source.name(),
        endpoint(&arguments.source_endpoint),
        destination.name(),
        endpoint(&arguments.destination_endpoint),
    ];
    parts.join(&0)
}

/// Settings that make no agent are wrong usage.
async fn build(settings: &Settings) -> anyhow::Result<Agent> {
    use skyferry_agent::wiring::WiringError::{Circle, NestedDirectories};
    Agent::build(settings).await.map_err(|error| {
        let error = match error {
            Circle(..) | NestedDirectories => anyhow!("DST lies within SRC, or SRC within DST: give DST another place"),
            error => error.into(),
        };
        UsageError(error.to_string()).into()
    })
}

/// Whether SRC is a prefix with something under it (`false`: it is one object). An empty bucket is there; an empty prefix
/// is a mistake.
async fn is_prefix(
    agent: &Agent,
    origin: &CopyOrigin,
    rest: &str,
    source: &EndpointArgument,
    patience: &RetryPolicy,
) -> anyhow::Result<bool> {
    let prefix = Key::from(origin.prefix.as_str());
    let page = patience.ask(false, || agent.source().list(&origin.bucket, &prefix, ListFrom::Start)).await?;
    if rest.is_empty() || !page.objects.is_empty() || page.next.is_some() {
        return Ok(true);
    }
    let at = Location::new(origin.bucket.as_str(), rest);
    match patience.ask(true, || agent.source().head(&at, &Pin::Newest)).await {
        Ok(Some(_)) if !rest.ends_with('/') => Ok(false),
        Ok(_) => Err(anyhow!("SRC {source}: nothing is under it, and no object has this key")),
        Err(error) => Err(error.into()),
    }
}

/// The reports that stand for SRC's listing.
async fn inventory(
    arguments: &Arguments,
    source: &StoreSettings,
    agent: &Agent,
    patience: &RetryPolicy,
) -> anyhow::Result<Option<Listing>> {
    if arguments.inventory.is_empty() {
        return Ok(None);
    }
    if !matches!(source, StoreSettings::S3(_)) {
        return Err(UsageError("--inventory goes with an SRC of s3://".into()).into());
    }
    let source = Some(agent.source().clone());
    Ok(Some(Listing::open(&arguments.inventory, source, patience.clone()).await.context("--inventory")?))
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
    let began = began.unwrap_or_else(now);
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

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn sides(agent: &Agent, origin: &CopyOrigin) -> anyhow::Result<(Side, Side)> {
    let router = agent.router();
    let route = router.routes().first().context("a route")?;
    let from = Side {
        end: ListedStore::Source(agent.source().clone()),
        bucket: origin.bucket.clone(),
        prefix: route.source_prefix.clone(),
        versions: false,
    };
    let to = Side {
        end: ListedStore::Sink(agent.sink().clone()),
        bucket: route.bucket.to_string(),
        prefix: route.prefix.clone(),
        versions: false,
    };
    Ok((from, to))
}
