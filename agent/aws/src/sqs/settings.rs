//! What the owner of a queue decided about it. An agent needs little of this; a preflight tells what would hurt later.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

use super::queue_handle::QueueAttributes;
use super::{PATIENCE, QueueError, RedrivePolicy, Sqs};
use crate::client::ServerClock;

/// As the queue tells them; what it does not tell has SQS's default.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    pub arn: String,
    pub visibility: Duration,
    pub retention: Duration,
    /// How long a new message stays invisible.
    pub delay: Duration,
    /// Bytes.
    pub max_message: u64,
    /// Who may use it beside its account: JSON.
    pub policy: Option<String>,
    pub dead_letters: Option<DeadLetterTarget>,
    /// By how many milliseconds the service's clock is ahead: at least, at most.
    pub clock_ahead: (i64, i64),
}

/// Where messages go that were received too often.
#[derive(Clone, Debug)]
pub struct DeadLetterTarget {
    pub name: String,
    pub max_receives: Option<u32>,
    /// How long they are kept and how many there are; or why it cannot be reported.
    pub found: Result<(Duration, u64), QueueError>,
}

impl Sqs {
    /// Asks now.
    pub async fn settings(&self) -> Result<SqsSettings, QueueError> {
        let clock = ServerClock::default();
        let attributes = self.attributes(&self.found.url, &clock).await?;
        let text = |name| attributes.text(name).map(str::to_owned);
        let policy = attributes.text(QueueAttributeName::RedrivePolicy);
        let redrive = policy.and_then(|policy| serde_json::from_str::<RedrivePolicy>(policy).ok());
        let dead_letters = match redrive {
            Some(redrive) => Some(self.dead_letters(&redrive, &clock).await),
            None => None,
        };
        let number = |name, default| attributes.number(name).unwrap_or(default);
        Ok(SqsSettings {
            arn: text(QueueAttributeName::QueueArn).unwrap_or_default(),
            visibility: Duration::from_secs(number(QueueAttributeName::VisibilityTimeout, 30)),
            retention: Duration::from_secs(number(QueueAttributeName::MessageRetentionPeriod, 345_600)),
            delay: Duration::from_secs(number(QueueAttributeName::DelaySeconds, 0)),
            max_message: number(QueueAttributeName::MaximumMessageSize, 256 << 10),
            policy: text(QueueAttributeName::Policy),
            dead_letters,
            clock_ahead: clock.ahead(),
        })
    }

    async fn dead_letters(&self, redrive: &RedrivePolicy, clock: &ServerClock) -> DeadLetterTarget {
        let max_receives = redrive.max_receives();
        let Some(arn) = redrive.dead_letters() else {
            let found =
                Err(self.found.errors.unexpected_answer("GetQueueAttributes", "a RedrivePolicy in an unknown format"));
            return DeadLetterTarget { name: redrive.target().to_owned(), max_receives, found };
        };
        let found = self.attributes(&arn.url_beside(&self.found.url), clock).await.map(|attributes| {
            let retention = attributes.number(QueueAttributeName::MessageRetentionPeriod).unwrap_or(345_600);
            let waiting = attributes.number(QueueAttributeName::ApproximateNumberOfMessages).unwrap_or(0);
            (Duration::from_secs(retention), waiting)
        });
        DeadLetterTarget { name: arn.name.to_owned(), max_receives, found }
    }

    async fn attributes(&self, url: &str, clock: &ServerClock) -> Result<QueueAttributes, QueueError> {
        let request = || {
            let all = self.found.client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
            all.customize().interceptor(clock.reader()).send()
        };
        let reported = self.found.aws.call(PATIENCE, request).await;
        let reported = reported.map_err(|failure| self.found.errors.classify("GetQueueAttributes", failure))?;
        Ok(QueueAttributes(reported.attributes.unwrap_or_default()))
    }
}
