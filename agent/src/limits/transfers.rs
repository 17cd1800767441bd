//! The bodies in flight, object by object, for whoever looks: from where to where, how much of how much. Small objects are
//! here and gone before anybody looks, and are not kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use skyferry_core::model::Location;

/// Clones share the list.
#[derive(Clone, Default)]
pub struct Transfers(Arc<TransferList>);

#[derive(Default)]
struct TransferList {
    next: AtomicU64,
    moved: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<ObjectTransfer>>>,
}

/// An object whose bytes are in flight.
#[derive(Debug)]
pub struct ObjectTransfer {
    pub from: Location,
    pub to: Location,
    pub size: u64,
    pub began: Instant,
    done: AtomicU64,
}

impl ObjectTransfer {
    /// Bytes that were read, and those of parts that were there before.
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed).min(self.size)
    }
}

impl Transfers {
    /// In the list until it is dropped. `done`: what need not be sent again.
    pub fn begin(&self, from: &Location, to: &Location, size: u64, done: u64) -> TransferGuard {
        let (from, to, began) = (from.clone(), to.clone(), Instant::now());
        let transfer = Arc::new(ObjectTransfer { from, to, size, began, done: AtomicU64::new(done) });
        let id = self.0.next.fetch_add(1, Relaxed);
        self.all().insert(id, transfer.clone());
        TransferGuard { list: self.clone(), id, transfer }
    }

    /// How many there are, and the largest of them first, `most` at most.
    pub fn largest(&self, most: usize) -> (usize, Vec<Arc<ObjectTransfer>>) {
        let mut all: Vec<Arc<ObjectTransfer>> = self.all().values().cloned().collect();
        let count = all.len();
        all.sort_by_key(|transfer| std::cmp::Reverse(transfer.size));
        all.truncate(most);
        (count, all)
    }

    /// Bytes have moved, of whatever object.
    pub fn count(&self, bytes: u64) {
        self.0.moved.fetch_add(bytes, Relaxed);
    }

    /// All that have moved since the start, also those that had to be moved again.
    pub fn moved(&self) -> u64 {
        self.0.moved.load(Relaxed)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<ObjectTransfer>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Transfers::begin`] put into the list.
pub struct TransferGuard {
    list: Transfers,
    id: u64,
    transfer: Arc<ObjectTransfer>,
}

impl Drop for TransferGuard {
    fn drop(&mut self) {
        self.list.all().remove(&self.id);
    }
}

impl TransferGuard {
    /// A body of it, or of one of its parts, whose bytes count unless it is dropped before it has arrived.
    pub fn body(&self) -> Arc<TransferBody> {
        Arc::new(TransferBody {
            list: self.list.clone(),
            transfer: self.transfer.clone(),
            read: AtomicU64::new(0),
            arrived: AtomicBool::new(false),
        })
    }
}

pub struct TransferBody {
    list: Transfers,
    transfer: Arc<ObjectTransfer>,
    read: AtomicU64,
    arrived: AtomicBool,
}

impl TransferBody {
    pub fn count(&self, bytes: u64) {
        self.list.count(bytes);
        self.read.fetch_add(bytes, Relaxed);
        self.transfer.done.fetch_add(bytes, Relaxed);
    }

    pub fn arrived(&self) {
        self.arrived.store(true, Relaxed);
    }
}

impl Drop for TransferBody {
    fn drop(&mut self) {
        if !self.arrived.load(Relaxed) {
            self.transfer.done.fetch_sub(self.read.load(Relaxed), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_listed_while_it_lasts_and_a_body_that_fails_does_not_count() {
        let transfers = Transfers::default();
        let at = |key: &str| Location::new("b", key);
        let small = transfers.begin(&at("small"), &at("to"), 10, 0);
        let large = transfers.begin(&at("large"), &at("to"), 100, 40);
        let (lost, kept) = (large.body(), large.body());
        [&lost, &kept].iter().for_each(|body| body.count(20));
        drop(lost);
        kept.arrived();
        drop(kept);
        let (count, all) = transfers.largest(1);
        assert_eq!((count, all[0].from.clone(), all[0].done()), (2, at("large"), 60));
        assert_eq!(transfers.moved(), 40);
        drop((small, large));
        assert_eq!(transfers.largest(9).0, 0);
    }
}
