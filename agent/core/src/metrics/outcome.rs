//! How records end and why something is tried again: the words that metrics, the summary and the ledger share.

use std::fmt;

/// How a record ended. Names are those of the metrics, the summary and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its bytes were copied.
    Copied,
    /// The destination's copy was deleted.
    Deleted,
    /// There was nothing at the source.
    Gone,
    /// The destination had it already.
    Unchanged,
    /// Left out by a rule.
    Skipped,
    /// Given up, with a reason.
    Parked,
}

impl Outcome {
    /// Each in its place.
    pub const ALL: [Outcome; 6] =
        [Outcome::Copied, Outcome::Deleted, Outcome::Gone, Outcome::Unchanged, Outcome::Skipped, Outcome::Parked];

    /// As metrics, the summary and the ledger write it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Copied => "copied",
            Outcome::Deleted => "deleted",
            Outcome::Gone => "gone",
            Outcome::Unchanged => "unchanged",
            Outcome::Skipped => "skipped",
            Outcome::Parked => "parked",
        }
    }

    /// The outcome of this name.
    pub fn parse(name: &str) -> Option<Outcome> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// 429, 503 SlowDown and their like.
    Throttled,
    /// 500 and its like: the service's own fault.
    Server,
    /// Refused, reset, not resolved, cut short.
    Network,
    /// No progress for the stall time-out.
    Stalled,
    /// Access denied, credentials expired or revoked.
    Denied,
    /// The source moved while it was read.
    SourceChanged,
    /// Somebody else wrote the destination (412, 409).
    Conflict,
    /// A digest did not match.
    Checksum,
    /// Anything else.
    Other,
}

impl RetryCause {
    /// Each in its place.
    pub const ALL: [RetryCause; 9] = [
        RetryCause::Throttled,
        RetryCause::Server,
        RetryCause::Network,
        RetryCause::Stalled,
        RetryCause::Denied,
        RetryCause::SourceChanged,
        RetryCause::Conflict,
        RetryCause::Checksum,
        RetryCause::Other,
    ];

    /// As the metric's label has it.
    pub fn name(self) -> &'static str {
        match self {
            RetryCause::Throttled => "throttled",
            RetryCause::Server => "server",
            RetryCause::Network => "network",
            RetryCause::Stalled => "stalled",
            RetryCause::Denied => "denied",
            RetryCause::SourceChanged => "source_changed",
            RetryCause::Conflict => "conflict",
            RetryCause::Checksum => "checksum",
            RetryCause::Other => "other",
        }
    }
}
