//! What a process of ours settles before it does anything: no core dumps, small pages, enough files, and how many threads
//! there are.

use std::fmt::Write as _;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use skyferry_config::{LogFormat, LogLevel, LogSettings};
use skyferry_core::legacy_log;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// Threads for what blocks: files, and the names of hosts. Each keeps some memory for ever, and fewer than a copy has objects
/// in flight keep a disk busy.
const BLOCKING: usize = 8;
/// Files and connections: an object in flight may have three, and what is open beside them is little.
const FILES: u64 = 65_536;
const FILES_OF_OBJECT: u64 = 3;
const FILES_BESIDE: u64 = 128;

/// To be called first in `main`. What cannot be had is said on stderr and is no error.
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
pub fn log_filter(settings: &LogSettings, also: &[&str]) -> EnvFilter {
    let level = settings.level.name();
    // Other crates tell their own affairs: warnings are enough.
    let mut wanted = if settings.level == LogLevel::Error { level.to_owned() } else { logged(level) };
    let legacy = (settings.format == LogFormat::Predecessor).then_some(legacy_log::TARGET);
    let also = also.iter().copied().filter(|_| settings.level != LogLevel::Error);
    for target in also.chain(legacy) {
        let _ = write!(wanted, ",{target}={level}");
    }
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(wanted))
}

/// What a filter of the log names to have everybody's warnings, and this level of the agent's own crates.
pub fn logged(level: &str) -> String {
    let mut filter = "warn".to_owned();
    for of in ["agent", "core", "stores", "aws", "sqlite", "config"] {
        let _ = write!(filter, ",skyferry_{of}={level}");
    }
    filter
}

pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING).build()
}
