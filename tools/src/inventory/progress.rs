//! How far it is, for the line that shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use indicatif::HumanCount;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::counts::InventoryCounts;
use crate::console::Console;
use crate::progress_line;

#[derive(Default)]
pub struct InventoryProgress {
    /// Files that are done.
    files: AtomicU64,
    rows: AtomicU64,
    jobs: AtomicU64,
}

impl InventoryProgress {
    pub fn at(&self, files: usize, counts: &InventoryCounts) {
        self.files.store(files as u64, Relaxed);
        self.rows.store(counts.rows, Relaxed);
        self.jobs.store(counts.jobs, Relaxed);
    }

    /// Until the handle is dropped. `files`: all there are.
    pub fn show(self: &Arc<InventoryProgress>, console: &Console, files: usize) -> AbortOnDropHandle<()> {
        let (progress, begun) = (self.clone(), Instant::now());
        let before = self.rows.load(Relaxed);
        let text = move || {
            let rows = progress.rows.load(Relaxed);
            let rate = rows.saturating_sub(before) as f64 / begun.elapsed().as_secs_f64().max(0.001);
            format!(
                "file {} of {files}, {} rows, {} jobs, {} rows/s",
                (progress.files.load(Relaxed) + 1).min(files as u64),
                HumanCount(rows),
                HumanCount(progress.jobs.load(Relaxed)),
                HumanCount(rate as u64)
            )
        };
        AbortOnDropHandle::new(tokio::spawn(progress_line::run(console.clone(), text)))
    }
}
