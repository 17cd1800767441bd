//! What this process takes from its machine, as `/proc` has it; elsewhere nothing is known of it.

use std::fs;
use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

use skyferry_core::metrics::ProcessUsage;

/// Reads it now. `started`: when the process began, nearly.
pub fn read(started: SystemTime) -> Option<ProcessUsage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(ProcessUsage {
        cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
        resident_bytes: kilobytes * 1024,
        // The folder that is read is one of them.
        open_fds: (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok()?.0,
        started: started.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64(),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something_of_everything() {
        let usage = read(SystemTime::now()).expect("on Linux");
        assert!(usage.cpu_seconds > 0.0 && usage.started > 1.7e9, "{usage:?}");
        assert!((1 << 20..1 << 40).contains(&usage.resident_bytes), "{usage:?}");
        assert!(usage.open_fds >= 3 && usage.max_fds >= usage.open_fds, "{usage:?}");
    }
}
