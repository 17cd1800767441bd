use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::Key;

pub(super) fn event(name: &str, key: &str) -> Value {
    json!({"eventVersion":"2.1","eventSource":"aws:s3","eventName":name,"awsRegion":"us-west-2",
        "s3":{"s3SchemaVersion":"1.0","bucket":{"name":"photos","arn":"arn:aws:s3:::photos"},
              "object":{"key":key,"size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055AED6DCD90281E5"}}})
}

fn read(records: &[Value]) -> ParsedMessage {
    parse(json!({ "Records": records }).to_string().as_bytes())
}

pub(super) fn only(parsed: ParsedMessage) -> EventRecord {
    match parsed {
        ParsedMessage::Records(mut entries) if entries.len() == 1 => match entries.remove(0) {
            ParsedRecord::Record(record) => record,
            ParsedRecord::Malformed(bad) => panic!("{bad:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub(super) fn malformed(parsed: ParsedMessage) -> String {
    match parsed {
        ParsedMessage::Malformed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_names_a_key_to_look_at() {
    let record = only(read(&[event("ObjectCreated:Put", "a/b.jpg")]));
    assert_eq!(record.source, Location::new("photos", "a/b.jpg"));
    assert_eq!(
        (record.event, record.size_hint, record.version, record.destination),
        (EventKind::Created, Some(1024), None, None)
    );
    assert_eq!(record.sequencer, Some(Sequencer("0055AED6DCD90281E5".into())));
}

#[test]
fn a_plus_in_a_key_is_a_space() {
    assert_eq!(only(read(&[event("ObjectCreated:Put", "a+b%2Bc%20d")])).source.key, Key::from("a b+c d"));
}

#[test]
fn a_key_is_bytes_and_is_never_tidied() {
    let key = only(read(&[event("ObjectCreated:Put", "%2Fa//..%2F%FF%00%e4")])).source.key;
    assert_eq!(key.as_bytes(), b"/a//../\xff\0\xe4");
}

#[test]
fn a_percent_without_two_hex_digits_is_malformed() {
    for key in ["%", "%4", "a%zz", "%+1", "%é"] {
        let ParsedMessage::Records(entries) = read(&[event("ObjectCreated:Put", key)]) else { panic!() };
        assert!(matches!(&entries[0], ParsedRecord::Malformed(bad) if bad.reason.contains("s3.object.key")), "{key}");
    }
}

#[test]
fn every_record_of_a_message_is_handled_and_a_bad_one_costs_only_itself() {
    let mut bad = event("ObjectCreated:Put", "bad");
    bad["eventVersion"] = "3.0".into();
    let ParsedMessage::Records(entries) =
        read(&[event("ObjectCreated:Put", "1"), bad.clone(), json!(7), event("ObjectCreated:Copy", "2")])
    else {
        panic!()
    };
    assert!(matches!(&entries[0], ParsedRecord::Record(r) if r.source.key == Key::from("1")));
    assert!(matches!(&entries[1], ParsedRecord::Malformed(b) if b.index == 1 && b.reason.contains("eventVersion")));
    assert!(matches!(&entries[2], ParsedRecord::Malformed(b) if b.index == 2 && b.body == r#"{"Records":[7]}"#));
    assert!(matches!(&entries[3], ParsedRecord::Record(r) if r.source.key == Key::from("2")));
    let ParsedRecord::Malformed(parked) = &entries[1] else { panic!() };
    assert_eq!(serde_json::from_str::<Value>(&parked.body).unwrap(), json!({ "Records": [bad] }));
}

#[test]
fn any_two_point_version_is_read_and_a_three_is_not() {
    for (version, fine) in
        [("2.0", true), ("2.6", true), ("2.99", true), ("3.0", false), ("1.0", false), ("20.1", false)]
    {
        let mut record = event("ObjectCreated:Put", "k");
        record["eventVersion"] = version.into();
        let ParsedMessage::Records(entries) = read(&[record]) else { panic!() };
        assert_eq!(matches!(entries[0], ParsedRecord::Record(_)), fine, "{version}");
    }
}

#[test]
fn the_kinds_of_events() {
    use EventKind::*;
    for (name, kind) in [
        ("s3:ObjectCreated:Put", Some(Created)),
        ("ObjectCreated:CompleteMultipartUpload", Some(Created)),
        ("ObjectRemoved:Delete", Some(Removed(Removal::Delete))),
        ("s3:ObjectRemoved:DeleteMarkerCreated", Some(Removed(Removal::DeleteMarker))),
        ("LifecycleExpiration:Delete", Some(Removed(Removal::Delete))),
        ("s3:LifecycleExpiration:DeleteMarkerCreated", Some(Removed(Removal::DeleteMarker))),
        ("ObjectRestore:Completed", Some(Restored)),
        ("ObjectRestore:Post", None),
        ("s3:ObjectRestore:Delete", None),
        ("LifecycleTransition", None),
        ("ObjectTagging:Put", Some(Other)),
        ("ObjectInventedTomorrow:Really", Some(Other)),
    ] {
        match kind {
            Some(kind) => assert_eq!(only(read(&[event(name, "k")])).event, kind, "{name}"),
            None => assert_eq!(read(&[event(name, "k")]), ParsedMessage::Nothing(NoWorkReason::NoChange), "{name}"),
        }
    }
}

#[test]
fn a_test_event_asks_for_nothing() {
    let body = br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"b"}"#;
    assert_eq!(parse(body), ParsedMessage::Nothing(NoWorkReason::TestEvent));
}

#[test]
fn an_empty_records_array_asks_for_nothing() {
    assert_eq!(read(&[]), ParsedMessage::Nothing(NoWorkReason::NoRecords));
}

#[test]
fn a_jobsender_message_brings_its_destination_and_raw_keys() {
    let record = only(parse(
        br#"{"Src_bucket":"s","Src_key":"a+b%20c","Des_bucket":"d","Des_key":"p/a+b%20c","Size":5,"versionId":"null"}"#,
    ));
    assert_eq!(record.source, Location::new("s", "a+b%20c"));
    assert_eq!(record.destination, Some(Location::new("d", "p/a+b%20c")));
    assert_eq!((record.event, record.size_hint, record.version), (EventKind::Requested, Some(5), None));
}

#[test]
fn half_a_destination_is_malformed() {
    assert!(malformed(parse(br#"{"Src_bucket":"s","Src_key":"k","Des_bucket":"d"}"#)).contains("Des_key"));
}

#[test]
fn a_bucket_that_reads_as_a_path_is_malformed() {
    for name in ["", "a/b", "..", ".", "a\nb", "a b"] {
        let body = json!({"Src_bucket":name,"Src_key":"k"}).to_string();
        assert!(malformed(parse(body.as_bytes())).contains("Src_bucket"), "{name}");
    }
}

#[test]
fn what_is_not_a_message_is_malformed_and_not_quoted() {
    for body in ["", "secret", "[]", "\"secret\"", "{\"Records\":\"secret\"}", "{\"secret\":1}", "\u{feff}{}"] {
        assert!(!malformed(parse(body.as_bytes())).contains("secret"), "{body}");
    }
}

#[test]
fn deep_nesting_and_huge_bodies_are_refused() {
    let deep = format!("{{\"Records\":{}", "[".repeat(500_000));
    assert!(matches!(parse(deep.as_bytes()), ParsedMessage::Malformed(_)));
    assert!(malformed(parse(&vec![b' '; MAX_BODY + 1])).contains("bytes"));
}

#[test]
fn a_size_that_is_no_size_is_no_hint() {
    for size in [json!(-1), json!("7"), json!(1.5), json!(null)] {
        let mut record = event("ObjectCreated:Put", "k");
        record["s3"]["object"]["size"] = size;
        assert_eq!(only(read(&[record])).size_hint, None);
    }
}

#[test]
fn the_shorter_sequencer_is_padded_with_zeros() {
    let s = |t: &str| Sequencer(t.into());
    assert_eq!(s("0055").order(&s("005500")), Ordering::Equal);
    assert_eq!(s("0055").order(&s("005501")), Ordering::Less);
    assert_eq!(s("01").order(&s("00FF")), Ordering::Greater);
    assert_eq!(s("0a").order(&s("0A")), Ordering::Equal);
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Key::new),
        "[ -~]{1,20}".prop_map(|t| Key::from(t.as_str())),
        "\\PC{1,12}".prop_map(|t| Key::from(t.as_str())),
    ]
}

pub(super) fn any_record() -> impl Strategy<Value = EventRecord> {
    let kind = prop_oneof![
        Just(EventKind::Created),
        Just(EventKind::Removed(Removal::Delete)),
        Just(EventKind::Removed(Removal::DeleteMarker)),
        Just(EventKind::Restored),
        Just(EventKind::Requested),
        Just(EventKind::Other),
    ];
    let place = || ("[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", key()).prop_map(|(bucket, key)| Location::new(bucket, key));
    let version = proptest::option::of("[A-Za-z0-9._]{5,12}".prop_map(Arc::<str>::from));
    let sequencer = proptest::option::of("[0-9A-F]{1,18}".prop_map(|s| Sequencer(s.into())));
    (place(), kind, any::<Option<u64>>(), version, sequencer, proptest::option::of(place())).prop_map(
        |(source, event, size_hint, version, sequencer, destination)| EventRecord {
            source,
            event,
            size_hint,
            version,
            sequencer,
            destination,
        },
    )
}

proptest! {
    #[test]
    fn a_record_survives_its_own_message(record in any_record()) {
        prop_assert_eq!(only(parse(record.to_message().as_bytes())), record);
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&body);
    }

    #[test]
    fn no_text_in_the_fields_makes_it_panic(name in "\\PC*", key in "\\PC*", bucket in "\\PC*") {
        let mut record = event(&name, &key);
        record["s3"]["bucket"]["name"] = bucket.into();
        read(&[record]);
    }
}

#[test]
fn fault_a24_a_byte_order_mark_and_a_version_that_is_a_number_are_taken() {
    let mut numbered = event("ObjectCreated:Put", "k");
    numbered["eventVersion"] = json!(2.1);
    let body = format!("\u{feff}{}", json!({ "Records": [numbered] }));
    assert_eq!(only(parse(body.as_bytes())).source, Location::new("photos", "k"));
    let wrapped = json!({ "Type": "Notification", "TopicArn": "arn", "Message": body }).to_string();
    assert_eq!(only(parse(wrapped.as_bytes())).source, Location::new("photos", "k"));
    for (version, fine) in [(json!(2), true), (json!(3.0), false), (json!(20), false)] {
        let mut record = event("ObjectCreated:Put", "k");
        record["eventVersion"] = version;
        let ParsedMessage::Records(entries) = read(&[record]) else { panic!() };
        assert_eq!(matches!(entries[0], ParsedRecord::Record(_)), fine);
    }
}

#[test]
fn fault_c4_a_record_without_an_event_name_is_a_job() {
    let body = br#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k+1","size":3,"versionId":"null"}}}]}"#;
    let record = only(parse(body));
    assert_eq!((record.source, record.event), (Location::new("b", "k 1"), EventKind::Requested));
    assert_eq!((record.size_hint, record.version), (Some(3), None));
}
