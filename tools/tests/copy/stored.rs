//! What the flags say about how copies are stored and what they may replace, and what comes of it.

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

/// What a bucket keeps about an object.
fn option(peer: &sandbox::StorePeer, key: &str, name: &str) -> Option<String> {
    peer.object(BUCKET, key).expect("a copy").attributes.options.get(name).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn class_acl_retention_and_custom_time_are_those_that_are_asked_for_on_both_services() {
    let (fixture, from, gcs) = (Fixture::new(), s3(), gcs());
    for (key, class) in [("a", "STANDARD"), ("b", "INTELLIGENT_TIERING"), ("c", "GLACIER_IR"), ("d", "EXPRESS_ONEZONE")]
    {
        from.set_object(BUCKET, key, key).expect("an object");
        from.amend(BUCKET, key, |object| object.attributes.storage_class = class.into());
    }
    from.set_object(BUCKET, "parts", bytes(11 << 20, 2)).expect("an object");
    let until = "2099-01-01T00:00:00Z";
    from.amend(BUCKET, "a", |object| {
        let lock = [("object-lock-mode", "COMPLIANCE"), ("object-lock-retain-until-date", until)];
        object.attributes.options = lock.map(|(name, value)| (name.into(), value.into())).into();
    });
    let ends = [from.endpoint(), gcs.endpoint()];
    let flags = [at("source", &ends[0], "S3_"), at("destination", &ends[1], "GCS_")];
    let there = [&all(&["s3://photos", "gs://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    let asked = ["--storage-class", "source", "--custom-time", "modified", "--retention", "source"];
    let output = fixture.copy(&[&there[..], &asked].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 5), "{output:?}");
    let class =
        |peer: &sandbox::StorePeer, key| peer.object(BUCKET, key).expect("there").attributes.storage_class.clone();
    assert_eq!(["a", "b", "c", "d"].map(|key| class(&gcs, key)), ["STANDARD", "NEARLINE", "COLDLINE", "STANDARD"]);
    for key in ["a", "parts"] {
        let modified = from.object(BUCKET, key).expect("there").modified.as_second();
        let time: jiff::Timestamp = option(&gcs, key, "custom-time").expect("a time").parse().expect("RFC 3339");
        assert_eq!(time.as_second(), modified, "{key}");
    }
    assert_eq!(option(&gcs, "a", "object-lock-mode").as_deref(), Some("COMPLIANCE"));
    assert_eq!(option(&gcs, "a", "object-lock-retain-until-date").as_deref(), Some(until));
    assert_eq!(option(&gcs, "b", "object-lock-mode"), None);

    let back = s3();
    let ends = [gcs.endpoint(), back.endpoint()];
    let flags = [at("source", &ends[0], "GCS_"), at("destination", &ends[1], "S3_")];
    let again = [&all(&["gs://photos", "s3://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    let asked = ["--storage-class", "source", "--acl", "bucket-owner-full-control", "--retention", "source"];
    let output = fixture.copy(&[&again[..], &asked].concat()).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 5), "{output:?}");
    assert_eq!(["a", "b", "c"].map(|key| class(&back, key)), ["STANDARD", "STANDARD_IA", "GLACIER_IR"]);
    for key in ["a", "parts"] {
        assert_eq!(option(&back, key, "acl").as_deref(), Some("bucket-owner-full-control"), "{key}");
    }
    assert_eq!(option(&back, "a", "object-lock-mode").as_deref(), Some("COMPLIANCE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_replaced_stays_and_is_reported_as_skipped_with_the_reason() {
    for service in ["gs", "s3"] {
        let (fixture, from) = (Fixture::new(), s3());
        let (google, amazon) = (gcs(), s3());
        let (peer, keys): (&sandbox::StorePeer, _) = if service == "gs" { (&google, "GCS_") } else { (&amazon, "S3_") };
        let ends = [from.endpoint(), peer.endpoint()];
        let flags = [at("source", &ends[0], "S3_"), at("destination", &ends[1], keys)];
        let destination = format!("{service}://photos");
        let plain = [&all(&["s3://photos", &destination], &[&flags[0], &flags[1]])[..], &PARTS].concat();
        let large = bytes(11 << 20, 7);
        for key in ["theirs", "ours", "new"] {
            from.set_object(BUCKET, key, "first").expect("an object");
        }
        from.set_object(BUCKET, "theirs, large", large.clone()).expect("an object");
        for key in ["theirs", "theirs, large"] {
            peer.set_object(BUCKET, key, "theirs").expect("an object");
        }
        let never = [&plain[..], &["--overwrite", "never", "-v"]].concat();
        let output = fixture.copy(&never).await;
        assert_eq!((output.code, output.count("copied"), output.count("skipped")), (Some(0), 2, 2), "{output:?}");
        assert!(output.stderr.contains("not a copy by Skyferry"), "{output:?}");
        from.set_object(BUCKET, "ours", "second").expect("an object");
        let output = fixture.copy(&[&never[..], &["--restart"]].concat()).await;
        assert_eq!((output.count("copied"), output.count("skipped")), (0, 3), "{service} {output:?}");
        assert!(output.stderr.contains("the copy of an earlier state"), "{output:?}");
        let holds = |key: &str| peer.read(BUCKET, key).expect("there");
        assert_eq!([holds("theirs"), holds("ours")], [b"theirs".to_vec(), b"first".to_vec()]);
        assert!(peer.open_uploads(BUCKET).is_empty());

        // Older than the source's: the copy of its earlier state, and what somebody put there before.
        from.amend(BUCKET, "theirs", |object| object.modified = jiff::Timestamp::from_second(1_000_000_000).unwrap());
        let output = fixture.copy(&[&plain[..], &["--overwrite", "if-older", "--restart"]].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!([holds("theirs"), holds("ours")], [b"theirs".to_vec(), b"second".to_vec()]);
        let output = fixture.copy(&[&plain[..], &["--restart"]].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!((holds("theirs"), holds("theirs, large")), (b"first".to_vec(), large));
    }
}
