//! Weather or poison: a failure is weather while nothing succeeds against its side, and the object's own when others do.
//!
//! Jobs tell every answer; the breaker opens after some failures in a row against one side, and the first success there
//! closes it. While it is open the drain receives nothing but a probe now and then. What is decided here is decided by
//! [`Book`], which knows no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{CopyError, Kind, Side};

/// So many failures in a row, over all jobs, open the breaker.
const IN_A_ROW: u32 = 5;
/// A success longer ago proves nothing about a failure now.
const PROOF: Duration = Duration::from_secs(30);
const SIDES: [Side; 4] = [Side::Source, Side::Destination, Side::Queue, Side::Ledger];

/// Shared by all jobs of an agent.
#[derive(Default)]
pub struct Breaker {
    book: Mutex<Book>,
    closed: Notify,
}

/// Trouble of a whole side, as the status page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    pub side: Side,
    /// The last failure's kind.
    pub cause: &'static str,
    /// When the first failure of the row was seen.
    pub since: Instant,
    pub failures: u32,
}

impl Breaker {
    /// `side` did what it was asked: also a "not found", for it answered. To be told after every request or part.
    pub fn succeeded(&self, side: Side) {
        if self.book().succeeded(side, Instant::now()) {
            self.closed.notify_waiters();
        }
    }

    /// `side` answered a look. That ends an outage; but one that lets nobody write, or has no room, is not known to be well.
    pub fn seen(&self, side: Side) {
        let refuses = |heard: &Heard| heard.said.as_ref().is_some_and(|e| matches!(e.kind, Kind::Denied | Kind::Local));
        if !refuses(self.book().of(side)) {
            self.succeeded(side);
        }
    }

    /// `side` refused, hung or was not there. `cause`: one word of ours.
    pub fn failed(&self, side: Side, cause: &'static str) {
        self.book().failed(side, cause, Instant::now());
    }

    /// The same with what was said, for those who have to tell a person.
    pub fn failed_by(&self, error: &CopyError, cause: &'static str) {
        self.failed(error.side, cause);
        self.book().0[place(error.side)].said = Some(error.clone());
    }

    /// The last error of a side that has not succeeded since, and when its failures began: the longest lasting one.
    pub fn trouble(&self) -> Option<(CopyError, Instant)> {
        let book = self.book();
        let troubled = book.0.iter().filter(|heard| heard.row > 0);
        troubled.filter_map(|heard| Some((heard.said.clone()?, heard.began?))).min_by_key(|(_, began)| *began)
    }

    /// Whether a failure against `side`, just seen, says something about the side rather than about the object.
    pub fn is_weather(&self, side: Side) -> bool {
        self.book().is_weather(side, Instant::now())
    }

    /// Whether anything succeeded against `side` after `then`: with the time of an object's *first* failure that tells
    /// an outage that has just begun from an object that others overtake.
    pub fn succeeded_since(&self, side: Side, then: Instant) -> bool {
        self.book().of(side).success.is_some_and(|success| success > then)
    }

    /// The side that the breaker is open for.
    pub fn storm(&self) -> Option<Side> {
        self.book().storm().map(|storm| storm.side)
    }

    /// The same with what is known of it.
    pub fn storm_in_words(&self) -> Option<Storm> {
        self.book().storm()
    }

    /// How many failures in a row there are against `side`: unchanged after a probe, it told nothing.
    pub fn in_a_row(&self, side: Side) -> u32 {
        self.book().of(side).row
    }

    /// Waits until the breaker is closed.
    pub async fn calm(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.storm().is_none() {
                return;
            }
            closed.await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was heard of each side.
#[derive(Default)]
struct Book([Heard; SIDES.len()]);

#[derive(Default)]
struct Heard {
    /// Failures since the last success.
    row: u32,
    began: Option<Instant>,
    cause: &'static str,
    /// The last error of the row, where it was told.
    said: Option<CopyError>,
    success: Option<Instant>,
}

impl Book {
    fn of(&self, side: Side) -> &Heard {
        &self.0[place(side)]
    }

    /// Whether that closed the breaker.
    fn succeeded(&mut self, side: Side, now: Instant) -> bool {
        let heard = &mut self.0[place(side)];
        let open = heard.row >= IN_A_ROW;
        (heard.row, heard.success, heard.said) = (0, Some(now), None);
        open
    }

    fn failed(&mut self, side: Side, cause: &'static str, now: Instant) {
        let heard = &mut self.0[place(side)];
        if heard.row == 0 {
            heard.began = Some(now);
        }
        (heard.row, heard.cause) = (heard.row.saturating_add(1), cause);
    }

    fn is_weather(&self, side: Side, now: Instant) -> bool {
        let heard = self.of(side);
        let proven = heard.success.is_some_and(|success| now.saturating_duration_since(success) < PROOF);
        !proven || heard.row >= IN_A_ROW
    }

    fn storm(&self) -> Option<Storm> {
        SIDES.into_iter().find_map(|side| {
            let &Heard { row, began, cause, .. } = self.of(side);
            let since = began.filter(|_| row >= IN_A_ROW)?;
            Some(Storm { side, cause, since, failures: row })
        })
    }
}

fn place(side: Side) -> usize {
    match side {
        Side::Source => 0,
        Side::Destination => 1,
        Side::Queue => 2,
        Side::Ledger => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn row(book: &mut Book, side: Side, failures: u32, now: Instant) {
        (0..failures).for_each(|_| book.failed(side, "denied", now));
    }

    #[test]
    fn a_failure_is_weather_until_something_succeeds_against_that_side() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.failed(Side::Destination, "denied", now);
        assert!(book.is_weather(Side::Destination, now));
        book.succeeded(Side::Source, now);
        assert!(book.is_weather(Side::Destination, now), "another side proves nothing");
        book.succeeded(Side::Destination, now);
        book.failed(Side::Destination, "denied", now);
        assert!(!book.is_weather(Side::Destination, now));
    }

    #[test]
    fn an_old_success_proves_nothing() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.succeeded(Side::Source, now);
        assert!(!book.is_weather(Side::Source, now + PROOF / 2));
        assert!(book.is_weather(Side::Source, now + PROOF));
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_the_first_success_closes_it() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.succeeded(Side::Destination, now);
        row(&mut book, Side::Destination, IN_A_ROW - 1, now);
        assert_eq!((book.storm(), book.is_weather(Side::Destination, now)), (None, false));
        row(&mut book, Side::Destination, 1, now + PROOF / 2);
        let storm = Storm { side: Side::Destination, cause: "denied", since: now, failures: IN_A_ROW };
        assert_eq!((book.storm(), book.is_weather(Side::Destination, now)), (Some(storm), true));
        assert!(book.succeeded(Side::Destination, now));
        assert!(book.storm().is_none() && !book.succeeded(Side::Destination, now));
    }

    #[test]
    fn a_poisoned_object_among_good_ones_opens_nothing() {
        let (mut book, now) = (Book::default(), Instant::now());
        for _ in 0..100 {
            row(&mut book, Side::Source, IN_A_ROW - 1, now);
            book.succeeded(Side::Source, now);
            assert!(book.storm().is_none());
        }
    }

    #[test]
    fn a_look_ends_an_outage_and_no_denial_to_write() {
        let at = crate::object::Location::new("b", "k");
        for (kind, ended) in [(Kind::Unavailable, true), (Kind::Denied, false), (Kind::Local, false)] {
            let breaker = Breaker::default();
            let error = CopyError::new(Side::Destination, kind, "PutObject", &at, "no");
            (0..IN_A_ROW).for_each(|_| breaker.failed_by(&error, "denied"));
            assert_eq!(breaker.trouble().map(|(error, _)| error.kind), Some(kind));
            breaker.seen(Side::Destination);
            assert_eq!(breaker.storm().is_none(), ended, "{kind:?}");
            breaker.succeeded(Side::Destination);
            assert!(breaker.storm().is_none() && breaker.trouble().is_none());
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_calm_is_told_at_once() {
        let breaker = Arc::new(Breaker::default());
        breaker.calm().await;
        (0..IN_A_ROW).for_each(|_| breaker.failed(Side::Ledger, "unavailable"));
        let waiting = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.calm().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let then = Instant::now();
        breaker.succeeded(Side::Ledger);
        waiting.await.unwrap();
        assert!(breaker.succeeded_since(Side::Ledger, then - Duration::from_millis(1)));
    }
}
