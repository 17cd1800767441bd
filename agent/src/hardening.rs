//! What a process of ours settles before it does anything: no core dumps, small pages, enough files, and how many threads
//! there are.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use skyferry_config::{LogFormat, LogLevel, LogSettings};
use skyferry_core::legacy_log;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Threads for what blocks: files, and the names of hosts. Each keeps some memory for ever, and fewer than a copy has objects
/// in flight keep a disk busy.
const BLOCKING: usize = 8;
/// Files and connections: an object in flight may have three, and what is open beside them is little.
const FILES: u64 = 65_536;
const FILES_OF_OBJECT: u64 = 3;
const FILES_BESIDE: u64 = 128;

/// To be called first in `main`. What is not available is said on stderr and is no error.
pub fn harden(program: &str) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::prctl;
        // A core would hold the keys that requests are signed with.
        if let Err(error) = prctl::set_dumpable(false) {
            eprintln!("{program}: core dumps could not be switched off: {error}");
        }
        // With huge pages every run of small buffers takes 2 MiB: a listing then needs twice the memory, and gains nothing.
        if let Err(error) = prctl::set_thp_disable(true) {
            eprintln!("{program}: huge pages could not be switched off: {error}");
        }
    }
    // The soft limit is for programs that know no more than 1,024.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard.min(FILES)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES), hard)
    {
        eprintln!("{program}: no more than {soft} open files are allowed: {error}");
    }
}

/// Objects in flight that the limit of open files has room for.
pub fn max_objects() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from(files.saturating_sub(FILES_BESIDE) / FILES_OF_OBJECT).unwrap_or(usize::MAX).max(8)
}

/// What the settings want in the log, unless `RUST_LOG` is set. `also`: crates beside the agent's own.
pub fn log_filter(settings: &LogSettings, also: &[&str]) -> Targets {
    if let Some(filter) = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok()) {
        return filter;
    }
    let level = level_filter(settings.level);
    let legacy = (settings.format == LogFormat::Predecessor).then_some(legacy_log::TARGET);
    // Of other crates warnings are enough.
    let (mut filter, also) = match settings.level {
        LogLevel::Error => (Targets::new().with_default(level), &[][..]),
        _ => (logged(level), also),
    };
    for target in also.iter().copied().chain(legacy) {
        filter = filter.with_target(target, level);
    }
    filter
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Everybody's warnings, and this level of the agent's own crates.
pub fn logged(level: LevelFilter) -> Targets {
    let own = ["agent", "core", "stores", "aws", "sqlite", "config"];
    let warnings = Targets::new().with_default(LevelFilter::WARN);
    warnings.with_targets(own.map(|of| (format!("skyferry_{of}"), level)))
}

pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING).build()
}
