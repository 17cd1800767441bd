//! A queue as its owner sees it: its ARN, and whom its policy lets in. For whoever wires a bucket to it.

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use skyferry_providers::Cached;

use super::error::ErrorContext;
use super::queue_handle::QueueHandle;
use super::{PATIENCE, QueueError, SqsOptions};

pub struct QueuePolicy(QueueHandle);

impl QueuePolicy {
    pub async fn open(options: SqsOptions, keys: Arc<Cached>) -> Result<QueuePolicy, QueueError> {
        Ok(QueuePolicy(QueueHandle::open(options, keys, ErrorContext::of_owner).await?))
    }

    pub fn arn(&self) -> Result<&str, QueueError> {
        let arn = self.0.attributes.text(QueueAttributeName::QueueArn);
        arn.ok_or_else(|| self.0.errors.unexpected_answer("GetQueueAttributes", "no ARN"))
    }

    /// A JSON document; `None`: only the account itself is let in.
    pub fn policy(&self) -> Option<&str> {
        self.0.attributes.text(QueueAttributeName::Policy)
    }

    /// The key of the KMS that encrypts it.
    pub fn kms_key(&self) -> Option<&str> {
        self.0.attributes.text(QueueAttributeName::KmsMasterKeyId)
    }

    /// Asks for its attributes again.
    pub async fn read(&mut self) -> Result<(), QueueError> {
        self.0.read().await
    }

    /// Replaces the policy, and reads back what is there then.
    pub async fn set_policy(&mut self, policy: &str) -> Result<(), QueueError> {
        let QueueHandle { aws, client, errors, url, .. } = &self.0;
        let set = || client.set_queue_attributes().queue_url(&**url).attributes(QueueAttributeName::Policy, policy);
        let asked = aws.call(PATIENCE, || set().send()).await;
        asked.map_err(|failure| errors.classify("SetQueueAttributes", failure))?;
        self.read().await
    }
}
