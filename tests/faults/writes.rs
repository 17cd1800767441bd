//! A Complete on an S3-like service that stores no checksum: one that takes longer than anything else may (the museum has the
//! others of its kind), and what is known of the copy afterwards.

use std::time::Duration;

use http::Method;

use crate::fixture::{Fixture, LARGE, SOURCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fault_b3_a_complete_on_s3_that_takes_longer_than_the_stall_timeout_is_waited_for() {
    let mut fixture = Fixture::new("generic", |request, right| {
        if request.method == Method::POST && request.target.contains("uploadId") {
            std::thread::sleep(Duration::from_secs(3));
        }
        right()
    });
    fixture.transfer = "stall_timeout = \"1s\"";
    let body = "x".repeat(LARGE);
    fixture.put(SOURCE, "k", body.as_bytes());
    let ran = fixture.run(&[(SOURCE, "k")]).await;
    assert_eq!((ran.summary.copied, ran.summary.parked), (1, 0), "{:?}", ran.reasons);
    assert_eq!((ran.count(Method::POST, "uploads"), ran.count(Method::POST, "uploadId")), (1, 1));
    assert_eq!((ran.count(Method::PUT, "partNumber"), ran.count(Method::DELETE, "")), (2, 0));
    assert!(fixture.copy("k").is_some_and(|copy| copy == body));
}

#[tokio::test]
async fn a_large_copy_is_read_back_only_where_its_etag_is_not_made_of_its_parts() {
    for (key, reads) in [("k", 0), ("opaque", 1)] {
        let fixture = Fixture::new("generic", |_, right| right());
        let body = "x".repeat(LARGE);
        fixture.put(SOURCE, key, body.as_bytes());
        let ran = fixture.run(&[(SOURCE, key)]).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (1, 0), "{:?}", ran.reasons);
        assert_eq!((ran.count(Method::PUT, "partNumber"), ran.count(Method::GET, "/copies/")), (2, reads), "{key}");
        assert!(fixture.copy(key).is_some_and(|copy| copy == body));
    }
}
