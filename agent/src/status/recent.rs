//! The last warnings and errors, for the status page: what is logged, kept a while. A layer of the log, so that whoever
//! consumes an error says so once; and as bounded and as free of secrets as the log is.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// How many are kept, and how many bytes of each.
const KEPT: usize = 50;
const LONGEST: usize = 600;

/// A layer for a subscriber; clones share the list.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<VecDeque<RecentError>>>);

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecentError {
    /// Seconds since the epoch.
    pub at: u64,
    pub level: &'static str,
    pub text: String,
}

impl Recent {
    /// The newest first.
    pub fn list(&self) -> Vec<RecentError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn add(&self, level: &'static str, text: String) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() == KEPT {
            list.pop_front();
        }
        list.push_back(RecentError { at, level, text });
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let mut line = Line::default();
        event.record(&mut line);
        self.add(level, line.0);
    }
}

/// The message, then the fields as `name=value`; cut where it gets long.
#[derive(Default)]
struct Line(String);

impl Line {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.0.len() >= LONGEST {
            return;
        }
        // Writing to a `String` cannot fail.
        if field.name() == "message" {
            let fields = std::mem::take(&mut self.0);
            let _ = write!(self.0, "{value}{fields}");
        } else {
            let _ = write!(self.0, " {}={value}", field.name());
        }
        if self.0.len() > LONGEST {
            let cut = (0..=LONGEST).rev().find(|&i| self.0.is_char_boundary(i)).unwrap_or(0);
            self.0.truncate(cut);
            self.0.push('…');
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<RecentError> {
        let recent = Recent::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recent.clone()), log);
        recent.list()
    }

    #[test]
    fn warnings_and_errors_are_kept_with_their_fields_and_the_rest_is_not() {
        let list = logged(|| {
            tracing::info!("fine");
            tracing::warn!(side = "source", "slow");
            tracing::error!(error = %"denied", count = 2, "failed");
        });
        let lines: Vec<_> = list.iter().map(|e| (e.level, e.text.as_str())).collect();
        assert_eq!(lines, [("error", "failed error=denied count=2"), ("warn", "slow side=source")]);
    }

    #[test]
    fn the_list_is_bounded_in_number_and_length() {
        let list = logged(|| (0..3 * KEPT).for_each(|n| tracing::warn!(n, text = "é".repeat(1000), "long")));
        assert_eq!(list.len(), KEPT);
        assert!(list[0].text.starts_with("long n=149"), "{}", list[0].text);
        assert!(list.iter().all(|e| e.text.len() <= LONGEST + '…'.len_utf8()));
    }
}
