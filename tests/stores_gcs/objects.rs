//! Single PUTs, looks, deletes: keys, metadata, preconditions, checksums.

use sandbox::{Fault, GcsOptions, Operation, Rule};
use skyferry_core::digest::Checksum;
use skyferry_core::error::{ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, Revision};
use skyferry_core::store::{ListFrom, Metadata, Sink, WriteAttributes};

use crate::{BUCKET, Rig, at, attributes, bearer, bytes_of, keys, noise, streamed, whole};

const KEYS: [&str; 12] = [
    "a/b",
    "a//b",
    "a/../b",
    "a/./b",
    "../other/y",
    "/abs",
    "trailing/",
    "two words +plus+ 100%25",
    "q?x=1&y=2#z",
    "%2e%2e/%2F",
    "é and e\u{301} and 漢字 and 🚢",
    "=;,:@!$'()*~\"<>\\^`{|}",
];

async fn every_key_survives(rig: &Rig, gcs: &dyn Sink) {
    for key in KEYS {
        let put = gcs.put(&at(key), whole(b"abc"), &attributes(3), &Expected::Absent).await.unwrap();
        assert_eq!(rig.peer.read(BUCKET, key).unwrap(), b"abc", "{key}");
        let head = Sink::head(gcs, &at(key)).await.unwrap().unwrap();
        assert_eq!(Some(head.revision), put.revision);
        assert_eq!(bytes_of(Sink::open(gcs, &at(key)).await.unwrap().unwrap()).await, b"abc");
    }
    let mut expected: Vec<Key> = KEYS.iter().map(|key| Key::from(*key)).collect();
    expected.sort();
    let page = Sink::list(gcs, BUCKET, &Key::default(), ListFrom::Start).await.unwrap();
    let listed: Vec<Key> = page.objects.into_iter().map(|row| row.key).collect();
    assert_eq!(listed, expected);
    let page = Sink::list(gcs, BUCKET, &Key::from("a/"), ListFrom::After(&Key::from("a/./b"))).await.unwrap();
    assert_eq!(page.objects.len(), 2, "a//b and a/b come after a/./b: {:?}", page.objects);
    for key in KEYS {
        gcs.delete(&at(key), &Expected::Any).await.unwrap();
    }
    assert!(rig.peer.objects(BUCKET).is_empty());
}

#[tokio::test]
async fn every_key_keeps_its_bytes_under_a_goog4_signature() {
    let rig = Rig::start();
    every_key_survives(&rig, &rig.gcs()).await;
}

#[tokio::test]
async fn every_key_keeps_its_bytes_with_a_bearer_token_over_tls() {
    let rig = Rig::with(GcsOptions { tls: true, ..GcsOptions::default() });
    every_key_survives(&rig, &rig.client(Side::Destination, vec![bearer()])).await;
}

#[tokio::test]
async fn a_key_that_the_service_cannot_hold_costs_no_request() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let long = "k".repeat(1025);
    for key in ["", ".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", &long] {
        let error = gcs.put(&at(key), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotHold, "{key:?}");
        let error = gcs.delete(&at(key), &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotHold, "{key:?}: an empty key would name the bucket");
        assert_eq!(gcs.begin(&at(key), &attributes(3)).await.unwrap_err().kind, ErrorKind::CannotHold);
    }
    let latin1 = Location::new(BUCKET, Key::new(vec![b'a', 0xe9]));
    let error = gcs.put(&latin1, whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CannotHold);
    let elsewhere = Location::new("bucket/other", "k");
    let error = gcs.put(&elsewhere, whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BucketMissing);
    assert_eq!(rig.peer.counts().total(), 0);
}

#[tokio::test]
async fn a_put_replaces_only_what_was_expected() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let first = gcs.put(&at("k"), whole(b"one"), &attributes(3), &Expected::Absent).await.unwrap();
    let refused = gcs.put(&at("k"), whole(b"two"), &attributes(3), &Expected::Absent).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Precondition);
    let expected = Expected::Revision(first.revision.clone().unwrap());
    let second = gcs.put(&at("k"), whole(b"two"), &attributes(3), &expected).await.unwrap();
    assert_ne!(first.revision, second.revision);
    let refused = gcs.put(&at("k"), whole(b"old"), &attributes(3), &expected).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Precondition);
    let foreign = Expected::Revision(Revision("an-etag".into()));
    let refused = gcs.put(&at("k"), whole(b"old"), &attributes(3), &foreign).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Precondition);
    assert_eq!(rig.peer.read(BUCKET, "k").unwrap(), b"two");
}

#[tokio::test]
async fn a_delete_removes_only_what_was_expected() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let first = gcs.put(&at("k"), whole(b"one"), &attributes(3), &Expected::Any).await.unwrap();
    let second = gcs.put(&at("k"), whole(b"two"), &attributes(3), &Expected::Any).await.unwrap();
    let refused = gcs.delete(&at("k"), &Expected::Revision(first.revision.unwrap())).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Precondition);
    gcs.delete(&at("k"), &Expected::Revision(second.revision.clone().unwrap())).await.unwrap();
    gcs.delete(&at("k"), &Expected::Revision(second.revision.unwrap())).await.unwrap();
    gcs.delete(&at("k"), &Expected::Any).await.unwrap();
    gcs.delete(&at("k"), &Expected::Absent).await.unwrap();
    assert!(rig.peer.object(BUCKET, "k").is_none());
}

#[tokio::test]
async fn metadata_provenance_and_class_arrive_and_come_back() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let metadata = Metadata {
        content_type: Some("text/plain; charset=utf-8".into()),
        content_encoding: Some("gzip".into()),
        content_language: Some("fr, en".into()),
        content_disposition: Some("attachment; filename=\"a b.txt\"".into()),
        cache_control: Some("no-store".into()),
        expires: Some("Thu, 01 Dec 1994 16:00:00 GMT".into()),
        user: [("note", "two words"), ("latin", "naïve"), ("blanks", " a  b ")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        storage_class: Some("GLACIER_IR".into()),
        encryption: None,
        retention: None,
        tags: None,
    };
    let with = WriteAttributes { metadata, ..attributes(3) };
    gcs.put(&at("k"), whole(b"abc"), &with, &Expected::Any).await.unwrap();
    let stored = rig.peer.object(BUCKET, "k").unwrap();
    assert_eq!(stored.attributes.storage_class, "COLDLINE");
    assert_eq!(stored.attributes.metadata["skyferry-token"], with.provenance.token.to_string());
    let head = Sink::head(&gcs, &at("k")).await.unwrap().unwrap();
    let class = Some("COLDLINE".to_owned());
    assert_eq!(head.metadata, Metadata { storage_class: class, ..with.metadata });
    assert_eq!(head.provenance, Some(with.provenance));
    assert_eq!(head.stored.crc32c, Some(Checksum::Full(crc32c::crc32c(b"abc"))));
    assert_eq!(bytes_of(Sink::open(&gcs, &at("k")).await.unwrap().unwrap()).await, b"abc", "not decompressed");
}

#[tokio::test]
async fn what_a_whole_body_is_goes_before_it_so_that_another_is_never_published() {
    let rig = Rig::start();
    rig.peer.faults().add(Rule::on(Operation::PutObject, Fault::FlipRequest(1)));
    let error = rig.gcs().put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(rig.peer.object(BUCKET, "k").is_none());
    assert_eq!(rig.peer.faults().met(), 1);
}

#[tokio::test]
async fn a_stream_is_answered_with_the_checksum_of_what_arrived() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let bytes = noise(3_000_000, 1);
    let sum = Some(Checksum::Full(crc32c::crc32c(&bytes)));
    let put = gcs.put(&at("k"), streamed(bytes.clone(), 70_000), &attributes(3_000_000), &Expected::Any).await.unwrap();
    assert_eq!(put.stored.crc32c, sum);
    rig.peer.faults().add(Rule::on(Operation::PutObject, Fault::FlipRequest(2_000_000)));
    let put = gcs.put(&at("k"), streamed(bytes, 70_000), &attributes(3_000_000), &Expected::Any).await.unwrap();
    assert!(put.stored.crc32c.is_some() && put.stored.crc32c != sum, "the caller sees it");
}

#[tokio::test]
async fn an_empty_object_is_a_put_with_a_length() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    gcs.put(&at("empty"), whole(b""), &attributes(0), &Expected::Absent).await.unwrap();
    gcs.put(&at("streamed"), streamed(Vec::new(), 1), &attributes(0), &Expected::Absent).await.unwrap();
    for key in ["empty", "streamed"] {
        assert_eq!(Sink::head(&gcs, &at(key)).await.unwrap().unwrap().identity.size, 0);
        assert_eq!(bytes_of(Sink::open(&gcs, &at(key)).await.unwrap().unwrap()).await, b"");
    }
}

#[tokio::test]
async fn a_small_put_is_one_request_on_a_kept_connection() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    for i in 0..20 {
        gcs.put(&at(&format!("k{i}")), whole(b"abc"), &attributes(3), &Expected::Absent).await.unwrap();
    }
    let counts = rig.peer.counts();
    assert_eq!((counts.total(), counts.connections), (20, 1));
}

#[tokio::test]
async fn a_put_whose_answer_names_no_generation_claims_none() {
    let rig = Rig::start();
    rig.peer.faults().add(Rule::on(Operation::PutObject, Fault::WithoutHeader("x-goog-generation")));
    let put = rig.gcs().put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap();
    assert_eq!(put.revision, None, "an ETag is no generation");
}

#[tokio::test]
async fn many_puts_at_once_keep_apart() {
    let rig = Rig::start();
    let gcs = std::sync::Arc::new(rig.client(Side::Destination, vec![keys(sandbox::GcsPeer::SECRET)]));
    let tasks: Vec<_> = (0..32u64)
        .map(|i| {
            let gcs = gcs.clone();
            tokio::spawn(async move {
                let body = noise(100_000, i);
                let sum = crc32c::crc32c(&body);
                let (location, with) = (at(&format!("k{i}")), attributes(100_000));
                let put = gcs.put(&location, streamed(body, 10_000), &with, &Expected::Absent).await.unwrap();
                assert_eq!(put.stored.crc32c, Some(Checksum::Full(sum)));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(rig.peer.objects(BUCKET).len(), 32);
}
