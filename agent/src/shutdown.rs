//! What asks an agent to end: a signal, or the notice that its machine is about to be taken away. All of them end in one
//! [`Shutdown`].
//!
//! The first signal asks for an orderly end: receive nothing more, end or checkpoint what is in progress, release the rest.
//! The second one gives up at once; then messages come back when their visibility ends. A notice announces the signal that
//! the machine sends when it goes down, which is therefore no second one.

mod preemption;
mod spot;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Why an agent was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// This spot machine of Amazon ends in two minutes.
    Spot,
    /// This spot machine of Amazon may end soon.
    Rebalance,
    /// Amazon's group takes this machine out.
    ScaleIn,
    /// This machine of Google ends in 30 seconds.
    Preempted,
}

impl ShutdownReason {
    /// As shells have it: 128 and the signal's number. A notice stands for the SIGTERM that would follow it.
    pub fn exit_code(self) -> u8 {
        match self {
            ShutdownReason::Interrupt => 130,
            ShutdownReason::Terminate
            | ShutdownReason::Spot
            | ShutdownReason::Rebalance
            | ShutdownReason::ScaleIn
            | ShutdownReason::Preempted => 143,
        }
    }

    fn is_signal(self) -> bool {
        matches!(self, ShutdownReason::Interrupt | ShutdownReason::Terminate)
    }

    fn name(self) -> &'static str {
        match self {
            ShutdownReason::Interrupt => "SIGINT",
            ShutdownReason::Terminate => "SIGTERM",
            ShutdownReason::Spot => "spot interruption notice",
            ShutdownReason::Rebalance => "rebalance recommendation",
            ShutdownReason::ScaleIn => "the group's decision to end this machine",
            ShutdownReason::Preempted => "preemption notice",
        }
    }
}

/// The metadata servers that give notice; `None`: not a machine of that cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSources {
    pub amazon: Option<String>,
    pub google: Option<String>,
}

#[derive(Debug, Default)]
struct Asked {
    first: Option<ShutdownReason>,
    /// By a signal, of which a second one is urgent.
    signalled: bool,
}

/// Two requests, the second more urgent. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Stop receiving, end in order.
    pub stop: CancellationToken,
    /// Give up what is left.
    pub now: CancellationToken,
    asked: Arc<Mutex<Asked>>,
}

impl Shutdown {
    /// Asks for an orderly end; asked once more, for an immediate one.
    pub fn request(&self, reason: ShutdownReason) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let again = asked.signalled;
        asked.signalled |= reason.is_signal();
        if asked.first.is_none() {
            asked.first = Some(reason);
            tracing::info!(reason = reason.name(), "stopping: no more messages are received");
            self.stop.cancel();
        } else if again && reason.is_signal() {
            tracing::warn!(reason = reason.name(), "second request: giving up the objects in progress");
            self.now.cancel();
        }
    }

    /// The first reason.
    pub fn reason(&self) -> Option<ShutdownReason> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).first
    }

    /// Watches for notices until `end`.
    pub fn watch(&self, watched: &NoticeSources, end: &CancellationToken) {
        let NoticeSources { amazon, google } = watched.clone();
        if let Some(endpoint) = amazon {
            self.after(async move { spot::notice(&endpoint).await }, end);
        }
        if let Some(endpoint) = google {
            self.after(async move { preemption::notice(&endpoint).await }, end);
        }
    }

    fn after(&self, notice: impl Future<Output = ShutdownReason> + Send + 'static, end: &CancellationToken) {
        let (shutdown, end) = (self.clone(), end.clone());
        tokio::spawn(async move {
            if let Some(reason) = end.run_until_cancelled(notice).await {
                shutdown.request(reason);
            }
        });
    }

    /// Watches the signals for as long as the process lives. From here on they end nothing by themselves.
    pub fn listen(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let reason = tokio::select! {
                    Some(()) = interrupt.recv() => ShutdownReason::Interrupt,
                    Some(()) = terminate.recv() => ShutdownReason::Terminate,
                    else => return,
                };
                shutdown.request(reason);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_stops_and_the_second_gives_up() {
        let shutdown = Shutdown::default();
        let clone = shutdown.clone();
        assert_eq!(clone.reason(), None);
        shutdown.request(ShutdownReason::Terminate);
        assert!(clone.stop.is_cancelled() && !clone.now.is_cancelled());
        shutdown.request(ShutdownReason::Interrupt);
        assert!(clone.now.is_cancelled());
        assert_eq!(clone.reason().map(ShutdownReason::exit_code), Some(143), "the first one counts");
    }
    #[test]
    fn the_signal_that_a_notice_announces_is_no_second_request() {
        let shutdown = Shutdown::default();
        shutdown.request(ShutdownReason::Preempted);
        shutdown.request(ShutdownReason::Terminate);
        assert!(shutdown.stop.is_cancelled() && !shutdown.now.is_cancelled());
        shutdown.request(ShutdownReason::Spot);
        assert!(!shutdown.now.is_cancelled(), "a notice is never urgent");
        shutdown.request(ShutdownReason::Terminate);
        assert!(shutdown.now.is_cancelled());
        assert_eq!(shutdown.reason(), Some(ShutdownReason::Preempted));
    }
}
