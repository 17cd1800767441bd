//! What a stretch of work cost this process, as the system counts it. Linux only; elsewhere nothing is claimed.

use serde::Serialize;

/// Clock ticks a second in /proc: the same on every Linux.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ResourceUsage {
    pub cpu_seconds: Option<f64>,
    /// The most that was resident, in bytes.
    pub peak_memory: Option<u64>,
}

pub struct UsageMeter(Option<f64>);

impl UsageMeter {
    /// From now on.
    pub fn start() -> UsageMeter {
        // Forgets the peak so far; where that is not allowed, the peak is the process's.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        UsageMeter(cpu())
    }

    pub fn stop(self) -> ResourceUsage {
        ResourceUsage { cpu_seconds: cpu().zip(self.0).map(|(now, then)| now - then), peak_memory: peak() }
    }
}

fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before it may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
