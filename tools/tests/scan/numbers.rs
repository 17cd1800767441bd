//! A number that is promised: a million keys a side in flat, little memory.

use std::time::Instant;

use sandbox::peak_resident;

use crate::fixture::{Fixture, SINK, SOURCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_million_keys_a_side_are_compared_in_less_than_64_mib() {
    let long = std::env::var_os("SKYFERRY_FORCE").is_some_and(|force| force == "long");
    let count = if long { 1_000_000 } else { 100_000 };
    let fixture = Fixture::new("", "").await;
    for n in 0..count {
        let key = format!("some/folder/{}/object-{n:07}.dat", n % 100);
        fixture.s3.put_synthetic(SOURCE, &key, 0, 1).expect("an object");
        if n % 1000 != 0 {
            fixture.gcs.put_synthetic(SINK, &key, 0, 1).expect("an object");
        }
    }
    let begun = Instant::now();
    let mut child = fixture.command(&["scan", "--config", "agent.toml", "--listers", "6"]).spawn().expect("started");
    let watch = tokio::spawn(peak_resident(child.id().expect("it runs")));
    assert!(child.wait().await.expect("it ended").success());
    let most = watch.await.expect("watched");
    eprintln!("{count} keys a side in {:?}, {} MiB resident at most", begun.elapsed(), most >> 10);
    assert_eq!(fixture.waiting().await, count / 1000);
    assert!((1..64 << 10).contains(&most), "{most} KiB resident");
}
