//! S3 event notifications: `Records`, schema 2.x. Their keys are form-encoded: `+` is a space and `%XX` a byte.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value, json};

use super::{
    EventKind, EventRecord, MalformedRecord, NoWorkReason, ParsedMessage, ParsedRecord, Removal, Sequencer, bucket,
    text, version,
};
use crate::model::{Key, Location};

/// What S3 leaves as it is in an event's key.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

pub(super) fn read(records: &Value) -> ParsedMessage {
    let Value::Array(records) = records else {
        return ParsedMessage::Malformed("`Records` is not an array".into());
    };
    if records.is_empty() {
        return ParsedMessage::Nothing(NoWorkReason::NoRecords);
    }
    let entries: Vec<ParsedRecord> =
        records.iter().enumerate().filter_map(|(index, value)| entry(index, value)).collect();
    if entries.is_empty() { ParsedMessage::Nothing(NoWorkReason::NoChange) } else { ParsedMessage::Records(entries) }
}

fn entry(index: usize, value: &Value) -> Option<ParsedRecord> {
    match record(value) {
        Ok(record) => record.map(ParsedRecord::Record),
        Err(reason) => {
            let body = json!({ "Records": [value] }).to_string();
            Some(ParsedRecord::Malformed(MalformedRecord { index, reason, body }))
        }
    }
}

/// `None`: well-formed, and nothing to look at.
fn record(value: &Value) -> Result<Option<EventRecord>, String> {
    let record = value.as_object().ok_or("the record is not an object")?;
    let schema = match record.get("eventVersion") {
        Some(Value::Number(schema)) => Some(schema.to_string()),
        _ => text(record, "eventVersion")?.map(str::to_owned),
    };
    if schema.is_some_and(|schema| schema.split('.').next() != Some("2")) {
        return Err("`eventVersion` is not 2.x: this version does not understand it".into());
    }
    // The predecessors' inventory tool sends records without one: such a key is asked for, as a jobsender's is.
    let name = text(record, "eventName")?.unwrap_or(REQUESTED);
    let Some(event) = kind(name) else { return Ok(None) };
    let s3 = child(record, "s3")?;
    let object = child(s3, "object")?;
    let (bucket, key) = (text(child(s3, "bucket")?, "name")?, text(object, "key")?);
    // Ceph RGW writes the key as it is, and as sequencer the bytes of a time in the machine's order, which do not compare
    // (its rgw_notify.cc).
    let ceph = text(record, "eventSource")? == Some("ceph:s3");
    let source = if ceph {
        plain_location(bucket, key, "s3.bucket.name", "s3.object.key")?
    } else {
        location(bucket, key, "s3.bucket.name", "s3.object.key")?
    };
    let destination = match record.get("skyferryDestination") {
        None => None,
        Some(_) => {
            let to = child(record, "skyferryDestination")?;
            Some(location(
                text(to, "bucket")?,
                text(to, "key")?,
                "skyferryDestination.bucket",
                "skyferryDestination.key",
            )?)
        }
    };
    Ok(Some(EventRecord {
        source,
        event,
        size_hint: object.get("size").and_then(Value::as_u64),
        version: version(text(object, "versionId")?),
        sequencer: text(object, "sequencer")?.filter(|_| !ceph).map(|s| Sequencer(s.into())),
        destination,
    }))
}

pub(super) fn child<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a Map<String, Value>, String> {
    object.get(field).and_then(Value::as_object).ok_or_else(|| format!("`{field}` is missing or not an object"))
}

/// With a key that is not encoded.
pub(super) fn plain_location(
    name: Option<&str>,
    key: Option<&str>,
    in_bucket: &str,
    in_key: &str,
) -> Result<Location, String> {
    let bucket: Arc<str> = bucket(name, in_bucket)?;
    let key = key.filter(|k| !k.is_empty()).ok_or_else(|| format!("`{in_key}` is missing or empty"))?;
    Ok(Location { bucket, key: Key::from(key) })
}

fn location(name: Option<&str>, key: Option<&str>, in_bucket: &str, in_key: &str) -> Result<Location, String> {
    let bucket: Arc<str> = bucket(name, in_bucket)?;
    let key = key.filter(|k| !k.is_empty()).ok_or_else(|| format!("`{in_key}` is missing or empty"))?;
    let key = decode(key).ok_or_else(|| format!("`{in_key}` has a `%` without two hex digits after it"))?;
    Ok(Location { bucket, key })
}

/// `None`: the event changes no object. Names come with and without `s3:`.
fn kind(name: &str) -> Option<EventKind> {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    let (group, detail) = name.split_once(':').unwrap_or((name, ""));
    let removal = if detail == "DeleteMarkerCreated" { Removal::DeleteMarker } else { Removal::Delete };
    match (group, detail) {
        ("ObjectCreated", _) => Some(EventKind::Created),
        ("ObjectRemoved" | "LifecycleExpiration", _) => Some(EventKind::Removed(removal)),
        // A restore begun, or a restored copy that ran out: the object is what it was.
        ("ObjectRestore", "Post" | "Delete") | ("LifecycleTransition", _) => None,
        ("ObjectRestore", "Completed") => Some(EventKind::Restored),
        (REQUESTED, _) => Some(EventKind::Requested),
        _ => Some(EventKind::Other),
    }
}

/// Not one of S3's names: a jobsender's record that its own format cannot hold.
const REQUESTED: &str = "SkyferryRequested";

fn name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Created => "ObjectCreated:Put",
        EventKind::Removed(Removal::Delete) => "ObjectRemoved:Delete",
        EventKind::Removed(Removal::DeleteMarker) => "ObjectRemoved:DeleteMarkerCreated",
        EventKind::Restored => "ObjectRestore:Completed",
        EventKind::Requested => REQUESTED,
        EventKind::Other => "SkyferryOther",
    }
}

/// Form-decodes to bytes. `None`: a `%` that is not followed by two hex digits, which S3 never sends; to take it as it
/// stands would be to guess a key.
fn decode(text: &str) -> Option<Key> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(Key::new(bytes))
}

fn encode(key: &Key) -> String {
    Cow::from(percent_encode(key.as_bytes(), ENCODED)).replace("%20", "+")
}

pub(super) fn write(record: &EventRecord) -> String {
    let mut object = Map::new();
    object.insert("key".into(), encode(&record.source.key).into());
    if let Some(size) = record.size_hint {
        object.insert("size".into(), size.into());
    }
    if let Some(version) = &record.version {
        object.insert("versionId".into(), Value::from(&**version));
    }
    if let Some(sequencer) = &record.sequencer {
        object.insert("sequencer".into(), Value::from(&*sequencer.0));
    }
    let mut one = json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name(record.event),
        "s3": { "bucket": { "name": &*record.source.bucket }, "object": object },
    });
    if let Some(to) = &record.destination {
        one["skyferryDestination"] = json!({ "bucket": &*to.bucket, "key": encode(&to.key) });
    }
    json!({ "Records": [one] }).to_string()
}
