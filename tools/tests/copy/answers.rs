//! What services answer that is not what it looks like, and what people type that is not what it looks like.

use sandbox::{Fault, Operation, Rule, S3Peer};

use crate::fixture::{BUCKET, Fixture, all, at, bytes, gcs, s3, tree};
use crate::resuming::until;

/// A service whose listings have no ETags.
fn without_etags(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("<ETag>") {
        kept.push_str(before);
        rest = after.split_once("</ETag>").map_or("", |(_, rest)| rest);
    }
    kept + rest
}

/// A service that encodes the keys of its listings and does not report it.
fn encoded_in_silence(text: &str) -> String {
    let text = text.replace("<EncodingType>url</EncodingType>", "");
    // The keys of these tests have blanks only, which the peer writes as %20.
    assert!(!text.contains("<Key>") || text.contains("%20"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a17_listings_without_etags_prove_nothing() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    s3.set_object(BUCKET, "k", "right").expect("an object");
    gcs.set_object(BUCKET, "k", "wrong").expect("another of the same size");
    for peer in [s3.faults(), gcs.faults()] {
        peer.add(Rule::on(Operation::ListObjects, Fault::Rewrite(without_etags)).always());
    }
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let (from, to) = (at("source", &from, "S3_"), at("destination", &to, "GCS_"));
    let arguments = all(&["s3://photos", "gs://photos"], &[&from, &to]);
    let dry = fixture.copy(&[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.count("copied"), dry.count("unchanged")), (Some(0), 1, 0), "{dry:?}");
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(gcs.read(BUCKET, "k").expect("read"), b"right");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a11_a_listing_that_encodes_keys_in_silence_ends_the_run_with_both_spellings() {
    let (fixture, s3) = (Fixture::new(), s3());
    for n in 0..40 {
        s3.set_object(BUCKET, &format!("a b {n:02}"), "x").expect("an object");
    }
    s3.faults().add(Rule::on(Operation::ListObjects, Fault::Rewrite(encoded_in_silence)).always());
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let output = fixture.copy(&all(&["s3://photos", "to"], &[&from])).await;
    assert_eq!((output.code, output.count("gone"), output.count("copied")), (Some(1), 0, 0), "{output:?}");
    assert!(output.stderr.contains("a%20b%2000") && output.stderr.contains("while a b 00 is"), "{output:?}");
    assert!(output.stderr.contains("EncodingType"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a11_keys_that_are_listed_and_then_not_found_again_and_again_end_it_as_an_error() {
    let (fixture, s3) = (Fixture::new(), s3());
    for n in 0..40 {
        s3.set_object(BUCKET, &format!("key{n:02}"), "x").expect("an object");
    }
    let other = |text: &str| {
        text.replace("<Key>key1", "<Key>KEY1").replace("<Key>key2", "<Key>KEY2").replace("<Key>key3", "<Key>KEY3")
    };
    s3.faults().add(Rule::on(Operation::ListObjects, Fault::Rewrite(other)).always());
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let output = fixture.copy(&all(&["s3://photos", "to"], &[&from])).await;
    assert_eq!((output.code, output.count("gone"), output.count("copied")), (Some(1), 30, 10), "{output:?}");
    assert!(output.stderr.contains("30 of 40 objects that the listing of photos/"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a19_a_search_for_uploads_that_fails_is_a_warning_of_a_copy_that_is_complete() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    fixture.write("tree/a", b"a");
    let nonsense = |_: &str| "<html>not what was asked for</html>".to_owned();
    gcs.faults().add(Rule::on(Operation::ListUploads, Fault::Rewrite(nonsense)).always());
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert!(
        output.stderr.contains("warning: the search for uploads") && !output.stderr.contains("given up"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a22_line_ends_around_keys_of_the_environment_are_trimmed_and_within_them_named() {
    let (fixture, s3) = (Fixture::new(), s3());
    s3.set_object(BUCKET, "k", "x").expect("an object");
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "ODD_");
    let arguments = all(&["s3://photos", "to"], &[&from]);
    let run = async |id: &str, secret: &str| {
        let mut command = fixture.command(&arguments);
        command.env("ODD_AWS_ACCESS_KEY_ID", id).env("ODD_AWS_SECRET_ACCESS_KEY", secret);
        crate::fixture::ended(command.spawn().expect("started")).await
    };
    let output = run(&format!("{}\n", S3Peer::ACCESS_ID), &format!(" {}\r\n", S3Peer::SECRET)).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    let output = run("AKIA\nX", S3Peer::SECRET).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("access key id has a control character (U+000A)"), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_d3_another_programs_spelling_of_a_bucket_makes_no_local_folder() {
    let fixture = Fixture::new();
    fixture.write("in/a", b"a");
    for (typed, meant) in
        [("s3:bucket/x", "s3://bucket/x"), ("minio:bucket/x", "s3://bucket/x"), ("gcs://b/x", "gs://b/x")]
    {
        let output = fixture.copy(&["in", typed]).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(&format!("did you mean {meant}?")), "{output:?}");
    }
    let names: Vec<_> =
        std::fs::read_dir(fixture.folder.path()).expect("read").map(|e| e.expect("an entry").file_name()).collect();
    assert!(names.iter().all(|name| name == "in" || name == "state"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a30_after_a_kill_the_counts_are_of_objects_once_each() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..1500 {
        fixture.write(&format!("tree/{n:04}"), &bytes(2000, n));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    let mut child = fixture.start(&[&arguments[..], &["--max-bandwidth", "2MiB"]].concat());
    until("some objects", || gcs.objects(BUCKET).len() > 100).await;
    child.kill().await.expect("killed");
    let output = fixture.copy(&arguments).await;
    let [copied, unchanged] = ["copied", "unchanged"].map(|name| output.count(name));
    assert_eq!((output.code, copied + unchanged), (Some(0), 1500), "{output:?}");
    assert!(copied > 0 && unchanged >= 100, "{output:?}");
    let again = fixture.copy(&arguments).await;
    assert_eq!((again.count("copied"), again.count("unchanged")), (0, 1500), "{again:?}");
    assert_eq!(tree(&fixture.path("tree")).len(), gcs.objects(BUCKET).len());
}
