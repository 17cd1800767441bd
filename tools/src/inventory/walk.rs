//! Reads the rows of one file, on a thread of its own, and gives what is chosen of them in chunks.

use std::fs::File;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc::Sender;

use super::against::Against;
use super::choose::{Chooser, Chunk};
use super::manifest::Format;
use super::rows::{Row, Rows, Wrong};

/// Jobs of a chunk at most: some seconds of sending to SQS.
const JOBS: usize = 2000;
/// Rows of a chunk at most, where few of them become jobs.
const ROWS: u64 = 100_000;
/// Unreadable rows of a chunk that are told.
const TOLD: u64 = 10;

pub struct Walk {
    pub file: File,
    pub format: Format,
    /// Where rows do not name their own.
    pub bucket: Arc<str>,
    /// Rows that are done.
    pub from: u64,
    pub keep_going: bool,
}

impl Walk {
    /// Ends early, without an error, when nobody wants more.
    pub fn run(self, chooser: &mut Chooser, against: Option<&Against>, chunks: &Sender<Chunk>) -> anyhow::Result<()> {
        let mut rows = Rows::open(self.file, &self.format).map_err(|why| anyhow!(why))?;
        chooser.accepts(rows.schema())?;
        let mut there = against.map(Against::ask).transpose()?;
        let mut chunk = Chunk { rows: self.from, ..Chunk::default() };
        let mut number = 0;
        let ended = loop {
            let row = rows.next();
            number += u64::from(!matches!(row, Ok(None) | Err(Wrong::File(_))));
            match row {
                Ok(None) => break Ok(()),
                Err(Wrong::File(why)) => break Err(anyhow!(why)),
                _ if number <= self.from => continue,
                Ok(Some(row)) => chooser.choose(&row, &self.bucket, there.as_mut(), &mut chunk)?,
                Err(Wrong::Row { at, why }) if self.keep_going => bad(&mut chunk, &at, &why),
                Err(Wrong::Row { at, why }) => {
                    break Err(anyhow!("{at}: {why} (--keep-going leaves such rows out; what was before it is sent)"));
                }
            }
            chunk.rows = number;
            if chunk.jobs.len() >= JOBS || chunk.counts.rows >= ROWS {
                let next = Chunk { rows: number, ..Chunk::default() };
                if chunks.blocking_send(std::mem::replace(&mut chunk, next)).is_err() {
                    return Ok(());
                }
            }
        };
        let _ = chunks.blocking_send(chunk);
        ended
    }
}

fn bad(chunk: &mut Chunk, at: &str, why: &str) {
    chunk.counts.rows += 1;
    chunk.counts.bad += 1;
    if chunk.counts.bad <= TOLD {
        chunk.told.push(format!("{at}: {why}; left out"));
    }
}

/// Shows every row to `take`: of a report that is compared with.
pub fn all(file: File, format: &Format, mut take: impl FnMut(&Row<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut rows = Rows::open(file, format).map_err(|why| anyhow!(why))?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => take(&row)?,
            Err(Wrong::File(why)) => bail!(why),
            // Its object counts as missing, and a job looks.
            Err(Wrong::Row { .. }) => {}
        }
    }
}
