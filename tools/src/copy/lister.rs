//! Walks the source's listing and the destination's side by side, and feeds the queue with what is not known to be equal,
//! while the agent drains it. Holds some pages, never the listing: the rest waits until the queue has room.
//!
//! A listing is a circle. Where it stands is written with the messages, in one transaction; a run that was killed begins
//! there, with what is new, and then goes once all the way round, for what it has listed may have changed since.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use skyferry_core::event::{EventKind, EventRecord};
use skyferry_core::ledger::{Ledger, Subject};
use skyferry_core::metrics::{Metrics, Outcome};
use skyferry_core::model::{Key, Location};
use skyferry_core::queue::Queue as _;
use skyferry_core::route::Router;
use skyferry_core::store::{Listed, Object, Pin};
use skyferry_sqlite::queue::{ListedMessage, SqliteQueue};

use super::destination_listing::{DestinationListing, DestinationRow};
use super::state::POSITION;
use crate::compare::{Comparison, EqualityBasis, by_ledger, by_listings};
use crate::console::Console;
use crate::filter::ObjectFilter;
use crate::inventory::{Listing, ListingPosition};
use crate::pages::{ListedStore, ListingTarget, Pages};
use crate::retry::RetryPolicy;

/// Messages that wait at most, give or take a page.
const ROOM: u64 = 4000;
/// Between two looks whether there is room.
const LOOK: Duration = Duration::from_millis(50);
/// Objects of a list that are looked at together.
const LOOKS: usize = 64;
/// What SQLite hangs on its file's name.
const SQLITE: [&[u8]; 4] = [b"", b"-wal", b"-shm", b"-journal"];

/// How far the listing is: for the progress, and for a dry run's result.
#[derive(Default)]
pub struct ListingCounts {
    /// Objects under SRC so far.
    pub listed: AtomicU64,
    /// Those of them that were not known to be equal, and their bytes.
    pub sent: AtomicU64,
    pub bytes: AtomicU64,
    pub ended: AtomicBool,
}

/// What is known of a key before anybody looks at it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Equal,
    /// At the destination or in the ledger: its job has to look first.
    Something,
    Nothing,
}

/// Shows one object of a dry run.
pub type DryRunLog = Box<dyn Fn(&Listed) -> std::io::Result<()> + Send + Sync>;

pub struct Lister {
    pub from: ListingTarget,
    pub to: ListingTarget,
    /// The one key, where SRC names one.
    pub single: Option<Key>,
    /// Its name at the destination, where that is another.
    pub renamed: Option<Key>,
    /// A report that stands for the source's listing.
    pub inventory: Option<Listing>,
    pub filter: ObjectFilter,
    pub router: Arc<Router>,
    pub queue: Arc<SqliteQueue>,
    pub ledger: Arc<dyn Ledger>,
    pub metrics: Arc<Metrics>,
    pub counts: Arc<ListingCounts>,
    pub patience: RetryPolicy,
    pub console: Console,
    /// The source lists in the order of the keys' bytes, so that a position says what lies before it.
    pub ordered: bool,
    /// The key of the state itself, where it lies under SRC: it changes with every object and could never be copied.
    pub own: Option<Vec<u8>>,
    /// Tells what would be copied instead.
    pub log_object: Option<DryRunLog>,
}

impl Lister {
    pub async fn run(&self) -> anyhow::Result<()> {
        if let Some(key) = &self.single {
            self.one(key).await?;
        } else if let Some(names) = self.filter.names() {
            self.named(names).await?;
        } else if let Some(inventory) = &self.inventory {
            let position = self.queue.note(POSITION).await?.map(|bytes| ListingPosition::from_bytes(&bytes));
            let ListingTarget { bucket, prefix, .. } = &self.from;
            let each = async |rows: Vec<Listed>, position: ListingPosition| {
                // In no order, so that no listing can be walked beside it.
                let wanted =
                    rows.into_iter().filter(|row| self.is_selected(row)).map(|row| (row, DestinationRow::Unknown));
                self.send(wanted.collect(), Some(Key::new(position.to_bytes()))).await
            };
            inventory.each(position.unwrap_or_default(), bucket, prefix, each).await?;
            self.feed(Vec::new(), None).await?;
        } else {
            let position = if self.ordered { self.queue.note(POSITION).await?.map(Key::new) } else { None };
            self.list_range(position.clone(), None).await?;
            if let Some(begun) = position {
                self.list_range(None, Some(begun)).await?;
            }
            self.feed(Vec::new(), None).await?;
        }
        self.counts.ended.store(true, Relaxed);
        Ok(())
    }

    /// From after one key to another, both ends of the listing where there is none.
    async fn list_range(&self, after: Option<Key>, until: Option<Key>) -> anyhow::Result<()> {
        let there_after = after.as_ref().map(|key| self.to_key(self.rest(key)));
        let mut pages = Pages::new(self.from.clone(), after, self.patience.clone());
        let mut there =
            DestinationListing::new(self.to.clone(), there_after, self.patience.clone(), self.console.clone());
        while let Some(page) = pages.next().await {
            let (mut rows, mut last, mut over) = (Vec::new(), None, false);
            for row in page? {
                over = until.as_ref().is_some_and(|until| row.key > *until);
                if over {
                    break;
                }
                last = Some(row.key.clone());
                if self.is_selected(&row) {
                    let seen = there.find(self.rest(&row.key)).await?;
                    rows.push((row, seen));
                }
            }
            self.send(rows, last).await?;
            if over {
                break;
            }
        }
        Ok(())
    }

    async fn one(&self, key: &Key) -> anyhow::Result<()> {
        let row = self.look(key.clone()).await?;
        let at = Location::new(self.from.bucket.as_str(), key.clone());
        let row = row.ok_or_else(|| anyhow::anyhow!("SRC {at} no longer exists"))?;
        if self.is_selected(&row) {
            self.send(vec![(row, DestinationRow::Unknown)], None).await?;
        }
        Ok(())
    }

    /// The objects of a list. What is not there is reported one by one, and as an error at the end.
    async fn named(&self, names: &BTreeSet<Vec<u8>>) -> anyhow::Result<()> {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let mut missing = 0;
        for names in names.chunks(LOOKS) {
            let keys = names.iter().map(|name| Key::new([self.from.prefix.as_bytes(), name].concat()));
            let looked = join_all(keys.map(|key| async { (key.clone(), self.look(key).await) })).await;
            let mut rows = Vec::new();
            for (key, row) in looked {
                match row? {
                    Some(row) if self.is_selected(&row) => rows.push((row, DestinationRow::Unknown)),
                    Some(_) => {}
                    None => {
                        missing += 1;
                        let at = Location::new(self.from.bucket.as_str(), key);
                        self.console.line(&format!("skyferry: not found: {at}"));
                    }
                }
            }
            self.send(rows, None).await?;
        }
        match missing {
            0 => Ok(()),
            _ => anyhow::bail!("{missing} of {} names of --files-from are not at SRC", names.len()),
        }
    }

    async fn look(&self, key: Key) -> anyhow::Result<Option<Listed>> {
        let ListedStore::Source(source) = &self.from.end else { return Ok(None) };
        let at = Location::new(self.from.bucket.as_str(), key.clone());
        let object = self.patience.ask(false, || source.head(&at, &Pin::Newest)).await?;
        Ok(object.map(|object| row(key, &object)))
    }

    fn is_selected(&self, row: &Listed) -> bool {
        self.counts.listed.fetch_add(1, Relaxed);
        let rest = self.rest(&row.key);
        // The prefix itself is a folder's marker; without a name it cannot be at the top of a bucket or a directory.
        let nameless = rest.is_empty() && self.to.prefix.as_bytes().is_empty();
        let beside = |own: &Vec<u8>| rest.strip_prefix(own.as_slice()).is_some_and(|more| SQLITE.contains(&more));
        let own = self.own.as_ref().is_some_and(beside);
        let wanted = !nameless && !own && self.filter.accepts(&self.from.bucket, row, rest);
        if !wanted {
            self.metrics.count_outcome(Outcome::Skipped);
        }
        wanted
    }

    /// Sorts out what is equal, and sends the rest with the position that it makes.
    async fn send(&self, rows: Vec<(Listed, DestinationRow)>, position: Option<Key>) -> anyhow::Result<()> {
        let known = join_all(rows.iter().map(|(row, seen)| self.compare(row, seen))).await;
        let mut messages = Vec::new();
        for ((row, _), known) in rows.into_iter().zip(known) {
            let known = known?;
            if known == Known::Equal {
                self.metrics.count_outcome(Outcome::Unchanged);
                continue;
            }
            self.counts.sent.fetch_add(1, Relaxed);
            self.counts.bytes.fetch_add(row.size, Relaxed);
            match &self.log_object {
                Some(tell) => tell(&row)?,
                None => messages.push(ListedMessage { body: self.message(&row), seen: known == Known::Something }),
            }
        }
        self.feed(messages, position).await
    }

    async fn feed(&self, messages: Vec<ListedMessage>, position: Option<Key>) -> anyhow::Result<()> {
        if self.log_object.is_some() {
            return Ok(());
        }
        while !messages.is_empty() {
            let depth = self.queue.depth().await?;
            if depth.visible + depth.in_flight + depth.delayed < ROOM {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let position = position.map(|key| key.as_bytes().to_vec());
        Ok(self.queue.feed(messages, vec![(POSITION, position)]).await?)
    }

    /// Equal is what the ledger recorded and both listings still show. Where the ledger has nothing, a dry run takes equal
    /// ETags for equal bytes; a job looks closer.
    async fn compare(&self, row: &Listed, seen: &DestinationRow) -> anyhow::Result<Known> {
        let source = Location::new(self.from.bucket.as_str(), row.key.clone());
        let key = self.renamed.clone().unwrap_or_else(|| self.to_key(self.rest(&row.key)));
        let subject = Subject::of(&self.router, source, Location::new(self.to.bucket.as_str(), key));
        let record = self.ledger.lookup(&subject).await?;
        let published = record.as_ref().filter(|record| record.ended && record.published.is_some());
        let equal = match (seen, published) {
            (DestinationRow::Row(there), Some(record)) => by_ledger(record, row, there),
            (DestinationRow::Row(there), None) => {
                self.log_object.is_some()
                    && by_listings(Some(row), Some(there)) == Comparison::Equal(EqualityBasis::Etag)
            }
            _ => false,
        };
        Ok(match (equal, seen, record) {
            (true, ..) => Known::Equal,
            (false, DestinationRow::Nothing, None) => Known::Nothing,
            // Also what the ledger knows and the listing does not show: it was taken away.
            _ => Known::Something,
        })
    }

    fn message(&self, row: &Listed) -> String {
        let record = EventRecord {
            source: Location::new(self.from.bucket.as_str(), row.key.clone()),
            event: EventKind::Requested,
            size_hint: Some(row.size),
            version: None,
            sequencer: None,
            destination: self.renamed.clone().map(|key| Location::new(self.to.bucket.as_str(), key)),
        };
        record.to_message()
    }

    /// What follows SRC.
    fn rest<'a>(&self, key: &'a Key) -> &'a [u8] {
        key.as_bytes().get(self.from.prefix.as_bytes().len()..).unwrap_or_default()
    }

    fn to_key(&self, rest: &[u8]) -> Key {
        Key::new([self.to.prefix.as_bytes(), rest].concat())
    }
}

fn row(key: Key, object: &Object) -> Listed {
    Listed {
        key,
        size: object.identity.size,
        etag: object.identity.etag.clone(),
        last_modified: object.identity.last_modified,
        storage_class: None,
        revision: None,
        version: None,
    }
}
