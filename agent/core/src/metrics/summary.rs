//! The counts of a run, as the last line of a program and the status page show them.

use std::time::Duration;

use serde::Serialize;

/// What a run did: the last line on stdout, and the status page. Bytes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records that ended so.
    pub copied: u64,
    /// Records that ended so.
    pub deleted: u64,
    /// Records that ended so.
    pub gone: u64,
    /// Records that ended so.
    pub unchanged: u64,
    /// Records that ended so.
    pub skipped: u64,
    /// Records that ended so.
    pub parked: u64,
    /// Bytes of objects copied.
    pub bytes: u64,
    /// What was tried again.
    pub retries: u64,
}

impl Summary {
    /// What came after `earlier`.
    pub fn since(&self, earlier: &Summary) -> Summary {
        Summary {
            copied: self.copied - earlier.copied,
            deleted: self.deleted - earlier.deleted,
            gone: self.gone - earlier.gone,
            unchanged: self.unchanged - earlier.unchanged,
            skipped: self.skipped - earlier.skipped,
            parked: self.parked - earlier.parked,
            bytes: self.bytes - earlier.bytes,
            retries: self.retries - earlier.retries,
        }
    }

    /// `--json`'s line: names as fixed in the settings' reference, `seconds` with three decimals.
    pub fn to_json(&self, elapsed: Duration) -> String {
        #[derive(Serialize)]
        struct Line {
            #[serde(flatten)]
            counts: Summary,
            seconds: f64,
        }
        let seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        // Ten numbers: nothing in it can fail to serialise.
        serde_json::to_string(&Line { counts: *self, seconds }).unwrap_or_default()
    }
}

/// How many messages there were, and how old they were together.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageAges {
    count: u64,
    sum_ms: u64,
}

impl MessageAges {
    pub(super) fn add(&mut self, milliseconds: u64) {
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(milliseconds);
    }

    /// Of those that came after `earlier`; none without any.
    pub fn mean_since(&self, earlier: &MessageAges) -> Option<Duration> {
        Some(Duration::from_millis((self.sum_ms - earlier.sum_ms).checked_div(self.count - earlier.count)?))
    }
}
