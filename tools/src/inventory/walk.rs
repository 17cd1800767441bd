//! Reads the rows of one file, on a thread of its own, and gives what is found in them in chunks.

use std::fs::File;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc::Sender;

use super::counts::InventoryCounts;
use super::manifest::ReportFormat;
use super::row::{InventoryRow, RowError};
use super::rows::ReportRows;
use super::schema::Schema;

/// Of what is found in a chunk at most: some seconds of sending to SQS.
const FOUND: usize = 2000;
/// Rows of a chunk at most, where little is found in them.
const ROWS: u64 = 100_000;
/// Unreadable rows of a chunk that are reported.
const TOLD: u64 = 10;

const ADVICE: &str = "skyferry inventory --keep-going skips such rows";

/// What is sent at once, and is sent again after a kill.
pub struct RowChunk<T> {
    pub found: Vec<T>,
    pub counts: InventoryCounts,
    /// Of the file that are done with it.
    pub rows: u64,
    /// What a person should know.
    pub reported: Vec<String>,
}

pub struct RowWalk {
    rows: ReportRows,
    /// Rows that are done.
    from: u64,
    keep_going: bool,
}

impl RowWalk {
    pub fn open(file: File, format: &ReportFormat, from: u64, keep_going: bool) -> anyhow::Result<RowWalk> {
        Ok(RowWalk { rows: ReportRows::open(file, format).map_err(|why| anyhow!(why))?, from, keep_going })
    }

    pub fn schema(&self) -> &Schema {
        self.rows.schema()
    }

    /// Ends early, without an error, when nobody wants more.
    pub fn run<T>(
        mut self,
        chunks: &Sender<RowChunk<T>>,
        mut take: impl FnMut(&InventoryRow<'_>, &mut RowChunk<T>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut chunk = RowChunk::after(self.from);
        let mut number = 0;
        let ended = loop {
            let row = self.rows.next();
            number += u64::from(!matches!(row, Ok(None) | Err(RowError::File(_))));
            match row {
                Ok(None) => break Ok(()),
                Err(RowError::File(why)) => break Err(anyhow!(why)),
                _ if number <= self.from => continue,
                Ok(Some(row)) => {
                    chunk.counts.rows += 1;
                    take(&row, &mut chunk)?;
                }
                Err(RowError::Row { at, why }) if self.keep_going => chunk.bad(&at, &why),
                Err(RowError::Row { at, why }) => {
                    break Err(anyhow!("{at}: {why}; what was before it is sent ({ADVICE})"));
                }
            }
            chunk.rows = number;
            if chunk.found.len() >= FOUND || chunk.counts.rows >= ROWS {
                let full = std::mem::replace(&mut chunk, RowChunk::after(number));
                if chunks.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
        };
        let _ = chunks.blocking_send(chunk);
        ended
    }
}

impl<T> RowChunk<T> {
    fn after(rows: u64) -> RowChunk<T> {
        RowChunk { found: Vec::new(), counts: InventoryCounts::default(), rows, reported: Vec::new() }
    }

    fn bad(&mut self, at: &str, why: &str) {
        self.counts.rows += 1;
        self.counts.bad += 1;
        if self.counts.bad <= TOLD {
            self.reported.push(format!("{at}: {why}; left out"));
        }
    }
}

/// Shows every row to `take`: of a report that is compared with.
pub fn all(
    file: File,
    format: &ReportFormat,
    mut take: impl FnMut(&InventoryRow<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rows = ReportRows::open(file, format).map_err(|why| anyhow!(why))?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => take(&row)?,
            Err(RowError::File(why)) => bail!(why),
            // Its object counts as missing, and a job looks.
            Err(RowError::Row { .. }) => {}
        }
    }
}
