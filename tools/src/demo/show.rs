//! What is shown while it runs: a bar on a terminal, a line now and then elsewhere. The one place that writes to stdout.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

pub struct Show {
    /// Stdout is for the JSON alone.
    json: bool,
    bars: bool,
}

impl Show {
    /// A log on the terminal would tear bars to pieces.
    pub fn new(json: bool, log: bool) -> Show {
        Show { json, bars: std::io::stderr().is_terminal() && !log }
    }

    /// A text for people.
    pub fn say(&self, text: &str) -> std::io::Result<()> {
        if self.json { write(&mut std::io::stderr().lock(), text) } else { write(&mut std::io::stdout().lock(), text) }
    }

    pub fn json(&self, line: &str) -> std::io::Result<()> {
        write(&mut std::io::stdout().lock(), line)
    }

    pub fn interrupted(&self) -> std::io::Result<()> {
        self.say("Interrupted; everything has been removed.")
    }

    /// Begins a step of so many objects and bytes.
    pub fn step(&self, what: &str, objects: u64, bytes: u64) -> Step<'_> {
        let bar = self.bars.then(|| bar(what, bytes));
        let said = Mutex::new(Instant::now());
        Step {
            show: self,
            what: what.to_owned(),
            total: (objects, bytes),
            done: Default::default(),
            bar,
            said,
            started: Instant::now(),
        }
    }
}

/// One step of the demo.
pub struct Step<'a> {
    show: &'a Show,
    what: String,
    total: (u64, u64),
    done: (AtomicU64, AtomicU64),
    bar: Option<ProgressBar>,
    said: Mutex<Instant>,
    started: Instant,
}

impl Step<'_> {
    pub fn add(&self, objects: u64, bytes: u64) {
        let before = (self.done.0.fetch_add(objects, Relaxed), self.done.1.fetch_add(bytes, Relaxed));
        self.tell(before.0 + objects, before.1 + bytes);
    }

    pub fn at(&self, objects: u64, bytes: u64) {
        self.tell(objects, bytes);
    }

    fn tell(&self, objects: u64, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes.min(self.total.1));
            bar.set_message(format!("{} of {} objects", objects.min(self.total.0), self.total.0));
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.elapsed() >= LINES {
            *said = Instant::now();
            let percent = 100 * bytes.min(self.total.1) / self.total.1.max(1);
            let _ = self.show.say(&format!("  {}: {percent} %, {objects} of {} objects", self.what, self.total.0));
        }
    }

    /// Ends it with a line.
    pub fn done(self, how: &str) -> std::io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.show.say(&format!("  {:>5.1} s  {how}", self.started.elapsed().as_secs_f64()))
    }
}

/// Whatever ends a step, its bar goes with it.
impl Drop for Step<'_> {
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

fn write(out: &mut impl std::io::Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
