//! Journeys of `scan`.

use std::time::Duration;

use http::Method;
use sandbox::{Fault, Operation, Rule};
use serde_json::json;

use crate::fixture::{Fixture, QUEUE, SINK, SOURCE, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn scan_sends_what_differs_and_after_the_agents_nothing_is_left() {
    let fixture = Fixture::new("", "").await;
    for key in ["a", "dir/b", "ü +%?", "dir//", "same"] {
        fixture.put(key, key);
    }
    fixture.gcs.set_object(SINK, "same", "same").expect("a copy of somebody's");
    fixture.gcs.set_object(SINK, "dir/b", "another").expect("an older state");
    fixture.gcs.set_object(SINK, "theirs", "theirs").expect("an object");

    let output = fixture.scan(&[]).await;
    assert_eq!((output.code, output.count("sent")), (Some(0), 4), "{output:?}");
    assert_eq!((output.count("missing"), output.count("size"), output.count("extra")), (3, 1, 1), "{output:?}");
    assert_eq!(output.count("equal_by_etag"), 1, "{output:?}");
    let report = fixture.drain().await;
    assert_eq!((report.summary.copied, report.has_failures()), (4, false), "{report:?}");
    assert_eq!(fixture.copy("dir/b").as_deref(), Some("dir/b"));
    assert_eq!(fixture.copy("ü +%?").as_deref(), Some("ü +%?"));

    let again = fixture.scan(&[]).await;
    assert_eq!((again.code, again.count("sent"), again.count("equal")), (Some(0), 0, 5), "{again:?}");
    assert_eq!(fixture.waiting().await, 0);
    assert_eq!(fixture.copy("theirs").as_deref(), Some("theirs"), "nobody was told to delete it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_what_the_predecessors_jobsender_sent() {
    let fixture = Fixture::new(", source_prefix = \"in\", prefix = \"out\"", "").await;
    fixture.put("in/ä", "12345");
    assert_eq!(fixture.scan(&[]).await.count("sent"), 1);
    let job = json!({
        "Src_bucket": SOURCE, "Src_key": "in/ä", "Des_bucket": SINK, "Des_key": "out/in/ä", "Size": 5, "versionId": "null"
    });
    assert_eq!(fixture.jobs().await, [job]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_knows_what_etags_do_not_tell() {
    let fixture = Fixture::new("", "transfer = { multipart_threshold = \"5MiB\", part_size = \"5MiB\" }").await;
    let large = "x".repeat(6 << 20);
    fixture.put("large", &large);
    assert_eq!(fixture.scan(&[]).await.count("sent"), 1);
    assert_eq!(fixture.drain().await.summary.copied, 1);
    let output = fixture.scan(&[]).await;
    assert_eq!((output.count("sent"), output.count("equal_by_ledger")), (0, 1), "{output:?}");
    // The same size, the same second, another body: neither ETags nor times would tell.
    fixture.s3.set_object(SOURCE, "large", "y".repeat(6 << 20)).expect("an object");
    fixture.s3.amend(SOURCE, "large", |object| object.modified -= std::time::Duration::from_secs(3600));
    let output = fixture.scan(&["--head"]).await;
    assert_eq!((output.count("sent"), output.count("equal")), (1, 0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_10_prefixes_are_folders_and_a_failed_listing_sends_nothing() {
    let fixture = Fixture::new(", source_prefix = \"sp\", prefix = \"dp/\"", "").await;
    for key in ["sp/a", "sp/b", "sp2/c", "sp", "spx"] {
        fixture.put(key, key);
    }
    let first = fixture.scan(&[]).await;
    assert_eq!(first.count("sent"), 2, "sp2/ is none of sp: {first:?}");
    fixture.drain().await;
    assert_eq!(fixture.copy("dp/sp/a").as_deref(), Some("sp/a"));
    let again = fixture.scan(&[]).await;
    assert_eq!((again.count("sent"), again.count("equal")), (0, 2), "under dp/ too they are found: {again:?}");

    fixture.gcs.faults().add(Rule::on(Operation::ListObjects, refusal()).always());
    fixture.put("sp/new", "new");
    let denied = fixture.scan(&[]).await;
    assert_eq!((denied.code, fixture.waiting().await), (Some(1), 0), "{denied:?}");
    assert!(denied.stderr.contains("the comparison was interrupted") && denied.stderr.contains("copies"), "{denied:?}");
    fixture.gcs.faults().clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_sent_after_a_whole_comparison_and_never_for_most_objects() {
    let fixture = Fixture::new("", "transfer = { deletes = true, max_delete_share = 30 }").await;
    for n in 0..10 {
        fixture.put(&format!("k{n}"), "body");
    }
    fixture.scan(&[]).await;
    assert_eq!(fixture.drain().await.summary.copied, 10);
    fixture.gcs.set_object(SINK, "theirs", "theirs").expect("an object");
    fixture.s3.remove_object(SOURCE, "k0");

    let reported = fixture.scan(&[]).await;
    assert_eq!((reported.count("sent"), reported.count("extra")), (0, 2), "{reported:?}");
    let dry = fixture.scan(&["--deletes", "--dry-run"]).await;
    assert_eq!((dry.code, dry.count("sent"), fixture.waiting().await), (Some(0), 0, 0), "{dry:?}");
    let sent = fixture.scan(&["--deletes"]).await;
    assert_eq!((sent.code, sent.count("sent")), (Some(0), 2), "{sent:?}");
    fixture.drain().await;
    assert_eq!((fixture.copy("k0"), fixture.copy("theirs").as_deref()), (None, Some("theirs")), "only ours is deleted");

    for n in 1..6 {
        fixture.s3.remove_object(SOURCE, &format!("k{n}"));
    }
    let blown = fixture.scan(&["--deletes"]).await;
    assert_eq!((blown.code, fixture.waiting().await), (Some(1), 0), "{blown:?}");
    assert!(blown.stderr.contains("max_delete_share (30 %)"), "{blown:?}");
    fixture.gcs.faults().add(Rule::on(Operation::ListObjects, refusal()).always());
    assert_eq!(fixture.scan(&["--deletes"]).await.code, Some(1));
    assert_eq!(fixture.waiting().await, 0, "nothing is deleted by half a comparison");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_need_the_agents_consent() {
    let fixture = Fixture::new("", "").await;
    let output = fixture.scan(&["--deletes"]).await;
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("transfer.deletes = true"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_reckons_and_sends_nothing() {
    let fixture = Fixture::new("", "").await;
    for n in 0..100 {
        fixture.put(&format!("small/{n}"), "0123456789");
    }
    fixture.s3.put_synthetic(SOURCE, "large", 1 << 30, 1).expect("an object");
    let output = fixture.scan(&["--dry-run", "--bandwidth", "1MiB", "--agents", "4"]).await;
    assert_eq!((output.code, output.count("missing"), fixture.waiting().await), (Some(0), 101, 0), "{output:?}");
    let estimate = &output.json["estimate"];
    assert_eq!(estimate["requests"]["source_get"], 164, "{output:?}");
    assert_eq!(estimate["requests"]["destination_write"], 166);
    assert_eq!(estimate["seconds_to_copy"], 256.0);
    fixture.write("prices.toml", "[source]\nget = 1\n");
    let wrong = fixture.scan(&["--dry-run", "--prices", "prices.toml"]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("prices.toml"), "{wrong:?}");
    let human = fixture.run(&["scan", "--config", "agent.toml", "--dry-run"]).await;
    assert!(human.stdout.contains("would copy 101 objects") && human.stdout.contains("up to 16.00 KiB"), "{human:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_fleet_whose_timers_fire_at_once_one_machine_scans() {
    let fixture = Fixture::new("", "").await;
    fixture.put("k", "k");
    let words = ["--once-per", "1h"];
    let output = futures_util::future::join_all((0..4).map(|_| fixture.scan(&words))).await;
    let mut sent: Vec<u64> = output.iter().map(|output| output.count("sent")).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0, 0, 0, 1], "{output:?}");
    assert!(output.iter().all(|output| output.code == Some(0)), "{output:?}");
    assert_eq!(fixture.scan(&["--once-per", "1s"]).await.count("sent"), 0, "the last one holds its hour");
    assert_eq!(fixture.scan(&[]).await.count("sent"), 1, "without the option nothing is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_behaviour_waits_for_an_empty_queue() {
    let fixture = Fixture::new("", "").await;
    fixture.put("a", "a");
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-21T12:00:00.000Z","Bucket":"photos"}"#;
    fixture.cloud.send_message(QUEUE, test).await.expect("sent");
    assert_eq!(fixture.scan(&["--if-queue-empty"]).await.count("sent"), 1, "a lone test event is nothing to wait for");
    fixture.drain().await;
    fixture.put("b", "b");
    assert_eq!(fixture.scan(&["--if-queue-empty"]).await.count("sent"), 1);
    let output = fixture.scan(&["--if-queue-empty"]).await;
    assert_eq!((output.code, fixture.waiting().await), (Some(0), 1), "{output:?}");
    assert!(output.stderr.contains("not empty"), "{output:?}");
    assert_eq!(fixture.scan(&[]).await.count("sent"), 1, "otherwise it is no matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_come_from_files_of_any_editor_and_flags_choose_among_their_objects() {
    let fixture = Fixture::new("", "").await;
    for key in ["2024/a.jpg", "2024/b.tmp", "2025/c.jpg", "2025/large.jpg", "2026/d.jpg"] {
        fixture.put(key, if key.contains("large") { "larger than ten bytes" } else { "small" });
    }
    fixture.write("prefixes", "\u{feff}2024\r\n2024/\r\n\r\n# more\r\n2025/\r\n");
    let output = fixture.scan(&["--prefix-file", "prefixes", "--exclude", "*.tmp", "--max-size", "10"]).await;
    assert_eq!((output.count("sent"), output.count("skipped")), (2, 2), "{output:?}");
    let keys: Vec<_> = fixture.jobs().await.iter().map(|job| job["Src_key"].clone()).collect();
    assert!(keys.contains(&json!("2024/a.jpg")) && keys.contains(&json!("2025/c.jpg")), "{keys:?}");

    fixture.write("empty", "# nothing\n");
    for (flag, value, word) in
        [("--prefix-file", "empty", "no prefix"), ("--prefix-file", "none", "none"), ("--pairs", "none", "none")]
    {
        let wrong = fixture.scan(&[flag, value]).await;
        assert!(wrong.code == Some(2) && wrong.stderr.contains(word), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_pairs_from_a_parameter_are_listed_and_their_jobs_are_done() {
    let fixture = Fixture::new(", source_prefix = \"other\"", "bucket_pairs = \"pairs.json\"").await;
    fixture.gcs.create_bucket("archive");
    fixture.write(
        "pairs.json",
        r#"[{"src_bucket":"photos","src_prefix":"p","des_bucket":"archive","des_prefix":"from-p"},
            {"src_bucket":"photos","src_prefix":"p","des_bucket":"copies","des_prefix":"/"}]"#,
    );
    for key in ["p/a", "q/b"] {
        fixture.put(key, key);
    }
    let output = fixture.scan(&[]).await;
    assert_eq!(output.count("sent"), 2, "{output:?}");
    assert_eq!(fixture.drain().await.summary.copied, 2);
    assert!(fixture.gcs.object("archive", "from-p/p/a").is_some() && fixture.copy("p/a").is_some());
    assert_eq!(fixture.scan(&[]).await.count("sent"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_ranges_find_the_same_as_one_listing() {
    let fixture = Fixture::new("", "").await;
    for n in 0..20_000 {
        // Long common beginnings, a flat part and a deep one.
        let key = if n % 3 == 0 { format!("logs/2026/{:02}/{n:05}", n % 28) } else { format!("images/{n:x}-ü.jpg") };
        fixture.put(&key, "body");
        if n % 100 != 0 {
            fixture.gcs.set_object(SINK, &key, "body").expect("a copy");
        }
    }
    fixture.gcs.set_object(SINK, "zzz", "extra").expect("an object");
    fixture.gcs.set_object(SINK, "images/a", "extra").expect("an object");
    for listers in ["1", "8"] {
        let output = fixture.scan(&["--dry-run", "--listers", listers]).await;
        let counts = ["missing", "extra", "equal"].map(|name| output.count(name));
        assert_eq!((output.code, counts), (Some(0), [200, 2, 19_800]), "{listers}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_off_is_told_and_what_was_found_stays_sent() {
    let fixture = Fixture::new("", "").await;
    for n in 0..2500 {
        fixture.put(&format!("{n:04}"), "body");
    }
    fixture.s3.faults().add(Rule::on(Operation::ListObjects, refusal()).nth(2).always());
    let output = fixture.scan(&[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("the same command finds the rest") && output.stderr.contains("photos"),
        "{output:?}"
    );
    assert_eq!(output.count("sent"), fixture.waiting().await, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_named_on_request_and_delete_markers_are_no_objects() {
    let fixture = Fixture::new("", "").await;
    let cloud = fixture.cloud.endpoint();
    let settings = std::fs::read_to_string(fixture.path("agent.toml")).expect("settings");
    fixture.write("agent.toml", &settings.replace(&fixture.s3.endpoint(), &cloud));
    let put = async |path: &str, body: &str| fixture.cloud.s3(Method::PUT, path, &[], body.to_owned().into()).await;
    put("/photos", "").await.expect("a bucket");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    put("/photos?versioning", on).await.expect("versions");
    for (key, body) in [("a", "old"), ("a", "newer"), ("b", "gone"), ("c%20d", "one")] {
        put(&format!("/photos/{key}"), body).await.expect("an object");
    }
    fixture.cloud.s3(Method::DELETE, "/photos/b", &[], Default::default()).await.expect("deleted");
    let output = fixture.scan(&["--versions"]).await;
    assert_eq!((output.code, output.count("sent")), (Some(0), 2), "{output:?}");
    let jobs = fixture.jobs().await;
    let job = jobs.iter().find(|job| job["Src_key"] == "a").expect("a job");
    assert_eq!(job["Size"], 5, "the newest: {job}");
    assert!(job["versionId"].as_str().is_some_and(|id| id != "null"), "{job}");
    assert!(jobs.iter().any(|job| job["Src_key"] == "c d"), "{jobs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_elsewhere_is_told_with_what_to_do() {
    let fixture = Fixture::new("", "").await;
    let elsewhere = Fault::Refuse { status: 301, code: "PermanentRedirect".into(), retry_after: None };
    fixture.s3.faults().add(Rule::on(Operation::ListObjects, elsewhere).always());
    let output = fixture.scan(&[]).await;
    assert_eq!((output.code, fixture.waiting().await), (Some(1), 0));
    assert!(output.stderr.contains("photos") && output.stderr.contains("region"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_stopped_says_so_and_loses_no_job_that_it_counted() {
    let fixture = Fixture::new("", "").await;
    for n in 0..3000 {
        fixture.put(&format!("{n:04}"), "body");
    }
    // The last page never comes.
    fixture.s3.faults().add(Rule::on(Operation::ListObjects, Fault::Stall(Duration::from_secs(600))).nth(3).always());
    let child = fixture.command(&["scan", "--config", "agent.toml", "--json"]).spawn().expect("started");
    while fixture.waiting().await < 900 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let id = nix::unistd::Pid::from_raw(child.id().expect("it runs") as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("signalled");
    let output = child.wait_with_output().await.expect("it ended");
    assert_eq!(output.status.code(), Some(143));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(line["sent"].as_u64(), Some(fixture.waiting().await));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopped; the same command finds the rest"));
}
