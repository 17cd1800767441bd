//! Work that a signal may stop.

use std::io;
use std::time::Duration;

use skyferry_agent::notice::{Reason, Shutdown};

use crate::FAILED;
use crate::voice::Voice;

/// Runs it to its end, signals listened to; whatever it ends with, the bar is taken away.
pub fn stoppable<E: From<io::Error>>(
    voice: &Voice,
    work: impl AsyncFnOnce(&Shutdown) -> Result<u8, E>,
) -> Result<u8, E> {
    let runtime = skyferry_agent::process::runtime()?;
    let ended = runtime.block_on(async {
        let shutdown = Shutdown::default();
        shutdown.listen()?;
        work(&shutdown).await
    });
    // A name that is being resolved cannot be cancelled.
    runtime.shutdown_timeout(Duration::from_secs(1));
    voice.clear();
    ended
}

/// The exit code of what was stopped.
pub fn code(shutdown: &Shutdown) -> u8 {
    shutdown.reason().map_or(FAILED, Reason::exit_code)
}
