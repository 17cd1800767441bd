//! A step of the demo while it runs: a bar on a terminal, a line now and then elsewhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// One step of the demo.
pub struct DemoStep<'a> {
    output: &'a Output,
    what: String,
    total: (u64, u64),
    done: (AtomicU64, AtomicU64),
    bar: Option<ProgressBar>,
    /// When the last line was shown, and which.
    printed: Mutex<(Instant, String)>,
    started: Instant,
}

impl<'a> DemoStep<'a> {
    /// Begins a step of so many objects and bytes.
    pub fn new(output: &'a Output, what: &str, objects: u64, bytes: u64) -> DemoStep<'a> {
        DemoStep {
            output,
            what: what.to_owned(),
            total: (objects, bytes),
            done: Default::default(),
            bar: output.bars.then(|| bar(what, bytes)),
            printed: Mutex::new((Instant::now(), String::new())),
            started: Instant::now(),
        }
    }

    pub fn add(&self, objects: u64, bytes: u64) {
        let before = (self.done.0.fetch_add(objects, Relaxed), self.done.1.fetch_add(bytes, Relaxed));
        self.update(before.0 + objects, before.1 + bytes);
    }

    pub fn at(&self, objects: u64, bytes: u64) {
        self.update(objects, bytes);
    }

    fn update(&self, objects: u64, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes.min(self.total.1));
            bar.set_message(format!("{} of {} objects", objects.min(self.total.0), self.total.0));
            return;
        }
        let mut printed = self.printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if printed.0.elapsed() >= LINES {
            // The bytes are counted as they are read, and an object when it is done.
            let most = if objects < self.total.0 { 99 } else { 100 };
            let percent = (100 * bytes.min(self.total.1) / self.total.1.max(1)).min(most);
            let line = format!("  {}: {percent} %, {objects} of {} objects", self.what, self.total.0);
            if line != printed.1 {
                let _ = self.output.line(&line);
            }
            *printed = (Instant::now(), line);
        }
    }

    /// Ends it with a line.
    pub fn done(self, how: &str) -> std::io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.output.line(&format!("  {:>5.1} s  {how}", self.started.elapsed().as_secs_f64()))
    }
}

/// Whatever ends a step, its bar goes with it.
impl Drop for DemoStep<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("  {elapsed:>5}    {prefix} {bar:24} {binary_bytes_per_sec:>12}  {msg}");
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
    bar.set_prefix(what.to_owned());
    bar
}
