//! Receives in flight. While the queue has messages, as many at once as there are batches of slots, for each takes a round
//! trip; when it is empty, one long poll that costs three requests a minute.

use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::BATCH;
use crate::limits::Slots;
use skyferry_core::ambient;
use skyferry_core::backoff::Backoff;
use skyferry_core::queue::{Message, QueueError};

/// Receives in flight, whatever the slots: each has a connection.
const MOST: usize = 32;
/// How long a receive waits that is not the only one: long enough to be asked of the whole queue and not of a part of it.
const BESIDE: Duration = Duration::from_secs(1);

/// The slots that were taken for it, and what it brought.
pub(super) type ReceiveResult = (Slots, Result<Vec<Message>, QueueError>);
pub(super) type PendingReceive = BoxFuture<'static, ReceiveResult>;

pub(super) struct ReceivePool {
    in_flight: FuturesUnordered<PendingReceive>,
    /// As far as the last answers show.
    wanted: usize,
    retry: Backoff,
    /// After a failure.
    not_before: Instant,
}

impl ReceivePool {
    pub fn new() -> ReceivePool {
        ReceivePool { in_flight: FuturesUnordered::new(), wanted: MOST, retry: retries(), not_before: Instant::now() }
    }

    /// `slots`: all that there are.
    fn most(slots: usize) -> usize {
        slots.div_ceil(BATCH).clamp(1, MOST)
    }

    /// How many messages one asks for: together they fill the slots, but none takes more than a quarter.
    pub fn batch(slots: usize) -> usize {
        (slots / ReceivePool::most(slots)).min(slots / 4).clamp(1, BATCH)
    }

    /// Whether another receive may begin; in an outage they go one at a time.
    pub fn takes_another(&self, slots: usize, outage: bool) -> bool {
        self.in_flight.len() < if outage { 1 } else { self.wanted.min(ReceivePool::most(slots)) }
    }

    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// When the next may begin.
    pub fn not_before(&self) -> Instant {
        self.not_before
    }

    /// How long the next one waits for messages.
    pub fn wait(&self, alone: Duration) -> Duration {
        if self.is_empty() { alone } else { alone.min(BESIDE) }
    }

    pub fn add(&mut self, receiving: PendingReceive) {
        self.in_flight.push(receiving);
    }

    /// The next that ends; waits while there is none.
    pub async fn next(&mut self) -> ReceiveResult {
        std::future::poll_fn(|context| match self.in_flight.poll_next_unpin(context) {
            Poll::Ready(Some(received)) => Poll::Ready(received),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// A receive for so many has brought so many.
    pub fn on_received(&mut self, asked: usize, messages: usize) {
        self.retry = retries();
        self.wanted = match messages {
            0 => 1,
            _ if messages >= asked => MOST,
            // A queue with a long backlog may give less than it is asked for.
            _ => self.wanted,
        };
    }

    /// A receive has failed. `true`: it was not yet known that they do.
    pub fn on_failed(&mut self) -> bool {
        self.wanted = 1;
        let now = Instant::now();
        let is_news = now >= self.not_before;
        if is_news {
            self.not_before = now + self.retry.delay();
        }
        is_news
    }

    pub fn into_pending(self) -> Vec<PendingReceive> {
        self.in_flight.into_iter().collect()
    }
}

fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(500), Duration::from_secs(15), ambient::random())
}
