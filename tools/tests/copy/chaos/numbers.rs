//! Numbers that are promised: thousands of files to foreign and strict servers and back, and a listing of a million keys in
//! little memory.

use std::path::Path;
use std::time::Instant;

use sandbox::{S3Options, S3Peer, SeaweedFs, peak_resident};

use super::times;
use crate::fixture::{BUCKET, Fixture, all, at, bytes, ended, gcs, tree, write};

fn fill(root: &Path, count: usize) -> u64 {
    let mut total = 0;
    for n in 0..count {
        let size = match n % 250 {
            0 => 9 << 20,
            k if k % 10 == 0 => 300_000,
            k => (k * 37) % 20_000,
        };
        total += size as u64;
        write(&root.join(format!("{}/{}/file-{n}", n % 13, n % 5)), &bytes(size, n as u64));
    }
    total
}

async fn there_and_back(fixture: &Fixture, url: &str, flags: [[String; 4]; 2], what: &str) {
    let count = times(1000, 5000);
    let total = fill(&fixture.path("tree"), count);
    let large = ["--multipart-threshold", "8MiB"];
    let begun = Instant::now();
    let output = fixture.copy(&[&all(&["tree", url], &[&flags[1]])[..], &large].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), count as u64), "{output:?}");
    let (up, begun) = (begun.elapsed(), Instant::now());
    let output = fixture.copy(&[&all(&[url, "back"], &[&flags[0]])[..], &large].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), count as u64), "{output:?}");
    eprintln!("{count} files, {} MiB: to {what} in {up:?}, back in {:?}", total >> 20, begun.elapsed());
    assert!(tree(&fixture.path("tree")) == tree(&fixture.path("back")), "the trees differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_gets_and_gives_back_thousands_of_mixed_files() {
    let seaweedfs = SeaweedFs::start(&[BUCKET]).await.expect("SeaweedFS");
    let fixture = Fixture::new();
    let keys =
        serde_json::json!({"aws_access_key_id": SeaweedFs::ACCESS_ID, "aws_secret_access_key": SeaweedFs::SECRET});
    fixture.write("keys.json", keys.to_string().as_bytes());
    let endpoint = seaweedfs.endpoint();
    let flags = ["source", "destination"].map(|side| {
        let [url, endpoint, credentials, _] = at(side, &endpoint, "");
        [url, endpoint, credentials, "file:keys.json".to_owned()]
    });
    there_and_back(&fixture, "s3://photos/tree", flags, "SeaweedFS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gcs_gets_and_gives_back_thousands_of_mixed_files() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let endpoint = gcs.endpoint();
    let flags = ["source", "destination"].map(|side| at(side, &endpoint, "GCS_"));
    there_and_back(&fixture, "gs://photos/tree", flags, "the GCS peer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_keys_are_listed_in_less_than_64_mib() {
    let count = times(200_000, 1_000_000);
    let peer = S3Peer::start(S3Options { buckets: vec![BUCKET.into()], ..S3Options::default() }).expect("an S3 peer");
    for n in 0..count {
        peer.put_synthetic(BUCKET, &format!("some/folder/{}/object-{n:07}.dat", n % 100), 0, 1).expect("an object");
    }
    let fixture = Fixture::new();
    let endpoint = peer.endpoint();
    let from = at("source", &endpoint, "S3_");
    let mut arguments = all(&["s3://photos/some", "to"], &[&from]);
    // Filters are applied to every row; only the listing moves.
    arguments.extend(["--exclude", "*"]);
    let begun = Instant::now();
    let child = fixture.start(&arguments);
    let watch = tokio::spawn(peak_resident(child.id().expect("it runs")));
    let output = ended(child).await;
    assert_eq!((output.code, output.count("skipped")), (Some(0), count as u64), "{output:?}");
    let most = watch.await.expect("watched");
    eprintln!("{count} keys in {:?}, {} MiB resident at most", begun.elapsed(), most >> 10);
    assert!((1..64 << 10).contains(&most), "{most} KiB resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b14_the_memory_of_a_copy_between_directories_does_not_grow_with_its_files() {
    let fixture = Fixture::new();
    let mut peaks = Vec::new();
    for (from, to, count) in [("few", "to few", 1000), ("many", "to many", times(6000, 200_000))] {
        for n in 0..count {
            write(&fixture.path(&format!("{from}/{}/file-{n}", n % 100)), b"a small file");
        }
        let mut child = fixture.start(&[from, to]);
        let process = child.id().expect("it runs");
        let watch = tokio::spawn(peak_resident(process));
        let mut threads = 0;
        while child.try_wait().expect("watched").is_none() {
            let tasks = std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
            threads = threads.max(tasks);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let output = ended(child).await;
        assert_eq!((output.code, output.count("copied")), (Some(0), count as u64), "{output:?}");
        peaks.push(watch.await.expect("watched"));
        eprintln!("{count} files: {} MiB resident at most, {threads} threads", peaks[peaks.len() - 1] >> 10);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(threads <= 16 + workers + 4, "{threads} threads");
    }
    assert!(peaks[0] > 0 && peaks[1] < peaks[0] + (16 << 10), "{peaks:?} KiB resident");
}
