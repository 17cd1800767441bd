//! Where words go: what was asked for to stdout, all else to stderr. The one place that writes to stdout.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

/// As terminals number them.
#[derive(Clone, Copy)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

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

    /// The word in a colour, on a terminal whose user wants any (no-color.org).
    pub fn coloured(&self, word: &str, colour: Colour) -> String {
        let terminal = if self.json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match terminal && wanted {
            true => format!("\x1b[{}m{word}\x1b[0m", colour as u8),
            false => word.to_owned(),
        }
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

/// `1 object`, `1,234 objects`.
pub fn objects(count: u64) -> String {
    counted(count, "object")
}

/// A number of things whose plural has an s.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
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
