//! What the process takes from its machine. Who reads that is the agent: this crate reaches nothing outside.

use std::sync::{Arc, Mutex, PoisonError};

/// As the system counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessUsage {
    /// User and system.
    pub cpu_seconds: f64,
    /// In memory.
    pub resident_bytes: u64,
    /// Descriptors.
    pub open_fds: u64,
    /// Descriptors at most.
    pub max_fds: u64,
    /// Seconds since the epoch.
    pub started: f64,
}

/// The newest that was read. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessGauges(Arc<Mutex<Option<ProcessUsage>>>);

impl ProcessGauges {
    pub(super) fn set(&self, usage: ProcessUsage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
    }

    pub(super) fn get(&self) -> Option<ProcessUsage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
