//! Lambda's event source mapping of an SQS queue with `ReportBatchItemFailures`, as strict as the service: it receives with
//! the queue's own visibility, invokes the function, and deletes what the answer does not name. An answer that it cannot
//! follow fails the whole batch.

use std::collections::BTreeSet;
use std::io;

use serde_json::{Value, json};

use crate::lambda::{LambdaError, LambdaPeer};
use crate::ministack::Ministack;

/// What an event can be sent to, and answers it.
pub trait Function {
    /// One invocation.
    fn invoke(&self, event: &Value) -> impl Future<Output = Result<Value, LambdaError>>;
}

impl Function for LambdaPeer {
    async fn invoke(&self, event: &Value) -> Result<Value, LambdaError> {
        LambdaPeer::invoke(self, event).await
    }
}

/// One invocation of the mapping.
#[derive(Debug)]
pub struct Delivered {
    /// The ids that the function got.
    pub ids: Vec<String>,
    /// Of these, what stays in the queue.
    pub kept: Vec<String>,
    /// Why all of them stay.
    pub error: Option<LambdaError>,
}

/// Between one queue and one function.
pub struct EventSource<'a, F = LambdaPeer> {
    pub cloud: &'a Ministack,
    pub queue: &'a str,
    pub function: &'a F,
    pub batch: u32,
}

impl<F: Function> EventSource<'_, F> {
    /// `None`: the queue had nothing to give.
    pub async fn poll(&self) -> io::Result<Option<Delivered>> {
        let url = self.cloud.queue_url(self.queue);
        let asked = json!({ "QueueUrl": url, "MaxNumberOfMessages": self.batch, "AttributeNames": ["All"] });
        let received = self.cloud.call("AmazonSQS.ReceiveMessage", asked).await?;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return Ok(None);
        }
        let records: Vec<Value> = messages.iter().map(|message| self.record(message)).collect();
        let ids: Vec<String> = messages.iter().filter_map(|m| m["MessageId"].as_str().map(str::to_owned)).collect();
        let answer = self.function.invoke(&json!({ "Records": records })).await;
        let (kept, error) = match answer {
            Ok(answer) => (failures(&answer, &ids).unwrap_or_else(|| ids.clone()), None),
            Err(error) => (ids.clone(), Some(error)),
        };
        for message in messages.iter().filter(|message| !kept.iter().any(|id| message["MessageId"] == **id)) {
            let gone = json!({ "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"] });
            self.cloud.call("AmazonSQS.DeleteMessage", gone).await?;
        }
        Ok(Some(Delivered { ids, kept, error }))
    }

    fn record(&self, message: &Value) -> Value {
        json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": Ministack::queue_arn(self.queue),
            "awsRegion": Ministack::REGION,
        })
    }
}

/// The ids that failed; `None`: the answer is none, or names a message that was not there, so all have.
fn failures(answer: &Value, ids: &[String]) -> Option<Vec<String>> {
    let named = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(named) => named.as_array()?,
    };
    let named: Option<BTreeSet<String>> =
        named.iter().map(|one| one["itemIdentifier"].as_str().map(str::to_owned)).collect();
    let named = named?;
    named.iter().all(|id| ids.contains(id)).then(|| named.into_iter().collect())
}
