//! `skyferry clean` on a destination with one upload that is ours for certain, and one that is not.

use std::path::Path;
use std::process::{Command, Output};

use sandbox::{GcsOptions, GcsPeer};
use skyferry_core::ledger::{Ledger as _, Leftover, Subject, WriterEnd};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, Writer};
use skyferry_sqlite::SqliteFile;

fn clean(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["clean", "--config", "agent.toml", "--json"]).args(more).current_dir(folder);
    command.env("GCS_AWS_ACCESS_KEY_ID", GcsPeer::ACCESS_ID).env("GCS_AWS_SECRET_ACCESS_KEY", GcsPeer::SECRET);
    command.output().expect("it ran")
}

fn counts(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a line of JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_ends_what_is_ours_for_certain_and_with_dry_run_says_so_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let gcs = GcsPeer::start(GcsOptions { buckets: vec!["copies".into()], ..GcsOptions::default() }).expect("a peer");
    std::fs::create_dir(folder.path().join("photos")).expect("made");
    let settings = format!(
        r#"
        [credentials]
        destination = {{ provider = "environment", prefix = "GCS_" }}
        [queue]
        kind = "embedded"
        path = "state.db"
        [ledger]
        kind = "embedded"
        path = "state.db"
        [source]
        kind = "directory"
        path = "photos"
        [destination]
        kind = "gcs"
        bucket = "copies"
        endpoint = "{}"
        [[routes]]
        source_bucket = "photos"
        "#,
        gcs.endpoint()
    );
    std::fs::write(folder.path().join("agent.toml"), settings).expect("written");
    let file = SqliteFile::open(&folder.path().join("state.db")).expect("a file");
    let at = |bucket: &str| Location::new(bucket, "known");
    let subject = Subject { source: at("photos"), destination: at("copies"), primary: true };
    let (ledger, writer) = (file.ledger(), Writer::random());
    ledger.begin(&subject, writer).await.expect("begun");
    let ending =
        WriterEnd::Settled { outcome: Outcome::Gone, reason: None, published: None, digests: None, grade: None };
    ledger.finish(&subject, writer, &ending, Leftover::Nothing, &[]).await.expect("finished");
    drop((ledger, file));
    for key in ["known", "theirs"] {
        gcs.begin_upload("copies", key).expect("an upload");
    }

    let young = counts(&clean(folder.path(), &[]));
    assert_eq!(young, serde_json::json!({ "dry_run": false, "ended": 0, "live": 2, "foreign": 0 }));
    let reported = clean(folder.path(), &["--older-than", "0s", "--dry-run"]);
    assert_eq!(counts(&reported), serde_json::json!({ "dry_run": true, "ended": 1, "live": 0, "foreign": 1 }));
    assert!(String::from_utf8_lossy(&reported.stderr).contains("copies/known"));
    assert_eq!(gcs.open_uploads("copies").len(), 2, "nothing is ended yet");
    assert_eq!(counts(&clean(folder.path(), &["--older-than", "0s"]))["ended"], 1);
    let left: Vec<String> = gcs.open_uploads("copies").into_iter().map(|upload| upload.key).collect();
    assert_eq!(left, ["theirs"]);

    let wrong = Command::new(env!("CARGO_BIN_EXE_skyferry")).args(["clean", "--config", "none.toml"]).output();
    assert_eq!(wrong.expect("it ran").status.code(), Some(2));
}
