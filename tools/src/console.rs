//! What is said on stderr while a bar may be standing there.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use skyferry_agent::hardening;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The same error is reported again only after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// Clones share the bar and what was said.
#[derive(Clone, Default)]
pub struct Console {
    pub bar: Option<ProgressBar>,
    /// Only errors are shown.
    quiet: bool,
    reported: Arc<Mutex<Vec<(Side, ErrorKind, Instant)>>>,
}

impl Console {
    pub fn new(bar: Option<ProgressBar>, quiet: bool) -> Console {
        Console { bar, quiet, reported: Arc::default() }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    pub fn line(&self, text: &str) {
        if !self.quiet {
            self.suspended(|| eprintln!("{text}"));
        }
    }

    /// Tells of a side's trouble, at once, and again while it lasts.
    pub fn report_error(&self, error: &CopyError) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|(_, _, at)| at.elapsed() < AGAIN);
        if !reported.iter().any(|(side, kind, _)| (*side, *kind) == (error.side, error.kind)) {
            reported.push((error.side, error.kind, Instant::now()));
            self.line(&format!("skyferry: {error}; trying again"));
        }
    }

    fn suspended<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

/// What matters to a person is reported by the command itself: the log has the rest, and without -v only the agent's
/// warnings, if those are wanted.
pub fn log(verbose: u8, warnings: bool, console: &Console) {
    let few = [
        ("skyferry_stores", LevelFilter::WARN),
        ("skyferry_agent::wiring", LevelFilter::WARN),
        ("skyferry_agent::drain", LevelFilter::ERROR),
    ];
    let filter = match (verbose, warnings) {
        (0, true) => Targets::new().with_targets(few),
        (0, false) => return,
        _ => filter(verbose),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(console.clone()).with_ansi(false);
    let log = tracing_subscriber::registry().with(filter);
    if verbose > 0 {
        log.with(lines).init();
    } else {
        log.with(lines.without_time().with_target(false)).init();
    }
}

/// The log in a file.
pub fn log_to(verbose: u8, file: File) {
    let lines = tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false);
    tracing_subscriber::registry().with(filter(verbose)).with(lines).init();
}

fn filter(verbose: u8) -> Targets {
    hardening::logged(if verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::INFO })
}

/// For the log.
impl<'a> MakeWriter<'a> for Console {
    type Writer = Console;

    fn make_writer(&'a self) -> Console {
        self.clone()
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.suspended(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
