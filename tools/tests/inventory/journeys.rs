//! From reports to jobs, and from jobs to copies.

use std::collections::BTreeMap;

use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_config::Settings;
use skyferry_core::event::{EventKind, Removal};

use crate::fixture::{Fixture, record};
use crate::reports::{CURRENT, ODD, Report, ReportLine, VERSIONED, csv, encoded, gzip, line};

/// Odd keys, their older versions, deleted ones, and a bucket of somebody else's.
pub fn versions() -> Vec<ReportLine> {
    let mut lines = Vec::new();
    for (n, key) in ODD.iter().enumerate() {
        lines.push(ReportLine { version: "v2", ..line(key, n as u64) });
        lines.push(ReportLine { version: "v1", latest: false, ..line(key, 1000 + n as u64) });
    }
    lines.push(ReportLine { version: "m1", delete_marker: true, ..line("deleted", 0) });
    lines.push(ReportLine { version: "v1", latest: false, ..line("deleted", 5) });
    lines.push(ReportLine { bucket: "theirs", ..line("other", 7) });
    lines
}

fn sorted(keys: &[&str]) -> Vec<String> {
    let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_a_bucket_becomes_jobs_and_the_jobs_copies() {
    let fixture = Fixture::with_cloud().await;
    let cloud = fixture.cloud.as_ref().expect("a cloud");
    let keys = ["a b", "pl+us", "per%41cent", "照/😀", "sub/x"];
    let lines: Vec<ReportLine> = keys.iter().map(|key| line(key, key.len() as u64)).collect();
    for key in keys {
        let path = encoded(key).replace('+', "%20");
        cloud.put_object(&format!("/photos/{path}"), key.to_owned()).await.expect("an object");
    }
    let manifest = Report::csv(CURRENT, &lines, 2).upload(cloud, "reports").await;
    let output = fixture.run(&[&manifest]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.counts(["rows", "jobs", "unrouted", "bad"]), [5, 5, 0, 0]);
    assert_eq!(output.count("bytes"), keys.concat().len() as u64);

    let environment: BTreeMap<String, String> = BTreeMap::new();
    let text = std::fs::read_to_string(fixture.path("agent.toml"))
        .expect("settings")
        .replace("source = { provider = \"environment\" }", "source = { provider = \"file\", path = \"keys.json\" }");
    fixture.write(
        "keys.json",
        br#"{"aws_access_key_id":"SANDBOX","aws_secret_access_key":"sandbox","region":"us-east-1"}"#,
    );
    let settings = Settings::parse(&fixture.path("agent.toml"), &text, &environment).expect("settings");
    let agent = Agent::build(&Settings { listen: None, ..settings }).await.expect("an agent");
    let report = agent.run(RunUntil::Empty, Shutdown::default()).await.expect("a report");
    assert_eq!((report.summary.copied, report.summary.parked), (5, 0));
    for key in keys {
        assert_eq!(std::fs::read_to_string(fixture.path(format!("copies/backup/{key}"))).expect("a copy"), key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_versions_the_latest_are_sent_and_what_has_no_route_is_told() {
    let fixture = Fixture::with_cloud().await;
    let manifest =
        Report::csv(VERSIONED, &versions(), 10).upload(fixture.cloud.as_ref().expect("a cloud"), "reports").await;
    let output = fixture.run(&[&manifest]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let counts = output.counts(["rows", "jobs", "older", "delete_markers", "unrouted", "deletions"]);
    assert_eq!(counts, [27, 12, 13, 1, 1, 0]);
    assert!(output.stderr.contains("no route takes objects of the bucket theirs"), "{output:?}");
    let jobs = fixture.jobs().await;
    let keys: Vec<String> = jobs.iter().map(|job| job.source.key.as_str().expect("UTF-8").to_owned()).collect();
    assert_eq!(keys, sorted(&ODD));
    for job in &jobs {
        let place = ODD.iter().position(|key| job.source.key.as_str() == Some(key)).expect("a key") as u64;
        assert_eq!((job.size_hint, &job.version, job.event), (Some(place), &None, EventKind::Requested));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_12_the_size_is_read_where_the_reports_own_schema_says() {
    let columns = [CURRENT, VERSIONED, "Size, Bucket, ETag, Key", "Key, StorageClass, Bucket, IsLatest, Size"];
    for columns in columns {
        let fixture = Fixture::new();
        let manifest = Report::csv(columns, &[line("a", 4711), line("b", 42)], 10).write(fixture.folder.path());
        let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
        assert_eq!((output.code, output.count("bytes")), (Some(0), 4753), "{columns}: {output:?}");
        let sizes: Vec<_> = fixture.jobs().await.iter().map(|job| job.size_hint).collect();
        assert_eq!(sizes, [Some(4711), Some(42)], "{columns}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_exact_versions_every_version_is_a_job_of_its_own() {
    let fixture = Fixture::new();
    fixture.settings("versions = \"exact\"");
    let manifest = Report::csv(VERSIONED, &versions(), 100).write(fixture.folder.path());
    let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
    assert_eq!((output.code, output.count("jobs")), (Some(0), 25), "{output:?}");
    let jobs = fixture.jobs().await;
    let of = |key: &str| -> Vec<Option<String>> {
        let versions = jobs.iter().filter(|job| job.source.key.as_str() == Some(key));
        versions.map(|job| job.version.as_deref().map(str::to_owned)).collect()
    };
    assert_eq!(of("pl+us"), [Some("v1".to_owned()), Some("v2".to_owned())]);
    assert_eq!(of("deleted"), [Some("v1".to_owned())], "its marker is no object");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_sent_only_where_both_the_flag_and_the_settings_say_so() {
    let fixture = Fixture::new();
    let manifest = Report::csv(VERSIONED, &versions(), 100).write(fixture.folder.path());
    let manifest = manifest.to_str().expect("UTF-8");
    fixture.run(&[manifest, "--deletes"]).await.refused(2, &["--deletes needs deletes = true"]);
    fixture.settings("deletes = true");
    assert_eq!(fixture.run(&[manifest]).await.counts(["jobs", "deletions", "delete_markers"]), [12, 0, 1]);
    assert_eq!(fixture.jobs().await.len(), 12);
    let output = fixture.run(&[manifest, "--deletes"]).await;
    assert_eq!(output.counts(["jobs", "deletions", "delete_markers"]), [13, 1, 0]);
    let jobs = fixture.jobs().await;
    let deleted: Vec<_> = jobs.iter().filter(|job| job.event == EventKind::Removed(Removal::DeleteMarker)).collect();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].source.key.as_str(), Some("deleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_a_file_of_jobs_holds_them_a_line_each() {
    let fixture = Fixture::new();
    let manifest = Report::csv(VERSIONED, &versions(), 100).write(fixture.folder.path());
    let manifest = manifest.to_str().expect("UTF-8");
    let output = fixture.run(&[manifest, "--dry-run"]).await;
    assert_eq!((output.code, &output.json["dry_run"], output.count("jobs")), (Some(0), &true.into(), 12), "{output:?}");
    assert!(output.stderr.contains("would be sent"), "{output:?}");
    let output = fixture.run(&[manifest, "--to-file", "jobs.txt"]).await;
    assert_eq!((output.code, output.count("jobs")), (Some(0), 12), "{output:?}");
    let written = std::fs::read_to_string(fixture.path("jobs.txt")).expect("a file");
    let mut keys: Vec<String> =
        written.lines().map(|body| record(body).source.key.as_str().expect("UTF-8").to_owned()).collect();
    keys.sort();
    assert_eq!(keys, sorted(&ODD));
    assert!(fixture.jobs().await.is_empty(), "neither sends anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_csv_files_are_read_by_the_columns_that_are_named() {
    let fixture = Fixture::new();
    let lines: Vec<ReportLine> = ODD.iter().map(|key| line(key, 3)).collect();
    fixture.write("packed.csv.gz", &gzip(&csv("Bucket, Key, Size", &lines[..6])));
    fixture.write("plain.csv", &csv("Bucket, Key, Size", &lines[6..]));
    let output = fixture.run(&["packed.csv.gz", "plain.csv", "--columns", "Bucket,Key,Size"]).await;
    assert_eq!((output.code, output.counts(["jobs", "bytes"])), (Some(0), [12, 36]), "{output:?}");
    assert_eq!(fixture.keys().await, sorted(&ODD));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_those_of_copy_and_of_the_settings() {
    let fixture = Fixture::new();
    let old = ReportLine { modified: "2020-01-01T00:00:00.000Z", ..line("old.jpg", 5) };
    let lines = [line("a.jpg", 5), line("b.png", 5), line("large.jpg", 5000), line("tmp/c.jpg", 5), old];
    let manifest = Report::csv(CURRENT, &lines, 100).write(fixture.folder.path());
    fixture.write("ignore.txt", b"photos/tmp/*\n");
    let flags = ["--include", "*.jpg", "--max-size", "1KB", "--newer-than", "2000d", "--ignore-list", "ignore.txt"];
    let output = fixture.run(&[&[manifest.to_str().expect("UTF-8")], &flags[..]].concat()).await;
    assert_eq!((output.code, output.counts(["jobs", "left_out"])), (Some(0), [1, 4]), "{output:?}");
    assert_eq!(fixture.keys().await, ["a.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_moved_is_found_beside_its_manifest() {
    let fixture = Fixture::new();
    let report = Report::csv(CURRENT, &[line("a", 1)], 1);
    for (key, bytes) in &report.0 {
        fixture.write(key.rsplit('/').next().expect("a name"), bytes);
    }
    let output = fixture.run(&["manifest.json"]).await;
    assert_eq!((output.code, output.count("jobs")), (Some(0), 1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_report_is_done_at_once() {
    let fixture = Fixture::new();
    for report in [Report::csv(CURRENT, &[], 1), Report::of("CSV", CURRENT, vec![gzip(b"")])] {
        let manifest = report.write(fixture.folder.path());
        let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
        assert_eq!((output.code, output.counts(["rows", "jobs"])), (Some(0), [0, 0]), "{output:?}");
    }
}
