//! From here to there and back: what arrives, what is not sent again, what the flags mean.

use sandbox::Operation;

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, gcs, mixed, objects, s3, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_goes_to_gcs_and_back_byte_for_byte() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    mixed(&fixture.path("tree"), 60);
    let endpoint = gcs.endpoint();
    let up = at("destination", &endpoint, "GCS_");
    let output = fixture.copy(&[&all(&["./tree", "gs://photos/back/up"], &[&up])[..], &PARTS].concat()).await;
    assert_eq!((output.code, output.count("copied"), output.count("parked")), (Some(0), 70, 0), "{output:?}");
    let source = tree(&fixture.path("tree"));
    assert!(objects(&gcs, "back/up/") == source, "the bucket differs");
    assert!(gcs.open_uploads(BUCKET).is_empty());

    let down = at("source", &endpoint, "GCS_");
    let output = fixture.copy(&[&all(&["gs://photos/back/up/", "again"], &[&down])[..], &PARTS].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 70), "{output:?}");
    assert!(tree(&fixture.path("again")) == source, "the tree differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_equal_costs_a_listing_of_each_side_and_nothing_else() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    for n in 0..1200 {
        s3.set_object(BUCKET, &format!("in/{n:04}"), bytes(n % 50, 1)).expect("an object");
    }
    s3.set_object(BUCKET, "in/large", bytes(11 << 20, 3)).expect("an object");
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let flags = [at("source", &from, "S3_"), at("destination", &to, "GCS_")];
    let arguments = all(&["s3://photos/in", "gs://photos/out"], &[&flags[0], &flags[1]]);
    let output = fixture.copy(&[&arguments[..], &PARTS].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1201), "{output:?}");

    let before = (s3.counts(), gcs.counts());
    let output = fixture.copy(&[&arguments[..], &PARTS].concat()).await;
    assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 0, 1201), "{output:?}");
    let requests = |now: sandbox::Counts, then: &sandbox::Counts, what| now.of(what) - then.of(what);
    for what in [Operation::GetObject, Operation::HeadObject, Operation::PutObject, Operation::CreateUpload] {
        assert_eq!(
            (requests(s3.counts(), &before.0, what), requests(gcs.counts(), &before.1, what)),
            (0, 0),
            "{what:?}"
        );
    }
    // One look at what SRC is, and two pages.
    assert!(requests(s3.counts(), &before.0, Operation::ListObjects) <= 3);
    assert!(requests(gcs.counts(), &before.1, Operation::ListObjects) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_and_a_changed_destination_are_noticed() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for name in ["a", "b", "c", "d"] {
        fixture.write(&format!("tree/{name}"), name.as_bytes());
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    assert_eq!(fixture.copy(&arguments).await.count("copied"), 4);
    fixture.write("tree/a", b"another");
    gcs.set_object(BUCKET, "b", "somebody else's").expect("an object");
    gcs.remove_object(BUCKET, "c");
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 3, 1), "{output:?}");
    assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_restart_what_is_there_is_looked_at_and_not_sent_again() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..30 {
        fixture.write(&format!("tree/{n}"), &bytes(n, 1));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    assert_eq!(fixture.copy(&arguments).await.count("copied"), 30);
    let before = gcs.counts().of(Operation::PutObject);
    let output = fixture.copy(&[&arguments[..], &["--restart"]].concat()).await;
    assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 0, 30), "{output:?}");
    assert_eq!(gcs.counts().of(Operation::PutObject), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_a_folder_and_an_object_can_be_named() {
    let (fixture, s3) = (Fixture::new(), s3());
    for key in ["sp", "sp/", "sp/a", "sp/b/c", "sp2/a", "x/y/one"] {
        s3.set_object(BUCKET, key, key).expect("an object");
    }
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let output = fixture.copy(&all(&["s3://photos/sp", "folder"], &[&from])).await;
    assert_eq!((output.code, output.count("copied"), output.count("skipped")), (Some(0), 2, 1), "{output:?}");
    let names: Vec<_> = tree(&fixture.path("folder")).into_iter().collect();
    assert_eq!(names, [(b"a".to_vec(), b"sp/a".to_vec()), (b"b/c".to_vec(), b"sp/b/c".to_vec())]);

    let output = fixture.copy(&all(&["s3://photos/x/y/one", "single/"], &[&from])).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(std::fs::read(fixture.path("single/one")).expect("there"), b"x/y/one");
    let output = fixture.copy(&all(&["s3://photos/x/y/one", "single/"], &[&from])).await;
    assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 0, 1), "{output:?}");

    fixture.write("alone.txt", b"alone");
    let to = at("destination", &endpoint, "S3_");
    let output = fixture.copy(&all(&["alone.txt", "s3://photos/files"], &[&to])).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(s3.read(BUCKET, "files/alone.txt").expect("there"), b"alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_leave_out_and_a_dry_run_changes_nothing() {
    let (fixture, s3) = (Fixture::new(), s3());
    for (key, size) in [("a.jpg", 10), ("b.tmp", 10), ("c/d.jpg", 2000), ("c/e.jpg", 10)] {
        s3.set_object(BUCKET, key, bytes(size, 1)).expect("an object");
    }
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let arguments =
        all(&["s3://photos", "to", "--include", "*.jpg", "--exclude", "c/e*", "--max-size", "1KB"], &[&from]);
    let output = fixture.command(&[&arguments[..], &["--dry-run"]].concat()).output().await.expect("run");
    let output = crate::fixture::ProgramOutput::from(output);
    assert_eq!((output.code, output.count("copied"), output.count("skipped")), (Some(0), 1, 3), "{output:?}");
    assert!(output.stderr.contains("a.jpg") && output.json["dry_run"] == true, "{output:?}");
    let left: Vec<_> =
        std::fs::read_dir(fixture.folder.path()).expect("read").map(|e| e.expect("one").path()).collect();
    assert!(!fixture.path("to").exists() && left.iter().all(|path| tree(path).is_empty()), "{left:?}");

    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied"), output.count("skipped")), (Some(0), 1, 3), "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"a.jpg"]);
    // What is meant now is another choice of the same pair.
    let output = fixture.copy(&all(&["s3://photos", "to"], &[&from])).await;
    assert_eq!((output.count("copied"), output.count("unchanged")), (3, 1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_class_and_requester_pays_are_asked_for() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    s3.set_object(BUCKET, "a", "a").expect("an object");
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let flags = [at("source", &from, "S3_"), at("destination", &to, "GCS_")];
    let mut arguments = all(&["s3://photos", "gs://photos"], &[&flags[0], &flags[1]]);
    arguments.extend(["--storage-class", "NEARLINE", "--request-payer"]);
    assert_eq!(fixture.copy(&arguments).await.code, Some(0));
    assert_eq!(gcs.object(BUCKET, "a").expect("there").attributes.storage_class, "NEARLINE");
}
