//! What happened in the last hours, for charts: a few numbers every five seconds for ten minutes, and every minute for six
//! hours. Some kilobytes, in memory only.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Between two samples.
pub const STEP: u64 = 5;
const FINE: usize = 120;
/// Samples in a minute, and minutes that are kept.
const MINUTE: usize = 12;
const COARSE: usize = 360;

/// Counts since the start, and what is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Records that ended.
    pub objects: u64,
    pub bytes: u64,
    /// Retries, and records that were parked.
    pub errors: u64,
    pub backlog: u64,
    pub lag: Option<f64>,
}

/// What came in one step, and how it was at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the epoch, at its end.
    pub at: u64,
    pub objects: u64,
    pub bytes: u64,
    pub errors: u64,
    pub backlog: u64,
    /// `None`: nothing has ended yet.
    pub lag: Option<f64>,
}

/// Both, the oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Charts {
    pub fine: VecDeque<Sample>,
    pub coarse: VecDeque<Sample>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    last: Option<Totals>,
    charts: Charts,
    minute: Vec<Sample>,
}

impl History {
    /// One more sample, of what came since the one before. An agent that went away makes no negative number.
    pub fn add(&self, at: u64, now: Totals) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = book.last.replace(now).unwrap_or(now);
        let sample = Sample {
            at,
            objects: now.objects.saturating_sub(last.objects),
            bytes: now.bytes.saturating_sub(last.bytes),
            errors: now.errors.saturating_sub(last.errors),
            backlog: now.backlog,
            lag: now.lag,
        };
        push(&mut book.charts.fine, FINE, sample);
        book.minute.push(sample);
        if book.minute.len() == MINUTE {
            let minute = std::mem::take(&mut book.minute);
            push(&mut book.charts.coarse, COARSE, sum(&minute, sample));
        }
    }

    pub fn charts(&self) -> Charts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).charts.clone()
    }
}

fn push(samples: &mut VecDeque<Sample>, most: usize, sample: Sample) {
    if samples.len() == most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

/// A minute of samples as one: its counts, the most that waited, and the longest lag.
fn sum(minute: &[Sample], last: Sample) -> Sample {
    minute.iter().fold(Sample { objects: 0, bytes: 0, errors: 0, ..last }, |sum, sample| Sample {
        objects: sum.objects + sample.objects,
        bytes: sum.bytes + sample.bytes,
        errors: sum.errors + sample.errors,
        backlog: sum.backlog.max(sample.backlog),
        lag: sum.lag.into_iter().chain(sample.lag).reduce(f64::max),
        ..sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_kept_in_minutes_and_nothing_grows() {
        let history = History::default();
        let steps = (COARSE as u64 + 7) * MINUTE as u64;
        for step in 0..steps {
            let lag = Some(step as f64);
            history.add(step * STEP, Totals { objects: step * 2, bytes: step * 10, errors: 0, backlog: step % 5, lag });
        }
        let Charts { fine, coarse } = history.charts();
        assert_eq!((fine.len(), coarse.len()), (FINE, COARSE));
        let last = coarse.back().copied().expect("a minute");
        assert_eq!((last.at, last.objects, last.bytes, last.backlog), ((steps - 1) * STEP, 24, 120, 4));
        assert_eq!(last.lag, Some((steps - 1) as f64));
        history.add(steps * STEP, Totals::default());
        assert_eq!(history.charts().fine.back().expect("one").objects, 0, "it started anew");
    }
}
