//! Keeps a message invisible while its job works on it, and stops the job when that fails.
//!
//! Extending and watching the expiry are apart: an extension that hangs does not keep the watch from seeing that the
//! visibility is about to end. A job whose lease is lost, or cannot be shown to be kept, is cancelled before somebody
//! else can have the message.
//!
//! Ten thousand small jobs a second must cost nothing here: one keeper task serves all leases of a queue, a lease is an
//! entry in an ordered map, and the task sleeps until the oldest one has used a third of its visibility. What is to be
//! done when is decided by `Book`, which knows no clock and no queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::limits::Slots;
use skyferry_core::metrics::MessageGuard;
use skyferry_core::queue::{Queue, QueueError, Receipt};

/// How long one extension may take: `MessageLease::end` waits for it, and a drain has no more than 25 s.
const CALL: Duration = Duration::from_secs(5);

/// Serves the leases of one queue. The last clone ends its task, once no lease is left.
#[derive(Clone)]
pub struct LeaseKeeper {
    shared: Arc<Shared>,
    _task: Arc<DropGuard>,
}

struct Shared {
    queue: Arc<dyn Queue>,
    book: Mutex<Book>,
    /// The next wake-up has become earlier than the task knows.
    earlier: Notify,
    /// The keeper's task and the extensions on their way: all that holds the queue.
    tasks: TaskTracker,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message takes up while somebody works on it: its slot, and its count among those in flight.
type Room = (Option<Slots>, MessageGuard);

/// One message in progress. Dropped, the message is left to its visibility; `end` it before releasing or deleting.
pub struct MessageLease {
    id: u64,
    keeper: LeaseKeeper,
    calls: Arc<tokio::sync::Mutex<()>>,
    room: Option<Room>,
}

impl LeaseKeeper {
    /// Starts the task; needs a runtime.
    pub fn new(queue: Arc<dyn Queue>) -> LeaseKeeper {
        let book = Mutex::new(Book::new(queue.traits().visibility));
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared { queue, book, earlier: Notify::new(), tasks: tasks.clone() });
        let stop = CancellationToken::new();
        tasks.spawn(run(shared.clone(), stop.clone()));
        LeaseKeeper { shared, _task: Arc::new(stop.drop_guard()) }
    }

    /// Holds a delivery that was received at `received`; cancels `job` if it cannot be held any longer.
    pub fn hold(&self, receipt: &Receipt, received: Instant, job: CancellationToken) -> MessageLease {
        let calls = Arc::new(tokio::sync::Mutex::new(()));
        let (id, earlier) = self.shared.leases().insert(receipt.clone(), received, job, calls.clone());
        if earlier {
            self.shared.earlier.notify_one();
        }
        MessageLease { id, keeper: self.clone(), calls, room: None }
    }

    /// Waits until no lease is left and nothing here holds the queue any more: an embedded file can be opened again only
    /// then.
    pub async fn end(self) {
        let tasks = self.shared.tasks.clone();
        drop(self);
        tasks.close();
        tasks.wait().await;
    }
}

impl MessageLease {
    /// Whether the message is still this job's. What must not happen twice asks just before.
    pub fn is_held(&self) -> bool {
        self.keeper.shared.leases().is_held(self.id)
    }

    /// Keeps this for as long as the message is worked on: whoever waits for the answer to its deletion takes up no room.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> MessageLease {
        self.room = Some(room);
        self
    }

    /// The job did not do what it was asked: how long it took says nothing about how many there should be.
    pub fn failed(&mut self) {
        let Some((slot, message)) = &mut self.room else { return };
        message.failed();
        if let Some(slot) = slot {
            slot.exclude_from_statistics();
        }
    }

    /// Ends the lease and waits for an extension on its way: landing after a release, it would hide the message again.
    pub async fn end(mut self) {
        drop(self.room.take());
        self.keeper.shared.leases().remove(self.id);
        drop(self.calls.lock().await);
    }
}

impl Drop for MessageLease {
    fn drop(&mut self) {
        self.keeper.shared.leases().remove(self.id);
    }
}

/// The keeper's task: sleeps until something is due, and does it.
async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let (due, next) = {
            let mut book = shared.leases();
            (book.due(Instant::now()), book.plan())
        };
        for action in due {
            match action {
                Action::Lost(job) => job.cancel(),
                Action::Extend { id, receipt, calls } => {
                    shared.tasks.spawn(extend(shared.clone(), id, receipt, calls));
                }
            }
        }
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sleep => {}
            () = shared.earlier.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One extension, bounded in time, so that one that hangs is tried again while there is time.
async fn extend(shared: Arc<Shared>, id: u64, receipt: Receipt, calls: Arc<tokio::sync::Mutex<()>>) {
    let Ok(_alone) = calls.try_lock() else { return };
    if !shared.leases().is_held(id) {
        return;
    }
    let asked = Instant::now();
    let visibility = shared.queue.traits().visibility;
    let answer = tokio::time::timeout(CALL.min(visibility / 10), shared.queue.extend(&receipt, visibility)).await;
    let job = match answer {
        Ok(Ok(())) => {
            shared.leases().mark_extended(id, asked);
            None
        }
        Ok(Err(QueueError::LeaseLost)) => shared.leases().mark_lost(id),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a message's visibility could not be extended; trying again");
            None
        }
        Err(_) => {
            tracing::warn!(queue = shared.queue.name(), "extending a message's visibility timed out; trying again");
            None
        }
    };
    if let Some(job) = job {
        job.cancel();
    }
}

/// What is due.
enum Action {
    Extend { id: u64, receipt: Receipt, calls: Arc<tokio::sync::Mutex<()>> },
    Lost(CancellationToken),
}

/// Which leases there are and when each needs something. A lease is first extended after a third of its visibility, then
/// every twelfth until that succeeds; with a sixth of it left it is given up.
struct Book {
    visibility: Duration,
    leases: HashMap<u64, Entry>,
    /// The leases by the time of their next need.
    order: BTreeMap<(Instant, u64), ()>,
    next_id: u64,
    /// When the task will wake by itself.
    planned: Option<Instant>,
}

struct Entry {
    receipt: Receipt,
    job: CancellationToken,
    calls: Arc<tokio::sync::Mutex<()>>,
    next: Instant,
    /// When the job must have stopped.
    given_up: Instant,
}

impl Book {
    fn new(visibility: Duration) -> Self {
        Book { visibility, leases: HashMap::new(), order: BTreeMap::new(), next_id: 0, planned: None }
    }

    /// The id, and whether the task must be told because it would wake too late.
    fn insert(
        &mut self,
        receipt: Receipt,
        received: Instant,
        job: CancellationToken,
        calls: Arc<tokio::sync::Mutex<()>>,
    ) -> (u64, bool) {
        let id = self.next_id;
        self.next_id += 1;
        let next = received + self.visibility / 3;
        let given_up = received + self.visibility / 6 * 5;
        self.leases.insert(id, Entry { receipt, job, calls, next, given_up });
        self.order.insert((next, id), ());
        let earlier = self.planned.is_none_or(|planned| next < planned);
        if earlier {
            self.planned = Some(next);
        }
        (id, earlier)
    }

    fn is_held(&self, id: u64) -> bool {
        self.leases.contains_key(&id)
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let held = self.leases.remove(&id)?;
        self.order.remove(&(held.next, id));
        Some(held)
    }

    /// The job to cancel, if the lease is still there.
    fn mark_lost(&mut self, id: u64) -> Option<CancellationToken> {
        self.remove(id).map(|held| held.job)
    }

    /// An extension that was asked for at `asked` has succeeded: counted from the asking, to be safe.
    fn mark_extended(&mut self, id: u64, asked: Instant) {
        let visibility = self.visibility;
        if let Some(held) = self.leases.get_mut(&id) {
            self.order.remove(&(held.next, id));
            held.next = asked + visibility / 3;
            held.given_up = asked + visibility / 6 * 5;
            self.order.insert((held.next, id), ());
        }
    }

    /// What must be done by now; each lease's next need is set on.
    fn due(&mut self, now: Instant) -> Vec<Action> {
        let mut due = Vec::new();
        while let Some(entry) = self.order.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), ()) = entry.remove_entry();
            let Some(held) = self.leases.get_mut(&id) else { continue };
            if now >= held.given_up {
                due.extend(self.leases.remove(&id).map(|held| Action::Lost(held.job)));
                continue;
            }
            held.next = (now + self.visibility / 12).min(held.given_up);
            self.order.insert((held.next, id), ());
            due.push(Action::Extend { id, receipt: held.receipt.clone(), calls: held.calls.clone() });
        }
        due
    }

    /// When the task shall wake next; remembered, so that `insert` knows whether that is early enough.
    fn plan(&mut self) -> Option<Instant> {
        self.planned = self.order.first_key_value().map(|((at, _), ())| *at);
        self.planned
    }
}

#[cfg(test)]
mod tests;
