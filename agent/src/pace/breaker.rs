//! An outage or the object's own trouble: a failure is an outage's while nothing succeeds where it happened, and the
//! object's own when others pass.
//!
//! Jobs report every answer. The breaker opens after some failures in a row of more than one object in one *channel* (the
//! reads or the writes of one side: a destination that answers HEAD proves nothing about PUT), and the first success there
//! closes it. While it is open the drain receives nothing but a probe now and then. What is decided here is decided by
//! [`Book`], which knows no clock.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{CopyError, Side};
use crate::object::Key;

/// So many failures in a row, over all jobs, open the breaker.
const IN_A_ROW: u32 = 5;
/// Failing objects that are remembered. More than these is an outage, which needs no memory of them.
const REMEMBERED: usize = 10_000;

/// What may fail while the rest is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Source,
    DestinationReads,
    DestinationWrites,
    Queue,
    Ledger,
}

const CHANNELS: [Channel; 5] =
    [Channel::Source, Channel::DestinationReads, Channel::DestinationWrites, Channel::Queue, Channel::Ledger];

impl Channel {
    /// Where a request failed.
    pub fn of(error: &CopyError) -> Channel {
        match error.side {
            Side::Source => Channel::Source,
            Side::Destination if error.is_read() => Channel::DestinationReads,
            Side::Destination => Channel::DestinationWrites,
            Side::Queue => Channel::Queue,
            Side::Ledger => Channel::Ledger,
        }
    }

    pub fn side(self) -> Side {
        match self {
            Channel::Source => Side::Source,
            Channel::DestinationReads | Channel::DestinationWrites => Side::Destination,
            Channel::Queue => Side::Queue,
            Channel::Ledger => Side::Ledger,
        }
    }
}

/// Shared by all jobs of an agent.
#[derive(Default)]
pub struct Breaker {
    book: Mutex<Book>,
    closed: Notify,
    hasher: RandomState,
}

/// Trouble of a whole channel, as the status page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    pub channel: Channel,
    /// The last failure's kind.
    pub cause: &'static str,
    /// When the first failure of the row was seen.
    pub since: Instant,
    pub failures: u32,
}

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nothing succeeds there: it says nothing about the object.
    Outage,
    /// Others pass while this object fails.
    Object,
    /// Nothing else is tried there, so nobody knows.
    Unknown,
}

impl Breaker {
    /// `channel` did what it was asked: also a "not found", for it answered. To be called after every request or part.
    pub fn succeeded(&self, channel: Channel) {
        if self.book().succeeded(channel, Instant::now()) {
            self.closed.notify_waiters();
        }
    }

    /// `channel` refused, hung or was not there. `cause`: one word of ours.
    pub fn failed(&self, channel: Channel, cause: &'static str) {
        let mut book = self.book();
        let nobody = u64::from(book.of(channel).row);
        book.failed(channel, nobody, cause, Instant::now());
    }

    /// The same of one object, with the answer. Returns whose trouble it is.
    pub fn failed_by(&self, error: &CopyError, cause: &'static str) -> Blame {
        let (channel, object, now) = (Channel::of(error), self.object(&error.bucket, &error.key), Instant::now());
        let mut book = self.book();
        book.failed(channel, object, cause, now);
        book.channel(channel).last = Some(error.clone());
        book.blame(channel, object)
    }

    /// The object has ended well: what it did before counts no more.
    pub fn forget(&self, bucket: &str, key: &Key) {
        let object = self.object(bucket, key);
        let mut book = self.book();
        for channel in CHANNELS {
            book.failing.remove(&(channel, object));
        }
    }

    /// The last error of a side that has not succeeded since, and when its failures began: the longest lasting one.
    pub fn trouble(&self) -> Option<(CopyError, Instant)> {
        let book = self.book();
        let troubled = book.channels.iter().filter(|state| state.row > 0);
        troubled.filter_map(|state| Some((state.last.clone()?, state.began?))).min_by_key(|(_, began)| *began)
    }

    /// The channel that the breaker is open for.
    pub fn outage(&self) -> Option<Outage> {
        self.book().outage()
    }

    /// How many failures in a row there are in `channel`: unchanged after a probe, it showed nothing.
    pub fn in_a_row(&self, channel: Channel) -> u32 {
        self.book().of(channel).row
    }

    /// Waits until the breaker is closed.
    pub async fn recovered(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.outage().is_none() {
                return;
            }
            closed.await;
        }
    }

    fn object(&self, bucket: &str, key: &Key) -> u64 {
        self.hasher.hash_one((bucket, key))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of each channel, and of the objects that fail there. Objects are hashes of their names.
#[derive(Default)]
struct Book {
    channels: [State; CHANNELS.len()],
    /// Since when.
    failing: HashMap<(Channel, u64), Instant>,
}

#[derive(Default)]
struct State {
    /// Failures since the last success.
    row: u32,
    /// The objects of the row, the first few.
    objects: Vec<u64>,
    began: Option<Instant>,
    cause: &'static str,
    /// The last error of the row, where it is known.
    last: Option<CopyError>,
    success: Option<Instant>,
}

impl State {
    /// One object that is tried again and again is no outage.
    fn is_open(&self) -> bool {
        self.row >= IN_A_ROW && self.objects.len() > 1
    }
}

impl Book {
    fn of(&self, channel: Channel) -> &State {
        &self.channels[channel as usize]
    }

    fn channel(&mut self, channel: Channel) -> &mut State {
        &mut self.channels[channel as usize]
    }

    /// Whether that closed the breaker.
    fn succeeded(&mut self, channel: Channel, now: Instant) -> bool {
        let state = self.channel(channel);
        let open = state.is_open();
        (state.row, state.success, state.last) = (0, Some(now), None);
        state.objects.clear();
        if open {
            // What failed in an outage starts with a clean sheet.
            self.failing.retain(|(failed, _), _| *failed != channel);
        }
        open
    }

    fn failed(&mut self, channel: Channel, object: u64, cause: &'static str, now: Instant) {
        let state = self.channel(channel);
        if state.row == 0 {
            state.began = Some(now);
        }
        (state.row, state.cause) = (state.row.saturating_add(1), cause);
        if state.objects.len() < IN_A_ROW as usize && !state.objects.contains(&object) {
            state.objects.push(object);
        }
        if self.failing.len() < REMEMBERED {
            self.failing.entry((channel, object)).or_insert(now);
        }
    }

    /// Of the failure that was just noted: an object is to blame when others have passed since it first failed.
    fn blame(&self, channel: Channel, object: u64) -> Blame {
        let state = self.of(channel);
        let first = self.failing.get(&(channel, object));
        match (state.success, first) {
            _ if state.is_open() => Blame::Outage,
            (Some(success), Some(first)) if success > *first => Blame::Object,
            _ if state.objects.len() > 1 => Blame::Outage,
            _ => Blame::Unknown,
        }
    }

    fn outage(&self) -> Option<Outage> {
        CHANNELS.into_iter().find_map(|channel| {
            let state = self.of(channel);
            let since = state.began.filter(|_| state.is_open())?;
            Some(Outage { channel, cause: state.cause, since, failures: state.row })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::error::Kind;
    use crate::object::Location;

    const WRITES: Channel = Channel::DestinationWrites;

    fn error(side: Side, operation: &'static str, key: &str) -> CopyError {
        CopyError::new(side, Kind::Unavailable, operation, &Location::new("b", key), "503")
    }

    fn put(breaker: &Breaker, key: &str) -> Blame {
        breaker.failed_by(&error(Side::Destination, "PutObject", key), "unavailable")
    }

    /// Another moment than the last one.
    async fn later() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    #[tokio::test]
    async fn an_object_is_to_blame_when_others_pass_after_its_first_failure() {
        let breaker = Breaker::default();
        breaker.succeeded(WRITES);
        later().await;
        assert_eq!(put(&breaker, "k"), Blame::Unknown, "the first failure of an outage looks the same");
        breaker.succeeded(Channel::DestinationReads);
        later().await;
        assert_eq!(put(&breaker, "k"), Blame::Unknown, "a look proves nothing about a write");
        breaker.succeeded(WRITES);
        later().await;
        assert_eq!(put(&breaker, "k"), Blame::Object, "also long after: nothing else is left to be tried");
        breaker.forget("b", &"k".into());
        assert_eq!(put(&breaker, "k"), Blame::Unknown);
    }

    #[tokio::test]
    async fn several_objects_in_a_row_are_an_outage_and_its_end_clears_their_sheets() {
        let breaker = Breaker::default();
        assert_eq!(put(&breaker, "a"), Blame::Unknown);
        assert_eq!(put(&breaker, "b"), Blame::Outage);
        assert!(breaker.outage().is_none());
        (0..3).for_each(|_| assert_eq!(put(&breaker, "a"), Blame::Outage));
        let outage = breaker.outage().expect("five in a row");
        assert_eq!((outage.channel, outage.failures), (WRITES, 5));
        breaker.succeeded(Channel::DestinationReads);
        assert!(breaker.outage().is_some(), "the destination answers looks and refuses writes");
        later().await;
        breaker.succeeded(WRITES);
        assert!(breaker.outage().is_none() && breaker.trouble().is_none());
        later().await;
        assert_eq!(put(&breaker, "a"), Blame::Unknown);
    }

    #[test]
    fn one_object_alone_opens_nothing() {
        let breaker = Breaker::default();
        (0..100).for_each(|_| assert_eq!(put(&breaker, "k"), Blame::Unknown));
        assert!(breaker.outage().is_none());
        assert_eq!(breaker.trouble().map(|(error, _)| error.kind), Some(Kind::Unavailable));
    }

    #[test]
    fn reads_and_writes_of_a_destination_differ_by_the_operation() {
        for (operation, channel) in [
            ("HeadObject", Channel::DestinationReads),
            ("ListParts", Channel::DestinationReads),
            ("stat", Channel::DestinationReads),
            ("PutObject", WRITES),
            ("CompleteMultipartUpload", WRITES),
            ("finish", WRITES),
        ] {
            assert_eq!(Channel::of(&error(Side::Destination, operation, "k")), channel, "{operation}");
        }
        assert_eq!(Channel::of(&error(Side::Source, "HeadObject", "k")), Channel::Source);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_recovery_hears_of_it_at_once() {
        let breaker = Arc::new(Breaker::default());
        breaker.recovered().await;
        (0..IN_A_ROW).for_each(|_| breaker.failed(Channel::Ledger, "unavailable"));
        let waiting = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.recovered().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        breaker.succeeded(Channel::Ledger);
        waiting.await.unwrap();
    }
}
