//! A queue in memory whose time is tokio's: at least once, a message hidden while somebody works on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};
use tokio::time::Instant;

#[derive(Default)]
pub struct MemoryQueue(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    messages: BTreeMap<u64, Held>,
    parked: Vec<(String, String)>,
    next: u64,
    released: usize,
}

struct Held {
    body: Arc<str>,
    received: u32,
    visible: Instant,
    delivery: u64,
}

impl MemoryQueue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that has been received so often already.
    pub fn put(&self, body: &str, received: u32, delay: Duration) {
        let mut inner = self.inner();
        inner.next += 1;
        let (id, visible) = (inner.next, Instant::now() + delay);
        inner.messages.insert(id, Held { body: body.into(), received, visible, delivery: 0 });
    }

    /// How many there are of those whose body has this in it.
    pub fn left(&self, of: &str) -> usize {
        self.inner().messages.values().filter(|held| held.body.contains(of)).count()
    }

    /// How often a message was given back.
    pub fn released(&self) -> usize {
        self.inner().released
    }

    /// The bodies that were parked, and why.
    pub fn parked(&self) -> Vec<(String, String)> {
        self.inner().parked.clone()
    }

    fn take(&self, max: usize, visibility: Duration) -> Vec<Message> {
        let now = Instant::now();
        let mut inner = self.inner();
        let ready = inner.messages.iter().filter(|(_, held)| held.visible <= now).map(|(id, _)| *id);
        let ready: Vec<u64> = ready.take(max).collect();
        let mut taken = Vec::new();
        for id in ready {
            inner.next += 1;
            let delivery = inner.next;
            let Some(held) = inner.messages.get_mut(&id) else { continue };
            (held.received, held.visible, held.delivery) = (held.received + 1, now + visibility, delivery);
            taken.push(Message {
                id: id.to_string().into(),
                receipt: Receipt(format!("{id}:{delivery}").into()),
                body: held.body.clone(),
                received: held.received,
                sent: SystemTime::now(),
            });
        }
        taken
    }

    fn hide(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let mut inner = self.inner();
        let held =
            of(receipt).and_then(|(id, delivery)| inner.messages.get_mut(&id).filter(|h| h.delivery == delivery));
        let now = Instant::now();
        match held.filter(|held| held.visible > now) {
            Some(held) => held.visible = now + visibility,
            None => return Err(QueueError::LeaseLost),
        }
        Ok(())
    }
}

fn of(receipt: &Receipt) -> Option<(u64, u64)> {
    let (id, delivery) = receipt.0.split_once(':')?;
    Some((id.parse().ok()?, delivery.parse().ok()?))
}

#[async_trait]
impl Queue for MemoryQueue {
    fn name(&self) -> &str {
        "memory"
    }

    fn traits(&self) -> QueueTraits {
        QueueTraits {
            visibility: Duration::from_secs(60),
            retention: Duration::from_secs(14 * 86_400),
            max_receives: None,
            dead_letters: Some("dead".into()),
        }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let end = Instant::now() + wait;
        loop {
            let taken = self.take(max, self.traits().visibility);
            let now = Instant::now();
            if !taken.is_empty() || now >= end {
                return Ok(taken);
            }
            let first = self.inner().messages.values().map(|held| held.visible).min().unwrap_or(end);
            // What is sent meanwhile is seen within a second.
            tokio::time::sleep_until(first.min(end).min(now + Duration::from_secs(1)).max(now)).await;
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        self.hide(receipt, visibility)
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.inner().released += 1;
        // One that has ended already is no error.
        let _ = self.hide(receipt, delay);
        Ok(())
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        self.put(body, 0, delay);
        self.delete(&message.receipt).await
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        self.inner().parked.push((body.to_owned(), reason.to_owned()));
        Ok(())
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let mut inner = self.inner();
        if let Some((id, _)) = of(receipt) {
            inner.messages.remove(&id);
        }
        Ok(())
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        bodies.iter().for_each(|body| self.put(body, 0, Duration::ZERO));
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let now = Instant::now();
        let mut depth = Depth::default();
        for held in self.inner().messages.values() {
            let count = if held.visible <= now { &mut depth.visible } else { &mut depth.in_flight };
            *count += 1;
        }
        Ok(depth)
    }
}
