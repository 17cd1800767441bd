//! Where words go: what was asked for to stdout, all else to stderr. The one place that writes to stdout.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde::Serialize;

pub struct Output {
    /// Stdout is for the JSON alone.
    json: bool,
    /// Stderr is a terminal that nothing else writes to: bars may be drawn there.
    pub bars: bool,
}

impl Output {
    pub fn new(json: bool, bars: bool) -> Output {
        Output { json, bars: bars && std::io::stderr().is_terminal() }
    }

    /// Whether the result is wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A text for people.
    pub fn line(&self, text: &str) -> std::io::Result<()> {
        if self.json { write(&mut std::io::stderr().lock(), text) } else { write(&mut std::io::stdout().lock(), text) }
    }

    /// A line for programs, where they asked for it.
    pub fn json(&self, line: impl Serialize) -> std::io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = serde_json::to_string(&line)?;
        write(&mut std::io::stdout().lock(), &line)
    }
}

/// As results tell a time: in seconds, to the millisecond.
pub fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Stdout itself, for more than lines.
pub fn out() -> impl std::io::Write {
    std::io::BufWriter::new(std::io::stdout())
}

fn write(out: &mut impl std::io::Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
