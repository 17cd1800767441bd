//! What S3 would have told the queue: event notifications with form-encoded keys, some with several records.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::dataset::DemoObject;
use super::servers::BUCKET;

/// What S3 leaves as it is in an event's key.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');
/// Records of every third message.
const BATCH: usize = 4;

/// S3 sends it when a notification is set up.
pub fn test_event() -> String {
    json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-21T12:00:00.000Z", "Bucket": BUCKET })
        .to_string()
}

/// No event at all: it must end in the dead letters, with a reason, and hold nobody up.
pub fn malformed() -> String {
    r#"{"Records": [{"eventVersion": "2.1", "#.to_owned()
}

/// One message about one object.
pub fn event(good: &DemoObject) -> String {
    json!({ "Records": [record(good)] }).to_string()
}

/// Messages about all of them: mostly one record in each, as S3 does it, and several in some.
pub fn events(dataset: &[DemoObject]) -> Vec<String> {
    let (mut messages, mut rest) = (Vec::new(), dataset);
    while !rest.is_empty() {
        let size = if messages.len() % 3 == 2 { BATCH.min(rest.len()) } else { 1 };
        let (now, later) = rest.split_at(size);
        messages.push(json!({ "Records": now.iter().map(record).collect::<Vec<_>>() }).to_string());
        rest = later;
    }
    messages
}

fn record(good: &DemoObject) -> Value {
    let key = utf8_percent_encode(&good.key, PLAIN).to_string().replace("%20", "+");
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-11-21T12:00:00.000Z", "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "skyferry",
            "bucket": { "name": BUCKET, "arn": format!("arn:aws:s3:::{BUCKET}") },
            "object": { "key": key, "size": good.body.size },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Dataset;
    use super::*;
    use skyferry_core::event::{ParsedMessage, ParsedRecord, parse};

    #[test]
    fn the_agent_reads_from_the_events_the_keys_that_were_put() {
        let dataset = Dataset::new(true);
        let mut keys = Vec::new();
        for message in events(&dataset.all) {
            let ParsedMessage::Records(entries) = parse(message.as_bytes()) else { panic!("{message}") };
            keys.extend(entries.into_iter().map(|entry| match entry {
                ParsedRecord::Record(record) => record.source.key.as_str().unwrap().to_owned(),
                ParsedRecord::Malformed(bad) => panic!("{bad:?}"),
            }));
        }
        assert_eq!(keys, dataset.all.iter().map(|good| good.key.clone()).collect::<Vec<_>>());
        assert!(matches!(parse(test_event().as_bytes()), ParsedMessage::Nothing(_)));
        assert!(matches!(parse(malformed().as_bytes()), ParsedMessage::Malformed(_)));
    }
}
