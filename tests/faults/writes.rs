//! A Complete that takes longer than anything else may, on an S3-like service. (The museum has the others of its kind.)

use std::time::Duration;

use http::Method;

use crate::stage::{LARGE, SOURCE, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fault_b3_a_complete_on_s3_that_takes_longer_than_the_stall_timeout_is_waited_for() {
    let mut stage = Stage::new("generic", |request, right| {
        if request.method == Method::POST && request.target.contains("uploadId") {
            std::thread::sleep(Duration::from_secs(3));
        }
        right()
    });
    stage.transfer = "stall_timeout = \"1s\"";
    let body = "x".repeat(LARGE);
    stage.put(SOURCE, "k", body.as_bytes());
    let ran = stage.run(&[(SOURCE, "k")]).await;
    assert_eq!((ran.summary.copied, ran.summary.parked), (1, 0), "{:?}", ran.reasons);
    assert_eq!((ran.count(Method::POST, "uploads"), ran.count(Method::POST, "uploadId")), (1, 1));
    assert_eq!((ran.count(Method::PUT, "partNumber"), ran.count(Method::DELETE, "")), (2, 0));
    assert!(stage.copy("k").is_some_and(|copy| copy == body));
}
