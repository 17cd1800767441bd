//! A queue that has been found, and what it says of itself: what every use of it begins with.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use skyferry_providers::Cached;

use super::arn::{self, Arn};
use super::error::ErrorContext;
use super::{Depth, PATIENCE, QueueError, QueueName, SqsOptions};
use crate::client::{AwsClient, OPENING};

pub(super) struct QueueHandle {
    pub aws: AwsClient,
    pub client: Client,
    pub errors: ErrorContext,
    pub url: Arc<str>,
    pub attributes: QueueAttributes,
}

/// What a queue says of itself.
#[derive(Default)]
pub(super) struct QueueAttributes(pub HashMap<QueueAttributeName, String>);

/// What a queue says of its dead letters. The count comes as a number or as text.
#[derive(Deserialize)]
pub(super) struct RedrivePolicy {
    #[serde(rename = "deadLetterTargetArn")]
    target: String,
    #[serde(rename = "maxReceiveCount")]
    most: serde_json::Value,
}

impl RedrivePolicy {
    /// As the policy names it.
    pub fn target(&self) -> &str {
        &self.target
    }

    pub fn dead_letters(&self) -> Option<Arn<'_>> {
        Arn::parse(&self.target)
    }

    pub fn max_receives(&self) -> Option<u32> {
        count(&self.most)
    }
}

impl QueueAttributes {
    /// `None` also where it is empty.
    pub fn text(&self, name: QueueAttributeName) -> Option<&str> {
        self.0.get(&name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub fn number(&self, name: QueueAttributeName) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

impl QueueHandle {
    /// Finds the queue and reads its attributes. A queue to which S3 cannot send is refused.
    pub async fn open(
        options: SqsOptions,
        keys: Arc<Cached>,
        errors: fn(&str) -> ErrorContext,
    ) -> Result<QueueHandle, QueueError> {
        let shown = match &options.queue {
            QueueName::Name(name) | QueueName::Url(name) => name.clone(),
        };
        let errors = errors(&shown);
        let (of_url, endpoint_of_url) = match &options.queue {
            QueueName::Url(url) => (arn::region(url), arn::own_endpoint(url)),
            QueueName::Name(_) => (None, None),
        };
        if shown.ends_with(".fifo") {
            return Err(errors.fifo());
        }
        let region = match options.region.or(of_url) {
            Some(region) => region,
            None => {
                let held = keys.get().await.map_err(|error| errors.unavailable("credentials", error.to_string()))?;
                held.region.clone().ok_or_else(|| errors.no_region())?
            }
        };
        let aws = AwsClient::new(keys, &region, options.endpoint.or(endpoint_of_url).as_deref());
        let aws = aws.map_err(|error| errors.no_tls(&error))?;
        let client = Client::new(aws.config());
        let url = match options.queue {
            QueueName::Url(url) => url,
            QueueName::Name(name) => {
                let asked = aws.call(OPENING, || client.get_queue_url().queue_name(&name).send()).await;
                let reported = asked.map_err(|failure| errors.classify("GetQueueUrl", failure))?;
                reported.queue_url.ok_or_else(|| errors.unexpected_answer("GetQueueUrl", "no URL"))?
            }
        };
        let mut found = QueueHandle { aws, client, errors, url: url.into(), attributes: QueueAttributes::default() };
        found.read().await?;
        if found.attributes.text(QueueAttributeName::FifoQueue) == Some("true") {
            return Err(found.errors.fifo());
        }
        Ok(found)
    }

    /// Asks for the attributes again.
    pub async fn read(&mut self) -> Result<(), QueueError> {
        let wanted =
            || self.client.get_queue_attributes().queue_url(&*self.url).attribute_names(QueueAttributeName::All);
        let asked = self.aws.call(OPENING, || wanted().send()).await;
        let reported = asked.map_err(|failure| self.errors.classify("GetQueueAttributes", failure))?;
        self.attributes = QueueAttributes(reported.attributes.unwrap_or_default());
        Ok(())
    }

    pub async fn depth(&self) -> Result<Depth, QueueError> {
        self.depth_of(&self.url).await
    }

    /// Of another queue that these keys may ask about.
    pub async fn depth_of(&self, url: &str) -> Result<Depth, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as InFlight,
        };
        let wanted = || {
            let names = vec![Visible, InFlight, Delayed];
            self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names))
        };
        let asked = self.aws.call(PATIENCE, || wanted().send()).await;
        let reported = asked.map_err(|failure| self.errors.classify("GetQueueAttributes", failure))?;
        let attributes = reported.attributes.unwrap_or_default();
        // A count that is not told must not look like nothing.
        let count = |name| {
            let text = attributes.get(&name).and_then(|text| text.parse().ok());
            text.ok_or_else(|| self.errors.unexpected_answer("GetQueueAttributes", "no count of messages"))
        };
        Ok(Depth { visible: count(Visible)?, in_flight: count(InFlight)?, delayed: count(Delayed)? })
    }

    pub fn redrive(&self) -> Result<Option<RedrivePolicy>, QueueError> {
        let Some(policy) = self.attributes.text(QueueAttributeName::RedrivePolicy) else { return Ok(None) };
        let read = serde_json::from_str(policy).map(Some);
        read.map_err(|_| self.errors.unexpected_answer("GetQueueAttributes", "a RedrivePolicy in an unknown format"))
    }
}

fn count(value: &serde_json::Value) -> Option<u32> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receive_count_comes_as_number_or_text() {
        assert_eq!([count(&3.into()), count(&"12".into()), count(&"x".into())], [Some(3), Some(12), None]);
    }
}
