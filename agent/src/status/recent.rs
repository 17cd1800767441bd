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
/// The same of what was parked.
const PARKED: usize = 200;

/// A layer for a subscriber; clones share the list.
#[derive(Clone, Default)]
pub struct Recent {
    errors: Arc<Mutex<VecDeque<RecentError>>>,
    parked: Arc<Mutex<VecDeque<ParkedObject>>>,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecentError {
    /// Seconds since the epoch.
    pub at: u64,
    pub level: &'static str,
    pub text: String,
}

/// An object that was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedObject {
    /// Seconds since the epoch.
    pub at: u64,
    pub object: String,
    pub reason: String,
}

impl ParkedObject {
    /// The reason without the object's name.
    pub fn kind(&self) -> String {
        self.reason.replace(&self.object, "…")
    }
}

impl Recent {
    /// The last ones that were parked, the newest first.
    pub fn parked(&self) -> Vec<ParkedObject> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// The newest first.
    pub fn list(&self) -> Vec<RecentError> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn add(&self, level: &'static str, text: String) {
        keep(&self.errors, KEPT, RecentError { at: now(), level, text });
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
        if line.is_parked {
            keep(&self.parked, PARKED, ParkedObject { at: now(), ..line.parked });
        }
        self.add(level, line.text);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn keep<T>(list: &Mutex<VecDeque<T>>, most: usize, one: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(one);
}

/// The message, then the fields as `name=value`; cut where it gets long.
#[derive(Default)]
struct Line {
    text: String,
    /// What `parked` is logged with.
    is_parked: bool,
    parked: ParkedObject,
}

impl Line {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        match field.name() {
            "message" => self.is_parked = value.as_str() == Some("parked") || value.to_string() == "parked",
            "object" => self.parked.object = cut(value.to_string()),
            "reason" => self.parked.reason = cut(value.to_string()),
            _ => {}
        }
        if self.text.len() >= LONGEST {
            return;
        }
        if field.name() == "message" {
            let fields = std::mem::take(&mut self.text);
            let _ = write!(self.text, "{value}{fields}");
        } else {
            let _ = write!(self.text, " {}={value}", field.name());
        }
        self.text = cut(std::mem::take(&mut self.text));
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let cut = (0..=LONGEST).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
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
