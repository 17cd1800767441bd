//! The function's log: lines on stderr, which Lambda carries to CloudWatch. In the predecessors' format as Python's runtime
//! for Lambda wrote them, `[INFO]<tab>time<tab>request id<tab>message`, so that their metric filters continue.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use skyferry_agent::{hardening, legacy_log};
use skyferry_config::{self as config, LogFormat};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt as lines;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The invocation that runs; one instance of a function has one at a time.
static REQUEST: Mutex<String> = Mutex::new(String::new());

pub fn begin_request(request_id: &str) {
    request_id.clone_into(&mut REQUEST.lock().unwrap_or_else(PoisonError::into_inner));
}

pub fn start(settings: &config::LogSettings) {
    let filter = hardening::log_filter(settings, &["skyferry", "skyferry_lambda"]);
    let layer = lines::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match settings.format {
        LogFormat::Predecessor => layer.event_format(Lines).boxed(),
        LogFormat::Json | LogFormat::Auto => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = legacy_log::level_name(event);
        let now = Timestamp::now();
        let (time, millisecond) = (now.strftime("%Y-%m-%dT%H:%M:%S"), now.subsec_millisecond().max(0));
        let request = REQUEST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Without an id between them two tabs would be one separator to a filter.
        let request = if request.is_empty() { "-" } else { &*request };
        write!(line, "[{level}]\t{time}.{millisecond:03}Z\t{request}\t")?;
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}
