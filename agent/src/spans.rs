//! What a trace shows of one object: a span for the object, and below it one for each look at a side, each read, each write and
//! each word with the ledger. They have a target of their own, which no log shows; without `[telemetry]` nobody wants it, and
//! then none is made.

use skyferry_core::ledger::Subject;
use skyferry_core::protocol::Effect;
use tracing::{Span, field, info_span};

pub const TARGET: &str = "skyferry_trace";

/// One attempt to bring a record to its end. `outcome` and `bytes` are recorded where it ends.
pub fn object(subject: &Subject, attempt: u32) -> Span {
    let (source, destination) = (&subject.source, &subject.destination);
    let (outcome, bytes) = (field::Empty, field::Empty);
    info_span!(target: TARGET, "object", %source, %destination, attempt, outcome, bytes)
}

/// Bytes on their way from the source.
pub fn read(bytes: u64) -> Span {
    info_span!(target: TARGET, "read", bytes)
}

/// A step of the write protocol.
pub fn step(effect: &Effect) -> Span {
    match effect {
        Effect::Lookup => ledger("lookup"),
        Effect::Begin => ledger("begin"),
        Effect::Checkpoint(_) => ledger("checkpoint"),
        Effect::Finish { .. } => ledger("finish"),
        Effect::HeadSource => look("head_source"),
        Effect::OpenSource => look("open_source"),
        Effect::HeadNewest => look("head_newest"),
        Effect::HeadDestination => look("head_destination"),
        Effect::CheckUpload(_) => look("check_upload"),
        Effect::Put { .. } => write("put"),
        Effect::Initiate { .. } => write("initiate"),
        Effect::Parts(_) => write("parts"),
        Effect::Complete { .. } => write("complete"),
        Effect::Abort(_) => write("abort"),
        Effect::Delete { .. } => write("delete"),
        Effect::Wait { .. } | Effect::End(_) => Span::none(),
    }
}

fn ledger(step: &'static str) -> Span {
    info_span!(target: TARGET, "ledger", step)
}

fn look(step: &'static str) -> Span {
    info_span!(target: TARGET, "look", step)
}

fn write(step: &'static str) -> Span {
    info_span!(target: TARGET, "write", step)
}

#[cfg(test)]
mod tests {
    use skyferry_config::{LogFormat, LogLevel, LogMetrics, LogSettings};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::hardening::log_filter;

    #[test]
    fn without_telemetry_no_span_is_made_whatever_is_logged() {
        for level in [LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            let settings = LogSettings { format: LogFormat::Json, level, metrics: LogMetrics::Off, file: None };
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
            let log = tracing_subscriber::registry().with(log_filter(&settings, &[])).with(lines);
            tracing::subscriber::with_default(log, || {
                assert!(
                    read(1).is_disabled()
                        && step(&Effect::Begin).is_disabled()
                        && step(&Effect::HeadSource).is_disabled()
                );
            });
        }
    }
}
