//! The predecessors' jobsender: one object a message, its keys as they are (not encoded), `versionId` `"null"` for none.

use serde_json::{Map, Value, json};

use super::{EventKind, EventRecord, bucket, text, version};
use crate::model::{Key, Location};

pub(super) fn read(object: &Map<String, Value>) -> Result<EventRecord, String> {
    let source = location(object, "Src_bucket", "Src_key")?;
    let wants = ["Des_bucket", "Des_key"].iter().any(|field| object.get(*field).is_some_and(|v| !v.is_null()));
    Ok(EventRecord {
        source,
        event: EventKind::Requested,
        size_hint: object.get("Size").and_then(Value::as_u64),
        version: version(text(object, "versionId")?),
        sequencer: None,
        destination: wants.then(|| location(object, "Des_bucket", "Des_key")).transpose()?,
    })
}

fn location(object: &Map<String, Value>, in_bucket: &str, in_key: &str) -> Result<Location, String> {
    let bucket = bucket(text(object, in_bucket)?, in_bucket)?;
    let key =
        text(object, in_key)?.filter(|k| !k.is_empty()).ok_or_else(|| format!("`{in_key}` is missing or empty"))?;
    Ok(Location { bucket, key: Key::from(key) })
}

/// `None` where this format cannot hold the record: events, and keys that are not UTF-8 (files may have such names).
pub(super) fn write(record: &EventRecord) -> Option<String> {
    if record.event != EventKind::Requested || record.sequencer.is_some() {
        return None;
    }
    let mut object = Map::new();
    object.insert("Src_bucket".into(), Value::from(&*record.source.bucket));
    object.insert("Src_key".into(), record.source.key.as_str()?.into());
    if let Some(to) = &record.destination {
        object.insert("Des_bucket".into(), Value::from(&*to.bucket));
        object.insert("Des_key".into(), to.key.as_str()?.into());
    }
    if let Some(size) = record.size_hint {
        object.insert("Size".into(), size.into());
    }
    object.insert("versionId".into(), json!(record.version.as_deref().unwrap_or("null")));
    Some(Value::Object(object).to_string())
}
