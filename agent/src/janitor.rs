//! Ends uploads that nobody will finish: a kill can fall between the beginning of an upload and its record in the ledger, so
//! they are found by listing. Only what is provably ours is touched: an upload at the destination of a key that the ledger
//! knows, old enough, and recorded by no open writer. Somebody else's, and whatever is not certain, is left alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use skyferry_core::ambient;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::ledger::{Ledger, Subject};
use skyferry_core::model::{Key, Location, UploadId};
use skyferry_core::route::LiveRoutes;
use skyferry_core::store::Sink;

/// Beyond any lease, and within the day that is promised even where a sweep is missed.
pub const AGE: Duration = Duration::from_secs(18 * 3600);
/// Between two sweeps of one agent: a listing of open uploads is a request a route and thousand uploads.
const PERIOD: Duration = Duration::from_secs(3 * 3600);

pub struct Janitor {
    pub sink: Arc<dyn Sink>,
    pub ledger: Arc<dyn Ledger>,
    pub routes: LiveRoutes,
    /// Only finds out what it would end.
    pub dry: bool,
    /// Told of each upload before it is ended.
    pub tell: Option<SweepLog>,
}

pub type SweepLog = Box<dyn Fn(&Location, &UploadId) + Send + Sync>;

/// Which uploads a sweep looks at, by when they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepScope {
    /// At least so long ago, so that nobody can be at work on them.
    OlderThan(Duration),
    /// Not before this time, in seconds since the epoch: for who knows that nobody else has worked here since.
    Since(i64),
}

impl SweepScope {
    fn contains(self, initiated: i64, now: Duration) -> bool {
        match self {
            SweepScope::OlderThan(age) => {
                now.saturating_sub(Duration::from_secs(u64::try_from(initiated).unwrap_or(0))) >= age
            }
            SweepScope::Since(time) => initiated >= time,
        }
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Or, where it is dry, would be.
    pub aborted: usize,
    /// Recorded by an open writer, or outside of the time.
    pub live: usize,
    /// Not known to be Skyferry's.
    pub foreign: usize,
}

impl Janitor {
    /// Sweeps now and then until `end`; a sweep that fails is tried again at the next time.
    pub async fn run(self, end: CancellationToken) {
        // Agents that started together do not list together.
        let mut pause = PERIOD.mul_f64(ambient::uniform(0.05..0.3));
        loop {
            match self.ledger.expire_records().await {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "records finished more than 30 days ago were deleted"),
                Err(error) => tracing::warn!(%error, "old records could not be deleted; trying again later"),
            }
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.sweep(SweepScope::OlderThan(AGE)).await {
                Ok(SweepReport { aborted: 0, .. }) => {}
                Ok(swept) => {
                    tracing::info!(aborted = swept.aborted, "abandoned uploads were aborted")
                }
                Err(error) => tracing::warn!(%error, "the search for leftover uploads failed; trying again later"),
            }
            pause = PERIOD.mul_f64(ambient::uniform(0.8..1.2));
        }
    }

    /// Ends our leftover uploads. The ledger is asked only where there are any to ask about. One that cannot be ended keeps no
    /// other from it: the first such error comes back at the end.
    pub async fn sweep(&self, begun: SweepScope) -> Result<SweepReport, CopyError> {
        let (mut swept, mut failed) = (SweepReport::default(), Ok(()));
        for (bucket, prefix) in self.destinations() {
            let found = self.sink.uploads(&bucket, &prefix).await?;
            let now = ambient::since_epoch();
            let (suspects, others): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|upload| begun.contains(upload.initiated, now));
            swept.live += others.len();
            if suspects.is_empty() {
                continue;
            }
            let recorded = self.ledger.open_uploads(&bucket).await;
            let recorded = recorded.map_err(|error| unknown(&Location::new(&*bucket, prefix), &error.to_string()))?;
            let recorded: BTreeSet<UploadId> = recorded.into_iter().collect();
            for upload in suspects {
                if recorded.contains(&upload.id) {
                    swept.live += 1;
                    continue;
                }
                let at = Location { bucket: bucket.clone(), key: upload.key };
                if !self.is_ours(&at).await? {
                    swept.foreign += 1;
                    continue;
                }
                if let Some(tell) = &self.tell {
                    tell(&at, &upload.id);
                }
                if !self.dry {
                    if let Err(error) = self.sink.abort(&at, &upload.id).await {
                        failed = failed.and(Err(error));
                        continue;
                    }
                    tracing::info!(object = %at, upload = %upload.id, "a leftover upload was aborted");
                }
                swept.aborted += 1;
            }
        }
        failed.map(|()| swept)
    }

    /// Buckets and prefixes, none inside another.
    fn destinations(&self) -> Vec<(Arc<str>, Key)> {
        let router = self.routes.current();
        let routes = router.routes().iter().chain(router.pairs());
        let mut places: Vec<(Arc<str>, Key)> =
            routes.map(|route| (route.bucket.clone(), route.prefix.clone())).collect();
        places.sort();
        places.dedup_by(|b, a| a.0 == b.0 && b.1.as_bytes().starts_with(a.1.as_bytes()));
        places
    }

    /// Whether the ledger has a record of the key that is copied to this place.
    async fn is_ours(&self, destination: &Location) -> Result<bool, CopyError> {
        let router = self.routes.current();
        let Some(source) = router.source_of(destination) else { return Ok(false) };
        let subject = Subject::of(&router, source, destination.clone());
        let record = self.ledger.lookup(&subject).await;
        record.map(|record| record.is_some()).map_err(|error| unknown(destination, &error.to_string()))
    }
}

fn unknown(at: &Location, why: &str) -> CopyError {
    CopyError::new(Side::Ledger, ErrorKind::Unavailable, "lookup", at, why)
}
