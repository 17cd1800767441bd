//! Killed and stopped in the middle, the same command continues.

use std::collections::BTreeSet;

use crate::fixture::{Fixture, QUEUE, ended};
use crate::reports::{CURRENT, Report, ReportLine, line};

/// What is flushed at once.
const FLUSH: usize = 2000;

fn many(count: usize) -> Vec<ReportLine> {
    (0..count).map(|n| line(&format!("object-{n:06}"), 1)).collect()
}

async fn until_sent(fixture: &Fixture, count: u64) {
    let cloud = fixture.cloud.as_ref().expect("a cloud");
    while cloud.depth(QUEUE).await.expect("a depth")[0] < count {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_at_most_one_flush_is_sent_again_and_nothing_is_missing() {
    let fixture = Fixture::with_cloud().await;
    let count = 5 * FLUSH + 10;
    let manifest = Report::csv(CURRENT, &many(count), FLUSH + 500).write(fixture.folder.path());
    let manifest = manifest.to_str().expect("UTF-8");
    let mut child = fixture.start(&[manifest]);
    until_sent(&fixture, FLUSH as u64 + 100).await;
    child.kill().await.expect("killed");
    let output = fixture.run(&[manifest]).await;
    assert_eq!((output.code, output.count("jobs")), (Some(0), count as u64), "{output:?}");
    assert!(output.stderr.contains("of an earlier run"), "{output:?}");
    let keys = fixture.keys().await;
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), count, "all of them");
    assert!(keys.len() <= count + FLUSH, "{} are more than one flush too many", keys.len() - count);

    // Done is forgotten.
    let output = fixture.run(&[manifest, "--include", "object-00000?"]).await;
    assert_eq!((output.count("rows"), output.count("jobs")), (count as u64, 10), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_and_another_choice_begins_anew() {
    let fixture = Fixture::with_cloud().await;
    let count = 20 * FLUSH;
    let manifest = Report::csv(CURRENT, &many(count), count).write(fixture.folder.path());
    let manifest = manifest.to_str().expect("UTF-8");
    let child = fixture.start(&[manifest]);
    until_sent(&fixture, FLUSH as u64 + 100).await;
    let id = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("sent").success());
    let stopped = ended(child).await;
    assert_eq!(stopped.code, Some(143), "{stopped:?}");
    assert!((FLUSH as u64..count as u64).contains(&stopped.count("jobs")), "{stopped:?}");

    let output = fixture.run(&[manifest, "--exclude", "*9"]).await;
    assert_eq!((output.code, output.count("rows")), (Some(0), count as u64), "{output:?}");
    assert!(!output.stderr.contains("of an earlier run"), "{output:?}");
}
