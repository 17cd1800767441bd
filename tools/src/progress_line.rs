//! How far it is, in one line: one that stays on a terminal, one now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::console::Console;

pub const TICK: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(30);

/// The bar of a terminal.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(
        ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").unwrap_or(ProgressStyle::default_bar()),
    )
}

/// Where a text is shown again and again.
pub struct ProgressLine {
    console: Console,
    printed: Instant,
    last: String,
}

impl ProgressLine {
    pub fn new(console: Console) -> ProgressLine {
        ProgressLine { console, printed: Instant::now(), last: String::new() }
    }

    pub fn update(&mut self, text: String) {
        match &self.console.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None if self.printed.elapsed() >= LINES => {
                self.printed = Instant::now();
                if text != self.last {
                    self.console.line(&text);
                    self.last = text;
                }
            }
            None => {}
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.console.clear();
    }
}

/// Never ends by itself. `text` is asked at every tick.
pub async fn run(console: Console, mut text: impl FnMut() -> String) {
    let mut line = ProgressLine::new(console);
    loop {
        tokio::time::sleep(TICK).await;
        line.update(text());
    }
}
