//! Envelopes, and what they wrap.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{any_record, event, malformed, only};
use super::*;
use crate::model::Key;

fn sns(message: &str) -> String {
    json!({"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-west-2:1:t","Subject":"Amazon S3 Notification",
        "Message":message,"Timestamp":"2026-11-21T12:00:00.000Z","SignatureVersion":"1"})
    .to_string()
}

fn bridge(name: &str, detail: Value) -> Value {
    let mut whole = json!({"bucket":{"name":"photos"},"object":{"key":"a+b%20c","size":5,"etag":"e","version-id":"v1",
        "sequencer":"00617F08299329D189"},"request-id":"r","requester":"1","reason":"PutObject"});
    for (field, value) in detail.as_object().cloned().unwrap_or_default() {
        whole[field.as_str()] = value;
    }
    json!({"version":"0","id":"i","detail-type":name,"source":"aws.s3","account":"1","region":"us-west-2","detail":whole})
}

fn reported(event: &Value) -> ParsedMessage {
    parse(event.to_string().as_bytes())
}

#[test]
fn an_event_is_read_out_of_its_sns_message() {
    let inner = json!({ "Records": [event("ObjectCreated:Put", "a+b%2Bc"), event("ObjectCreated:Put", "2")] });
    let ParsedMessage::Records(entries) = parse(sns(&inner.to_string()).as_bytes()) else { panic!() };
    assert!(
        matches!(&entries[..], [ParsedRecord::Record(first), ParsedRecord::Record(_)] if first.source.key == Key::from("a b+c"))
    );
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}"#;
    assert_eq!(parse(sns(test).as_bytes()), ParsedMessage::Nothing(NoWorkReason::TestEvent));
    let bridged = bridge("Object Created", json!({})).to_string();
    assert_eq!(only(parse(sns(&bridged).as_bytes())).source, Location::new("photos", "a+b%20c"));
}

#[test]
fn an_envelope_within_an_envelope_and_no_further() {
    let once = sns(r#"{"Src_bucket":"s","Src_key":"k"}"#);
    assert_eq!(only(parse(once.as_bytes())).source, Location::new("s", "k"));
    assert!(malformed(parse(sns(&once).as_bytes())).contains("envelope"));
}

#[test]
fn an_event_of_event_bridge_has_its_key_as_it_is() {
    let record = only(reported(&bridge("Object Created", json!({}))));
    assert_eq!(record.source, Location::new("photos", "a+b%20c"));
    assert_eq!((record.event, record.size_hint, record.version.as_deref()), (EventKind::Created, Some(5), Some("v1")));
    assert_eq!(record.sequencer, Some(Sequencer("00617F08299329D189".into())));
}

#[test]
fn the_kinds_of_event_bridge() {
    for (name, deletion, kind) in [
        ("Object Created", None, Some(EventKind::Created)),
        ("Object Deleted", Some("Permanently Deleted"), Some(EventKind::Removed(Removal::Delete))),
        ("Object Deleted", Some("Delete Marker Created"), Some(EventKind::Removed(Removal::DeleteMarker))),
        ("Object Restore Completed", None, Some(EventKind::Restored)),
        ("Object Restore Initiated", None, None),
        ("Object Restore Expired", None, None),
        ("Object Storage Class Changed", None, None),
        ("Object Tags Added", None, Some(EventKind::Other)),
    ] {
        let event = bridge(name, deletion.map_or(json!({}), |deletion| json!({ "deletion-type": deletion })));
        match kind {
            Some(kind) => assert_eq!(only(reported(&event)).event, kind, "{name}"),
            None => assert_eq!(reported(&event), ParsedMessage::Nothing(NoWorkReason::NoChange), "{name}"),
        }
    }
}

#[test]
fn envelopes_that_hold_no_event_of_s3_are_malformed() {
    let confirm = json!({"Type":"SubscriptionConfirmation","TopicArn":"a","Message":"You have chosen"}).to_string();
    assert!(malformed(parse(confirm.as_bytes())).contains("Type"));
    assert!(malformed(parse(sns("hello").as_bytes())).contains("not JSON"));
    let mut ec2 = bridge("EC2 Instance State-change Notification", json!({}));
    ec2["source"] = "aws.ec2".into();
    assert!(malformed(reported(&ec2)).contains("source"));
    for (field, value) in [("object", json!({})), ("object", json!({"key":""})), ("bucket", json!({"name":"a/b"}))] {
        assert!(malformed(reported(&bridge("Object Created", json!({ field: value })))).contains("detail."), "{field}");
    }
    assert!(malformed(parse(br#"{"detail-type":"Object Created","detail":{}}"#)).contains("missing"));
}

proptest! {
    #[test]
    fn what_sns_wraps_is_read_as_if_it_came_straight(record in any_record()) {
        let body = record.to_message();
        prop_assert_eq!(parse(sns(&body).as_bytes()), parse(body.as_bytes()));
    }

    #[test]
    fn a_key_of_event_bridge_survives_parking(key in "\\PC{1,40}") {
        let event = bridge("Object Created", json!({ "object": { "key": key } }));
        let record = only(reported(&event));
        prop_assert_eq!(&record.source.key, &Key::from(key.as_str()));
        prop_assert_eq!(only(parse(record.to_message().as_bytes())), record);
    }

    #[test]
    fn no_envelope_makes_it_panic(name in "\\PC*", message in "\\PC*", detail in "\\PC*") {
        parse(sns(&message).as_bytes());
        reported(&bridge(&name, json!({ "object": detail, "deletion-type": message })));
    }
}

#[test]
fn ceph_s_records_have_the_key_as_it_is_and_no_order() {
    let body = r#"{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","eventName":"ObjectCreated:Put",
        "s3":{"bucket":{"name":"b"},"object":{"key":"a+b%41 c","size":3,"versionId":"","sequencer":"F7E6D5"}}}]}"#;
    let ParsedMessage::Records(entries) = parse(body.as_bytes()) else { panic!("records") };
    let [ParsedRecord::Record(record)] = entries.as_slice() else { panic!("one record") };
    assert_eq!(record.source.key, Key::from("a+b%41 c"));
    assert_eq!((&record.version, &record.sequencer), (&None, &None));
}

#[test]
fn a_push_of_pubsub_names_one_object_of_google_cloud_storage() {
    let push = |event: &str, more: &str| {
        let body = format!(
            r#"{{"message":{{"attributes":{{"bucketId":"b","objectId":"a+b/ü","objectGeneration":"7","eventType":"{event}"{more}}},
            "messageId":"1"}},"subscription":"projects/p/subscriptions/s"}}"#
        );
        parse(body.as_bytes())
    };
    for (event, kind) in [
        ("OBJECT_FINALIZE", EventKind::Created),
        ("OBJECT_DELETE", EventKind::Removed(Removal::Delete)),
        ("OBJECT_ARCHIVE", EventKind::Removed(Removal::DeleteMarker)),
        ("OBJECT_METADATA_UPDATE", EventKind::Other),
    ] {
        let ParsedMessage::Records(entries) = push(event, "") else { panic!("{event}") };
        let [ParsedRecord::Record(record)] = entries.as_slice() else { panic!("{event}: one record") };
        assert_eq!((record.event, &record.source.key), (kind, &Key::from("a+b/ü")), "{event}");
    }
    let overwritten = push("OBJECT_DELETE", r#","overwrittenByGeneration":"8""#);
    assert_eq!(overwritten, ParsedMessage::Nothing(NoWorkReason::NoChange));
    assert!(matches!(parse(br#"{"message":{"data":"e30="},"subscription":"s"}"#), ParsedMessage::Malformed(_)));
}

/// As SeaweedFS 4.48 sent them, without what is not read.
#[test]
fn seaweedfs_s_filer_tells_of_objects_among_folders_parts_and_its_own_books() {
    let event = |kind: &str, key: &str, message: &str| {
        parse(format!(r#"{{"event_type":"{kind}","key":"{key}","message":{message}}}"#).as_bytes())
    };
    let found = |parsed: ParsedMessage| match parsed {
        ParsedMessage::Records(entries) => entries
            .into_iter()
            .map(|entry| match entry {
                ParsedRecord::Record(record) => (record.source.to_string(), record.event, record.size_hint),
                ParsedRecord::Malformed(bad) => panic!("{}", bad.reason),
            })
            .collect(),
        ParsedMessage::Nothing(NoWorkReason::NoChange) => Vec::new(),
        other => panic!("{other:?}"),
    };
    let file = |name: &str| format!(r#"{{"name":"{name}","attributes":{{"file_size":5,"mtime":1796089863}}}}"#);
    let (removed, nothing) = (EventKind::Removed(Removal::Delete), Vec::new());
    let written =
        format!(r#"{{"new_entry":{},"delete_chunks":true,"new_parent_path":"/buckets/photos/a"}}"#, file("b c+ü.jpg"));
    for kind in ["create", "update"] {
        let created = [("photos/a/b c+ü.jpg".to_owned(), EventKind::Created, Some(5))];
        assert_eq!(found(event(kind, "/buckets/photos/a/b c+ü.jpg", &written)), created);
    }
    let gone = format!(r#"{{"old_entry":{}}}"#, file("big"));
    assert_eq!(found(event("delete", "/buckets/photos/big", &gone)), [("photos/big".to_owned(), removed, None)]);
    let renamed =
        format!(r#"{{"old_entry":{},"new_entry":{},"new_parent_path":"/buckets/photos/n"}}"#, file("o"), file("new"));
    let both = [("photos/o".to_owned(), removed, None), ("photos/n/new".to_owned(), EventKind::Created, Some(5))];
    assert_eq!(found(event("rename", "/buckets/photos/o", &renamed)), both);
    let version = "/buckets/photos/v.jpg.versions/v_671301b8f81e68d9b6ad71734c3e82b3";
    assert_eq!(found(event("create", version, &written)), [("photos/v.jpg".to_owned(), EventKind::Other, None)]);

    let folder = r#"{"new_entry":{"name":"a","is_directory":true},"new_parent_path":"/buckets/photos"}"#;
    for (key, message) in [
        ("/buckets/photos/a", folder),
        ("/buckets/photos", written.as_str()),
        ("/buckets/.system/owners/a/photos", &written),
        ("/buckets/photos/.uploads/95c4_0b9a/0001_59fc.part", &written),
        ("/etc/iam/identity.json", &written),
    ] {
        assert_eq!(found(event("create", key, message)), nothing, "{key}");
    }
    assert!(matches!(event("create", "/buckets/photos/a", "7"), ParsedMessage::Malformed(_)));
    assert!(matches!(event("rename", "/buckets/photos/a", "{}"), ParsedMessage::Malformed(_)));
}
