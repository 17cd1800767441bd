//! A listing is one request after another, a tenth of a second each on the far services, so several ranges of keys are
//! listed at once. Nobody knows the keys beforehand: while one range is long, a key between what it has reached and where
//! it ends is tried. If the source has something after that key, the range is cut there and the rest is another range, the
//! page that was tried its first; if not, the next try is below it. Short listings are never cut.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use skyferry_core::error::CopyError;
use skyferry_core::model::Key;
use skyferry_core::store::Listed;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::bounds::ListingRange;
use super::finding::{ComparedSides, ListedPair};
use super::merge::{ListingRows, Merge};
use crate::pages::Pages;
use crate::retry::RetryPolicy;

/// Ranges at once, of both sides each. Services take hundreds of listings a second; more than this only costs memory.
pub const AT_ONCE: usize = 6;

struct Range {
    sides: ComparedSides,
    after: Option<Key>,
    bounds: Arc<ListingRange>,
    /// The source's pages, and the first of them where it was taken already.
    pages: Pages,
    first: Vec<Listed>,
    _permit: OwnedSemaphorePermit,
}

/// Compares these places one after another, each in up to `at_once` ranges: every key of either side once, in no order
/// across ranges. Ends with the first error.
pub async fn side_by_side(
    sides: &[ComparedSides],
    at_once: usize,
    patience: &RetryPolicy,
    each: impl AsyncFn(&ComparedSides, Vec<ListedPair>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for sides in sides {
        one(sides, at_once.max(1), patience, &each).await?;
    }
    Ok(())
}

/// Compares one place in the order of its keys, from the one that follows `after`: for who stops and continues later. Fails
/// where the source lists in another order.
pub async fn in_order(
    sides: &ComparedSides,
    after: Option<Key>,
    patience: &RetryPolicy,
    mut each: impl AsyncFnMut(Vec<ListedPair>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pages = Pages::new(sides.from.clone(), after.clone(), patience.clone());
    let mut merge = merge(sides, after, Arc::new(ListingRange::rest(None, None)), pages, Vec::new(), patience);
    loop {
        let pairs = merge.next().await?;
        if pairs.is_empty() {
            return Ok(());
        }
        each(pairs).await?;
    }
}

/// `pages`: the source's, and `first` the one that was taken of them already.
fn merge(
    sides: &ComparedSides,
    after: Option<Key>,
    bounds: Arc<ListingRange>,
    pages: Pages,
    first: Vec<Listed>,
    patience: &RetryPolicy,
) -> Merge {
    let (here, there) = (sides.from.prefix.as_bytes().len(), sides.to.prefix.as_bytes().len());
    let mapped =
        |key: Key| Key::new([sides.to.prefix.as_bytes(), key.as_bytes().get(here..).unwrap_or_default()].concat());
    let others = Pages::new(sides.to.clone(), after.map(mapped), patience.clone());
    Merge::new(ListingRows::new(pages, first, here), ListingRows::new(others, Vec::new(), there), bounds)
}

async fn one(
    sides: &ComparedSides,
    at_once: usize,
    patience: &RetryPolicy,
    each: &impl AsyncFn(&ComparedSides, Vec<ListedPair>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (new, mut found) = mpsc::unbounded_channel();
    let cutter = Cutter {
        sides,
        patience,
        permits: Arc::new(Semaphore::new(at_once)),
        open: Mutex::default(),
        listed: Notify::new(),
        new,
    };
    let mut running = FuturesUnordered::new();
    running.push(cutter.walk(cutter.whole().await, each));
    let cutting = cutter.keep_cutting();
    tokio::pin!(cutting);
    loop {
        // A range that was found is taken before it can look as if nothing were left.
        while let Ok(range) = found.try_recv() {
            running.push(cutter.walk(range, each));
        }
        tokio::select! {
            ended = running.next() => match ended {
                Some(ended) => ended?,
                None => return Ok(()),
            },
            Some(range) = found.recv() => running.push(cutter.walk(range, each)),
            error = &mut cutting, if at_once > 1 => return Err(error.into()),
        }
    }
}

struct Cutter<'a> {
    sides: &'a ComparedSides,
    patience: &'a RetryPolicy,
    permits: Arc<Semaphore>,
    open: Mutex<Vec<Arc<ListingRange>>>,
    /// Something more was listed.
    listed: Notify,
    new: mpsc::UnboundedSender<Range>,
}

impl Cutter<'_> {
    async fn whole(&self) -> Range {
        let pages = Pages::new(self.sides.from.clone(), None, self.patience.clone());
        self.range(None, ListingRange::default(), pages, Vec::new(), self.permit().await)
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        // The semaphore is never closed.
        self.permits.clone().acquire_owned().await.unwrap_or_else(|_| unreachable!())
    }

    fn range(
        &self,
        after: Option<Key>,
        bounds: ListingRange,
        pages: Pages,
        first: Vec<Listed>,
        permit: OwnedSemaphorePermit,
    ) -> Range {
        let bounds = Arc::new(bounds);
        self.open().push(bounds.clone());
        Range { sides: self.sides.clone(), after, bounds, pages, first, _permit: permit }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<ListingRange>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn walk(
        &self,
        range: Range,
        each: &impl AsyncFn(&ComparedSides, Vec<ListedPair>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Range { sides, after, bounds, pages, first, _permit } = range;
        let mut merge = merge(&sides, after, bounds.clone(), pages, first, self.patience);
        loop {
            let pairs = merge.next().await?;
            if pairs.is_empty() {
                bounds.close();
                return Ok(());
            }
            self.listed.notify_one();
            each(&sides, pairs).await?;
        }
    }

    /// Never ends but with an error of the source.
    async fn keep_cutting(&self) -> CopyError {
        loop {
            let permit = self.permit().await;
            let (bounds, middle) = self.longest().await;
            let mut pages = Pages::new(self.sides.from.clone(), Some(middle.clone()), self.patience.clone());
            let first = match pages.next().await {
                Some(Err(error)) => return error,
                Some(Ok(first)) => first,
                None => Vec::new(),
            };
            if let Some(rest) = bounds.cut(&middle, first.first().map(|row| &row.key)) {
                // Whoever receives it lives as long as this.
                let _ = self.new.send(self.range(Some(middle), rest, pages, first, permit));
            }
        }
    }

    /// The range that is most worth to be cut.
    async fn longest(&self) -> (Arc<ListingRange>, Key) {
        loop {
            let prefix = self.sides.from.prefix.as_bytes().len();
            let longest = {
                let mut open = self.open();
                open.retain(|bounds| !bounds.is_closed());
                let middles = open.iter().filter_map(|bounds| Some((bounds.clone(), bounds.middle(prefix)?)));
                middles.max_by_key(|(_, (pages, _))| *pages)
            };
            if let Some((bounds, (_, middle))) = longest {
                return (bounds, middle);
            }
            self.listed.notified().await;
        }
    }
}
