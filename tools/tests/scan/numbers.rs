//! A number that is promised: a million keys a side in flat, little memory.

use std::time::Instant;

use crate::stage::{SINK, SOURCE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_million_keys_a_side_are_compared_in_less_than_64_mib() {
    let long = std::env::var_os("SKYFERRY_FORCE").is_some_and(|force| force == "long");
    let count = if long { 1_000_000 } else { 100_000 };
    let stage = Stage::new("", "").await;
    for n in 0..count {
        let key = format!("some/folder/{}/object-{n:07}.dat", n % 100);
        stage.s3.put_synthetic(SOURCE, &key, 0, 1).expect("an object");
        if n % 1000 != 0 {
            stage.gcs.put_synthetic(SINK, &key, 0, 1).expect("an object");
        }
    }
    let begun = Instant::now();
    let mut child = stage.command(&["scan", "--config", "agent.toml", "--listers", "6"]).spawn().expect("started");
    let status = format!("/proc/{}/status", child.id().expect("it runs"));
    let mut most = 0;
    while child.try_wait().expect("asked").is_none() {
        let Ok(text) = std::fs::read_to_string(&status) else { break };
        let resident = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or_default());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(child.wait().await.expect("it ended").success());
    eprintln!("{count} keys a side in {:?}, {} MiB resident at most", begun.elapsed(), most >> 10);
    assert_eq!(stage.waiting().await, count / 1000);
    assert!((1..64 << 10).contains(&most), "{most} KiB resident");
}
