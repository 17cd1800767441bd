//! What tools of operators need beside an agent: the source's S3 by itself, a queue as its owner sees it, dead letters. Each
//! asks for the keys of its own side only.

use std::sync::Arc;

use skyferry_providers::Cached;

use super::WiringError;
use super::keys::Keys;
use super::queues::{EMBEDDED_QUEUE, embedded_traits, sqs_options};
use super::stores::{s3, transport};
use skyferry_aws::sqs::{Arn, Owned, QueueName, SqsLetters, SqsOptions};
use skyferry_config as config;
use skyferry_config::{Provider, Settings, Store};
use skyferry_core::error::Side;
use skyferry_core::queue::DeadLetters;
use skyferry_sqlite::Embedded;
use skyferry_sqlite::queue::EmbeddedLetters;
use skyferry_stores::s3::S3;

/// The source, to read and to set what its buckets tell whom.
pub fn source_s3(settings: &Settings) -> Result<S3, WiringError> {
    let Store::S3(store) = &settings.source else {
        return Err(wrong("[source]", "is not S3: only an S3 bucket sends events to SQS"));
    };
    let cached = keys(settings, settings.credentials.source.as_ref(), "[source]")?;
    let keys = Keys { cached, region: None, missing: None };
    s3(store, Some(keys), Side::Source, &transport(settings)?)
}

/// The queue of this ARN; else the one of the settings. Needs a runtime.
pub async fn owned_queue(settings: &Settings, arn: Option<&Arn<'_>>) -> Result<Owned, WiringError> {
    let mut known = settings.queues.iter().filter_map(|queue| match queue {
        config::Queue::Sqs { queue, region, endpoint } => Some(sqs_options(queue, region, endpoint)),
        config::Queue::Embedded { .. } => None,
    });
    let options = match (known.next(), arn) {
        (first, Some(arn)) => {
            let endpoint = first.and_then(|options| options.endpoint);
            let queue = QueueName::Url(arn.url(endpoint.as_deref()));
            SqsOptions { queue, region: Some(arn.region.into()), endpoint }
        }
        (Some(options), None) if known.next().is_none() => options,
        (Some(_), None) => return Err(wrong("[[queues]]", "are several: name one by its ARN")),
        (None, None) => return Err(wrong("[queue]", "is not an SQS queue: give the ARN of one")),
    };
    let provider = settings.credentials.queue.as_ref().or(settings.credentials.source.as_ref());
    Ok(Owned::open(options, keys(settings, provider, "[queue]")?).await?)
}

/// Of every queue, in the settings' order. Needs a runtime.
pub async fn dead_letters(settings: &Settings) -> Result<Vec<Box<dyn DeadLetters>>, WiringError> {
    let mut all: Vec<Box<dyn DeadLetters>> = Vec::new();
    for queue in &settings.queues {
        all.push(match queue {
            config::Queue::Sqs { queue, region, endpoint } => {
                let keys = keys(settings, settings.credentials.queue.as_ref(), "[queue]")?;
                Box::new(SqsLetters::open(sqs_options(queue, region, endpoint), keys).await?)
            }
            config::Queue::Embedded { path, .. } if !path.exists() => {
                let reason = format!("the file {} does not exist: no agent has run with it yet", path.display());
                return Err(WiringError::Section { section: "[queue]", reason });
            }
            config::Queue::Embedded { path, .. } => {
                let queue = Embedded::open(path)?.queue(EMBEDDED_QUEUE, embedded_traits()).await?;
                Box::new(EmbeddedLetters::new(queue))
            }
        });
    }
    Ok(all)
}

fn keys(settings: &Settings, provider: Option<&Provider>, section: &'static str) -> Result<Arc<Cached>, WiringError> {
    let provider = provider.ok_or_else(|| wrong(section, "needs credentials"))?;
    Ok(Arc::new(super::cached(provider, &settings.metadata)))
}

fn wrong(section: &'static str, reason: &str) -> WiringError {
    WiringError::Section { section, reason: reason.into() }
}
