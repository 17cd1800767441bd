//! The same function behind the Runtime API of others, and a large object within the memory that a small function has.

use std::time::Duration;

use sandbox::{CargoLambda, EventSource, GcsOptions, GcsPeer, S3Options, S3Peer, peak_resident};
use serde_json::json;

use crate::fixture::{Fixture, LIST, SINK, SOURCE, eventually};
use crate::functions::{drain, function, source};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_serves_cargo_lambda_s_runtime_api_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let settings = fixture.settings("", "");
    let root = settings.parent().expect("a folder");
    let function = CargoLambda::start(&fixture::program("skyferry-lambda"), "worker", root).await.expect("a function");
    let source = EventSource { cloud: &fixture.cloud, queue: LIST, function: &function, batch: 10 };
    fixture.cloud.put_object("/photos/small%20one", "hello").await.expect("put");
    fixture.cloud.send_message(LIST, "not a job").await.expect("sent");
    eventually("the queue is empty", Duration::from_secs(60), async || {
        if let Some(delivered) = source.poll().await.expect("a poll") {
            assert!(delivered.error.is_none() && delivered.kept.is_empty(), "{delivered:?}\n{}", function.log());
        }
        fixture.messages().await == 0
    })
    .await;
    assert_eq!(fixture.copy("small one"), Some(b"hello".to_vec()), "{}", function.log());
    assert_eq!(fixture.dead_letters().await, 1, "{}", function.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_a_gibibyte_stays_within_the_memory_of_a_512_mb_function_on_ministack() {
    const LIMIT: u64 = 512 * 1024;
    let fixture = Fixture::new(600, 60).await;
    let options = S3Options { buckets: vec![SOURCE.into()], ..S3Options::default() };
    let objects = S3Peer::start(options).expect("an S3 peer");
    let large = objects.put_synthetic(SOURCE, "large", 1 << 30, 7).expect("an object");
    let options = GcsOptions { buckets: vec![SINK.into()], discard: true, ..GcsOptions::default() };
    let copies = GcsPeer::start(options).expect("a GCS peer");
    let (from, to) = (objects.endpoint(), copies.endpoint());
    let environment = [
        ("SKYFERRY__SOURCE__ENDPOINT", &*from),
        ("SKYFERRY__CREDENTIALS__SOURCE__FIELD", "s3"),
        ("SKYFERRY__DESTINATION__ENDPOINT", &*to),
    ];
    let settings = fixture.settings("", "");
    let root = settings.parent().expect("a folder");
    let function = function(root, "worker", Duration::from_secs(100), &environment);
    let job = json!({ "Src_bucket": SOURCE, "Src_key": "large", "Des_bucket": SINK, "Des_key": "backup/large", "Size": large.size });
    fixture.cloud.send_message(LIST, &job.to_string()).await.expect("sent");
    drain(&fixture, &source(&fixture, &function)).await;
    let copy = copies.object(SINK, "backup/large").unwrap_or_else(|| panic!("no copy\n{}", function.log()));
    assert_eq!((copy.size, copy.crc32c), (large.size, large.crc32c));
    let process = function.process().await.expect("it waits for the next event");
    let peak = tokio::spawn(peak_resident(process));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(function);
    let peak = peak.await.expect("looked at");
    eprintln!("at most {} MiB were resident", peak / 1024);
    assert!((1..=LIMIT).contains(&peak), "{peak} KiB");
}
