//! How far it is, how fast and how long still: a line that stays on a terminal, one now and then elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use indicatif::{BinaryBytes, HumanCount};
use skyferry_core::metrics::Metrics;
use tokio::time::Instant;

use super::lister::ListingCounts;
use crate::console::Console;
use crate::progress_line;

/// The rate is that of the last so many ticks: ten seconds.
const RECENT: usize = 50;

pub struct CopyProgress {
    pub metrics: Arc<Metrics>,
    pub counts: Arc<ListingCounts>,
    pub console: Console,
}

/// What had been done at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    objects: u64,
    bytes: u64,
}

impl CopyProgress {
    /// Never ends by itself.
    pub async fn show(self) {
        let mut marks = VecDeque::from([self.mark()]);
        let text = || {
            let now = self.mark();
            marks.push_back(now);
            if marks.len() > RECENT {
                marks.pop_front();
            }
            self.text(marks[0], now)
        };
        progress_line::run(self.console.clone(), text).await
    }

    fn mark(&self) -> Mark {
        let s = self.metrics.summary();
        let objects = s.copied + s.deleted + s.gone + s.unchanged + s.skipped + s.parked;
        Mark { at: Instant::now(), objects, bytes: self.metrics.bytes_passed() }
    }

    fn text(&self, then: Mark, now: Mark) -> String {
        let seconds = (now.at - then.at).as_secs_f64().max(0.001);
        let rate = |then: u64, now: u64| now.saturating_sub(then) as f64 / seconds;
        let (objects, bytes) = (rate(then.objects, now.objects), rate(then.bytes, now.bytes));
        let (listed, wanted) = (self.counts.listed.load(Relaxed), self.counts.bytes.load(Relaxed));
        let ended = self.counts.ended.load(Relaxed);
        let more = if ended { "" } else { "+" };
        let left = match ended {
            true => left(listed.saturating_sub(now.objects), objects, wanted.saturating_sub(now.bytes), bytes),
            false => "still listing".into(),
        };
        format!(
            "{} of {}{more} objects, {} of {}{more}, {}/s, {left}",
            HumanCount(now.objects.min(listed)),
            HumanCount(listed),
            BinaryBytes(now.bytes),
            BinaryBytes(wanted.max(now.bytes)),
            BinaryBytes(bytes as u64),
        )
    }
}

/// The longer of the two: small objects cost time and no bytes.
fn left(objects: u64, per_second: f64, bytes: u64, bytes_per_second: f64) -> String {
    let needs = |left: u64, rate: f64| if left == 0 { Some(0.0) } else { (rate > 0.0).then(|| left as f64 / rate) };
    let longer = needs(objects, per_second).zip(needs(bytes, bytes_per_second)).map(|(a, b)| a.max(b));
    match longer.map(|seconds| seconds.ceil().min(1e9) as u64) {
        None => "no end in sight".into(),
        Some(seconds) if seconds < 3600 => format!("{}:{:02} left", seconds / 60, seconds % 60),
        Some(seconds) => format!("{}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_what_takes_longer() {
        assert_eq!(left(10, 1.0, 100, 1.0), "1:40 left");
        assert_eq!(left(7300, 1.0, 0, 0.0), "2:01:40 left");
        assert_eq!(left(1, 0.0, 1, 10.0), "no end in sight");
        assert_eq!(left(0, 0.0, 0, 0.0), "0:00 left");
    }
}
