//! How far it is, how fast and how long still: a line that stays on a terminal, one now and then elsewhere. Bytes count when
//! the destination has acknowledged them, part by part.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use indicatif::{BinaryBytes, HumanCount};
use skyferry_core::metrics::Metrics;
use tokio::time::Instant;

use super::lister::ListingCounts;
use crate::console::Console;
use crate::progress_line;

/// The rate is that of the last so many ticks, half a minute: parts arrive in steps.
const RECENT: usize = 150;

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
    /// Of these, those that were there already.
    unchanged: u64,
    /// Acknowledged.
    bytes: u64,
    /// What need not be sent.
    spared: u64,
}

/// What there is to do, as far as it is listed.
#[derive(Clone, Copy)]
struct Work {
    objects: u64,
    bytes: u64,
    is_whole: bool,
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
            let ListingCounts { listed, bytes, ended, .. } = &*self.counts;
            let work =
                Work { objects: listed.load(Relaxed), bytes: bytes.load(Relaxed), is_whole: ended.load(Relaxed) };
            text(marks[0], now, work)
        };
        progress_line::run(self.console.clone(), text).await
    }

    fn mark(&self) -> Mark {
        let s = self.metrics.summary();
        Mark {
            at: Instant::now(),
            objects: s.copied + s.deleted + s.gone + s.unchanged + s.skipped + s.parked,
            unchanged: s.unchanged,
            bytes: self.metrics.bytes_passed(),
            spared: self.metrics.bytes_spared(),
        }
    }
}

/// The most important first: a narrow terminal cuts the end off.
fn text(then: Mark, now: Mark, work: Work) -> String {
    let seconds = (now.at - then.at).as_secs_f64().max(0.001);
    let rate = |then: u64, now: u64| now.saturating_sub(then) as f64 / seconds;
    let (objects, bytes) = (rate(then.objects, now.objects), rate(then.bytes, now.bytes));
    let done = now.bytes + now.spared;
    let (first, left, more) = match work.is_whole {
        true => {
            let left = left(work.objects.saturating_sub(now.objects), objects, work.bytes.saturating_sub(done), bytes);
            (format!("{}%", percent(now.objects, done, work)), left, "")
        }
        false => ("listing".into(), "still listing".into(), "+"),
    };
    let mut text = format!(
        "{first}, {} of {}{more}, {}/s, {left}, {} of {}{more} objects",
        BinaryBytes(now.bytes),
        BinaryBytes(work.bytes.saturating_sub(now.spared).max(now.bytes)),
        BinaryBytes(bytes as u64),
        HumanCount(now.objects.min(work.objects)),
        HumanCount(work.objects),
    );
    if now.unchanged > 0 {
        text.push_str(&format!(", {} there already", HumanCount(now.unchanged)));
    }
    text
}

/// By bytes; where there are none, by objects. 100 is for the end.
fn percent(objects: u64, bytes: u64, work: Work) -> u64 {
    let (done, all) = if work.bytes > 0 { (bytes, work.bytes) } else { (objects, work.objects) };
    let most = if objects < work.objects { 99 } else { 100 };
    (u128::from(done) * 100 / u128::from(all.max(1))).min(most) as u64
}

/// The longer of what bytes and objects need at their rates: small objects cost time and no bytes, and while a large one is on
/// its way no object ends.
fn left(objects: u64, per_second: f64, bytes: u64, bytes_per_second: f64) -> String {
    let needs = |left: u64, rate: f64| (left > 0 && rate > 0.0).then(|| left as f64 / rate);
    let known = [needs(objects, per_second), needs(bytes, bytes_per_second)].into_iter().flatten().reduce(f64::max);
    match known.map(|seconds| seconds.ceil().min(1e9) as u64) {
        None if objects + bytes == 0 => "0:00 left".into(),
        None => "no rate yet".into(),
        Some(seconds) if seconds < 3600 => format!("{}:{:02} left", seconds / 60, seconds % 60),
        Some(seconds) => format!("{}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_left_is_that_of_what_takes_longer() {
        assert_eq!(left(10, 1.0, 100, 1.0), "1:40 left");
        assert_eq!(left(7300, 1.0, 0, 0.0), "2:01:40 left");
        assert_eq!(left(1, 0.0, 1, 0.0), "no rate yet");
        assert_eq!(left(0, 0.0, 0, 0.0), "0:00 left");
    }

    #[test]
    fn fault_d6_the_first_large_object_has_percent_and_time_left_by_its_bytes() {
        let then = Mark { at: Instant::now(), objects: 0, unchanged: 0, bytes: 0, spared: 0 };
        let now = Mark { at: then.at + Duration::from_secs(10), bytes: 100 << 20, ..then };
        let work = Work { objects: 3, bytes: 400 << 20, is_whole: true };
        assert_eq!(text(then, now, work), "25%, 100.00 MiB of 400.00 MiB, 10.00 MiB/s, 0:30 left, 0 of 3 objects");
        let resumed = Mark { spared: 200 << 20, objects: 1, unchanged: 1, ..now };
        assert_eq!(
            text(then, resumed, work),
            "75%, 100.00 MiB of 200.00 MiB, 10.00 MiB/s, 0:20 left, 1 of 3 objects, 1 there already"
        );
        assert!(text(then, now, Work { is_whole: false, ..work }).starts_with("listing, 100.00 MiB of 400.00 MiB+, "));
        let all = Mark { bytes: 400 << 20, objects: 2, ..now };
        assert!(text(then, all, work).starts_with("99%"), "the last object is not yet published");
    }
}
