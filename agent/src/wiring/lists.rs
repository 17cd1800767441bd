//! The lists that are kept outside the settings, the ignore list and the predecessors' bucket pairs: read at the start, and
//! again every minute and on SIGHUP, because their owners change them while agents run. A version that cannot be read or served
//! changes nothing: the one before continues.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::keys::{self, ListError};
use super::{AllCredentials, RoleCredentials, WiringError, copy_loops};
use skyferry_config as config;
use skyferry_config::{ListLocation, MetadataEndpoints, Settings};
use skyferry_core::model::Key;
use skyferry_core::route::{BucketPairs, IgnoreList, LiveRoutes, Route, Router};
use skyferry_core::store::CopyOptions;

const PERIOD: Duration = Duration::from_secs(60);
/// While jobs wait for pairs that could not be read.
const SOONER: Duration = Duration::from_secs(10);

/// What follows from a denied list with `follow_jobs`.
pub const DENIED: &str = "no permission to read the bucket pairs: jobs go to the destination that they name if its key ends with the source's key (with follow_jobs = false they wait instead)";
/// What to add, or to switch off.
pub const ALLOW: &str = r#"to check jobs against the pairs, allow this machine {"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:REGION:ACCOUNT:parameter/NAME"}, NAME being bucket_pairs"#;

#[derive(Clone)]
pub(super) struct RouteLists {
    settings: Arc<Settings>,
    /// Source and destination: which service each is decides what a circle is.
    keys: [Option<RoleCredentials>; 2],
}

impl RouteLists {
    pub(super) fn of(settings: &Settings, keys: &AllCredentials) -> RouteLists {
        let keys = [keys.source.clone(), keys.destination.clone()];
        RouteLists { settings: Arc::new(settings.clone()), keys }
    }

    /// As agents start: an ignore list must be there, because what it leaves out would be copied. Without their pairs only
    /// the jobs that need them wait.
    pub(super) async fn read(&self) -> Result<Router, WiringError> {
        let router = router(&self.settings).await?;
        copy_loops::refuse_copy_loops(&self.settings, &router, [&self.keys[0], &self.keys[1]])?;
        Ok(router)
    }

    /// Until `end`, every minute and at each SIGHUP.
    pub(super) async fn run(self, routes: LiveRoutes, end: CancellationToken) {
        if self.settings.ignore_list.is_none() && self.settings.bucket_pairs.is_none() {
            return;
        }
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut last_trouble = String::new();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(signal) => drop(signal.recv().await),
                    None => std::future::pending().await,
                }
            };
            let waiting = routes.current().without_pairs() == Some(&BucketPairs::Unavailable);
            tokio::select! {
                () = end.cancelled() => return,
                () = asked => {}
                () = tokio::time::sleep(if waiting { SOONER } else { PERIOD }) => {}
            }
            match self.refresh(&routes).await {
                Ok(()) => last_trouble.clear(),
                // Logged once, and not each minute.
                Err(error) => {
                    let trouble = error.to_string();
                    if trouble != last_trouble {
                        tracing::warn!(%error, "the previous lists stay in use");
                        last_trouble = trouble;
                    }
                }
            }
        }
    }

    /// Reads them again, once.
    pub(super) async fn refresh(&self, routes: &LiveRoutes) -> Result<(), WiringError> {
        let router = self.read_again(&routes.current()).await?;
        if router != *routes.current() {
            warn_about_merged(&router);
            tracing::info!(pairs = router.pairs().len(), "the lists have changed and are in use");
            routes.replace(router);
        }
        Ok(())
    }

    /// Why jobs that only bucket pairs can allow would wait, if they would.
    pub(super) async fn check_pairs(&self) -> Result<(), WiringError> {
        pairs(&self.settings).await.map(drop)
    }

    async fn read_again(&self, now: &Router) -> Result<Router, WiringError> {
        let (ignore, pairs) = (ignore_list(&self.settings, false).await?, pairs(&self.settings).await?);
        let router = now.clone().with_ignore_list(ignore).with_pairs(pairs);
        copy_loops::refuse_copy_loops(&self.settings, &router, [&self.keys[0], &self.keys[1]])?;
        Ok(router)
    }
}

/// The routes with their lists, as far as those can be read.
pub(super) async fn router(settings: &Settings) -> Result<Router, WiringError> {
    let ignore = ignore_list(settings, true).await?;
    let router = Router::new(settings.routes.iter().map(route).collect(), ignore)?;
    let pairs = pairs(settings).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "jobs that only bucket pairs can allow wait until these can be read");
        BucketPairs::Unavailable
    });
    if pairs == BucketPairs::Denied {
        tracing::warn!("{DENIED}; {ALLOW}");
    }
    let router = router.with_pairs(pairs).with_followed(unrouted(settings));
    warn_about_merged(&router);
    Ok(router)
}

fn warn_about_merged(router: &Router) {
    for (one, other) in router.merged() {
        tracing::warn!(
            "the bucket pairs {one} and {other} have the same destination: no key may exist in both sources"
        );
    }
}

async fn ignore_list(settings: &Settings, warn: bool) -> Result<IgnoreList, WiringError> {
    let Some(at) = &settings.ignore_list else { return Ok(IgnoreList::default()) };
    let (name, read) = keys::list(at, &settings.metadata).await;
    let file = read.map_err(|ListError { reason, .. }| WiringError::IgnoreList { at: name.clone(), reason })?;
    let by_key = settings.ignore_by_key;
    let (ignore, warnings) = IgnoreList::parse(&file);
    // By the key alone a pattern without a bucket means something.
    for warning in warnings.iter().filter(|_| warn && !by_key) {
        tracing::warn!(list = name, "{warning}");
    }
    Ok(if by_key { ignore.also_by_key() } else { ignore })
}

async fn pairs(settings: &Settings) -> Result<BucketPairs, WiringError> {
    let Some(at) = &settings.bucket_pairs else { return Ok(BucketPairs::Known(Vec::new())) };
    match read_pairs(at, &settings.metadata).await {
        Ok(pairs) => {
            let options = unrouted(settings);
            let pairs = pairs.iter().map(|pair| Route { options: options.clone(), ..route(pair) });
            Ok(BucketPairs::Known(pairs.collect()))
        }
        Err((_, ListError { denied: true, .. })) if settings.follow_jobs => Ok(BucketPairs::Denied),
        Err((at, ListError { reason, .. })) => Err(WiringError::BucketPairs { at, reason }),
    }
}

/// How copies are stored that no route takes: as `[destination]` has it, in the bucket's own class.
fn unrouted(settings: &Settings) -> Arc<CopyOptions> {
    Arc::new(CopyOptions { storage_class: None, ..CopyOptions::clone(&settings.options) })
}

fn route(route: &config::RouteSettings) -> Route {
    Route {
        source_bucket: route.source_bucket.as_deref().map(Arc::from),
        source_prefix: Key::from(route.source_prefix.as_str()),
        bucket: route.bucket.as_str().into(),
        prefix: Key::from(route.prefix.as_str()),
        strip_prefix: route.strip_prefix,
        options: route.options.clone(),
    }
}

/// The predecessors' bucket pairs as routes. The error names the list.
pub async fn bucket_pairs(
    at: &ListLocation,
    metadata: &MetadataEndpoints,
) -> Result<Vec<config::RouteSettings>, WiringError> {
    read_pairs(at, metadata).await.map_err(|(at, ListError { reason, .. })| WiringError::BucketPairs { at, reason })
}

async fn read_pairs(
    at: &ListLocation,
    metadata: &MetadataEndpoints,
) -> Result<Vec<config::RouteSettings>, (String, ListError)> {
    let (name, read) = keys::list(at, metadata).await;
    let wrong = |reason| ListError { reason, denied: false };
    let text = read.and_then(|text| String::from_utf8(text).map_err(|error| wrong(error.to_string())));
    text.and_then(|text| config::bucket_pairs::parse(&text).map_err(wrong)).map_err(|unread| (name, unread))
}
