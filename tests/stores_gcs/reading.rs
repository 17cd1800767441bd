//! Reading as a source: pins, ranges, absence, listings of many pages.

use sandbox::{Access, Fault, Operation, Rule};
use skyferry_core::error::{ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location};
use skyferry_core::store::{ListFrom, Pin, Sink as _, Source};

use crate::{BUCKET, Rig, at, attributes, bytes_of, noise, whole};

#[tokio::test]
async fn a_pinned_read_gives_that_state_or_an_error() {
    let rig = Rig::start();
    let gcs = rig.source();
    rig.peer.set_object(BUCKET, "k", b"first").unwrap();
    let identity = Source::head(&gcs, &at("k"), &Pin::Newest).await.unwrap().unwrap().identity;
    for by_version in [false, true] {
        let pin = Pin::State { identity: identity.clone(), by_version };
        assert_eq!(bytes_of(Source::open(&gcs, &at("k"), &pin, None).await.unwrap().unwrap()).await, b"first");
        assert_eq!(Source::head(&gcs, &at("k"), &pin).await.unwrap().unwrap().identity, identity);
    }
    rig.peer.set_object(BUCKET, "k", b"other").unwrap();
    for by_version in [false, true] {
        let pin = Pin::State { identity: identity.clone(), by_version };
        assert_eq!(Source::open(&gcs, &at("k"), &pin, None).await.err().unwrap().kind, ErrorKind::SourceChanged);
        assert_eq!(Source::head(&gcs, &at("k"), &pin).await.err().unwrap().kind, ErrorKind::SourceChanged);
    }
    rig.peer.set_object(BUCKET, "k", b"first").unwrap();
    let pin = Pin::State { identity: identity.clone(), by_version: false };
    let error = Source::open(&gcs, &at("k"), &pin, None).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::SourceChanged, "the same bytes and ETag, another generation");
    rig.peer.remove_object(BUCKET, "k");
    let pin = Pin::State { identity, by_version: false };
    assert_eq!(Source::open(&gcs, &at("k"), &pin, None).await.err().unwrap().kind, ErrorKind::SourceChanged);
}

#[tokio::test]
async fn a_range_gives_exactly_its_bytes() {
    let rig = Rig::start();
    let gcs = rig.source();
    let bytes = noise(1_000_000, 7);
    rig.peer.set_object(BUCKET, "k", &bytes).unwrap();
    for range in [0..1, 999_999..1_000_000, 10..500_000, 0..1_000_000] {
        let expected = &bytes[range.start as usize..range.end as usize];
        let opened = Source::open(&gcs, &at("k"), &Pin::Newest, Some(range)).await.unwrap().unwrap();
        assert_eq!(opened.object.identity.size, 1_000_000);
        assert_eq!(bytes_of(opened).await, expected);
    }
    let behind = Source::open(&gcs, &at("k"), &Pin::Newest, Some(1_000_000..1_000_001)).await;
    assert_eq!(behind.err().unwrap().kind, ErrorKind::SourceChanged);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_lies_about_its_length_is_an_error() {
    let rig = Rig::start();
    let gcs = rig.source();
    rig.peer.set_object(BUCKET, "k", noise(1_000_000, 7)).unwrap();
    rig.peer.faults().add(Rule::on(Operation::GetObject, Fault::CutResponse(500_000)));
    let mut chunks = Source::open(&gcs, &at("k"), &Pin::Newest, None).await.unwrap().unwrap().chunks;
    let mut last = None;
    while let Some(chunk) = futures_util::StreamExt::next(&mut chunks).await {
        last = Some(chunk.map(|_| ()));
    }
    assert_eq!(last.unwrap().unwrap_err().kind, ErrorKind::Unavailable);
    let lie = Fault::Header("x-goog-stored-content-length", "999999".into());
    rig.peer.faults().add(Rule::on(Operation::GetObject, lie).times(3));
    assert_eq!(Source::open(&gcs, &at("k"), &Pin::Newest, None).await.err().unwrap().kind, ErrorKind::InvalidAnswer);
}

#[tokio::test]
async fn a_missing_object_is_none_and_a_missing_bucket_is_an_error() {
    let rig = Rig::start();
    let gcs = rig.source();
    assert!(Source::head(&gcs, &at("k"), &Pin::Newest).await.unwrap().is_none());
    assert!(Source::open(&gcs, &at("k"), &Pin::Newest, None).await.unwrap().is_none());
    assert!(Source::head(&gcs, &at("a\nb"), &Pin::Newest).await.unwrap().is_none(), "no object can have this key");
    let elsewhere = Location::new("not-there", "k");
    assert_eq!(Source::head(&gcs, &elsewhere, &Pin::Newest).await.unwrap_err().kind, ErrorKind::BucketMissing);
    assert_eq!(Source::open(&gcs, &elsewhere, &Pin::Newest, None).await.err().unwrap().kind, ErrorKind::BucketMissing);
    let error = Source::list(&gcs, "not-there", &Key::default(), ListFrom::Start).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BucketMissing);
}

#[tokio::test]
async fn a_denied_head_is_an_error_and_never_none() {
    let rig = Rig::start();
    rig.peer.set_object(BUCKET, "k", b"abc").unwrap();
    rig.peer.set_access(BUCKET, Access::WriteOnly);
    let error = Source::head(&rig.source(), &at("k"), &Pin::Newest).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("AccessDenied"), "the GET gave the words: {error}");
    let stranger = rig.client(Side::Source, vec![crate::keys("wrong")]);
    assert_eq!(Source::head(&stranger, &at("k"), &Pin::Newest).await.unwrap_err().kind, ErrorKind::Credentials);
}

#[tokio::test]
async fn a_listing_of_many_pages_has_every_key_once_and_in_order() {
    let rig = Rig::start();
    let gcs = rig.source();
    let mut expected: Vec<Key> = (0..2500).map(|i| Key::from(format!("p/{i} +%é").as_str())).collect();
    for key in &expected {
        rig.peer.set_object(BUCKET, key.as_str().unwrap(), b"x").unwrap();
    }
    rig.peer.set_object(BUCKET, "q", b"x").unwrap();
    expected.sort();
    let (mut found, mut token) = (Vec::new(), None::<String>);
    loop {
        let from = token.as_deref().map_or(ListFrom::Start, ListFrom::Token);
        let page = Source::list(&gcs, BUCKET, &Key::from("p/"), from).await.unwrap();
        found.extend(page.objects.into_iter().map(|row| row.key));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert!(rig.peer.counts().of(Operation::ListObjects) >= 3);
}

#[tokio::test]
async fn reads_are_tried_again_and_writes_are_not() {
    let rig = Rig::start();
    let gcs = rig.source();
    rig.peer.set_object(BUCKET, "k", b"abc").unwrap();
    let down = |operation| {
        let fault = Fault::Refuse { status: 503, code: "ServiceUnavailable".into(), retry_after: None };
        Rule::on(operation, fault).times(2)
    };
    for operation in [Operation::HeadObject, Operation::GetObject, Operation::ListObjects] {
        rig.peer.faults().add(down(operation));
    }
    assert!(Source::head(&gcs, &at("k"), &Pin::Newest).await.unwrap().is_some());
    assert_eq!(bytes_of(Source::open(&gcs, &at("k"), &Pin::Newest, None).await.unwrap().unwrap()).await, b"abc");
    assert_eq!(Source::list(&gcs, BUCKET, &Key::default(), ListFrom::Start).await.unwrap().objects.len(), 1);
    assert_eq!(rig.peer.faults().met(), 6);
    rig.peer.faults().add(down(Operation::PutObject));
    let error = rig.gcs().put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert_eq!(rig.peer.counts().of(Operation::PutObject), 1);
}
