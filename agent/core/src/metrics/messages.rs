//! How old the oldest message is that is worked on, queue by queue. A queue shows the age of what it delivers only: SQS keeps
//! the age of what waits for CloudWatch alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::values::{GaugeGuard, NamedGauge};
use crate::ambient;

/// A message that is given back is remembered for so long: in an outage one is looked at now and then, for less time than
/// passes between two scrapes.
const REMEMBERED: Duration = Duration::from_secs(60);

/// When the messages were sent that are worked on.
#[derive(Debug, Default)]
struct OneQueue {
    held: BTreeMap<SystemTime, usize>,
    /// The oldest that was given back, and until when it counts.
    left: Option<(SystemTime, Instant)>,
}

impl OneQueue {
    fn oldest(&mut self, now: Instant) -> Option<SystemTime> {
        self.left = self.left.filter(|(_, until)| *until > now);
        let held = self.held.first_key_value().map(|(sent, _)| *sent);
        held.into_iter().chain(self.left.map(|(sent, _)| sent)).min()
    }
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct OldestMessages(Arc<Mutex<HashMap<Arc<str>, OneQueue>>>);

impl OldestMessages {
    pub(super) fn hold(&self, queue: &str, sent: SystemTime, counted: GaugeGuard) -> MessageGuard {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_key_value(queue).map_or_else(|| queue.into(), |(known, _)| known.clone());
        let entry = queues.entry(queue.clone()).or_default();
        *entry.held.entry(sent).or_default() += 1;
        // It is back: how it ends now counts.
        entry.left = entry.left.filter(|(left, _)| *left != sent);
        MessageGuard { messages: self.clone(), queue, sent, failed: false, _counted: counted }
    }

    /// Seconds, for every queue that ever delivered one; 0 where nothing is worked on.
    pub(super) fn show(&self, gauge: &NamedGauge) {
        let (now, clock) = (Instant::now(), ambient::now());
        for (name, queue) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let age = queue.oldest(now).and_then(|sent| clock.duration_since(sent).ok());
            gauge.set(name, age.unwrap_or_default().as_secs());
        }
    }
}

/// A message that is worked on: its age counts, and its object is in flight, until this is dropped.
#[derive(Debug)]
pub struct MessageGuard {
    messages: OldestMessages,
    queue: Arc<str>,
    sent: SystemTime,
    failed: bool,
    _counted: GaugeGuard,
}

impl MessageGuard {
    /// The message goes back as it is: its age still counts for a while.
    pub fn failed(&mut self) {
        self.failed = true;
    }
}

impl Drop for MessageGuard {
    fn drop(&mut self) {
        let mut queues = self.messages.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queues.get_mut(&self.queue) else { return };
        if let Some(times) = queue.held.get_mut(&self.sent) {
            *times -= 1;
            if *times == 0 {
                queue.held.remove(&self.sent);
            }
        }
        let now = Instant::now();
        let left = queue.left.filter(|(_, until)| *until > now);
        if self.failed && left.is_none_or(|(sent, _)| self.sent <= sent) {
            queue.left = Some((self.sent, now + REMEMBERED));
        }
    }
}
