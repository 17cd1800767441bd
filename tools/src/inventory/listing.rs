//! A report in the place of a listing, for `skyferry copy`: its rows of one bucket, under one prefix.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Context as _;
use skyferry_core::model::Key;
use skyferry_core::store::{Listed, Source};
use tokio::sync::mpsc;

use super::files::{self, ReportFiles};
use super::location::FileLocation;
use super::reports::{self, ReportFile};
use super::row::InventoryRow;
use super::walk::RowWalk;
use crate::retry::RetryPolicy;

pub struct Listing {
    files: ReportFiles,
    parts: Vec<ReportFile>,
}

/// Files that are done, and rows of the next one that are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingPosition {
    files: usize,
    rows: u64,
}

impl Listing {
    pub async fn open(
        manifests: &[OsString],
        source: Option<Arc<dyn Source>>,
        patience: RetryPolicy,
    ) -> anyhow::Result<Listing> {
        let places = manifests.iter().map(|text| FileLocation::parse(text).map_err(anyhow::Error::msg));
        let files = ReportFiles::new(source, patience);
        let parts = reports::open(&places.collect::<anyhow::Result<Vec<_>>>()?, None, &files).await?;
        Ok(Listing { files, parts })
    }

    /// What tells these reports from others.
    pub fn sum(&self) -> String {
        let states: Vec<&str> = self.parts.iter().map(|part| part.state.as_str()).collect();
        files::md5(states.join(" ").as_bytes())
    }

    /// The rows behind `from`, in the reports' order, each time with the position that they reach to.
    pub async fn each(
        &self,
        from: ListingPosition,
        bucket: &str,
        prefix: &Key,
        mut take: impl AsyncFnMut(Vec<Listed>, ListingPosition) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (files, part) in self.parts.iter().enumerate().skip(from.files) {
            let file = part.fetch(&self.files).await?;
            let place = part.place.to_string();
            let (format, reported) = (part.format.clone(), part.bucket.clone());
            let (bucket, prefix) = (bucket.to_owned(), prefix.clone());
            let rows = if files == from.files { from.rows } else { 0 };
            let (sender, mut chunks) = mpsc::channel(1);
            let reading = tokio::task::spawn_blocking(move || {
                RowWalk::open(file, &format, rows, false)?.run(&sender, |row, chunk| {
                    let named = if row.bucket.is_empty() { &*reported } else { row.bucket };
                    let meant = row.latest && !row.delete_marker && named == bucket;
                    let under = meant && row.key.starts_with(prefix.as_bytes());
                    chunk.found.extend(under.then(|| listed(row)));
                    Ok(())
                })
            });
            while let Some(chunk) = chunks.recv().await {
                take(chunk.found, ListingPosition { files, rows: chunk.rows }).await?;
            }
            reading.await?.context(place)?;
        }
        Ok(())
    }
}

fn listed(row: &InventoryRow<'_>) -> Listed {
    Listed {
        key: Key::new(row.key.to_vec()),
        size: row.size.unwrap_or(0),
        etag: row.etag.unwrap_or_default().into(),
        last_modified: row.last_modified.unwrap_or(0),
        storage_class: None,
        revision: None,
        version: None,
    }
}

impl ListingPosition {
    pub fn to_bytes(self) -> Vec<u8> {
        format!("{} {}", self.files, self.rows).into_bytes()
    }

    /// The beginning, where they say nothing.
    pub fn from_bytes(bytes: &[u8]) -> ListingPosition {
        let read = || {
            let (files, rows) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
            Some(ListingPosition { files: files.parse().ok()?, rows: rows.parse().ok()? })
        };
        read().unwrap_or_default()
    }
}
