//! What travels beside the bytes, and what cannot.

use sandbox::{Attributes, Operation};

use crate::running::{Fixture, SINK, SOURCE, created, event, message};

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn content_headers_and_user_metadata_beyond_ascii_arrive() {
    let fixture = Fixture::new().await;
    let content = pairs([
        ("content-type", "text/plain; charset=utf-8"),
        ("content-encoding", "br"),
        ("content-language", "fr, en"),
        ("content-disposition", "attachment; filename=\"a b.txt\""),
        ("cache-control", "max-age=60"),
    ]);
    // As S3 gives a value beyond ASCII: RFC 2047.
    let sent =
        pairs([("plain", "two words"), ("umlaut", "=?UTF-8?B?w7xiZXI=?="), ("quoted", "=?UTF-8?Q?=E4=BD=A0_a?=")]);
    let with = Attributes {
        metadata: sent,
        content: content.clone(),
        storage_class: "STANDARD".into(),
        ..Attributes::default()
    };
    fixture.s3.set_object_with(SOURCE, "k", b"x", with).expect("an object");
    assert_eq!(fixture.drain(&[created("k")]).await.copied, 1);
    let there = fixture.gcs.object(SINK, "k").expect("a copy");
    for (name, value) in &content {
        assert_eq!(there.attributes.content.get(name), Some(value), "{name}");
    }
    let user = &there.attributes.metadata;
    assert_eq!(user.get("plain").map(String::as_str), Some("two words"));
    assert_eq!(
        user.get("umlaut").map(String::as_str),
        Some("=?UTF-8?B?w7xiZXI=?="),
        "the form that any S3 client reads"
    );
    assert_eq!(user.get("quoted").map(String::as_str), Some("=?UTF-8?B?5L2gIGE=?="));
    let modified = fixture.s3.object(SOURCE, "k").expect("the source").modified.as_second().to_string();
    assert_eq!(user.get("skyferry-modified"), Some(&modified), "the time at the source, in seconds");
}

#[tokio::test]
async fn gzip_encoded_empty_and_folder_objects_arrive_byte_for_byte() {
    let fixture = Fixture::new().await;
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 4, 0, 0x43, 0xbe, 0xb7, 0xe8, 1, 0, 0, 0];
    let with = Attributes {
        metadata: pairs([]),
        content: pairs([("content-encoding", "gzip"), ("content-type", "text/plain")]),
        storage_class: "STANDARD".into(),
        ..Attributes::default()
    };
    fixture.s3.set_object_with(SOURCE, "zipped", gzip, with).expect("an object");
    fixture.put("empty", b"");
    fixture.put("folder/", b"");
    fixture.put("folder/in it", b"x");
    let keys = ["zipped", "empty", "folder/", "folder/in it"];
    assert_eq!(fixture.drain(&keys.map(created)).await.copied, 4);
    assert_eq!(fixture.copy("zipped").as_deref(), Some(&gzip[..]));
    let zipped = fixture.gcs.object(SINK, "zipped").expect("a copy");
    assert_eq!(zipped.attributes.content.get("content-encoding").map(String::as_str), Some("gzip"));
    assert_eq!(fixture.copy("empty"), Some(Vec::new()));
    assert_eq!(fixture.copy("folder/"), Some(Vec::new()));
}

#[tokio::test]
async fn metadata_that_the_destination_cannot_hold_parks_its_object_alone() {
    let fixture = Fixture::new().await;
    let with = Attributes {
        metadata: pairs([("long", &"x".repeat(9 << 10))]),
        content: pairs([]),
        storage_class: "STANDARD".into(),
        ..Attributes::default()
    };
    fixture.s3.set_object_with(SOURCE, "too much", b"x", with).expect("an object");
    fixture.put("fine", b"y");
    let summary = fixture.drain(&[created("too much"), created("fine")]).await;
    assert_eq!((summary.parked, summary.copied), (1, 1));
    assert!(fixture.copy("too much").is_none());
}

#[tokio::test]
async fn an_archived_object_is_parked_and_taken_up_when_it_is_restored() {
    for (settings, asked) in [("", 0), ("[transfer]\nrestore = true", 1)] {
        let fixture = Fixture::with(settings).await;
        let archived = Attributes {
            metadata: pairs([]),
            content: pairs([]),
            storage_class: "GLACIER".into(),
            ..Attributes::default()
        };
        fixture.s3.set_object_with(SOURCE, "k", b"from the archive", archived).expect("an object");
        let summary = fixture.drain(&[created("k")]).await;
        assert_eq!((summary.parked, summary.copied), (1, 0));
        assert_eq!(fixture.s3.counts().of(Operation::RestoreObject), asked, "{settings:?}");
        fixture.s3.amend(SOURCE, "k", |info| info.attributes.storage_class = "STANDARD_IA".into());
        let summary = fixture.drain(&[message(&[event("ObjectRestore:Completed", "k")])]).await;
        assert_eq!(summary.copied, 1);
        assert_eq!(fixture.copy("k").as_deref(), Some(&b"from the archive"[..]));
    }
}
