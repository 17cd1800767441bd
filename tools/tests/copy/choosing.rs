//! Which objects are copied, and under which name.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, ended, gcs, s3, tree};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_written_as_the_file_that_is_named() {
    let (fixture, s3) = (Fixture::new(), s3());
    s3.set_object(BUCKET, "x/photo.jpg", "photo").expect("an object");
    std::fs::create_dir(fixture.path("folder")).expect("made");
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    for (to, file) in [
        ("./name.jpg", "name.jpg"),
        ("deep/er/name.jpg", "deep/er/name.jpg"),
        ("folder", "folder/photo.jpg"),
        ("new/", "new/photo.jpg"),
    ] {
        for (copied, unchanged) in [(1, 0), (0, 1)] {
            let output = fixture.copy(&all(&["s3://photos/x/photo.jpg", to], &[&from])).await;
            let counts = (output.code, output.count("copied"), output.count("unchanged"));
            assert_eq!(counts, (Some(0), copied, unchanged), "{to}: {output:?}");
        }
        assert_eq!(std::fs::read(fixture.path(file)).expect(file), b"photo");
    }
    fixture.write("tree/alone", b"alone");
    assert_eq!(fixture.copy(&["tree/alone", "out/copy.txt"]).await.code, Some(0));
    assert_eq!(std::fs::read(fixture.path("out/copy.txt")).expect("a file"), b"alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_keys_is_looked_up_and_nothing_is_listed_but_the_beginning() {
    let (fixture, s3) = (Fixture::new(), s3());
    for n in 0..2500 {
        s3.set_object(BUCKET, &format!("in/{n}"), "x").expect("an object");
    }
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let mut command = fixture.command(&all(&["s3://photos/in", "to", "--files-from", "-"], &[&from]));
    let mut child = command.stdin(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"7\n1200\nmissing\n").await.expect("written");
    drop(stdin);
    let output = ended(child).await;
    assert_eq!((output.code, output.count("copied")), (Some(1), 2), "{output:?}");
    assert!(output.stderr.contains("not found: photos/in/missing"), "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"1200".to_vec(), b"7".to_vec()]);
    assert!(s3.counts().of(sandbox::Operation::ListObjects) <= 2, "{:?}", s3.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_file_choose_by_the_first_that_matches() {
    let fixture = Fixture::new();
    for name in ["a.jpg", "a.tmp", "keep/a.tmp", "raw/1.nef"] {
        fixture.write(&format!("tree/{name}"), b"x");
    }
    fixture.write("rules", b"# rules\n+ keep/**\n- *.{tmp,nef}\n");
    let output = fixture.copy(&["tree", "to", "--filter-from", "rules"]).await;
    assert_eq!((output.code, output.count("copied"), output.count("skipped")), (Some(0), 2, 2), "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"a.jpg".to_vec(), b"keep/a.tmp".to_vec()]);
    fixture.write("rules", b"+ a\nkeep\n");
    let output = fixture.copy(&["tree", "to", "--filter-from", "rules"]).await;
    assert!(output.code == Some(2) && output.stderr.contains("rules:2: "), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_leaves_nothing_but_the_files_and_keeps_their_headers() {
    let (fixture, gcs, s3) = (Fixture::new(), gcs(), s3());
    gcs.set_object(BUCKET, "a/page", "page").expect("an object");
    gcs.set_object(BUCKET, "large", bytes(11 << 20, 1)).expect("an object");
    let html = |info: &mut sandbox::ObjectInfo| {
        drop(info.attributes.content.insert("content-type".into(), "text/html".into()))
    };
    assert!(gcs.amend(BUCKET, "a/page", html));
    let (endpoint, there) = (gcs.endpoint(), s3.endpoint());
    let (down, up) = (at("source", &endpoint, "GCS_"), at("destination", &there, "S3_"));
    let download = [&all(&["gs://photos", "to"], &[&down])[..], &PARTS].concat();
    for (copied, unchanged) in [(2, 0), (0, 2)] {
        let output = fixture.copy(&download).await;
        let counts = (output.code, output.count("copied"), output.count("unchanged"));
        assert_eq!(counts, (Some(0), copied, unchanged), "{output:?}");
    }
    let mut names: Vec<_> =
        std::fs::read_dir(fixture.path("to")).expect("read").map(|entry| entry.expect("one").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "large"]);
    // What is known of the files goes along with them.
    let output = fixture.copy(&all(&["to", "s3://photos/again"], &[&up])).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 2), "{output:?}");
    let sent = s3.object(BUCKET, "again/a/page").expect("there");
    assert_eq!(sent.attributes.content["content-type"], "text/html");
}
