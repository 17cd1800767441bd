//! Google Cloud Storage's notifications as Pub/Sub pushes them: `{"message":{"attributes":{…},"data":…},"subscription":…}`.
//! The attributes say all that is needed; `data`, the object's metadata, need not be there (`payloadFormat` NONE).
//!
//! Source: Cloud Storage documentation, "Pub/Sub notifications for Cloud Storage", attributes and event types.

use serde_json::{Map, Value};

use super::s3::{child, plain_location};
use super::{EventKind, EventRecord, ParsedMessage, Removal, text};

/// One object a message. Its name is as it is: not encoded.
pub(super) fn read(push: &Map<String, Value>) -> ParsedMessage {
    ParsedMessage::of_one(record(push))
}

fn record(push: &Map<String, Value>) -> Result<Option<EventRecord>, String> {
    let attributes = child(child(push, "message")?, "attributes")?;
    let event = text(attributes, "eventType")?.ok_or("`message.attributes.eventType` is missing")?;
    // The generation that took its place has an event of its own, and only that one says what is there now.
    if attributes.contains_key("overwrittenByGeneration") {
        return Ok(None);
    }
    let event = match event {
        "OBJECT_FINALIZE" => EventKind::Created,
        "OBJECT_DELETE" => EventKind::Removed(Removal::Delete),
        // The live object became noncurrent, as by a delete marker of S3's.
        "OBJECT_ARCHIVE" => EventKind::Removed(Removal::DeleteMarker),
        _ => EventKind::Other,
    };
    let (bucket, key) = (text(attributes, "bucketId")?, text(attributes, "objectId")?);
    let source = plain_location(bucket, key, "message.attributes.bucketId", "message.attributes.objectId")?;
    Ok(Some(EventRecord { source, event, size_hint: None, version: None, sequencer: None, destination: None }))
}
