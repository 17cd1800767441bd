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

/// Never ends by itself. `text` is asked at every tick.
pub async fn tell(voice: Voice, mut text: impl FnMut() -> String) {
    let mut said = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        let text = text();
        match &voice.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None if said.elapsed() >= LINES => {
                said = Instant::now();
                voice.line(&text);
            }
            None => {}
        }
    }
}
