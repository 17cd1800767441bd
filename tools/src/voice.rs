//! What is said on stderr while a bar may be standing there.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use skyferry_agent::process;
use skyferry_core::error::{CopyError, Kind, Side};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The same trouble is told again only after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// Clones share the bar and what was said.
#[derive(Clone, Default)]
pub struct Voice {
    pub bar: Option<ProgressBar>,
    said: Arc<Mutex<Vec<(Side, Kind, Instant)>>>,
}

impl Voice {
    pub fn new(bar: Option<ProgressBar>) -> Voice {
        Voice { bar, said: Arc::default() }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    pub fn line(&self, text: &str) {
        self.aside(|| eprintln!("{text}"));
    }

    /// Tells of a side's trouble, at once, and again while it lasts.
    pub fn trouble(&self, error: &CopyError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, _, at)| at.elapsed() < AGAIN);
        if !said.iter().any(|(side, kind, _)| (*side, *kind) == (error.side, error.kind)) {
            said.push((error.side, error.kind, Instant::now()));
            self.line(&format!("skyferry: {error}; trying again"));
        }
    }

    fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

/// What matters to a person is told by the command itself: the log has the rest.
pub fn log(verbose: bool, voice: &Voice) {
    let quiet = "off,skyferry_stores=warn,skyferry_agent::wiring=warn,skyferry_agent::drain=error";
    let filter = EnvFilter::new(if verbose { process::logged("info") } else { quiet.to_owned() });
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(voice.clone()).with_ansi(false);
    if verbose {
        lines.init();
    } else {
        lines.without_time().with_target(false).init();
    }
}

/// For the log.
impl<'a> MakeWriter<'a> for Voice {
    type Writer = Voice;

    fn make_writer(&'a self) -> Voice {
        self.clone()
    }
}

impl Write for Voice {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.aside(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
