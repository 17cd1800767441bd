//! What can be wrong with a report: each is reported, and nothing wrong is sent.

use sandbox::{Fault, Rule, S3Options, S3Peer};

use crate::fixture::Fixture;
use crate::reports::{CHECKSUM, CURRENT, MANIFEST, Report, ReportLine, csv, gzip, line};

fn some() -> Vec<ReportLine> {
    (0..100).map(|n| line(&format!("object-{n}"), n)).collect()
}

async fn refused(report: &Report, words: &[&str]) {
    let fixture = Fixture::new();
    let manifest = report.write(fixture.folder.path());
    fixture.run(&[manifest.to_str().expect("UTF-8")]).await.refused(1, words);
    assert!(fixture.jobs().await.is_empty(), "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_of_what_has_another_checksum() {
    let mut report = Report::csv(CURRENT, &some(), 1000);
    report.object("part-0.csv.gz").push(0);
    refused(&report, &["part-0.csv.gz: its MD5 is", "nothing of it was sent"]).await;
    let mut report = Report::csv(CURRENT, &some(), 1000);
    report.object("manifest.json").push(b' ');
    refused(&report, &["manifest.json", "its MD5 is", "manifest.checksum has"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_not_whole_is_told_before_anything_is_sent() {
    let mut report = Report::csv(CURRENT, &some(), 50);
    report.0.retain(|(key, _)| !key.ends_with("part-1.csv.gz"));
    refused(&report, &["part-1.csv.gz is missing", "looked for at", "nothing was sent"]).await;
    report.0.retain(|(key, _)| key != CHECKSUM);
    refused(&report, &["manifest.checksum is not there: S3 writes it last"]).await;
    report.0.retain(|(key, _)| key != MANIFEST);
    refused(&report, &["manifest.json: it is not there"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_a_key_and_a_manifest_that_is_none_are_refused() {
    refused(&Report::of("CSV", "Bucket, Size", vec![gzip(b"photos,1\n")]), &["no column Key", "Bucket, Size"]).await;
    let fixture = Fixture::new();
    fixture.write("manifest.json", b"Bucket,Key\n");
    fixture.write("manifest.checksum", b"");
    fixture.run(&["manifest.json"]).await.refused(1, &["manifest.json: it is not a manifest of S3 Inventory"]);
    fixture.run(&["manifest.json", "--columns", "Bucket,Size"]).await.refused(2, &["--columns", "no column Key"]);
    fixture.run(&["manifest.json", "--columns", "Key,Size"]).await.refused(2, &["no column Bucket"]);
    fixture.run(&["gs://b/manifest.json"]).await.refused(2, &["gs://b/manifest.json"]);
    fixture.run(&["s3://b/manifest.json"]).await.refused(1, &["[source]", "download the report"]);
    let manifest = Report::csv("Bucket, Key", &some(), 1000).write(fixture.folder.path());
    let output = fixture.run(&[manifest.to_str().expect("UTF-8"), "--min-size", "1"]).await;
    output.refused(1, &["no column Size, which --min-size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_sends_nothing() {
    let mut packed = gzip(&csv("Bucket, Key, Size", &some()));
    packed.truncate(packed.len() - 20);
    let fixture = Fixture::new();
    fixture.write("cut.csv.gz", &packed);
    let output = fixture.run(&["cut.csv.gz", "--columns", "Bucket,Key,Size"]).await;
    output.refused(1, &["cut.csv.gz: it is truncated", "nothing of it was sent"]);
    assert!(fixture.jobs().await.is_empty());
    // S3's own sum is right: it was written so.
    let manifest = Report::of("CSV", "Bucket, Key, Size", vec![packed]).write(fixture.folder.path());
    let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("it is truncated"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_before_anything_is_sent() {
    let fixture = Fixture::new();
    let row = [b"photos,".to_vec(), vec![b'k'; 900], b",1\n".to_vec()].concat();
    fixture.write("rows.csv.gz", &gzip(&row.repeat(30_000)));
    let columns = ["--columns", "Bucket,Key,Size"];
    let output = fixture.run(&[&["rows.csv.gz"], &columns[..]].concat()).await;
    output.refused(1, &["rows.csv.gz: it unpacks to more than", "decompression bomb"]);
    assert!(fixture.jobs().await.is_empty());
    fixture.write("row.csv.gz", &gzip(&[b"photos,\"".to_vec(), vec![b'k'; 8 << 20]].concat()));
    let output = fixture.run(&[&["row.csv.gz"], &columns[..]].concat()).await;
    output.refused(1, &["row.csv.gz: line 1: a row of more than"]);
    assert!(fixture.jobs().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_told_with_file_and_line_and_can_be_left_out() {
    let fixture = Fixture::new();
    let rows = b"photos,a,1\nphotos,b%zz,1\nphotos,\"c\nc\",1\nphotos,d,many\nphotos,e\nphotos,f,1\n";
    fixture.write("rows.csv", rows);
    let columns = ["rows.csv", "--columns", "Bucket,Key,Size"];
    let output = fixture.run(&columns).await;
    assert_eq!((output.code, output.counts(["rows", "jobs", "bad"])), (Some(1), [1, 1, 0]), "{output:?}");
    assert!(output.stderr.contains("rows.csv: line 2: Key b%zz has a %"), "{output:?}");
    assert!(output.stderr.contains("--keep-going"), "{output:?}");
    assert_eq!(fixture.keys().await, ["a"]);

    let output = fixture.run(&[&columns[..], &["--keep-going"]].concat()).await;
    assert_eq!((output.code, output.counts(["rows", "jobs", "bad"])), (Some(1), [6, 3, 3]), "{output:?}");
    for words in ["line 2: Key b%zz", "line 5: Size many is not a number", "line 6: 2 columns where the schema has 3"] {
        assert!(output.stderr.contains(words), "no {words:?} in {output:?}");
    }
    assert_eq!(fixture.keys().await, ["c\nc", "f"], "the first was sent before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_another_region_is_told_with_what_to_do() {
    let fixture = Fixture::new();
    let peer = S3Peer::start(S3Options { buckets: vec!["reports".into()], ..S3Options::default() }).expect("a peer");
    let text = std::fs::read_to_string(fixture.path("agent.toml")).expect("settings");
    let keys = serde_json::json!({ "aws_access_key_id": S3Peer::ACCESS_ID, "aws_secret_access_key": S3Peer::SECRET });
    fixture.write("keys.json", keys.to_string().as_bytes());
    let source = format!(
        "[credentials]\nsource = {{ provider = \"file\", path = \"keys.json\" }}\n\
         [source]\nendpoint = \"{}\"\nregion = \"us-east-1\"\n",
        peer.endpoint()
    );
    let text = text.replace("[source]\nkind = \"directory\"\npath = \"photos\"\n", &source);
    fixture.write("agent.toml", text.as_bytes());
    let refuse = Fault::Refuse { status: 301, code: "PermanentRedirect".into(), retry_after: None };
    // A HEAD is refused without a word, so a GET is asked why.
    peer.faults().add(Rule::any(refuse).times(100));
    let output = fixture.run(&["s3://reports/manifest.json"]).await;
    output.refused(1, &["s3://reports/manifest.json", "the bucket is in another region", "set region"]);
}
