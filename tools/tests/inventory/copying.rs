//! `skyferry copy --inventory`: a report in the place of a listing.

use sandbox::{Operation, S3Options, S3Peer};

use crate::fixture::Fixture;
use crate::reports::{CURRENT, Report, ReportLine, VERSIONED, line};

#[tokio::test(flavor = "multi_thread")]
async fn copy_takes_from_a_report_what_it_would_else_list() {
    let fixture = Fixture::new();
    let peer = S3Peer::start(S3Options { buckets: vec!["photos".into()], ..S3Options::default() }).expect("a peer");
    for key in ["in/z", "in/pl+us a", "in/照", "in/unknown", "other"] {
        peer.set_object("photos", key, key).expect("an object");
    }
    let mut lines: Vec<ReportLine> =
        ["in/z", "in/pl+us a", "other", "in/照"].map(|key| line(key, key.len() as u64)).into();
    lines.push(ReportLine { latest: false, ..line("in/older", 3) });
    lines.push(ReportLine { bucket: "theirs", ..line("in/theirs", 3) });
    let manifest = Report::csv(VERSIONED, &lines, 2).write(fixture.folder.path());
    let keys = serde_json::json!({ "aws_access_key_id": S3Peer::ACCESS_ID, "aws_secret_access_key": S3Peer::SECRET });
    fixture.write("keys.json", keys.to_string().as_bytes());
    let endpoint = peer.endpoint();
    let source = ["--source-endpoint", &endpoint, "--source-credentials", "file:keys.json"];
    let report = ["--inventory", manifest.to_str().expect("UTF-8")];
    let arguments = [&["copy", "s3://photos/in", "to", "--json"], &source[..], &report[..]].concat();
    let output = fixture.skyferry(&arguments).await;
    assert_eq!((output.code, output.counts(["copied", "skipped", "gone"])), (Some(0), [3, 0, 0]), "{output:?}");
    assert_eq!(peer.counts().of(Operation::ListObjects), 0);
    for name in ["z", "pl+us a", "照"] {
        assert_eq!(std::fs::read_to_string(fixture.path(format!("to/{name}"))).expect("a copy"), format!("in/{name}"));
    }
    assert!(!fixture.path("to/unknown").exists(), "it is in no report");
    let output = fixture.skyferry(&arguments).await;
    assert_eq!((output.code, output.counts(["copied", "unchanged"])), (Some(0), [0, 3]), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_copies_nothing_by_a_report_that_is_damaged() {
    let fixture = Fixture::new();
    let peer = S3Peer::start(S3Options { buckets: vec!["photos".into()], ..S3Options::default() }).expect("a peer");
    peer.set_object("photos", "a", "a").expect("an object");
    let mut report = Report::csv(CURRENT, &[line("a", 1)], 10);
    report.object("part-0.csv.gz").push(0);
    let manifest = report.write(fixture.folder.path());
    let keys = serde_json::json!({ "aws_access_key_id": S3Peer::ACCESS_ID, "aws_secret_access_key": S3Peer::SECRET });
    fixture.write("keys.json", keys.to_string().as_bytes());
    let endpoint = peer.endpoint();
    let source = ["--source-endpoint", &endpoint, "--source-credentials", "file:keys.json"];
    let report = ["--inventory", manifest.to_str().expect("UTF-8")];
    let output = fixture.skyferry(&[&["copy", "s3://photos", "to", "--json"], &source[..], &report[..]].concat()).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("its MD5 is"), "{output:?}");
    assert!(!fixture.path("to/a").exists());
    let output = fixture.skyferry(&[&["copy", "photos", "to"], &report[..]].concat()).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--inventory requires an s3:// SRC"), "{output:?}");
}
