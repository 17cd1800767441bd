//! What a copy shows, and where.

use crate::fixture::{BUCKET, Fixture, all, at, oss};

#[tokio::test(flavor = "multi_thread")]
async fn flags_choose_what_is_shown_of_each_object_and_where() {
    let fixture = Fixture::new();
    for name in ["tree/one", "tree/two"] {
        fixture.write(name, b"four");
    }
    let log = fixture.path("log");
    let run = async |flags: &[&str]| {
        let to = format!("to{}", flags.concat());
        let output = fixture.run(&[&["copy", "tree", &to], flags].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("copied                    2"), "{output:?}");
        let logged = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        (output.stderr, logged)
    };
    let of_objects = |text: &str| text.lines().filter(|line| line.contains("outcome=copied bytes=4")).count();
    let (shown, _) = run(&["-v"]).await;
    assert_eq!(of_objects(&shown), 2, "{shown}");
    assert!(shown.contains("object=tree/one") && !shown.contains("DEBUG"), "{shown}");
    let (shown, _) = run(&["-vv"]).await;
    assert!(of_objects(&shown) == 2 && shown.contains("DEBUG"), "{shown}");
    let (shown, _) = run(&[]).await;
    assert_eq!(of_objects(&shown), 0, "{shown}");
    let (shown, logged) = run(&["-q", "--log-file", "log"]).await;
    assert_eq!((shown.as_str(), of_objects(&logged)), ("", 2), "{logged}");
}

/// Alibaba's service stores no checksums of Amazon's kinds, and its ETags are MD5s.
#[tokio::test(flavor = "multi_thread")]
async fn oss_is_listed_counted_verified_and_synced_as_other_buckets_are() {
    let (fixture, oss) = (Fixture::new(), oss());
    for key in ["in/a", "in/b/c"] {
        oss.set_object(BUCKET, key, key).expect("an object");
    }
    let endpoint = oss.endpoint();
    let one = ["--endpoint", &endpoint, "--credentials", "environment:S3_"];
    let output = fixture.run(&[&["ls", "oss://photos/in"][..], &one].concat()).await;
    let keys: Vec<_> = output.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!((output.code, keys), (Some(0), vec!["a", "b/c"]), "{output:?}");
    let output = fixture.run(&[&["size", "oss://photos", "--json"][..], &one].concat()).await;
    assert_eq!((output.count("objects"), output.count("bytes")), (2, 10), "{output:?}");

    let (from, to) = (at("source", &endpoint, "S3_"), at("destination", &endpoint, "S3_"));
    fixture.write("tree/old", b"old");
    let output = fixture.run(&all(&["sync", "oss://photos/in", "tree", "--yes", "--json"], &[&from])).await;
    assert_eq!((output.code, output.count("copied"), output.count("deleted")), (Some(0), 2, 1), "{output:?}");
    let output = fixture.run(&all(&["sync", "tree", "oss://photos/out", "--yes", "--json"], &[&to])).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 2), "{output:?}");
    let verify = all(&["verify", "oss://photos/in", "oss://photos/out", "--json"], &[&from, &to]);
    let output = fixture.run(&verify).await;
    assert_eq!((output.code, output.count("equal")), (Some(0), 2), "{output:?}");
    oss.set_object(BUCKET, "out/a", "IN/A").expect("another object");
    // What was written in the second in which it begins is left to the next comparison.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let output = fixture.run(&verify).await;
    assert_eq!((output.code, output.count("equal")), (Some(1), 1), "{output:?}");
}
