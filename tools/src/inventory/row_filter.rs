//! What becomes of one row: a job, or one of the reasons why there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;
use skyferry_core::event::{EventKind, EventRecord, Removal};
use skyferry_core::model::{Key, Location};
use skyferry_core::route::{NotRouted, Route, RouteDecision, Router};
use skyferry_core::store::Listed;

use super::destination_index::IndexLookup;
use super::row::InventoryRow;
use super::schema::{Column, Schema};
use super::walk::RowChunk;
use crate::filter::{FilterArguments, ObjectFilter};

/// Buckets without a route that are told by name.
const TOLD: usize = 20;

pub struct RowFilter {
    router: Arc<Router>,
    filter: ObjectFilter,
    /// Columns without which the flags mean nothing, with the flag.
    needed: Vec<(Column, &'static str)>,
    /// All versions, each for itself.
    exact: bool,
    deletes: bool,
    /// The last row's, most often the next one's too.
    bucket: Arc<str>,
    unrouted: BTreeSet<String>,
}

/// What is to be sent.
#[derive(Debug)]
pub struct ListedJob {
    pub body: String,
    /// `None`: a deletion.
    pub size: Option<u64>,
}

impl RowFilter {
    /// `destination_index`: rows will be compared with another report.
    pub fn new(
        router: Arc<Router>,
        selection: &FilterArguments,
        exact: bool,
        deletes: bool,
        against: bool,
    ) -> anyhow::Result<RowFilter> {
        let sizes = selection.min_size.is_some() || selection.max_size.is_some();
        let ages = selection.newer_than.is_some() || selection.older_than.is_some();
        let flags = [
            (sizes, Column::Size, "--min-size and --max-size"),
            (ages, Column::LastModifiedDate, "--newer-than and --older-than"),
            (deletes, Column::IsDeleteMarker, "--deletes"),
            (against, Column::Size, "--against"),
        ];
        let needed = flags.into_iter().filter(|(set, ..)| *set).map(|(_, column, flag)| (column, flag)).collect();
        let (filter, bucket, unrouted) = (ObjectFilter::new(selection)?, "".into(), BTreeSet::new());
        Ok(RowFilter { router, filter, needed, exact, deletes, bucket, unrouted })
    }

    /// What the choice depends on, in words.
    pub fn description(&self) -> String {
        let routes = self.router.routes().iter().chain(self.router.pairs());
        let routes: Vec<String> = routes.map(ToString::to_string).collect();
        format!("{} {} {} {}", routes.join(" "), self.filter.description(), self.exact, self.deletes)
    }

    /// A report must have what the flags ask for.
    pub fn accepts(&self, schema: &Schema) -> anyhow::Result<()> {
        match self.needed.iter().find(|(column, _)| !schema.has(*column)) {
            Some((column, flag)) => bail!("the report has no column {column:?}, which {flag} needs"),
            None => Ok(()),
        }
    }

    /// `bucket`: the report's, where rows do not name their own. `there`: what is at the destination already.
    pub fn choose(
        &mut self,
        row: &InventoryRow<'_>,
        bucket: &Arc<str>,
        there: Option<&mut IndexLookup<'_>>,
        chunk: &mut RowChunk<ListedJob>,
    ) -> anyhow::Result<()> {
        let counts = &mut chunk.counts;
        if !row.latest && (!self.exact || row.delete_marker) {
            counts.older += 1;
            return Ok(());
        }
        if row.delete_marker && !self.deletes {
            counts.delete_markers += 1;
            return Ok(());
        }
        let source = Location { bucket: self.bucket_of(row, bucket), key: Key::new(row.key.to_vec()) };
        let mut destinations = match self.destinations(&source) {
            Ok(destinations) if self.is_selected(row, &source) => destinations,
            Err(Some(why)) => {
                counts.unrouted += 1;
                chunk.reported.extend(self.first_of(&source, &why));
                return Ok(());
            }
            _ => {
                counts.left_out += 1;
                return Ok(());
            }
        };
        if let Some(there) = there.filter(|_| !row.delete_marker) {
            let mut missing = Vec::new();
            for destination in destinations {
                if !there.has(&destination, row)? {
                    missing.push(destination);
                }
            }
            destinations = missing;
            counts.equal += u64::from(destinations.is_empty());
        }
        for destination in destinations {
            counts.jobs += 1;
            counts.deletions += u64::from(row.delete_marker);
            counts.bytes += row.size.unwrap_or(0);
            chunk.found.push(self.job(row, source.clone(), destination));
        }
        Ok(())
    }

    /// Where the route takes it, and each of the predecessors' bucket pairs. Nowhere: by the ignore list, or for this reason.
    fn destinations(&self, source: &Location) -> Result<Vec<Location>, Option<NotRouted>> {
        let pairs = self.router.pairs().iter().filter(|pair| rest(pair, source).is_some());
        let wanted = pairs.map(|pair| Location::new(pair.bucket.clone(), Key::new(pair.map(source.key.as_bytes()))));
        let mut destinations = Vec::new();
        let mut nowhere = None;
        for wanted in std::iter::once(None).chain(wanted.map(Some)) {
            match self.router.decide(source, wanted.as_ref()) {
                RouteDecision::Copy { destination, .. } if destinations.contains(&destination) => {}
                RouteDecision::Copy { destination, .. } => destinations.push(destination),
                // Nothing here asks for what no pair yields, so nothing waits for pairs.
                RouteDecision::Ignored { .. } | RouteDecision::Pending => {}
                RouteDecision::NotRouted(why) => nowhere = nowhere.or(Some(why)),
            }
        }
        if destinations.is_empty() { Err(nowhere) } else { Ok(destinations) }
    }

    fn bucket_of(&mut self, row: &InventoryRow<'_>, bucket: &Arc<str>) -> Arc<str> {
        let named = if row.bucket.is_empty() { bucket } else { row.bucket };
        if *self.bucket != *named {
            self.bucket = named.into();
        }
        self.bucket.clone()
    }

    fn is_selected(&self, row: &InventoryRow<'_>, source: &Location) -> bool {
        let routes = self.router.routes().iter().chain(self.router.pairs());
        let rest = routes.filter_map(|route| rest(route, source)).next().unwrap_or_default();
        let listed = Listed {
            key: source.key.clone(),
            size: row.size.unwrap_or(0),
            etag: Arc::default(),
            last_modified: row.last_modified.unwrap_or(0),
            storage_class: None,
            revision: None,
            version: None,
        };
        self.filter.accepts(&source.bucket, &listed, rest)
    }

    fn job(&self, row: &InventoryRow<'_>, source: Location, destination: Location) -> ListedJob {
        let event = if row.delete_marker { EventKind::Removed(Removal::DeleteMarker) } else { EventKind::Requested };
        let version = row.version.filter(|_| self.exact && !row.delete_marker).map(Arc::from);
        let size = if row.delete_marker { None } else { row.size };
        let destination = Some(destination);
        let record = EventRecord { source, event, size_hint: size, version, sequencer: None, destination };
        ListedJob { body: record.to_message(), size: (!row.delete_marker).then_some(row.size.unwrap_or(0)) }
    }

    /// Each bucket or prefix once.
    fn first_of(&mut self, source: &Location, why: &NotRouted) -> Option<String> {
        let why = why.to_string();
        if self.unrouted.len() >= TOLD || !self.unrouted.insert(why.clone()) {
            return None;
        }
        Some(format!("{source}: {why}; such rows are skipped"))
    }
}

/// What follows the route's prefix, where it takes this source.
fn rest<'a>(route: &Route, source: &'a Location) -> Option<&'a [u8]> {
    let fits = route.source_bucket.as_ref().is_none_or(|bucket| *bucket == source.bucket);
    source.key.as_bytes().strip_prefix(route.source_prefix.as_bytes()).filter(|_| fits)
}
