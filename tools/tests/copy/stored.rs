//! What the flags say about how copies are stored, and what comes of it.

use sandbox::{Operation, S3Options, S3Peer};

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, gcs, s3};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/0af1";

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_demands_encryption_gets_it_and_equal_copies_are_recognised_under_their_key() {
    let (fixture, from) = (Fixture::new(), s3());
    let demands = Some("x-amz-server-side-encryption: aws:kms".to_owned());
    let to = S3Options { buckets: vec![BUCKET.into()], demands, ..S3Options::default() };
    let to = S3Peer::start(to).expect("a peer");
    from.set_object(BUCKET, "small", "small").expect("an object");
    from.set_object(BUCKET, "streamed", bytes(2 << 20, 1)).expect("an object");
    from.set_object(BUCKET, "parts", bytes(11 << 20, 2)).expect("an object");
    let ends = [from.endpoint(), to.endpoint()];
    let flags = [at("source", &ends[0], "S3_"), at("destination", &ends[1], "S3_")];
    let plain = [&all(&["s3://photos", "s3://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    let refused = fixture.copy(&[&plain[..], &["--include", "small"]].concat()).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("s3:PutObject"), "{refused:?}");

    let kms = [&plain[..], &["--encryption", "sse-kms", "--kms-key", KEY, "--bucket-key", "true"]].concat();
    let output = fixture.copy(&kms).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 3), "{output:?}");
    for key in ["small", "streamed", "parts"] {
        let object = to.object(BUCKET, key).expect("a copy");
        let options = &object.attributes.options;
        let option = |name: &str| options.get(&format!("server-side-encryption{name}")).map(String::as_str);
        let found = (option(""), option("-aws-kms-key-id"), option("-bucket-key-enabled"));
        assert_eq!(found, (Some("aws:kms"), Some(KEY), Some("true")), "{key}");
    }
    // Without the state: the listings' ETags differ, and say nothing.
    let sent = to.counts().of(Operation::PutObject);
    let output = fixture.copy(&[&kms[..], &["--restart"]].concat()).await;
    assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 0, 3), "{output:?}");
    assert_eq!(to.counts().of(Operation::PutObject), sent);

    // And as a source.
    let flags = at("source", &ends[1], "S3_");
    let output = fixture.copy(&[&all(&["s3://photos", "back"], &[&flags])[..], &PARTS].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 3), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_cloud_kms_encrypts_small_and_large_copies() {
    let (fixture, from, to) = (Fixture::new(), s3(), gcs());
    from.set_object(BUCKET, "small", "small").expect("an object");
    from.set_object(BUCKET, "parts", bytes(11 << 20, 2)).expect("an object");
    let ends = [from.endpoint(), to.endpoint()];
    let flags = [at("source", &ends[0], "S3_"), at("destination", &ends[1], "GCS_")];
    let plain = [&all(&["s3://photos", "gs://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    let key = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";
    let output = fixture.copy(&[&plain[..], &["--encryption", "cmek", "--kms-key", key]].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 2), "{output:?}");
    for name in ["small", "parts"] {
        let options = to.object(BUCKET, name).expect("a copy").attributes.options.clone();
        assert_eq!(options.get("encryption-kms-key-name").map(String::as_str), Some(key), "{name}");
    }
    let output = fixture.copy(&[&plain[..], &["--encryption", "sse-c"]].concat()).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--encryption") && output.stderr.contains("use sse-kms"), "{output:?}");
}
