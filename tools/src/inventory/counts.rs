//! What became of the rows.

use std::ops::AddAssign;

use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryCounts {
    /// All that were read.
    pub rows: u64,
    /// Sent, or for a dry run: would be.
    pub jobs: u64,
    /// Of these jobs.
    pub deletions: u64,
    pub bytes: u64,
    /// Equal at the destination, by its own report.
    pub equal: u64,
    /// By a filter or the ignore list.
    pub left_out: u64,
    /// Of buckets and prefixes without a route.
    pub unrouted: u64,
    /// Versions that are not the latest.
    pub older: u64,
    pub delete_markers: u64,
    /// Rows that cannot be read.
    pub bad: u64,
}

impl AddAssign for InventoryCounts {
    fn add_assign(&mut self, more: InventoryCounts) {
        self.rows += more.rows;
        self.jobs += more.jobs;
        self.deletions += more.deletions;
        self.bytes += more.bytes;
        self.equal += more.equal;
        self.left_out += more.left_out;
        self.unrouted += more.unrouted;
        self.older += more.older;
        self.delete_markers += more.delete_markers;
        self.bad += more.bad;
    }
}

impl InventoryCounts {
    /// `jobs`: what became of them.
    pub fn describe(&self, jobs: &str) -> String {
        let rows = [
            ("rows read", self.rows),
            (jobs, self.jobs),
            ("of them deletions", self.deletions),
            ("equal there", self.equal),
            ("left out", self.left_out),
            ("without a route", self.unrouted),
            ("older versions", self.older),
            ("delete markers", self.delete_markers),
            ("unreadable", self.bad),
        ];
        let shown = rows.iter().enumerate().filter(|(place, (_, count))| *place < 2 || *count > 0);
        let lines = shown.map(|(_, (what, count))| format!("{what:<18}{:>14}\n", HumanCount(*count).to_string()));
        lines.collect::<String>().trim_end().to_owned()
    }
}
