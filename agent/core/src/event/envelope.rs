//! What comes between S3 and the queue: SNS wraps an event as text in `Message`, EventBridge tells it in words of its own.
//!
//! A record is parked, split off or renewed without its envelope: what is left to do is one key, and `EventRecord::to_message`
//! says that in a form that is read anywhere.

use serde_json::{Map, Value};

use super::s3::{child, plain_location};
use super::{EventKind, EventRecord, ParsedMessage, Removal, Sequencer, text, version};

/// Of what SNS sends to a queue only notifications carry an event. A queue's subscription is confirmed by itself.
pub(super) fn sns(object: &Map<String, Value>) -> Result<&str, String> {
    match text(object, "Type")? {
        None | Some("Notification") => {}
        Some(_) => return Err("an SNS message whose `Type` is not Notification".into()),
    }
    text(object, "Message")?.ok_or_else(|| "`Message` is missing".into())
}

/// One object an event. Its key is as it is: not encoded.
pub(super) fn event_bridge(object: &Map<String, Value>) -> ParsedMessage {
    ParsedMessage::of_one(read(object))
}

fn read(envelope: &Map<String, Value>) -> Result<Option<EventRecord>, String> {
    if text(envelope, "source")?.is_some_and(|source| source != "aws.s3") {
        return Err("an EventBridge event whose `source` is not aws.s3".into());
    }
    let detail = child(envelope, "detail")?;
    let name = text(envelope, "detail-type")?.ok_or("`detail-type` is missing")?;
    let Some(event) = kind(name, text(detail, "deletion-type")?) else { return Ok(None) };
    let object = child(detail, "object")?;
    let (bucket, key) = (text(child(detail, "bucket")?, "name")?, text(object, "key")?);
    Ok(Some(EventRecord {
        source: plain_location(bucket, key, "detail.bucket.name", "detail.object.key")?,
        event,
        size_hint: object.get("size").and_then(Value::as_u64),
        version: version(text(object, "version-id")?),
        sequencer: text(object, "sequencer")?.map(|sequencer| Sequencer(sequencer.into())),
        destination: None,
    }))
}

/// `None`: the event changes no object.
fn kind(name: &str, deletion: Option<&str>) -> Option<EventKind> {
    Some(match name {
        "Object Created" => EventKind::Created,
        "Object Deleted" if deletion == Some("Delete Marker Created") => EventKind::Removed(Removal::DeleteMarker),
        "Object Deleted" => EventKind::Removed(Removal::Delete),
        "Object Restore Completed" => EventKind::Restored,
        "Object Restore Initiated"
        | "Object Restore Expired"
        | "Object Storage Class Changed"
        | "Object Access Tier Changed" => return None,
        _ => EventKind::Other,
    })
}
