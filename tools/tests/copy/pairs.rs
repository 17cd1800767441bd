//! What else is done with a SRC and a DST: sync, verify, ls, size, and the state that is kept of them.

use sandbox::{Fault, Operation, Reply, Rule};

use crate::fixture::{BUCKET, Fixture, all, at, bytes, gcs, objects, s3, tree};

#[tokio::test(flavor = "multi_thread")]
async fn sync_deletes_what_is_not_at_the_source_and_nothing_before_it_is_allowed() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for name in ["a", "b/c", "d"] {
        fixture.write(&format!("tree/{name}"), name.as_bytes());
    }
    for key in ["to/old", "to/b/older", "to/keep.log", "beside"] {
        gcs.set_object(BUCKET, key, key).expect("an object");
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let sync = |more: &'static [&'static str]| {
        all(&[&["sync", "tree", "gs://photos/to", "--exclude", "*.log"][..], more].concat(), &[&to])
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let run = async |more| fixture.run(&sync(more).iter().map(String::as_str).collect::<Vec<_>>()).await;

    let output = run(&[]).await;
    assert_eq!(output.code, Some(2), "nobody can answer: {output:?}");
    assert!(output.stderr.contains("--yes"), "{output:?}");
    let output = run(&["--dry-run", "--json", "--max-delete", "2"]).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(0), 3, 2), "{output:?}");
    assert_eq!(gcs.objects(BUCKET).len(), 4, "a dry run changes nothing");

    let output = run(&["--yes", "--json", "--max-delete", "1"]).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(1), 3, 0), "{output:?}");
    assert!(output.stderr.contains("--max-delete 1"), "{output:?}");
    let output = run(&["--yes", "--json"]).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(0), 0, 2), "{output:?}");
    let left: Vec<String> = gcs.objects(BUCKET).into_iter().map(|info| info.key.clone()).collect();
    assert_eq!(left, ["beside", "to/a", "to/b/c", "to/d", "to/keep.log"]);

    let output = run(&["--yes", "--json"]).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(0), 0, 0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_deletes_nothing_after_a_copy_that_is_not_complete() {
    let (fixture, s3) = (Fixture::new(), s3());
    fixture.write("tree/a", b"a");
    fixture.write("tree/bad", b"bad");
    s3.set_object(BUCKET, "to/old", "old").expect("an object");
    let refused = Reply { status: 400, body: "<Error><Code>InvalidArgument</Code></Error>".into(), ..Reply::default() };
    s3.faults().add(Rule::on(Operation::PutObject, Fault::Instead(refused)).key("to/bad").always());
    let endpoint = s3.endpoint();
    let to = at("destination", &endpoint, "S3_");
    let output =
        fixture.run(&all(&["sync", "tree", "s3://photos/to", "--yes", "--json", "--max-delete", "100%"], &[&to])).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(1), 1, 0), "{output:?}");
    assert!(output.stderr.contains("nothing was deleted"), "{output:?}");
    assert!(s3.objects(BUCKET).iter().any(|info| info.key == "to/old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_kept_in_sync_with_a_bucket() {
    let (fixture, s3) = (Fixture::new(), s3());
    for key in ["in/a", "in/b/c"] {
        s3.set_object(BUCKET, key, key).expect("an object");
    }
    fixture.write("to/old/file", b"old");
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let output = fixture.run(&all(&["sync", "s3://photos/in", "to", "--yes", "--json"], &[&from])).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(0), 2, 1), "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"a".to_vec(), b"b/c".to_vec()]);
    assert!(!fixture.path("to/old").exists(), "an empty folder goes with its last file");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_proves_a_pair_and_names_every_difference() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    for n in 0..20 {
        s3.set_object(BUCKET, &format!("in/{n}"), bytes(n, 1)).expect("an object");
    }
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let flags = [at("source", &from, "S3_"), at("destination", &to, "GCS_")];
    let pair =
        |verb: &'static str| all(&[verb, "s3://photos/in", "gs://photos/out", "--json"], &[&flags[0], &flags[1]]);
    assert_eq!(fixture.run(&pair("copy")).await.count("copied"), 20);
    let output = fixture.run(&pair("verify")).await;
    assert_eq!((output.code, output.count("equal")), (Some(0), 20), "{output:?}");
    assert!(objects(&gcs, "out/") == objects(&s3, "in/"));

    gcs.remove_object(BUCKET, "out/3");
    gcs.set_object(BUCKET, "out/4", "another").expect("an object");
    gcs.set_object(BUCKET, "out/more", "more").expect("an object");
    // What was written within the second in which the comparison begins counts as changing.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let output = fixture.run(&pair("verify")).await;
    assert_eq!((output.code, output.count("missing"), output.count("extra")), (Some(1), 1, 1), "{output:?}");
    assert!(
        ["photos/in/3", "photos/in/4", "photos/out/more"].iter().all(|key| output.stderr.contains(key)),
        "{output:?}"
    );
    let output = fixture.run(&[&pair("verify")[..], &["--repair"]].concat()).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ls_and_size_show_buckets_directories_and_single_objects() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    for n in 0..1100u32 {
        s3.set_object(BUCKET, &format!("in/{n:04}"), vec![0; 3]).expect("an object");
    }
    gcs.set_object(BUCKET, "a/b.jpg", "four").expect("an object");
    fixture.write("tree/x/y", b"12345");
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let s3_flags = ["--endpoint", &from, "--credentials", "environment:S3_"];
    let gcs_flags = ["--endpoint", &to, "--credentials", "environment:GCS_"];

    let output = fixture.run(&[&["ls", "s3://photos/in"][..], &s3_flags].concat()).await;
    assert_eq!((output.code, output.stdout.lines().count()), (Some(0), 1100), "{output:?}");
    assert!(
        output.stdout.lines().next().is_some_and(|line| line.trim_start().starts_with("3 ") && line.ends_with(" 0000"))
    );
    let output =
        fixture.run(&[&["size", "s3://photos/in", "--include", "000*", "--json"][..], &s3_flags].concat()).await;
    assert_eq!((output.count("objects"), output.count("bytes")), (10, 30), "{output:?}");
    let output = fixture.run(&[&["ls", "gs://photos/a/b.jpg", "--json"][..], &gcs_flags].concat()).await;
    assert_eq!((&output.json["key"], output.count("size")), (&"b.jpg".into(), 4), "{output:?}");
    let output = fixture.run(&["size", "tree"]).await;
    assert_eq!(output.stdout, "1 object, 5 B (5 bytes)\n", "{output:?}");
    let output = fixture.run(&[&["ls", "s3://photos/nothing"][..], &s3_flags].concat()).await;
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_listed_by_its_pair_and_forgotten_by_its_name() {
    let fixture = Fixture::new();
    fixture.write("tree/a", b"a");
    assert_eq!(fixture.run(&["state", "list"]).await.stdout.lines().count(), 1);
    assert_eq!(fixture.copy(&["tree", "to"]).await.code, Some(0));
    let listed = fixture.run(&["state", "list", "--json"]).await;
    let name = listed.json["name"].as_str().expect("a name").to_owned();
    let of = listed.json["of"].as_str().expect("a pair");
    assert!(of.contains("/tree → ") && of.ends_with("/to"), "{listed:?}");
    assert_eq!(fixture.run(&["state", "forget", "copy-nothing"]).await.code, Some(2));
    let dry = fixture.run(&["state", "forget", &name, "--dry-run"]).await;
    assert!(dry.code == Some(0) && dry.stdout.contains(&name), "{dry:?}");
    assert_eq!(fixture.run(&["state", "forget", &name[..12]]).await.code, Some(0));
    assert_eq!(fixture.run(&["state", "list", "--json"]).await.json, serde_json::Value::Null);
}
