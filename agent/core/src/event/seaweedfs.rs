//! What SeaweedFS's filer posts (`[notification.webhook]`): `{"event_type":"create","key":"/buckets/B/K","message":{…}}`. It
//! tells of files, so that a folder, a part of an upload and the filer's own books have events too, which ask for nothing.
//!
//! Source: the bodies that SeaweedFS 4.48 sent, with and without versioning.

use serde_json::{Map, Value};

use super::s3::{child, plain_location};
use super::{EventKind, EventRecord, NoWorkReason, ParsedMessage, ParsedRecord, Removal, text};

/// Below it are the buckets.
const BUCKETS: &str = "/buckets/";
/// Below it, in a bucket, are the parts of uploads.
const UPLOADS: &str = ".uploads/";
/// The folder of a key's versions is named by the key and this; each version is a file `v_` and 32 hex digits.
const VERSIONS: &str = ".versions";

pub(super) fn read(event: &Map<String, Value>) -> ParsedMessage {
    match records(event) {
        Ok(records) if records.is_empty() => ParsedMessage::Nothing(NoWorkReason::NoChange),
        Ok(records) => ParsedMessage::Records(records.into_iter().map(ParsedRecord::Record).collect()),
        Err(reason) => ParsedMessage::Malformed(reason),
    }
}

/// A name that changed is two: one is gone, and one is there.
fn records(event: &Map<String, Value>) -> Result<Vec<EventRecord>, String> {
    let kind = text(event, "event_type")?.ok_or("`event_type` is missing")?;
    let path = text(event, "key")?.ok_or("`key` is missing")?;
    let message = child(event, "message")?;
    let entry = |name: &str| message.get(name).and_then(Value::as_object);
    let (new, old) = (entry("new_entry"), entry("old_entry"));
    let is_directory = |entry: &Map<String, Value>| entry.get("is_directory") == Some(&Value::Bool(true));
    if new.or(old).is_some_and(is_directory) {
        return Ok(Vec::new());
    }
    let size = new.and_then(|entry| entry.get("attributes")?.get("file_size")?.as_u64());
    let found = match kind {
        "create" | "update" => vec![record(path, EventKind::Created, size)?],
        "delete" => vec![record(path, EventKind::Removed(Removal::Delete), None)?],
        "rename" => {
            let name = new.map(|entry| text(entry, "name")).transpose()?.flatten();
            let name = name.ok_or("`message.new_entry.name` is missing")?;
            let parent = text(message, "new_parent_path")?.ok_or("`message.new_parent_path` is missing")?;
            let now = format!("{}/{name}", parent.trim_end_matches('/'));
            vec![record(path, EventKind::Removed(Removal::Delete), None)?, record(&now, EventKind::Created, size)?]
        }
        _ => vec![record(path, EventKind::Other, size)?],
    };
    Ok(found.into_iter().flatten().collect())
}

/// `None`: the path is no object's.
fn record(path: &str, event: EventKind, size_hint: Option<u64>) -> Result<Option<EventRecord>, String> {
    let Some((bucket, key)) = path.strip_prefix(BUCKETS).and_then(|rest| rest.split_once('/')) else { return Ok(None) };
    if bucket.starts_with('.') || key.is_empty() || key.starts_with(UPLOADS) {
        return Ok(None);
    }
    let (key, event, size_hint) = match versioned(key) {
        // Whether it was written or a delete marker hides it: the source knows.
        Some(key) => (key, EventKind::Other, None),
        None => (key, event, size_hint),
    };
    let source = plain_location(Some(bucket), Some(key), "key", "key")?;
    Ok(Some(EventRecord { source, event, size_hint, version: None, sequencer: None, destination: None }))
}

/// The key that a version's file is of.
fn versioned(key: &str) -> Option<&str> {
    let (folder, file) = key.rsplit_once('/')?;
    let id = file.strip_prefix("v_")?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| folder.strip_suffix(VERSIONS))?
}
