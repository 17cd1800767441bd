//! After the state was forgotten, at a service that stores no checksums: what is there is proven, and nothing is sent again.

use sandbox::{Operation, S3Options, S3Peer};

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes};

/// An S3 without checksums of its own.
fn plain(bucket: &str) -> S3Peer {
    let options = S3Options { buckets: vec![bucket.into()], default_checksum: false, ..S3Options::default() };
    S3Peer::start(options).expect("an S3 peer")
}

async fn sends_nothing_again(fixture: &Fixture, to: &S3Peer, arguments: &[&str], count: u64) {
    let output = fixture.copy(arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), count), "{output:?}");
    let states = to.publications().len();
    for _ in 0..2 {
        let output = fixture.copy(&[arguments, &["--restart"]].concat()).await;
        let counts = (output.count("copied"), output.count("unchanged"), output.count("bytes"));
        assert_eq!((output.code, counts), (Some(0), (0, count, 0)), "{output:?}");
    }
    assert_eq!(to.publications().len(), states);
    assert_eq!(to.counts().of(Operation::CreateUpload), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b13_a_copy_onto_a_generic_service_is_unchanged_after_restart() {
    let fixture = Fixture::new();
    let (from, to) = (plain("from"), plain(BUCKET));
    let (from_at, to_at) = (from.endpoint(), to.endpoint());
    let sides = [at("source", &from_at, "S3_"), at("destination", &to_at, "S3_")];
    for (key, size) in [("small", 20), ("one PUT", 3 << 20), ("parts", 12 << 20)] {
        from.set_object("from", key, bytes(size, 1)).expect("an object");
    }
    let generic = ["--destination-profile", "generic"];
    let arguments = all(&["s3://from", "s3://photos/a"], &[&sides[0], &sides[1]]);
    sends_nothing_again(&fixture, &to, &[&arguments[..], &generic, &PARTS].concat(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b13_files_onto_a_generic_service_are_unchanged_after_restart() {
    let (fixture, to) = (Fixture::new(), plain(BUCKET));
    let to_at = to.endpoint();
    for (name, size) in [("tree/small", 20), ("tree/one PUT", 3 << 20), ("tree/parts", 12 << 20)] {
        fixture.write(name, &bytes(size, 1));
    }
    let flags = at("destination", &to_at, "S3_");
    let generic = ["--destination-profile", "generic"];
    let arguments = all(&["tree", "s3://photos"], &[&flags]);
    sends_nothing_again(&fixture, &to, &[&arguments[..], &generic, &PARTS].concat(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_c11_objects_that_go_into_an_archive_are_copied_and_never_parked_for_it() {
    // Where the ETag is not the MD5 nothing is known of a copy but that it was taken.
    for (md5, class) in [(true, "DEEP_ARCHIVE"), (false, "GLACIER")] {
        let fixture = Fixture::new();
        let options = S3Options { md5, default_checksum: false, ..S3Options::default() };
        let peer = |bucket: &str| S3Peer::start(S3Options { buckets: vec![bucket.into()], ..options.clone() });
        let (from, to) = (peer("from").expect("an S3 peer"), peer(BUCKET).expect("an S3 peer"));
        let (from_at, to_at) = (from.endpoint(), to.endpoint());
        let sides = [at("source", &from_at, "S3_"), at("destination", &to_at, "S3_")];
        let objects = [("small", 20), ("one PUT", 3 << 20), ("parts", 12 << 20)];
        let objects = &objects[..if md5 { 3 } else { 2 }];
        for (key, size) in objects {
            from.set_object("from", key, bytes(*size, 1)).expect("an object");
        }
        let generic = ["--destination-profile", "generic", "--storage-class", class];
        let arguments = all(&["s3://from", "s3://photos/a"], &[&sides[0], &sides[1]]);
        let arguments = [&arguments[..], &generic, &PARTS].concat();
        let output = fixture.copy(&arguments).await;
        let count = objects.len() as u64;
        assert_eq!((output.code, output.count("copied"), output.count("parked")), (Some(0), count, 0), "{output:?}");
        assert_eq!(to.object(BUCKET, "a/small").expect("there").attributes.storage_class, class);
        let states = to.publications().len();
        let output = fixture.copy(&[&arguments[..], &["--restart"]].concat()).await;
        assert_eq!((output.code, output.count("unchanged")), (Some(0), count), "{output:?}");
        assert_eq!(to.publications().len(), states, "nothing is sent again");
    }
}
