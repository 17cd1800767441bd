//! How far it is, in one line: one that stays on a terminal, one now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::voice::Voice;

pub const TICK: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

/// The bar of a terminal.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(
        ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").unwrap_or(ProgressStyle::default_bar()),
    )
}

/// Where a text is shown again and again.
pub struct Line {
    voice: Voice,
    said: Instant,
}

impl Line {
    pub fn new(voice: Voice) -> Line {
        Line { voice, said: Instant::now() }
    }

    pub fn tell(&mut self, text: String) {
        match &self.voice.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None if self.said.elapsed() >= LINES => {
                self.said = Instant::now();
                self.voice.line(&text);
            }
            None => {}
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.voice.clear();
    }
}

/// Never ends by itself. `text` is asked at every tick.
pub async fn tell(voice: Voice, mut text: impl FnMut() -> String) {
    let mut line = Line::new(voice);
    loop {
        tokio::time::sleep(TICK).await;
        line.tell(text());
    }
}
