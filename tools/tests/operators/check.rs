//! The preflight, where all is well and where something is not.

use std::process::Output;

use sandbox::{Access, Fault, GcsOptions, Operation, Rule, S3Options, S3Peer, SeaweedFs};
use serde_json::{Value, json};

use crate::fixture::{Fixture, LIST, SINK, SOURCE, errors, last_line, skyferry};

/// The facts of one section with one name.
fn fact<'a>(reported: &'a Value, about: &str, what: &str) -> &'a Value {
    let facts = reported["facts"].as_array().expect("facts");
    let found =
        facts.iter().find(|fact| fact["about"].as_str().is_some_and(|a| a.starts_with(about)) && fact["what"] == what);
    found.unwrap_or_else(|| panic!("no fact {about}, {what}: {reported:#}"))
}

fn verdict<'a>(reported: &'a Value, about: &str, what: &str) -> &'a str {
    fact(reported, about, what)["verdict"].as_str().expect("a verdict")
}

fn failed(reported: &Value) -> Vec<String> {
    let facts = reported["facts"].as_array().expect("facts").iter().filter(|fact| fact["verdict"] == "failed");
    facts.map(|fact| format!("{}, {}", fact["about"].as_str().unwrap(), fact["what"].as_str().unwrap())).collect()
}

fn weaker(reported: &Value) -> Vec<u64> {
    let promises = reported["promises"].as_array().expect("promises").iter();
    let weaker = promises.filter(|promise| promise["weaker"].as_array().is_some_and(|why| !why.is_empty()));
    weaker.map(|promise| promise["number"].as_u64().expect("a number")).collect()
}

fn check(fixture: &Fixture, more: &[&str]) -> (Output, Value) {
    let output = fixture.run(&[&["check", "--json"], more].concat());
    let reported = last_line(&output);
    (output, reported)
}

/// What is in the destination bucket, uploads too.
fn left(fixture: &Fixture) -> Vec<String> {
    let objects = fixture.gcs.objects(SINK).into_iter().map(|object| object.key.clone());
    objects.chain(fixture.gcs.open_uploads(SINK).into_iter().map(|upload| upload.key)).collect()
}

fn nothing_but_probes(fixture: &Fixture) {
    let keys: Vec<String> = fixture.gcs.publications().into_iter().map(|publication| publication.key).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("backup/.skyferry-check/")), "{keys:?}");
    assert_eq!(left(fixture), [""; 0]);
}

/// Runs a program on a pseudo-terminal; what it wrote comes back.
const ON_A_TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_verdicts_are_in_colours_and_elsewhere_they_are_words() {
    let fixture = Fixture::new().await;
    let plain = fixture.run(&["check", "--no-write"]);
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(text.contains("  ok       ") && !text.contains('\u{1b}'), "{text}");
    let mut command = std::process::Command::new("python3");
    command.args([
        "-c",
        ON_A_TERMINAL,
        env!("CARGO_BIN_EXE_skyferry"),
        "check",
        "--no-write",
        "--config",
        "agent.toml",
    ]);
    let output = command
        .current_dir(fixture.folder.path(""))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_coloured = |colour: &str, word: &str| text.contains(&format!("\u{1b}[{colour}m{word:<8}\u{1b}[0m"));
    assert_eq!(output.status.code(), plain.status.code(), "{text}");
    assert!(is_coloured("32", "ok") && is_coloured("33", "warning"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_every_promise_is_kept_and_nothing_of_the_probe_is_left() {
    let fixture = Fixture::new().await;
    fixture.set(LIST, json!({ "MessageRetentionPeriod": "1209600" })).await;
    fixture.set("list-dead", json!({ "MessageRetentionPeriod": "1209600" })).await;
    fixture.cloud.put_object(&format!("/{SOURCE}/a"), "a").await.expect("put");
    let (output, reported) = check(&fixture, &[]);
    assert_eq!((failed(&reported), output.status.code()), (Vec::new(), Some(0)), "{}", errors(&output));
    assert_eq!((&reported["warnings"], weaker(&reported)), (&json!(0), Vec::new()), "{}", errors(&output));
    for (about, what) in [
        ("keys", "source"),
        ("queue", "dead letters"),
        ("queue", "policy"),
        ("queue", "clock"),
        ("ledger", "write"),
        ("source photos", "read"),
        ("source photos", "a missing key"),
        ("destination copies/backup/", "wrong bytes"),
        ("destination copies/backup/", "conditional write"),
        ("destination copies/backup/", "conditional delete"),
        ("destination copies/backup/", "streamed write"),
        ("destination copies/backup/", "streamed overwrite"),
        ("destination copies/backup/", "keys"),
        ("destination copies/backup/", "checksums of parts"),
        ("destination copies/backup/", "complete"),
        ("destination copies/backup/", "complete after abort"),
        ("probe copies/backup/.skyferry-check/", "cleaning up"),
    ] {
        assert_eq!(verdict(&reported, about, what), "ok", "{about}, {what}");
    }
    nothing_but_probes(&fixture);
    assert_eq!(
        fixture.cloud.item(LIST, "/note/check").await.expect("asked").map(|item| item["sfNote"].clone()),
        Some(Value::Null)
    );
}

/// The same with an S3 as the destination.
async fn onto_s3(endpoint: &str, id: &str, secret: &str) -> Fixture {
    let fixture = Fixture::new().await;
    let keys = std::fs::read_to_string(fixture.folder.path("keys.json")).expect("keys");
    let keys = keys.replace(sandbox::GcsPeer::ACCESS_ID, id).replace(sandbox::GcsPeer::SECRET, secret);
    std::fs::write(fixture.folder.path("keys.json"), keys).expect("written");
    let s3 = format!("kind = \"s3\", region = \"us-east-1\", endpoint = \"{endpoint}\"");
    fixture.settings(&format!("destination = {{ {s3} }}"));
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a20_a_service_that_makes_one_object_of_two_keys_is_found_out() {
    let seaweedfs = SeaweedFs::start(&[SINK]).await.expect("SeaweedFS");
    let fixture = onto_s3(&seaweedfs.endpoint(), SeaweedFs::ACCESS_ID, SeaweedFs::SECRET).await;
    let (output, reported) = check(&fixture, &[]);
    let keys = fact(&reported, "destination copies/backup/", "keys");
    assert_eq!(keys["verdict"], "warning", "{}", errors(&output));
    for merged in ["two slashes", "a backslash", "a folder's key with content"] {
        assert!(keys["found"].as_str().expect("words").contains(merged), "{keys}");
    }
    assert!(keys["advice"].as_str().expect("advice").contains("promise 11 is not kept"), "{keys}");
    assert!(weaker(&reported).contains(&11), "{reported:#}");
    assert_eq!(verdict(&reported, "probe", "cleaning up"), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a26_what_agents_would_meet_beyond_a_mebibyte_is_met_by_the_probe() {
    // Of the probe's PUTs the first is the small object, the third its overwrite, the fifth the streamed one.
    let refuse = |status, code: &str| Fault::Refuse { status, code: code.into(), retry_after: None };
    let lie = Fault::Header("x-amz-checksum-crc32c", "AAAAAA==".into());
    for (fault, nth, what, found) in [
        (
            Fault::RefuseAfterEffect { status: 400, code: "InvalidRequest".into() },
            5,
            "streamed write",
            "InvalidRequest",
        ),
        (refuse(412, "PreconditionFailed"), 3, "conditional write", "refuses a condition that holds"),
        (lie, 5, "streamed write", "is wrong"),
    ] {
        let peer = S3Peer::start(S3Options { buckets: vec![SINK.into()], ..S3Options::default() }).expect("an S3 peer");
        let fixture = onto_s3(&peer.endpoint(), S3Peer::ACCESS_ID, S3Peer::SECRET).await;
        peer.faults().add(Rule::on(Operation::PutObject, fault).nth(nth));
        let (output, reported) = check(&fixture, &[]);
        let reported = fact(&reported, "destination copies/backup/", what);
        assert_eq!((&reported["verdict"], output.status.code()), (&json!("failed"), Some(1)), "{}", errors(&output));
        assert!(reported["found"].as_str().expect("words").contains(found), "{reported}");
        assert!(reported["advice"].as_str().expect("advice").contains("profile = \"generic\""), "{reported}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a26_an_upload_whose_complete_shows_another_checksum_is_found_out() {
    let other = |text: &str| match (text.find("<ChecksumCRC32C>"), text.find("</ChecksumCRC32C>")) {
        (Some(from), Some(to)) => format!("{}<ChecksumCRC32C>AAAAAA=={}", &text[..from], &text[to..]),
        _ => text.to_owned(),
    };
    let peer = S3Peer::start(S3Options { buckets: vec![SINK.into()], ..S3Options::default() }).expect("an S3 peer");
    let fixture = onto_s3(&peer.endpoint(), S3Peer::ACCESS_ID, S3Peer::SECRET).await;
    peer.faults().add(Rule::on(Operation::CompleteUpload, Fault::Rewrite(other)));
    let (output, reported) = check(&fixture, &[]);
    assert!(peer.faults().met() > 0);
    let reported = fact(&reported, "destination copies/backup/", "complete");
    assert_eq!((&reported["verdict"], output.status.code()), (&json!("failed"), Some(1)), "{}", errors(&output));
    assert!(reported["found"].as_str().expect("words").contains("is wrong"), "{reported}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_keeps_what_it_is_asked_for() {
    let seaweedfs = SeaweedFs::start(&[SINK]).await.expect("SeaweedFS");
    let fixture = onto_s3(&seaweedfs.endpoint(), SeaweedFs::ACCESS_ID, SeaweedFs::SECRET).await;
    let (output, reported) = check(&fixture, &[]);
    assert_eq!((failed(&reported), output.status.code()), (Vec::new(), Some(0)), "{}", errors(&output));
    assert_eq!(verdict(&reported, "probe", "cleaning up"), "ok");
    for what in ["metadata", "read back", "wrong bytes", "conditional write", "complete after abort", "delete"] {
        assert_eq!(verdict(&reported, "destination copies/backup/", what), "ok", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_writes_nothing_and_says_so() {
    let fixture = Fixture::new().await;
    let (output, reported) = check(&fixture, &["--no-write"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(verdict(&reported, "destination", "write"), "warning");
    let tried = |number: usize| reported["promises"][number - 1]["not_tried"].is_null();
    assert!(!tried(2) && !tried(11) && tried(1), "what was not looked at is not kept: {}", reported["promises"]);
    assert!(fixture.gcs.publications().is_empty());
    assert!(fixture.cloud.item(LIST, "/note/check").await.expect("asked").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_write_fails_and_says_what_to_grant() {
    let fixture = Fixture::new().await;
    fixture.gcs.set_access(SINK, Access::ReadOnly);
    let (output, reported) = check(&fixture, &[]);
    assert_eq!(
        (failed(&reported), output.status.code()),
        (vec!["destination copies/backup/, write".to_owned()], Some(1))
    );
    let advice = fact(&reported, "destination", "write")["advice"].as_str().expect("advice");
    assert!(advice.starts_with("grant the destination credentials"), "{advice}");
    assert_eq!(verdict(&reported, "probe", "cleaning up"), "ok", "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_a_missing_bucket_and_a_missing_table_are_each_told() {
    let fixture = Fixture::new().await;
    fixture.settings("queue.name = \"lost\"\nledger.table = \"lost\"\ndestination.bucket = \"lost\"");
    let (output, reported) = check(&fixture, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert_eq!(failed(&reported), ["queue lost, open", "ledger, open", "destination lost/backup/, write"]);
    assert_eq!(weaker(&reported), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (about, word) in [("queue", "[queue] name"), ("ledger", "[ledger] table"), ("destination", "create the bucket")]
    {
        let what = if about == "destination" { "write" } else { "open" };
        let advice = fact(&reported, about, what)["advice"].as_str().expect("advice");
        assert!(advice.contains(word), "{advice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_dead_letters_of_short_patience_is_warned_of() {
    let fixture = Fixture::new().await;
    let attributes = [("VisibilityTimeout", "5".to_owned()), ("MessageRetentionPeriod", "3600".to_owned())];
    fixture.cloud.create_queue("bare", &attributes).await.expect("a queue");
    fixture.settings("queue.name = \"bare\"");
    let (output, reported) = check(&fixture, &[]);
    assert_eq!(
        (failed(&reported), output.status.code()),
        (vec!["queue bare, policy".into()], Some(1)),
        "nobody may send"
    );
    for what in ["visibility", "retention", "dead letters"] {
        assert_eq!(verdict(&reported, "queue bare", what), "warning", "{what}");
    }
    assert_eq!(weaker(&reported), [1, 9]);
    assert!(reported["promises"].as_array().expect("promises").iter().all(|promise| promise["in_doubt"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_queue_that_is_gone_fails() {
    let fixture = Fixture::new().await;
    let asked = json!({ "QueueUrl": fixture.cloud.queue_url("list-dead") });
    fixture.cloud.call("AmazonSQS.DeleteQueue", asked).await.expect("deleted");
    let (output, reported) = check(&fixture, &["--no-write"]);
    assert_eq!((verdict(&reported, "queue", "dead letters"), output.status.code()), ("failed", Some(1)));
    assert_eq!(weaker(&reported), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_lies_is_found_out() {
    let fixture = Fixture::with(GcsOptions { answer_hashes: false, ..GcsOptions::default() }).await;
    // A complete after the abort lands all the same.
    fixture.gcs.faults().add(
        Rule::on(Operation::AbortUpload, Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None })
            .always(),
    );
    let (output, reported) = check(&fixture, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert_eq!(verdict(&reported, "destination", "complete after abort"), "failed");
    assert_eq!(verdict(&reported, "destination", "stored checksum"), "warning");
    assert_eq!(verdict(&reported, "probe", "cleaning up"), "failed", "an upload stays, and is named");
    let stays = fact(&reported, "probe", "cleaning up")["found"].as_str().expect("words");
    assert!(stays.contains("copies/backup/.skyferry-check/"), "{stays}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_off_is_told() {
    let fixture = Fixture::new().await;
    let long_ago = Fault::Header("last-modified", "Fri, 20 Nov 2026 07:00:00 GMT".into());
    fixture.gcs.faults().add(Rule::on(Operation::HeadObject, long_ago).always());
    let (output, reported) = check(&fixture, &[]);
    assert_eq!(
        (verdict(&reported, "destination", "clock"), output.status.code()),
        ("failed", Some(1)),
        "{}",
        errors(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_cleans_up_after_itself() {
    let fixture = Fixture::new().await;
    let slow = Fault::Stall(std::time::Duration::from_secs(120));
    fixture.gcs.faults().add(Rule::on(Operation::UploadPart, slow));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["check", "--config", "agent.toml"]).current_dir(fixture.folder.path(""));
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("started");
    let pid = child.id().expect("it runs").to_string();
    crate::fixture::eventually("an upload is open", async || fixture.gcs.open_uploads(SINK).len() == 1).await;
    let sent = std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill");
    assert!(sent.success());
    let output = child.wait_with_output().await.expect("it ended");
    assert_eq!((output.status.code(), left(&fixture)), (Some(130), Vec::new()), "{}", errors(&output));
}

#[test]
fn a_directory_is_checked_like_any_destination_and_missing_keys_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("from")).expect("made");
    std::fs::write(folder.path().join("from/a"), "a").expect("written");
    let embedded = |what: &str| format!("[{what}]\nkind = \"embedded\"\npath = \"state.db\"\n");
    let place = |what: &str, path: &str| format!("[{what}]\nkind = \"directory\"\npath = \"{path}\"\n");
    let settings = embedded("queue")
        + &embedded("ledger")
        + &place("destination", "to")
        + "[[routes]]\nsource_bucket = \"from\"\n";
    let check = |settings: String| {
        std::fs::write(folder.path().join("agent.toml"), settings).expect("written");
        let output = skyferry(folder.path(), &["check", "--json", "--config", "agent.toml"]);
        (output.status.code(), last_line(&output))
    };
    let (code, reported) = check(settings.clone() + &place("source", "from"));
    assert_eq!((failed(&reported), &reported["warnings"], code), (Vec::new(), &json!(0), Some(0)), "{reported:#}");
    let left =
        std::fs::read_dir(folder.path().join("to")).expect("a folder").map(|entry| entry.expect("read").file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".skyferry"], "the destination's own books");

    let of_s3 =
        "[source]\nregion = \"us-east-1\"\n[credentials]\nsource = { provider = \"file\", path = \"none.json\" }\n";
    let (code, reported) = check(settings + of_s3);
    assert_eq!((failed(&reported), code), (vec!["keys, source".into(), "source, open".into()], Some(1)));
    assert_eq!(fact(&reported, "keys", "source")["advice"], "check the path and its permissions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_prefix_of_nothing_is_refused() {
    let fixture = Fixture::new().await;
    for prefix in ["", "/", "//x"] {
        let output = fixture.run(&["check", "--probe-prefix", prefix]);
        assert_eq!(output.status.code(), Some(2), "{prefix}");
    }
    assert!(fixture.gcs.publications().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_source_is_heard_in_the_queue_and_by_way_of_an_agent() {
    let fixture = Fixture::new().await;
    let (output, reported) = check(&fixture, &["--notification-probe"]);
    assert_eq!((failed(&reported), output.status.code()), (Vec::new(), Some(0)), "{}", errors(&output));
    let found =
        |reported: &Value| fact(reported, "source photos", "events")["found"].as_str().expect("words").to_owned();
    assert!(found(&reported).contains("it is in the queue"), "{}", found(&reported));
    let agent = fixture.agent().await;
    let (_, reported) = check(&fixture, &["--notification-probe"]);
    assert!(
        found(&reported).contains("an agent has copied it") || found(&reported).contains("it is in the queue"),
        "{}",
        found(&reported)
    );
    agent.stop().await;
    let listed = fixture.cloud.s3(http::Method::GET, &format!("/{SOURCE}?list-type=2"), &[], bytes::Bytes::new()).await;
    let listed = String::from_utf8_lossy(&listed.expect("listed")).into_owned();
    assert!(!listed.contains("<Key>"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_whose_events_go_nowhere_is_told() {
    let fixture = Fixture::new().await;
    fixture.cloud.s3(http::Method::PUT, "/silent", &[], bytes::Bytes::new()).await.expect("a bucket");
    fixture.settings("routes = [{ source_bucket = \"silent\" }]");
    let (output, reported) = check(&fixture, &["--notification-probe=4s"]);
    assert_eq!((failed(&reported), output.status.code()), (vec!["source silent, events".to_owned()], Some(1)));
}
