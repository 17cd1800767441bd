//! Journeys of `verify`.

use std::time::Duration;

use sandbox::{Attributes, Fault, Operation, Rule, Scripted, ScriptedPeer, SeaweedFs};

use crate::fixture::{Fixture, SINK, SOURCE, refusal};

/// Ten copies, made by an agent, and a large one.
async fn copied() -> Fixture {
    let fixture = Fixture::new("", "transfer = { multipart_threshold = \"5MiB\", part_size = \"5MiB\" }").await;
    for n in 0..10 {
        fixture.put(&format!("k{n}"), &format!("body {n}"));
    }
    fixture.put("large", &"x".repeat(11 << 20));
    fixture.scan(&[]).await;
    assert_eq!(fixture.drain().await.summary.copied, 11);
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_is_in_sync_by_what_both_sides_store() {
    let fixture = copied().await;
    let output = fixture.verify(&[]).await;
    assert_eq!(
        (output.code, output.json["in_sync"].as_bool(), output.count("equal")),
        (Some(0), Some(true), 11),
        "{output:?}"
    );
    assert!(output.stderr.contains("in sync as of 20"), "{output:?}");
    let reads = fixture.gcs.counts().of(Operation::GetObject);
    assert_eq!(reads, 0, "no byte was read");

    let read = fixture.verify(&["--read", "all"]).await;
    assert_eq!((read.code, read.count("equal_by_read")), (Some(0), 11), "{read:?}");
    let half = fixture.verify(&["--read", "0.0001%"]).await;
    assert!(half.code == Some(0) && half.count("equal_by_read") < 11, "{half:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_difference_is_found_reported_and_repaired() {
    let fixture = copied().await;
    fixture.gcs.remove_object(SINK, "k0");
    fixture.gcs.set_object(SINK, "k1", "short").expect("another");
    fixture.gcs.set_object(SINK, "k2", "BODY 2").expect("another of the same size");
    fixture.gcs.set_object(SINK, "extra", "extra").expect("an object");
    let output = fixture.verify(&["--report", "differences.csv"]).await;
    assert_eq!((output.code, output.json["in_sync"].as_bool()), (Some(1), Some(false)), "{output:?}");
    let counts = ["missing", "size", "extra", "equal"].map(|name| output.count(name));
    assert_eq!(counts, [1, 1, 1, 8], "{output:?}");
    assert_eq!(output.count("etag") + output.count("checksum"), 1, "{output:?}");
    assert!(output.stderr.contains("missing   photos/k0"), "{output:?}");
    let report = std::fs::read_to_string(fixture.path("differences.csv")).expect("a report");
    assert_eq!(report.lines().count(), 5, "{report}");
    assert!(report.contains("\nmissing,photos/k0,copies/k0,6,,"), "{report}");
    let lines = fixture.verify(&["--report", "differences.jsonl", "--repair"]).await;
    assert_eq!((lines.code, lines.count("sent")), (Some(1), 3), "{lines:?}");
    let report = std::fs::read_to_string(fixture.path("differences.jsonl")).expect("a report");
    assert!(report.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{report}");

    assert_eq!(fixture.drain().await.summary.copied, 3);
    let repaired = fixture.verify(&["--head"]).await;
    assert_eq!((repaired.code, repaired.count("extra")), (Some(0), 1), "what deletes leave is no fault: {repaired:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_every_object_goes_to_a_bucket_and_the_summary_to_a_webhook() {
    let fixture = copied().await;
    fixture.gcs.remove_object(SINK, "k0");
    let webhook = ScriptedPeer::by(|asked| {
        let summary = serde_json::from_slice::<serde_json::Value>(&asked.body).is_ok_and(|sent| sent["sent"] == 0);
        Scripted::new(if summary && asked.method == "POST" { 204 } else { 500 }, "")
    });
    let webhook = webhook.expect("a webhook");
    let url = format!("{}/hook?token=hunter2", webhook.endpoint());
    let report = format!("gs://{SINK}/reports/all.jsonl");
    let output = fixture.verify(&["--report", &report, "--report-all", "--notify", &url]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.stderr.contains("could not be sent"), "{output:?}");
    let text = fixture.gcs.read(SINK, "reports/all.jsonl").expect("a report");
    let text = String::from_utf8(text).expect("UTF-8");
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let count = |name: &str| rows.iter().filter(|row| !row[name].is_null()).count();
    assert_eq!((rows.len(), count("difference"), count("equal_by")), (11, 1, 10), "{text}");

    let output =
        fixture.scan(&["--dry-run", "--report", "all.csv", "--report-all", "--notify", "http://127.0.0.1:1/x"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("the summary could not be sent to 127.0.0.1"), "{output:?}");
    let report = std::fs::read_to_string(fixture.path("all.csv")).expect("a report");
    // The head, every object, and the report itself, which is only at the destination.
    assert_eq!(report.lines().count(), 1 + 11 + 1, "{report}");
    let output = fixture.verify(&["--report", "s3://copies/report.csv"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("reports go to the destination's service"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_rotted_are_found_by_reading_alone() {
    let fixture = copied().await;
    // The far side still tells the old checksum; only the bytes are others.
    fixture.gcs.faults().add(Rule::on(Operation::GetObject, Fault::FlipResponse(3)).key("k3").always());
    assert_eq!(fixture.verify(&["--head"]).await.code, Some(0));
    let output = fixture.verify(&["--read", "all"]).await;
    assert_eq!((output.code, output.count("content")), (Some(1), 1), "{output:?}");
    assert!(output.stderr.contains("content   photos/k3"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_compared_is_an_events_and_no_difference() {
    let fixture = copied().await;
    fixture.put("k5", "changed after the beginning");
    fixture.s3.amend(SOURCE, "k5", |object| object.modified += Duration::from_secs(3600));
    let output = fixture.verify(&[]).await;
    assert_eq!((output.code, output.count("changing")), (Some(0), 1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_breaks_off_proves_nothing() {
    let fixture = copied().await;
    fixture.gcs.faults().add(Rule::on(Operation::ListObjects, refusal()).always());
    let output = fixture.verify(&[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("nothing is proven") && !output.stderr.contains("in sync as of"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lists_its_directories_is_compared_rightly_all_the_same() {
    let seaweedfs = SeaweedFs::start(&[SINK]).await.expect("SeaweedFS");
    let fixture = Fixture::new("", "").await;
    fixture.settings(&format!(
        "credentials.destination.field = \"weed\"\ndestination = {{ kind = \"s3\", endpoint = \"{}\", path_style = true }}",
        seaweedfs.endpoint()
    ));
    let mut keys: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture.path("keys.json")).expect("keys")).expect("JSON");
    keys["weed"] = serde_json::json!({
        "aws_access_key_id": SeaweedFs::ACCESS_ID, "aws_secret_access_key": SeaweedFs::SECRET, "region": "us-east-1"
    });
    fixture.write("keys.json", &keys.to_string());
    // `a/x` is in a directory that is listed where `a` would stand: before `a-b`.
    for key in ["a/x", "a-b", "a.c", "b", "b/y", "ü"] {
        if key != "b" {
            fixture.put(key, key);
        }
    }
    assert_eq!(fixture.scan(&[]).await.count("sent"), 5);
    assert_eq!(fixture.drain().await.summary.copied, 5);
    let output = fixture.verify(&["--head"]).await;
    assert_eq!((output.code, output.count("equal"), output.count("extra")), (Some(0), 5, 0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_c7_a_comparison_of_nothing_is_no_proof() {
    let fixture = copied().await;
    for arguments in [&["--prefix", "nothing/"][..], &["--prefix", "k1", "--prefix", "nothing/"]] {
        let output = fixture.verify(arguments).await;
        assert_eq!((output.code, output.json["in_sync"].as_bool()), (Some(1), Some(false)), "{output:?}");
        assert!(
            output.stderr.contains("0 objects compared") && output.stderr.contains("is the prefix right?"),
            "{output:?}"
        );
        assert!(output.stderr.contains("photos/nothing/"), "{output:?}");
    }
    let output = fixture.scan(&["--prefix", "nothing/"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("0 objects compared"), "{output:?}");
    let empty = Fixture::new("", "").await;
    let output = empty.verify(&[]).await;
    assert_eq!((output.code, output.json["in_sync"].as_bool()), (Some(1), Some(false)), "{output:?}");
    assert_eq!(empty.scan(&[]).await.code, Some(0), "a bucket without objects yet has nothing to send");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a17_what_was_compared_by_size_and_time_alone_is_reported_so() {
    let fixture = Fixture::new("", "").await;
    fixture.put("k", "right");
    fixture.s3.amend(SOURCE, "k", |object| object.modified -= Duration::from_secs(60));
    fixture.gcs.set_object(SINK, "k", "wrong").expect("another of the same size");
    let without = |text: &str| {
        let mut parts = text.split("<ETag>");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |kept, part| kept + part.split_once("</ETag>").map_or("", |(_, rest)| rest))
    };
    for faults in [fixture.s3.faults(), fixture.gcs.faults()] {
        faults.add(Rule::on(Operation::ListObjects, Fault::Rewrite(without)).always());
    }
    let output = fixture.verify(&[]).await;
    assert_eq!((output.count("equal_by_etag"), output.count("equal_by_size_and_time")), (0, 1), "{output:?}");
    assert!(
        output.stderr.contains("equal by size and time") && output.stderr.contains("--head looks closer"),
        "{output:?}"
    );
    let output = fixture.verify(&["--head"]).await;
    assert_eq!((output.code, output.json["in_sync"].as_bool()), (Some(1), Some(false)), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_c6_a_bucket_pairs_source_prefix_is_letters_and_no_folder() {
    let fixture = Fixture::new("", "").await;
    for n in 1..6 {
        let key = format!("2024-0{n}/a");
        fixture.put(&key, "x");
        fixture.s3.amend(SOURCE, &key, |object| object.modified -= Duration::from_secs(60));
    }
    fixture.put("2023-01/a", "x");
    fixture.s3.create_bucket("other");
    let pair = format!(r#"{{"src_bucket":"{SOURCE}","src_prefix":"2024-","des_bucket":"{SINK}","des_prefix":"p"}}"#);
    fixture.write("pairs.txt", &pair);
    fixture.settings("routes = [{ source_bucket = \"other\" }]");
    let output = fixture.scan(&["--pairs", "pairs.txt", "--dry-run"]).await;
    assert_eq!((output.code, output.count("missing")), (Some(0), 5), "{output:?}");
    let output = fixture.verify(&["--pairs", "pairs.txt"]).await;
    assert_eq!((output.code, output.count("missing")), (Some(1), 5), "{output:?}");
    // A pair without keys is an error beside one that has some; what the other needs is sent all the same.
    fixture.write("pairs.txt", &format!("{pair}\n{}", pair.replace("2024-", "2025-").replace("\"p\"", "\"q\"")));
    let output = fixture.scan(&["--pairs", "pairs.txt"]).await;
    assert_eq!((output.code, output.count("sent")), (Some(1), 5), "{output:?}");
    assert!(output.stderr.contains("0 objects compared") && output.stderr.contains("photos/2025-"), "{output:?}");
    let output = fixture.verify(&["--pairs", "pairs.txt"]).await;
    assert!(output.code == Some(1) && output.stderr.contains("photos/2025-"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b9_a_copy_that_lost_headers_is_a_difference_of_its_own() {
    let fixture = Fixture::new("", "").await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let with = |content: &[(&str, &str)], metadata: &[(&str, &str)]| Attributes {
        content: content.iter().map(|(name, value)| pair(name, value)).collect(),
        metadata: metadata.iter().map(|(name, value)| pair(name, value)).collect(),
        storage_class: "STANDARD".into(),
        ..Attributes::default()
    };
    let content = [("content-type", "text/css"), ("content-encoding", "gzip"), ("cache-control", "max-age=60")];
    let all = with(&content, &[("owner", "me")]);
    let lost = [
        with(&content[1..], &[("owner", "me")]),
        with(&[content[0], content[2]], &[("owner", "me")]),
        with(&content[..2], &[("owner", "me")]),
        with(&content, &[]),
        with(&[("content-type", "text/plain"), content[1], content[2]], &[("owner", "me")]),
        with(&content, &[("owner", "me"), ("mtime", "1700000000.5")]),
    ];
    for (n, attributes) in lost.into_iter().enumerate() {
        let key = format!("k{n}");
        fixture.s3.set_object_with(SOURCE, &key, "body", all.clone()).expect("an object");
        fixture.s3.amend(SOURCE, &key, |object| object.modified -= Duration::from_secs(60));
        fixture.gcs.set_object_with(SINK, &key, "body", attributes).expect("a copy");
    }
    let output = fixture.verify(&["--head", "--report", "differences.csv", "--repair"]).await;
    assert_eq!((output.code, output.json["in_sync"].as_bool()), (Some(1), Some(false)), "{output:?}");
    assert_eq!((output.count("headers"), output.count("equal"), output.count("sent")), (5, 1, 5), "{output:?}");
    assert!(output.stderr.contains("headers   photos/k0"), "{output:?}");
    assert!(output.stderr.contains("different: other headers or metadata"), "{output:?}");
    let report = std::fs::read_to_string(fixture.path("differences.csv")).expect("a report");
    assert_eq!(report.matches("\nheaders,photos/k").count(), 5, "{report}");
    assert_eq!(fixture.drain().await.summary.copied, 5);
    assert_eq!(fixture.gcs.object(SINK, "k1").expect("there").attributes.content, all.content);
    let output = fixture.verify(&["--head", "--repair"]).await;
    assert_eq!((output.code, output.count("equal"), output.count("sent")), (Some(0), 6, 0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b8_headers_that_changed_within_the_second_of_the_copy_are_found_though_the_ledger_knows_it() {
    let fixture = copied().await;
    fixture
        .s3
        .amend(SOURCE, "k4", |object| drop(object.attributes.content.insert("content-type".into(), "a/b".into())));
    let output = fixture.verify(&["--head", "--repair"]).await;
    assert_eq!((output.code, output.count("headers"), output.count("sent")), (Some(1), 1, 1), "{output:?}");
    assert_eq!(fixture.drain().await.summary.copied, 1);
    let output = fixture.verify(&["--head"]).await;
    assert_eq!((output.code, output.count("equal")), (Some(0), 11), "{output:?}");
}
