//! What is sent: new messages, copies of renewed ones, dead letters. Ten in one request and no more than 256 KiB of them,
//! which every queue takes. Entries that fail by the service's fault are sent again, so a message may come twice.
//!
//! SQS refuses some characters. A JSON text holds them in strings only, where `\uXXXX` says the same: so nothing is lost.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry as SdkEntry};
use tokio::time::{Instant, sleep};

use super::error::ErrorContext;
use super::{QueueError, seconds};
use crate::client::{AwsClient, RetryBudget};

const FULL: usize = 10;
const FULL_BYTES: usize = 256 << 10;
const LONGEST_DELAY: Duration = Duration::from_secs(900);
const PATIENCE: RetryBudget = RetryBudget { attempt: Duration::from_secs(15), total: Duration::from_secs(30) };
/// The attribute of a dead letter that says why. Its name and type count towards the message's size.
pub(super) const REASON: &str = "SkyferryReason";
const REASON_TYPE: &str = "String";
/// What an operator reads in a console; the whole reason is in the ledger.
const REASON_BYTES: usize = 1000;
const OPERATION: &str = "SendMessageBatch";

#[derive(Clone)]
pub(super) struct Sender {
    aws: AwsClient,
    client: Client,
    errors: ErrorContext,
    /// The largest message that the queue takes.
    most: usize,
}

#[derive(Clone, Debug)]
struct Draft {
    body: String,
    delay: i32,
    reason: Option<String>,
}

impl Sender {
    pub fn new(aws: AwsClient, client: Client, errors: ErrorContext, most: u64) -> Sender {
        Sender { aws, client, errors, most: usize::try_from(most).unwrap_or(usize::MAX) }
    }

    pub async fn send_all(&self, url: &str, bodies: &[String]) -> Result<(), QueueError> {
        let mut batch: Vec<Draft> = Vec::new();
        let mut bytes = 0;
        for body in bodies {
            let body = sendable(body);
            if batch.len() == FULL || (bytes + body.len() > FULL_BYTES && !batch.is_empty()) {
                self.batch(url, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += body.len();
            batch.push(Draft { body: body.into_owned(), delay: 0, reason: None });
        }
        if batch.is_empty() { Ok(()) } else { self.batch(url, batch).await }
    }

    pub async fn send_one(
        &self,
        url: &str,
        body: &str,
        delay: Duration,
        reason: Option<&str>,
    ) -> Result<(), QueueError> {
        let body = sendable(body).into_owned();
        let reason = reason.and_then(|reason| trimmed(reason, self.most.saturating_sub(body.len())));
        let draft = Draft { body, delay: seconds(delay.min(LONGEST_DELAY)), reason };
        match self.batch(url, vec![draft.clone()]).await {
            // The dead letters may be of another size than the queue: the letter matters more than its reason.
            Err(QueueError::Unusable { .. }) if draft.reason.is_some() => {
                self.batch(url, vec![Draft { reason: None, ..draft }]).await
            }
            other => other,
        }
    }

    /// Until all of them are sent.
    async fn batch(&self, url: &str, mut drafts: Vec<Draft>) -> Result<(), QueueError> {
        let (began, mut retry) = (Instant::now(), PATIENCE.retry());
        loop {
            let (left, why) = self.request(url, drafts).await?;
            if left.is_empty() {
                return Ok(());
            }
            let Some(delay) = retry.delay(began.elapsed()) else {
                return Err(self.errors.unavailable(OPERATION, why));
            };
            sleep(delay).await;
            drafts = left;
        }
    }

    /// One request. What comes back failed by the service's fault.
    async fn request(&self, url: &str, drafts: Vec<Draft>) -> Result<(Vec<Draft>, String), QueueError> {
        let entries = drafts.iter().enumerate().map(|(place, draft)| entry(place, draft));
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| self.errors.unavailable(OPERATION, error.to_string()))?;
        let request = || self.client.send_message_batch().queue_url(url).set_entries(Some(entries.clone()));
        let answer = self.aws.call(PATIENCE, || request().send()).await;
        let answer = answer.map_err(|failure| {
            let dead = url.rsplit('/').next().unwrap_or_default();
            ErrorContext::new(&format!("{} ({dead})", self.errors.queue())).classify(OPERATION, failure)
        })?;
        let final_one = answer.failed.iter().find(|entry| entry.sender_fault && !entry.code.contains("Throttl"));
        if let Some(refused) = final_one {
            let text = refused.message.as_deref().unwrap_or_default();
            return Err(self.errors.unusable(
                format!("a message of {url} is refused ({}: {text})", refused.code),
                "check the queue's MaximumMessageSize and policy",
            ));
        }
        let why = answer.failed.first().map_or("the answer leaves entries out".into(), |entry| {
            format!("{}: {}", entry.code, entry.message.as_deref().unwrap_or_default())
        });
        let sent = |place: usize| answer.successful.iter().any(|entry| entry.id == place.to_string());
        let left = drafts.into_iter().enumerate().filter(|(place, _)| !sent(*place)).map(|(_, draft)| draft);
        Ok((left.collect(), why))
    }
}

fn entry(place: usize, draft: &Draft) -> Result<SdkEntry, aws_sdk_sqs::error::BuildError> {
    let mut entry = SdkEntry::builder().id(place.to_string()).message_body(&draft.body);
    if draft.delay > 0 {
        entry = entry.delay_seconds(draft.delay);
    }
    if let Some(reason) = &draft.reason {
        let value = MessageAttributeValue::builder().data_type(REASON_TYPE).string_value(reason).build()?;
        entry = entry.message_attributes(REASON, value);
    }
    entry.build()
}

/// What SQS takes (XML 1.0's characters).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The same JSON text without the characters that SQS refuses. An empty body, which it refuses too, is a space.
fn sendable(body: &str) -> Cow<'_, str> {
    if body.is_empty() {
        return " ".into();
    }
    if body.chars().all(is_allowed) {
        return body.into();
    }
    let escaped = body.chars().fold(String::with_capacity(body.len() + 16), |mut text, c| {
        match is_allowed(c) {
            true => text.push(c),
            false => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
        text
    });
    escaped.into()
}

/// A reason within what the attribute and the message's room hold; `None` if that is nothing.
fn trimmed(reason: &str, room: usize) -> Option<String> {
    let room = room.saturating_sub(REASON.len() + REASON_TYPE.len()).min(REASON_BYTES);
    let clean: String = reason.chars().map(|c| if is_allowed(c) { c } else { '\u{fffd}' }).collect();
    let end = (0..=room.min(clean.len())).rev().find(|end| clean.is_char_boundary(*end)).unwrap_or(0);
    (end > 0).then(|| clean[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_json_text_says_the_same_without_the_characters_that_are_refused(key in any::<String>()) {
            let odd = format!("{key}\u{fffe}\u{ffff}");
            let body = serde_json::json!({ "Src_key": odd }).to_string();
            let sent = sendable(&body);
            prop_assert!(sent.chars().all(is_allowed));
            let read: serde_json::Value = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(read["Src_key"].as_str(), Some(odd.as_str()));
        }

        #[test]
        fn a_reason_always_fits(reason in "\\PC*|[\\x00-\\x20]*", room in 0usize..3000) {
            let kept = trimmed(&reason, room).unwrap_or_default();
            let bytes = kept.len() + if kept.is_empty() { 0 } else { REASON.len() + REASON_TYPE.len() };
            prop_assert!(bytes <= room && kept.len() <= REASON_BYTES && kept.chars().all(is_allowed));
        }
    }

    #[test]
    fn nothing_at_all_becomes_a_space() {
        assert_eq!(sendable(""), " ");
        assert_eq!(sendable("{}"), "{}");
    }
}
