//! The agent's command: reads settings, sets up the log, and hands over to `wiring`. Assembles only.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use skyferry_agent::log_file::LogFile;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::status::Recent;
use skyferry_agent::telemetry::Telemetry;
use skyferry_agent::wiring::{Agent, RunReport, RunUntil, WiringError};
use skyferry_agent::{hardening, legacy_log};
use skyferry_config as config;
use skyferry_config::{LogFormat, Settings};
use tracing::Subscriber;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Thousands of small tasks and buffers: it stays smaller than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DONE: u8 = 0;
/// Something was parked or failed.
const FAILED: u8 = 1;
/// Settings or usage.
const WRONG: u8 = 2;

/// Reads object events from a queue and makes the destination equal to the source.
#[derive(Parser)]
#[command(name = "skyferry-agent", version = skyferry_core::version::long(), after_help = "Example: skyferry-agent --config /etc/skyferry/agent.toml")]
struct Arguments {
    /// The settings file: TOML, or the ini of the earlier programs.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "SKYFERRY_CONFIG",
        hide_env_values = true,
        default_value = "/etc/skyferry/agent.toml"
    )]
    config: PathBuf,
    /// Stop when the queue is empty.
    #[arg(long)]
    until_empty: bool,
    /// Check settings, credentials, queue and ledger, receive nothing, and report the result.
    #[arg(long)]
    validate: bool,
    /// Print the settings with all defaults.
    #[arg(long)]
    print_config: bool,
    /// Print the summary as one line of JSON on stdout at the end.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    hardening::harden("skyferry-agent");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { DONE });
        }
    };
    match assemble(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("skyferry-agent: {error:#}");
            let is_away = error.downcast_ref::<WiringError>().is_some_and(|error| !error.is_wrong_settings());
            ExitCode::from(if is_away { FAILED } else { WRONG })
        }
    }
}

/// Settings before anything else: what is wrong with them is reported before a port or a file is taken.
fn assemble(arguments: &Arguments) -> anyhow::Result<u8> {
    let settings = Settings::load(&arguments.config, std::env::vars_os())?;
    if arguments.print_config {
        print_line(&settings.to_toml())?;
        return Ok(DONE);
    }
    let runtime = hardening::runtime()?;
    let telemetry = settings.telemetry.as_ref().map(|otlp| Telemetry::start(otlp.as_str(), runtime.handle()));
    let telemetry = telemetry.transpose().map_err(|error| anyhow::anyhow!("[telemetry] otlp: {error}"))?;
    let recent = log(&settings.log, telemetry.as_ref())?;
    let mut exported = None;
    let code = runtime.block_on(async {
        if arguments.validate {
            return validate(&Agent::build_beside(&settings).await?).await;
        }
        let agent =
            Agent::build(&settings).await?.with_recent(recent).with_settings_file(&arguments.config).with_socket();
        exported = telemetry.as_ref().map(|telemetry| telemetry.export(agent.metrics()));
        run(agent, arguments).await
    });
    if let Some(telemetry) = telemetry {
        telemetry.end(exported.as_ref());
    }
    // A name that is being resolved cannot be cancelled.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn validate(agent: &Agent) -> anyhow::Result<u8> {
    let queue = agent.check().await?;
    print_line(&format!("{}\n{queue}\nThe settings are fine.\n", agent.description().join("\n")))?;
    Ok(DONE)
}

async fn run(agent: Agent, arguments: &Arguments) -> anyhow::Result<u8> {
    let shutdown = Shutdown::default();
    shutdown.listen()?;
    let until = if arguments.until_empty { RunUntil::Empty } else { RunUntil::Stopped };
    let report = agent.run(until, shutdown.clone()).await?;
    print_line(&if arguments.json { report.summary.to_json(report.elapsed) + "\n" } else { table(&report) })?;
    let ended = if report.has_failures() { FAILED } else { DONE };
    Ok(shutdown.reason().map_or(ended, |reason| reason.exit_code()))
}

/// The one place that writes to stdout.
fn print_line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn table(report: &RunReport) -> String {
    let (s, seconds) = (report.summary, report.elapsed.as_secs_f64());
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let grades: Vec<String> = report.grades.iter().map(|(grade, count)| format!("{grade} {count}")).collect();
    let proven = if grades.is_empty() { String::new() } else { format!(" | proven: {}", grades.join(", ")) };
    format!(
        "copied {} | deleted {} | gone {} | unchanged {} | skipped {} | parked {} | {:.1} MiB in {seconds:.1} s, {:.1} MiB/s | retries {}{proven}\n",
        s.copied,
        s.deleted,
        s.gone,
        s.unchanged,
        s.skipped,
        s.parked,
        mib(s.bytes as f64),
        mib(s.bytes as f64 / seconds.max(0.001)),
        s.retries,
    )
}

/// To stderr, to a file where one is named, and the last warnings to the status page; traces to their receiver.
fn log(settings: &config::LogSettings, telemetry: Option<&Telemetry>) -> anyhow::Result<Recent> {
    let writer = match &settings.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file =
                LogFile::open(path).with_context(|| format!("[log] file {}: cannot be opened", path.display()))?;
            BoxMakeWriter::new(std::io::stderr.and(move || file.clone()))
        }
    };
    let recent = Recent::default();
    let filter = || hardening::log_filter(settings, &[]);
    match telemetry {
        None => registry().with(filter()).with(lines(settings.format, writer)).with(recent.clone()).init(),
        // Each has its own filter, for the log wants no spans.
        Some(telemetry) => registry()
            .with(lines(settings.format, writer).with_filter(filter()))
            .with(recent.clone().with_filter(filter()))
            .with(telemetry.layer())
            .init(),
    }
    Ok(recent)
}

fn lines<S>(format: LogFormat, writer: BoxMakeWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let plain = || fmt::layer().with_ansi(false);
    match format {
        LogFormat::Predecessor => legacy_log::lines(writer).boxed(),
        LogFormat::Auto if std::io::stderr().is_terminal() => plain().with_writer(writer).boxed(),
        LogFormat::Json | LogFormat::Auto => plain().with_writer(writer).json().flatten_event(true).boxed(),
        LogFormat::Text => plain().with_writer(writer).boxed(),
    }
}
