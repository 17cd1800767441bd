//! How much memory a program had at most: what its own kernel says, looked at until it ends.

use std::time::Duration;

/// Between two looks: what it takes in its last moments is not seen.
const LOOK: Duration = Duration::from_millis(10);

/// KiB. Returns when the process is gone; 0 if it was never seen.
pub async fn peak_resident(process: u32) -> u64 {
    let mut most = 0;
    while let Ok(status) = tokio::fs::read_to_string(format!("/proc/{process}/status")).await {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        // One that has ended and is not waited for yet has none.
        let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()) else { break };
        most = most.max(kib);
        tokio::time::sleep(LOOK).await;
    }
    most
}
