//! Killed, stopped and begun again: what continues where, and what is sent twice.

use std::time::{Duration, Instant};

use sandbox::Operation;
use tokio::process::Child;

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, ended, gcs, mixed, objects, tree};

pub fn signal(child: &Child, name: &str) {
    let id = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
    assert!(sent.expect("kill").success());
}

/// Waits for something to be seen at a peer.
pub async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// One object of so many bytes at so many a second; ended by `end` after so long; back come the bytes that the peer had
/// received by then, and those that it received of the next run.
async fn interrupted(size: usize, rate: &str, after: Duration, end: impl AsyncFnOnce(Child)) -> (u64, u64) {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let large = bytes(size, 4);
    fixture.write("tree/large", &large);
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    let child = fixture.start(&[&arguments[..], &["--max-bandwidth", rate]].concat());
    until("parts", || gcs.counts().of(Operation::UploadPart) >= 1).await;
    tokio::time::sleep(after).await;
    end(child).await;
    let sent = gcs.counts().bytes_received;
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(gcs.counts().of(Operation::CreateUpload), 1, "the same upload goes on");
    assert!(gcs.read(BUCKET, "large").expect("there") == large);
    assert!(gcs.open_uploads(BUCKET).is_empty());
    (sent, gcs.counts().bytes_received - sent)
}

/// All that is in progress at once: sixteen parts of 5 MiB.
const IN_FLIGHT: u64 = 16 * (5 << 20);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_only_the_last_15_seconds_are_sent_again() {
    let (size, rate) = (400_u64 << 20, 12_u64 << 20);
    let kill = async |mut child: Child| child.kill().await.expect("killed");
    // Parts share the bandwidth, so they end in waves of up to ten seconds: two of them are over.
    let (sent, again) = interrupted(size as usize, "12MiB", Duration::from_millis(26_500), kill).await;
    assert!(sent > 18 * rate, "{sent} bytes in 26 s");
    assert!(sent + again <= size + 15 * rate + IN_FLIGHT, "{again} bytes after {sent}");
    assert!(again <= size - 10 * rate, "{again} bytes after {sent}: what was recorded is not sent again");
}

/// On a slow line few parts are open at once, those of the oldest objects, and they end one after another.
#[tokio::test(flavor = "multi_thread")]
async fn fault_d1_a_kill_on_a_slow_line_loses_its_last_seconds_and_not_all_that_was_sent() {
    const OBJECTS: u64 = 12;
    const NEEDED: u64 = OBJECTS * 5;
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..OBJECTS {
        fixture.write(&format!("tree/{n}"), &bytes(25 << 20, n));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    let mut child = fixture.start(&[&arguments[..], &["--max-bandwidth", "8MiB"]].concat());
    until("200 MiB", || gcs.counts().bytes_received >= 200 << 20).await;
    child.kill().await.expect("killed");
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied") + output.count("unchanged")), (Some(0), OBJECTS), "{output:?}");
    assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
    let sent = gcs.counts().of(Operation::UploadPart);
    // Fifteen seconds of 8 MiB in parts of 5 MiB, and a few.
    assert!(sent <= NEEDED + 24 + 6, "{sent} parts were sent where {NEEDED} are needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_signal_only_the_parts_in_flight_are_sent_again() {
    let end = async |child: Child| {
        signal(&child, "TERM");
        assert_eq!(ended(child).await.code, Some(143));
    };
    let size = 480_u64 << 20;
    let (sent, again) = interrupted(size as usize, "40MiB", Duration::from_millis(3500), end).await;
    assert!(sent > IN_FLIGHT + (10 << 20), "{sent} bytes");
    assert!(sent + again <= size + IN_FLIGHT + (2 << 20), "{again} bytes after {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_keep_to_the_bandwidth_too() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..24 {
        fixture.write(&format!("tree/{n}"), &bytes(512 << 10, n));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos", "--max-bandwidth", "4MiB"], &[&to]);
    let begun = Instant::now();
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 24), "{output:?}");
    // 12 MiB.
    assert!(begun.elapsed() > Duration::from_millis(2700), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changed_meanwhile_starts_over_and_only_that() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    fixture.write("tree/large", &bytes(40 << 20, 4));
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    let mut child = fixture.start(&[&arguments[..], &["--max-bandwidth", "20MiB"]].concat());
    until("parts", || gcs.counts().of(Operation::UploadPart) >= 4).await;
    child.kill().await.expect("killed");
    let other = bytes(33 << 20, 5);
    fixture.write("tree/large", &other);
    let output = fixture.copy(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(gcs.read(BUCKET, "large").expect("there") == other);
    assert!(gcs.open_uploads(BUCKET).is_empty());
    assert_eq!(gcs.history(BUCKET, "large").len(), 1, "nothing else was ever shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_drain_and_tell_by_the_exit_code_and_the_next_run_ends_the_work() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    mixed(&fixture.path("tree"), 300);
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let before = gcs.counts().total();
        let child = fixture.start(&[&arguments[..], &["--max-bandwidth", "4MiB"]].concat());
        until("requests", || gcs.counts().total() > before + 10).await;
        signal(&child, name);
        let output = ended(child).await;
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.json["copied"].is_u64(), "{output:?}");
    }
    let output = fixture.copy(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
    assert!(gcs.open_uploads(BUCKET).is_empty());
}
