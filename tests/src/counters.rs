//! What crossed a peer's wire: tests assert costs on it ("a redelivered job moves no object bytes").

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::operation::{OPERATIONS, Operation};

/// Live counters of one peer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: [AtomicU64; OPERATIONS],
    pub(crate) bytes_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Counters {
    pub(crate) fn request(&self, operation: Operation) {
        self.requests[operation as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counts {
        let requests = Operation::ALL
            .into_iter()
            .map(|operation| (operation, self.requests[operation as usize].load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        Counts {
            requests,
            bytes_received: self.bytes_received.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            connections: self.connections.load(Relaxed),
        }
    }
}

/// The counters at one moment, all since the peer's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests by operation, refused and dropped ones included. Operations never asked for are absent.
    pub requests: BTreeMap<Operation, u64>,
    /// Bytes of request bodies as they came in (framing of aws-chunked included, HTTP's own not).
    pub bytes_received: u64,
    /// Bytes of response bodies handed to the connection.
    pub bytes_sent: u64,
    /// TCP connections accepted.
    pub connections: u64,
}

impl Counts {
    /// Requests of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// Requests of every operation.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}
