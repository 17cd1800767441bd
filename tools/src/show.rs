//! Where words go: what was asked for to stdout, all else to stderr. The one place that writes to stdout.

use std::io::IsTerminal as _;
use std::time::Duration;

pub struct Show {
    /// Stdout is for the JSON alone.
    json: bool,
    /// Stderr is a terminal that nothing else writes to: bars may be drawn there.
    pub bars: bool,
}

impl Show {
    /// A log on the terminal would tear bars to pieces.
    pub fn new(json: bool, log: bool) -> Show {
        Show { json, bars: std::io::stderr().is_terminal() && !log }
    }

    /// A text for people.
    pub fn say(&self, text: &str) -> std::io::Result<()> {
        if self.json { write(&mut std::io::stderr().lock(), text) } else { self.json(text) }
    }

    /// A line for programs.
    pub fn json(&self, line: &str) -> std::io::Result<()> {
        write(&mut std::io::stdout().lock(), line)
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
