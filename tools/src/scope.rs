//! What `scan` and `verify` compare: the settings' routes and bucket pairs, or a part of them by prefixes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use skyferry_agent::wiring::{Agent, bucket_pairs};
use skyferry_config as config;
use skyferry_config::{ListLocation, Settings};
use skyferry_core::model::Key;
use skyferry_core::route::Route;

use crate::compare::{AT_ONCE, Classifier, ComparedSides, HeadCheck};
use crate::console::Console;
use crate::copy::arguments::{Connection, Transfer};
use crate::copy::{Opened, Pair};
use crate::filter::{FilterArguments, ObjectFilter};
use crate::pages::{ListedStore, ListingTarget};
use crate::prefixes;
use crate::retry::RetryPolicy;
use crate::settings::ConfigArgument;
use crate::usage::{OrUsage as _, UsageError};

#[derive(clap::Args)]
pub struct ScopeArguments {
    #[command(flatten)]
    pub config: ConfigArgument,
    /// The bucket pairs of the earlier programs, in a file or an SSM parameter [default: bucket_pairs of the settings].
    #[arg(long, value_name = "FILE|ssm:NAME")]
    pub pairs: Option<String>,
    /// Only source keys under this prefix; repeatable. `sp` means the folder `sp/`.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Vec<String>,
    /// A file with one prefix per line; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub prefix_file: Option<PathBuf>,
    #[command(flatten)]
    pub selection: FilterArguments,
    /// Number of key ranges that are listed at once. Only for services that list in key order.
    #[arg(long, value_name = "N")]
    pub listers: Option<usize>,
    /// How long a side may refuse everything for a reason that only a person can repair; outages may last twenty times as
    /// long.
    #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "30s")]
    pub patience: Duration,
}

/// Both sides, ready to be compared.
pub struct ScopedRun {
    pub settings: Settings,
    pub agent: Agent,
    pub sides: Vec<ComparedSides>,
    pub classifier: Classifier,
    pub at_once: usize,
    pub patience: RetryPolicy,
    /// Seconds since the epoch.
    pub began: i64,
    /// Somebody typed the prefixes.
    pub typed: bool,
    _scratch: Option<tempfile::TempDir>,
}

impl ScopeArguments {
    /// `head`: see [`Classifier`].
    pub async fn open(&self, settings: Settings, head: bool, console: &Console) -> anyhow::Result<ScopedRun> {
        let mut settings = settings;
        if let Some(pairs) = &self.pairs {
            settings.bucket_pairs = Some(match pairs.strip_prefix("ssm:") {
                Some(name) => ListLocation::Ssm { name: name.into(), endpoint: None },
                None => ListLocation::File(pairs.into()),
            });
        }
        let filter = ObjectFilter::new(&self.selection).or_usage()?;
        let mut prefixes = self.prefix.clone();
        if let Some(file) = &self.prefix_file {
            prefixes.extend(prefixes::read(file).or_usage()?);
        }
        let agent = Agent::build_beside(&settings).await?;
        if let Some(at) = settings.bucket_pairs.as_ref().filter(|_| agent.router().pairs().is_empty()) {
            // The agent can do without them, a listing cannot: why there are none is an error here.
            bucket_pairs(at, &settings.metadata).await?;
        }
        let sides = sides(&agent, &prefixes)?;
        let patience = RetryPolicy::new(self.patience, console.clone());
        let began = now();
        let classifier = classifier(&agent, &settings, filter, &patience, began).with_head(head);
        let at_once = self.listers.unwrap_or(if settings.source.lists_in_order() { AT_ONCE } else { 1 });
        let typed = !prefixes.is_empty();
        Ok(ScopedRun { settings, agent, sides, classifier, at_once, patience, began, typed, _scratch: None })
    }

    /// The same for SRC and DST.
    pub async fn open_pair(&self, connection: &Connection, head: bool, console: &Console) -> anyhow::Result<ScopedRun> {
        if self.pairs.is_some() || !self.prefix.is_empty() || self.prefix_file.is_some() {
            return Err(
                UsageError("--pairs, --prefix and --prefix-file cannot be combined with SRC and DST".into()).into()
            );
        }
        let filter = ObjectFilter::new(&self.selection).or_usage()?;
        let patience = RetryPolicy::new(self.patience, console.clone());
        let transfer = Transfer::default();
        let pair = Pair { connection, transfer: &transfer, state: None, read_only: true, restart: false, look: true };
        let opened = pair.open(&patience, console).await?;
        if opened.renamed.is_some() {
            return Err(UsageError("SRC is one object: name the directory as DST".into()).into());
        }
        let filter = opened.narrow(filter);
        let Opened { agent, settings, from, to, scratch, .. } = opened;
        let began = now();
        let classifier = classifier(&agent, &settings, filter, &patience, began).with_head(head);
        let at_once = self.listers.unwrap_or(if settings.source.lists_in_order() { AT_ONCE } else { 1 });
        let sides = vec![ComparedSides { from, to, pair: false }];
        Ok(ScopedRun { settings, agent, sides, classifier, at_once, patience, began, typed: true, _scratch: scratch })
    }
}

/// Compares what this agent copies. `began`: see [`HeadCheck`].
pub fn classifier(
    agent: &Agent,
    settings: &Settings,
    filter: ObjectFilter,
    patience: &RetryPolicy,
    began: i64,
) -> Classifier {
    Classifier {
        router: agent.router(),
        filter,
        ledger: agent.ledger().clone(),
        look: HeadCheck {
            source: agent.source().clone(),
            sink: agent.sink().clone(),
            patience: patience.clone(),
            began,
            headers: settings.transfer.metadata && agent.sink().capabilities().metadata,
        },
        head: false,
        confirm: false,
    }
}

/// The places that were compared without a key on either side: where a prefix is wrong, that is all that shows it.
#[derive(Default)]
pub struct SeenKeys(Mutex<BTreeSet<(String, Key)>>);

impl SeenKeys {
    /// These sides have keys.
    pub fn add(&self, sides: &ComparedSides) {
        let place = (sides.from.bucket.clone(), sides.from.prefix.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
    }

    /// Fails if nothing was compared under a prefix that somebody typed, or for a bucket pair; and if nothing was compared at
    /// all, unless routes may still be empty.
    pub fn check(&self, scoped: &ScopedRun, routes_may_be_empty: bool) -> anyhow::Result<()> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = seen.is_empty() && !routes_may_be_empty;
        let empty = |sides: &&ComparedSides| {
            let asked = all || scoped.typed || sides.pair;
            asked && !seen.contains(&(sides.from.bucket.clone(), sides.from.prefix.clone()))
        };
        let empty: Vec<String> = scoped
            .sides
            .iter()
            .filter(empty)
            .map(|sides| {
                format!("{}/{} or {}/{}", sides.from.bucket, sides.from.prefix, sides.to.bucket, sides.to.prefix)
            })
            .collect();
        if empty.is_empty() {
            return Ok(());
        }
        bail!("0 objects compared: there is nothing under {}; is the prefix right?", empty.join(", nor under "))
    }
}

/// A listing for each route, or for each prefix in a route.
fn sides(agent: &Agent, prefixes: &[String]) -> anyhow::Result<Vec<ComparedSides>> {
    let router = agent.router();
    let routes = router.routes().iter().map(|route| (route, false));
    let pairs = router.pairs().iter().map(|pair| (pair, true));
    let named: Vec<(&Route, bool)> = routes.chain(pairs).filter(|(route, _)| route.source_bucket.is_some()).collect();
    if named.is_empty() {
        bail!("the settings name no source bucket: name one with [[routes]], bucket_pairs or --pairs");
    }
    let mut sides = Vec::new();
    for (route, pair) in named {
        let within: Vec<Key> = match prefixes {
            [] => vec![route.source_prefix.clone()],
            some => prefixes::within(some, &route.source_prefix),
        };
        for prefix in within {
            sides.push(side(agent, route, pair, prefix).context("a route without a bucket")?);
        }
    }
    if sides.is_empty() {
        return Err(anyhow!("no route takes keys under {}", prefixes.join(" or ")));
    }
    Ok(sides)
}

fn side(agent: &Agent, route: &Route, pair: bool, prefix: Key) -> Option<ComparedSides> {
    let to = ListingTarget {
        end: ListedStore::Sink(agent.sink().clone()),
        bucket: route.bucket.to_string(),
        prefix: Key::new(route.map(prefix.as_bytes())),
        versions: false,
    };
    let from = ListingTarget {
        end: ListedStore::Source(agent.source().clone()),
        bucket: route.source_bucket.as_deref()?.to_owned(),
        prefix,
        versions: false,
    };
    Some(ComparedSides { from, to, pair })
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
