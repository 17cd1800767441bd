//! Kills at any moment, and a process that is frozen for longer than its leases.

use std::time::Duration;

use sandbox::Operation;

use super::{Rng, ValidStates, times};
use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, ended, gcs, objects, s3, tree};
use crate::resuming::{signal, until};

/// A tree that changes a little now and then, and all that it ever was.
struct Source<'a> {
    fixture: &'a Fixture,
    right: ValidStates,
    chance: Rng,
    versions: u64,
}

impl Source<'_> {
    fn new(fixture: &Fixture) -> Source<'_> {
        Source { fixture, right: ValidStates::default(), chance: Rng::new(), versions: 0 }
    }

    fn write(&mut self, key: &str, size: usize) {
        self.versions += 1;
        let bytes = bytes(size, self.versions);
        self.right.had(key, &bytes);
        self.fixture.write(&format!("tree/{key}"), &bytes);
    }

    fn fill(&mut self) {
        for n in 0..60 {
            self.write(&format!("d{}/{n}", n % 7), [0, 3, 5000, 90_000][n % 4]);
        }
        self.write("large/a", 14 << 20);
        self.write("large/b", (11 << 20) + 5);
    }

    fn change(&mut self) {
        for _ in 0..4 {
            let n = self.chance.below(60) as usize;
            let size = self.chance.below(100_000) as usize;
            self.write(&format!("d{}/{n}", n % 7), size);
        }
        let size = (11 << 20) + self.chance.below(3 << 20) as usize;
        let key = ["large/a", "large/b"][self.chance.below(2) as usize];
        self.write(key, size);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_loses_nothing_shows_nothing_wrong_and_leaves_nothing_open() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let mut source = Source::new(&fixture);
    source.fill();
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos/in"], &[&to])[..], &PARTS].concat();
    let (mut kills, mut ends) = (0, 0);
    for cycle in 0..times(60, 600) {
        let mut child = fixture.start(&[&arguments[..], &["--max-bandwidth", "32MiB"]].concat());
        let moment = Duration::from_millis(source.chance.below(800));
        match tokio::time::timeout(moment, child.wait()).await {
            Err(_) => {
                child.kill().await.expect("killed");
                kills += 1;
            }
            Ok(status) => {
                assert_eq!(status.expect("an end").code(), Some(0), "cycle {cycle}");
                ends += 1;
            }
        }
        if source.chance.below(2) == 0 {
            source.change();
        }
    }
    eprintln!("{kills} kills, {ends} runs to the end");
    assert!(kills > times(10, 150));
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    let there = objects(&gcs, "in/");
    assert!(there == tree(&fixture.path("tree")), "the bucket differs from the tree");
    let prefixed = ValidStates(source.right.0.into_iter().map(|(key, states)| (format!("in/{key}"), states)).collect());
    prefixed.check(&gcs);
    // Once more: everything is known, and nothing is sent.
    let before = gcs.counts();
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("unchanged")), (Some(0), 62), "{output:?}");
    assert_eq!(gcs.counts().of(Operation::PutObject), before.of(Operation::PutObject));
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_between_a_bucket_and_a_directory_leaves_only_whole_files() {
    let (fixture, s3) = (Fixture::new(), s3());
    let mut chance = Rng::new();
    let mut right = ValidStates::default();
    for n in 0..60 {
        let body = bytes(if n < 4 { (9 << 20) + n } else { n * 700 }, n as u64);
        right.had(&format!("k/{n}"), &body);
        s3.set_object(BUCKET, &format!("in/k/{n}"), &body).expect("an object");
    }
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let arguments = [&all(&["s3://photos/in", "to"], &[&from])[..], &PARTS].concat();
    for _ in 0..times(30, 300) {
        let mut child = fixture.start(&[&arguments[..], &["--max-bandwidth", "24MiB"]].concat());
        if tokio::time::timeout(Duration::from_millis(chance.below(1000)), child.wait()).await.is_err() {
            child.kill().await.expect("killed");
        }
        // At any moment a file that has its name is whole.
        if fixture.path("to").exists() {
            for (key, bytes) in tree(&fixture.path("to")) {
                let known = &right.0[std::str::from_utf8(&key).expect("UTF-8")];
                assert!(known.contains(&(bytes.len() as u64, crc32c::crc32c(&bytes))), "{key:?} is not whole");
            }
        }
    }
    assert_eq!(fixture.copy(&arguments).await.code, Some(0));
    assert!(tree(&fixture.path("to")) == objects(&s3, "in/"));
    let uploads = fixture.path("to/.skyferry/uploads");
    assert!(!uploads.exists() || uploads.read_dir().expect("read").next().is_none(), "an upload is left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_frozen_past_its_leases_wakes_and_ends_its_work() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let mut source = Source::new(&fixture);
    source.fill();
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos"], &[&to])[..], &PARTS].concat();
    for _ in 0..times(1, 3) {
        let before = gcs.counts().bytes_received;
        let child = fixture.start(&[&arguments[..], &["--max-bandwidth", "4MiB"]].concat());
        until("bytes", || gcs.counts().bytes_received > before + (2 << 20)).await;
        signal(&child, "STOP");
        // The visibility of a message is a minute.
        tokio::time::sleep(Duration::from_secs(63)).await;
        signal(&child, "CONT");
        let output = ended(child).await;
        assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
        assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
        source.right.check(&gcs);
        source.change();
    }
}
