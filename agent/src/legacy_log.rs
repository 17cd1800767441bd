//! `log.format = "predecessor"`: lines as Python's `%(asctime)s %(levelname)s - %(message)s` wrote them, so that the metric
//! filters and dashboards of earlier stacks continue. Times are UTC, as on the machines that those ran on.

use std::fmt;

use jiff::Timestamp;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// A layer that writes such lines.
pub fn lines<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).event_format(Lines)
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(line, "{} {} - ", asctime(Timestamp::now()), level_name(event))?;
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

/// An event's level as Python names it.
pub fn level_name(event: &Event<'_>) -> &'static str {
    match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// `2026-11-21 15:04:05,123`
fn asctime(at: Timestamp) -> String {
    let millisecond = at.subsec_millisecond().max(0);
    format!("{},{millisecond:03}", at.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use skyferry_core::legacy_log::{self, PartOf};
    use skyferry_core::model::Location;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(super::lines(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(Into::into).collect()
    }

    /// The line after its date and time, which are checked.
    fn rest(line: &str) -> &str {
        let (time, rest) = line.split_at(23);
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000", "{line}");
        rest
    }

    #[test]
    fn a_line_is_as_python_wrote_it() {
        let lines = logged(|| {
            let (from, to) = (Location::new("photos", "a/b"), Location::new("copies", "p/a/b"));
            let part = PartOf { number: 2, of: 3 };
            legacy_log::downloading(5, &from, part);
            legacy_log::uploading(5, &to, part);
            legacy_log::complete(5, &from, part, 1);
            legacy_log::complete(7, &from, PartOf::WHOLE, 1);
            tracing::warn!(side = "source", "slow");
        });
        let rests: Vec<&str> = lines.iter().map(|line| rest(line)).collect();
        let wanted = [
            " INFO - --->Downloading 5 Bytes photos/a/b - 2/3",
            " INFO - --->Uploading 5 Bytes copies/p/a/b - 2/3",
            " INFO - --->Complete 5 Bytes photos/a/b - 2/3 33.33%",
            " INFO - --->Complete 7 Bytes photos/a/b - 1/1 100.00%",
            " WARNING - slow side=\"source\"",
        ];
        assert_eq!(rests, wanted);
    }

    #[test]
    fn a_time_has_three_digits_behind_its_comma() {
        assert_eq!(asctime(Timestamp::from_millisecond(1_795_273_445_007).unwrap()), "2026-11-21 15:04:05,007");
    }
}
