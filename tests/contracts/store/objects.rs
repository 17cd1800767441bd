//! One object: its bytes, its key, what lies beside it, and how it is read.

use std::collections::BTreeMap;

use bytes::Bytes;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, Location};
use skyferry_core::store::{ListFrom, Metadata, Payload, Pin};

use super::{ODD_KEYS, Subject, attributes, breaking, bytes, collect, digests, kind, streamed};

pub async fn what_is_written_is_read_back(on: Subject) {
    for length in [1, 4096, 1_000_001] {
        let content = bytes(length, 1);
        on.put("whole", &content).await;
        assert!(on.read("whole").await.as_ref() == Some(&content), "{length} whole");
        on.try_put("streamed", streamed(&content), &Expected::Any).await.expect("written");
        assert!(on.read("streamed").await.as_ref() == Some(&content), "{length} streamed");
        let object = on.head("streamed").await.expect("there");
        assert_eq!(object.identity.size, length as u64);
    }
}

pub async fn an_empty_object_is_an_object(on: Subject) {
    on.put("empty", &Bytes::new()).await;
    on.try_put("streamed", streamed(&Bytes::new()), &Expected::Any).await.expect("written");
    for key in ["empty", "streamed"] {
        assert_eq!(on.read(key).await, Some(Bytes::new()));
        assert_eq!(on.head(key).await.expect("there").identity.size, 0);
    }
    assert_eq!(on.keys("").await, ["empty", "streamed"]);
}

pub async fn a_write_replaces_the_whole_object(on: Subject) {
    on.put("a", &bytes(5000, 1)).await;
    on.put("a", &bytes(10, 2)).await;
    assert_eq!(on.read("a").await, Some(bytes(10, 2)));
}

/// `a` and `a/b` in one bucket are one matter, the keys' bytes another: each is tried in a bucket without the others.
pub async fn odd_keys_are_kept_byte_for_byte(on: Subject) {
    for key in ODD_KEYS {
        let content = Bytes::from(key);
        let answer = on.try_put(key, Payload::Whole(content.clone()), &Expected::Absent).await;
        if on.can.refused_keys.contains(&key) {
            assert_eq!(kind(answer), ErrorKind::CannotHold, "{key:?}");
            continue;
        }
        answer.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(on.read(key).await, Some(content), "{key:?}");
        assert_eq!(on.keys("").await, [key]);
        on.sink.delete(&on.at(key), &Expected::Any).await.expect("deleted");
        assert_eq!(on.keys("").await, [""; 0], "{key:?} is gone");
    }
}

pub async fn keys_that_look_alike_are_different_objects(on: Subject) {
    let alike =
        ["x/a//b", "x/a/b", "x/a b", "x/a+b", "x/a%20b", "x/caf\u{e9}", "x/cafe\u{301}", "x/A", "x/%2F", "x/%252F"];
    for key in alike {
        let answer = on.try_put(key, Payload::Whole(Bytes::from(key)), &Expected::Absent).await;
        answer.unwrap_or_else(|error| panic!("{key:?}: {error}"));
    }
    for key in alike {
        assert_eq!(on.read(key).await, Some(Bytes::from(key)), "{key:?}");
    }
    let mut sorted = alike.map(str::to_string);
    sorted.sort();
    assert_eq!(on.keys("x/").await, sorted);
}

pub async fn metadata_comes_back(on: Subject) {
    let user = BTreeMap::from([("colour".into(), "blue".into()), ("two-words".into(), "with a space".into())]);
    let headers = Metadata {
        content_type: Some("image/svg+xml".into()),
        content_language: Some("de-CH".into()),
        content_disposition: Some("attachment; filename=\"x.svg\"".into()),
        cache_control: Some("max-age=60".into()),
        user,
        ..Metadata::default()
    };
    let mut with = attributes(3);
    with.metadata = headers.clone();
    on.sink.put(&on.at("a"), Payload::Whole("abc".into()), &with, &Expected::Any).await.expect("written");
    let seen = on.source.head(&on.at("a"), &Pin::Newest).await.expect("looked at").expect("there").metadata;
    assert_eq!((&seen.content_type, &seen.user), (&headers.content_type, &headers.user));
    if on.can.all_headers {
        assert_eq!(Metadata { storage_class: None, encryption: None, retention: None, ..seen }, headers);
    }
}

pub async fn provenance_comes_back_and_is_no_users_metadata(on: Subject) {
    let with = attributes(3);
    on.sink.put(&on.at("a"), Payload::Whole("abc".into()), &with, &Expected::Any).await.expect("written");
    let object = on.head("a").await.expect("there");
    assert_eq!(on.can.capabilities.metadata, object.provenance.is_some());
    assert_eq!(object.provenance, Some(with.provenance));
    assert!(object.metadata.user.is_empty(), "{:?}", object.metadata.user);
    let opened = on.sink.open(&on.at("a")).await.expect("opened").expect("there");
    assert_eq!(opened.object.provenance, object.provenance);
}

pub async fn the_checksums_told_are_those_of_the_bytes(on: Subject) {
    let content = bytes(70_000, 3);
    for payload in [Payload::Whole(content.clone()), streamed(&content)] {
        let published = on.try_put("a", payload, &Expected::Any).await.expect("written");
        let verdict = published.stored.compare(&digests(&content));
        assert!(!verdict.is_mismatch(), "{verdict:?}");
        let object = on.head("a").await.expect("there");
        let verdict = object.stored.compare(&digests(&content));
        assert!(!verdict.is_mismatch(), "{verdict:?}");
        assert_eq!(Some(object.revision), published.revision, "a look tells the revision that the write did");
    }
}

pub async fn a_body_that_breaks_off_publishes_nothing(on: Subject) {
    let content = bytes(300_000, 4);
    assert!(on.try_put("new", breaking(&content, 500_000), &Expected::Any).await.is_err());
    assert!(on.head("new").await.is_none());
    on.put("old", &content).await;
    assert!(on.try_put("old", breaking(&content, 500_000), &Expected::Any).await.is_err());
    assert!(on.read("old").await == Some(content), "what was there stays");
    assert_eq!(on.keys("").await, ["old"]);
}

pub async fn a_body_of_another_length_than_announced_publishes_nothing(on: Subject) {
    let content = bytes(300_000, 5);
    for announced in [299_999, 300_001, 1] {
        let payload = Payload::Stream { length: announced, chunks: super::chunks(&content), crc32c: None };
        assert!(on.try_put("a", payload, &Expected::Any).await.is_err(), "announced as {announced}");
        assert!(on.head("a").await.is_none(), "announced as {announced}");
    }
}

pub async fn nothing_there_is_no_error(on: Subject) {
    let at = on.at("no/such");
    assert!(on.source.head(&at, &Pin::Newest).await.expect("an answer").is_none());
    assert!(on.source.open(&at, &Pin::Newest, None).await.expect("an answer").is_none());
    assert!(on.head("no/such").await.is_none());
    assert!(on.sink.open(&at).await.expect("an answer").is_none());
}

pub async fn a_missing_bucket_is_told_as_such(on: Subject) {
    let bucket = "skyferry-no-such-bucket";
    assert_eq!(kind(on.source.list(bucket, &Key::default(), ListFrom::Start).await), ErrorKind::BucketMissing);
    let at = Location::new(bucket, "a");
    let answer = on.sink.put(&at, Payload::Whole("a".into()), &attributes(1), &Expected::Any).await;
    assert_eq!(kind(answer), ErrorKind::BucketMissing);
}

pub async fn a_range_is_read_and_no_more(on: Subject) {
    let content = bytes(700_000, 6);
    on.put("a", &content).await;
    for range in [0..1, 0..700_000, 300_000..600_001, 699_999..700_000] {
        let opened = on.source.open(&on.at("a"), &Pin::Newest, Some(range.clone())).await.expect("opened");
        assert_eq!(opened.as_ref().expect("there").object.identity.size, 700_000, "the object's, not the range's");
        let read = collect(opened).await.expect("there");
        assert!(read == content.slice(range.start as usize..range.end as usize), "{range:?}");
    }
}

pub async fn a_pinned_read_gives_that_state_or_says_that_it_changed(on: Subject) {
    let (old, new) = (bytes(1000, 7), bytes(1000, 8));
    on.put("a", &old).await;
    let identity = on.source.head(&on.at("a"), &Pin::Newest).await.expect("looked at").expect("there").identity;
    let pin = Pin::State { identity, by_version: false };
    let opened = on.source.open(&on.at("a"), &pin, Some(10..20)).await.expect("opened");
    assert_eq!(collect(opened).await, Some(old.slice(10..20)));
    on.put("a", &new).await;
    assert_eq!(kind(on.source.head(&on.at("a"), &pin).await), ErrorKind::SourceChanged);
    assert_eq!(kind(on.source.open(&on.at("a"), &pin, None).await), ErrorKind::SourceChanged);
    assert_eq!(kind(on.source.open(&on.at("a"), &pin, Some(10..20)).await), ErrorKind::SourceChanged);
}

pub async fn what_is_opened_tells_the_same_as_a_look(on: Subject) {
    on.put("a", &bytes(100, 9)).await;
    let looked = on.source.head(&on.at("a"), &Pin::Newest).await.expect("looked at").expect("there");
    let opened = on.source.open(&on.at("a"), &Pin::Newest, None).await.expect("opened").expect("there").object;
    assert_eq!(
        (looked.identity, looked.revision, looked.metadata),
        (opened.identity, opened.revision, opened.metadata)
    );
}
