//! A queue as its owner sees it: its ARN, and whom its policy lets in. For whoever wires a bucket to it.

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use skyferry_providers::Cached;

use super::found::Found;
use super::refusal::Refusals;
use super::{PATIENCE, QueueError, SqsOptions};

pub struct Owned(Found);

impl Owned {
    pub async fn open(options: SqsOptions, keys: Arc<Cached>) -> Result<Owned, QueueError> {
        Ok(Owned(Found::open(options, keys, Refusals::of_owner).await?))
    }

    pub fn arn(&self) -> Result<&str, QueueError> {
        let arn = self.0.attributes.text(QueueAttributeName::QueueArn);
        arn.ok_or_else(|| self.0.refusals.nonsense("GetQueueAttributes", "no ARN"))
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
        let Found { aws, client, refusals, url, .. } = &self.0;
        let set = || client.set_queue_attributes().queue_url(&**url).attributes(QueueAttributeName::Policy, policy);
        let asked = aws.call(PATIENCE, || set().send()).await;
        asked.map_err(|failure| refusals.told("SetQueueAttributes", failure))?;
        self.read().await
    }
}
