//! What a queue's message says: its body as records to look at, nothing to do, or a reason why it cannot be read.
//!
//! An event only says that a key may have changed; the job looks at the source itself. So this file is generous where a
//! field is a hint, strict where a wrong guess would look at the wrong key, and never loses one record because another
//! of the same message cannot be read.
//!
//! Formats (facts: S3 user guide, "Event message structure"; the predecessors' jobsender):
//!
//! | `Shape` | looks like | file |
//! |---|---|---|
//! | S3 event notification | `{"Records":[{"eventVersion":"2.1","eventName":…,"s3":{…}}]}` | `s3.rs` |
//! | S3 test event | `{"Service":"Amazon S3","Event":"s3:TestEvent",…}` | here |
//! | jobsender | `{"Src_bucket":…,"Src_key":…,"Des_bucket":…,"Des_key":…,"Size":…,"versionId":…}` | `jobsender.rs` |
//! | SNS | `{"Type":"Notification","TopicArn":…,"Message":"…"}` around any of these | `envelope.rs` |
//! | EventBridge | `{"detail-type":"Object Created","source":"aws.s3","detail":{…}}` | `envelope.rs` |
//! | Pub/Sub push | `{"message":{"attributes":{"eventType":"OBJECT_FINALIZE",…}},"subscription":…}` | `pubsub.rs` |
//! | SeaweedFS's filer | `{"event_type":"create","key":"/buckets/photos/a.jpg","message":{…}}` | `seaweedfs.rs` |

mod envelope;
#[cfg(test)]
mod envelope_tests;
mod jobsender;
mod pubsub;
mod s3;
mod seaweedfs;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::Location;

/// The largest body that is looked at, in bytes: what SQS carries at most (1 MiB since 2025).
pub const MAX_BODY: usize = 1 << 20;

/// A message body, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedMessage {
    /// At least one entry, in the message's order; records that ask for nothing are left out.
    Records(Vec<ParsedRecord>),
    /// Well-formed and asks for nothing: count it and delete the message.
    Nothing(NoWorkReason),
    /// Not a message that Skyferry knows: park it whole, with this reason. The reason never quotes the body.
    Malformed(String),
}

impl ParsedMessage {
    /// A message of one record at most; without one it changes no object.
    fn of_one(read: Result<Option<EventRecord>, String>) -> ParsedMessage {
        match read {
            Ok(Some(record)) => ParsedMessage::Records(vec![ParsedRecord::Record(record)]),
            Ok(None) => ParsedMessage::Nothing(NoWorkReason::NoChange),
            Err(reason) => ParsedMessage::Malformed(reason),
        }
    }
}

/// One record of a message, or the reason why this one cannot be read while its neighbours can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedRecord {
    /// It can be worked on.
    Record(EventRecord),
    /// It cannot be read.
    Malformed(MalformedRecord),
}

/// A record that cannot be read. It is parked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedRecord {
    /// Its place in the message's `Records`, from 0.
    pub index: usize,
    /// What is wrong with it; names fields, never quotes their values.
    pub reason: String,
    /// A message body that holds this record alone, as it came: what the dead-letter queue gets.
    pub body: String,
}

/// Why a message asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWorkReason {
    /// S3 sends one when a notification is set up.
    TestEvent,
    /// `Records` is there and empty.
    NoRecords,
    /// Every record tells of something that changes no object: a restore begun, a transition of storage class.
    NoChange,
}

impl fmt::Display for NoWorkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoWorkReason::TestEvent => "a test event",
            NoWorkReason::NoRecords => "no records",
            NoWorkReason::NoChange => "no object changed",
        })
    }
}

/// A key to look at. Everything but `source` is a hint or a wish; the job decides from what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The object that may have changed.
    pub source: Location,
    /// What is said to have happened.
    pub event: EventKind,
    /// Bytes, as of the event.
    pub size_hint: Option<u64>,
    /// The version that the event tells of; `None` for unversioned buckets (`null`).
    pub version: Option<Arc<str>>,
    /// Orders the events of one key, where the service sends it.
    pub sequencer: Option<Sequencer>,
    /// Where the sender wants it. Untrusted: `route` accepts it only within the routes.
    pub destination: Option<Location>,
}

impl EventRecord {
    /// A message body that holds this record alone and parses back to it: for splitting a message, parking, and the
    /// jobsender. The predecessors' own form wherever it can say everything (so that their programs can read it too),
    /// else an S3 event, with `skyferryDestination` beside `s3` where there is a destination.
    pub fn to_message(&self) -> String {
        jobsender::write(self).unwrap_or_else(|| s3::write(self))
    }
}

/// What happened to the key, as the event has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An object was written.
    Created,
    /// An object, or a version of it, was removed.
    Removed(Removal),
    /// An archived object can be read now.
    Restored,
    /// Asked for by a jobsender: no event at all.
    Requested,
    /// An event unknown to this version: the key may have changed, so it is looked at like any other.
    Other,
}

/// In which way an object was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It, or one version of it, is deleted.
    Delete,
    /// A delete marker hides it.
    DeleteMarker,
}

/// S3's order of events on one key. Values of two keys tell nothing about each other, so there is no `Ord`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sequencer(pub Arc<str>);

impl Sequencer {
    /// Compares two events of *one* key: hex text, the shorter padded on the right with zeros (S3 user guide).
    pub fn order(&self, other: &Sequencer) -> Ordering {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        let at = |text: &[u8], i: usize| text.get(i).map_or(b'0', u8::to_ascii_uppercase);
        (0..a.len().max(b.len())).map(|i| at(a, i).cmp(&at(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Reads a message body. Never panics; the cost is linear in the body, which is refused beyond [`MAX_BODY`].
///
/// ```
/// use skyferry_core::event::{ParsedMessage, ParsedRecord, parse};
/// use skyferry_core::model::Location;
///
/// let ParsedMessage::Records(records) = parse(br#"{"Src_bucket": "photos", "Src_key": "a.jpg"}"#) else { panic!() };
/// let [ParsedRecord::Record(record)] = &records[..] else { panic!() };
/// assert_eq!(record.source, Location::new("photos", "a.jpg"));
/// assert!(matches!(parse(b"not JSON"), ParsedMessage::Malformed(_)));
/// ```
pub fn parse(body: &[u8]) -> ParsedMessage {
    read(body, false)
}

fn read(body: &[u8], wrapped: bool) -> ParsedMessage {
    if body.len() > MAX_BODY {
        return ParsedMessage::Malformed(format!(
            "the body has {} bytes, more than any queue carries ({MAX_BODY})",
            body.len()
        ));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // serde_json refuses nesting beyond 128 levels. Its errors name a line and a column, and no content.
    let object: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return ParsedMessage::Malformed("the body is JSON, but not an object".into()),
        Err(error) => return ParsedMessage::Malformed(format!("the body is not JSON: {}", position(&error))),
    };
    match Shape::of(&object) {
        // One wrapping is what topics do; another would be somebody's loop.
        Shape::Sns if wrapped => ParsedMessage::Malformed("an SNS envelope within an SNS envelope".into()),
        Shape::Sns => match envelope::sns(&object) {
            Ok(message) => read(message.as_bytes(), true),
            Err(reason) => ParsedMessage::Malformed(reason),
        },
        Shape::EventBridge => envelope::event_bridge(&object),
        Shape::PubSub => pubsub::read(&object),
        Shape::SeaweedFs => seaweedfs::read(&object),
        Shape::TestEvent => ParsedMessage::Nothing(NoWorkReason::TestEvent),
        Shape::S3(records) => s3::read(records),
        Shape::Jobsender => ParsedMessage::of_one(jobsender::read(&object).map(Some)),
        Shape::Unknown => {
            ParsedMessage::Malformed("neither an S3 event (`Records`) nor a jobsender's message (`Src_bucket`)".into())
        }
    }
}

fn position(error: &serde_json::Error) -> String {
    let broken = if error.is_eof() { "it breaks off" } else { "wrong" };
    format!("{broken} at line {}, column {}", error.line(), error.column())
}

/// Which format a body is in, told by the fields that only it has.
enum Shape<'a> {
    S3(&'a Value),
    TestEvent,
    Jobsender,
    Sns,
    EventBridge,
    PubSub,
    SeaweedFs,
    Unknown,
}

impl<'a> Shape<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        if let Some(records) = object.get("Records") {
            Shape::S3(records)
        } else if object.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            Shape::TestEvent
        } else if object.contains_key("Src_bucket") || object.contains_key("Src_key") {
            Shape::Jobsender
        } else if object.contains_key("TopicArn") && object.contains_key("Message") {
            Shape::Sns
        } else if object.contains_key("detail-type") && object.contains_key("detail") {
            Shape::EventBridge
        } else if object.contains_key("message") && object.contains_key("subscription") {
            Shape::PubSub
        } else if object.contains_key("event_type") && object.contains_key("message") {
            Shape::SeaweedFs
        } else {
            Shape::Unknown
        }
    }
}

// What both formats ask of their fields. Reasons name the field and never quote its value.

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, String> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{field}` is not text")),
    }
}

/// A bucket's name. Anything that could be taken for a path is refused: `bucket/key` must be readable in one way only.
fn bucket(name: Option<&str>, field: &str) -> Result<Arc<str>, String> {
    let name = name.ok_or_else(|| format!("`{field}` is missing"))?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 255 || !name.bytes().all(fits) || name.bytes().all(|b| b == b'.') {
        return Err(format!("`{field}` is not a bucket's name"));
    }
    Ok(name.into())
}

/// `null` is how services and the jobsender write "no version".
fn version(text: Option<&str>) -> Option<Arc<str>> {
    text.filter(|v| !v.is_empty() && *v != "null").map(Arc::from)
}
