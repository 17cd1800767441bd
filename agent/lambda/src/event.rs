//! What an event source mapping of SQS sends: a batch of messages that Lambda has received, of one queue.
//!
//! A record that is none of SQS's is kept as it is, so that it alone can be parked.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use skyferry_aws::sqs::{Arn, receipt};
use skyferry_core::queue::Message;

/// One invocation's messages.
#[derive(Debug)]
pub struct Batch {
    pub arn: String,
    pub messages: Vec<Message>,
    pub malformed: Vec<Malformed>,
}

/// A record that is no message.
#[derive(Debug)]
pub struct Malformed {
    /// Where it has one: what a failure of it is reported by.
    pub id: Option<String>,
    pub body: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error(
        "the event is not from SQS ({0}): give this function an event source mapping of the queue and no other trigger"
    )]
    NotSqs(String),
    #[error("the event has messages of several queues ({0} and {1}), which no event source mapping sends")]
    SeveralQueues(String, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

/// All of them come as texts.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: String,
    sent_timestamp: String,
}

impl Batch {
    /// Reads an event that came just now.
    pub fn read(event: &Value, now: SystemTime) -> Result<Batch, EventError> {
        let not_sqs = |why: &str| EventError::NotSqs(why.to_owned());
        let records = event.get("Records").and_then(Value::as_array).filter(|records| !records.is_empty());
        let records = records.ok_or_else(|| not_sqs("it has no Records"))?;
        let mut batch = Batch { arn: String::new(), messages: Vec::new(), malformed: Vec::new() };
        for record in records {
            // Lambda writes both itself, into every record.
            let arn = record.get("eventSourceARN").and_then(Value::as_str).filter(|arn| Arn::parse(arn).is_some());
            let Some(arn) = arn.filter(|_| record.get("eventSource").is_some_and(|source| source == "aws:sqs")) else {
                return Err(not_sqs("a record's eventSource is not aws:sqs"));
            };
            if !batch.arn.is_empty() && batch.arn != arn {
                return Err(EventError::SeveralQueues(batch.arn, arn.to_owned()));
            }
            arn.clone_into(&mut batch.arn);
            match Record::deserialize(record) {
                Ok(record) => batch.messages.push(record.message(now)),
                Err(error) => batch.malformed.push(Malformed {
                    id: record.get("messageId").and_then(Value::as_str).map(str::to_owned),
                    body: record.to_string(),
                    reason: format!("not a message of SQS: {error}"),
                }),
            }
        }
        Ok(batch)
    }
}

impl Record {
    fn message(self, now: SystemTime) -> Message {
        let sent = self.attributes.sent_timestamp.parse().map(Duration::from_millis);
        Message {
            id: self.message_id.into(),
            receipt: receipt(&self.receipt_handle, now),
            body: self.body.into(),
            received: self.attributes.approximate_receive_count.parse().unwrap_or(1).max(1),
            sent: sent.map_or(now, |since| SystemTime::UNIX_EPOCH + since),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:list";

    fn record(id: &str) -> Value {
        json!({ "messageId": id, "receiptHandle": "AQEB.x", "body": "{}", "eventSource": "aws:sqs", "eventSourceARN": ARN,
            "awsRegion": "eu-west-1", "messageAttributes": {}, "md5OfBody": "m",
            "attributes": { "ApproximateReceiveCount": "3", "SentTimestamp": "1700000000000", "SenderId": "S" } })
    }

    fn read(event: &Value) -> Result<Batch, EventError> {
        Batch::read(event, SystemTime::UNIX_EPOCH + Duration::from_secs(5))
    }

    #[test]
    fn an_event_of_sqs_is_a_batch_of_messages() {
        let batch = read(&json!({ "Records": [record("a"), record("b")] })).unwrap();
        assert_eq!((batch.arn.as_str(), batch.messages.len(), batch.malformed.len()), (ARN, 2, 0));
        let first = &batch.messages[0];
        assert_eq!((&*first.id, &*first.body, first.received, &*first.receipt.0), ("a", "{}", 3, "5.AQEB.x"));
        assert_eq!(first.sent, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    }

    #[test]
    fn an_event_that_is_not_of_sqs_is_refused() {
        let other = |name: &str, value: Value| {
            let mut record = record("a");
            record[name] = value;
            json!({ "Records": [record] })
        };
        for event in [
            json!({}),
            json!([]),
            json!({ "Records": [] }),
            json!({ "Records": [{ "s3": {} }] }),
            json!({ "source": "aws.events", "detail-type": "Scheduled Event" }),
            other("eventSource", json!("aws:sns")),
            other("eventSourceARN", json!("arn:aws:sns:eu-west-1:1:topic")),
        ] {
            let error = read(&event).unwrap_err().to_string();
            assert!(error.contains("event source mapping"), "{error}");
        }
        let mut second = record("b");
        second["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:123456789012:other");
        assert!(matches!(read(&json!({ "Records": [record("a"), second] })), Err(EventError::SeveralQueues(..))));
    }

    #[test]
    fn a_record_that_is_no_message_stands_alone() {
        let mut bad = record("b");
        bad.as_object_mut().unwrap().remove("receiptHandle");
        let batch = read(&json!({ "Records": [record("a"), bad, record("c")] })).unwrap();
        assert_eq!((batch.messages.len(), batch.malformed.len()), (2, 1));
        assert_eq!(batch.malformed[0].id.as_deref(), Some("b"));
        assert!(batch.malformed[0].reason.contains("receiptHandle"), "{}", batch.malformed[0].reason);
    }
}
