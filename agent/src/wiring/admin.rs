//! What tools of operators need beside an agent: the source's S3 by itself, a queue as its owner sees it, dead letters. Each
//! asks for the keys of its own side only.

use std::sync::Arc;

use skyferry_providers::Cached;

use super::WiringError;
use super::keys::RoleCredentials;
use super::queues::{EMBEDDED_QUEUE, embedded_traits, sqs_options};
use super::stores::{s3, transport};
use skyferry_aws::sqs::{Arn, QueuePolicy, SqsDeadLetters, SqsOptions};
use skyferry_config as config;
use skyferry_config::{ProviderSettings, Settings, StoreSettings};
use skyferry_core::error::Side;
use skyferry_core::queue::{DeadLetters, QueueName};
use skyferry_sqlite::queue::SqliteDeadLetters;
use skyferry_sqlite::shared::SharedFile;
use skyferry_stores::s3::S3;

/// The source, to read and to set what its buckets tell whom.
pub fn source_s3(settings: &Settings) -> Result<S3, WiringError> {
    let StoreSettings::S3(store) = &settings.source else {
        return Err(section_error("[source]", "is not S3: only an S3 bucket sends events to SQS"));
    };
    let cached = keys(settings, settings.credentials.source.as_ref(), "[source]")?;
    let keys = RoleCredentials { cached, region: None, missing: None };
    s3(store, Some(keys), Side::Source, &transport(settings)?)
}

/// The queue of this ARN; else the one of the settings. Needs a runtime.
pub async fn queue_policy(settings: &Settings, arn: Option<&Arn<'_>>) -> Result<QueuePolicy, WiringError> {
    let mut known = settings.queues.iter().filter_map(|queue| match queue {
        config::QueueSettings::Sqs { queue, region, endpoint } => Some(sqs_options(queue, region, endpoint)),
        config::QueueSettings::Embedded { .. } => None,
    });
    let options = match (known.next(), arn) {
        (first, Some(arn)) => {
            let endpoint = first.and_then(|options| options.endpoint);
            let queue = QueueName::Url(arn.url(endpoint.as_deref()));
            SqsOptions { queue, region: Some(arn.region.into()), endpoint }
        }
        (Some(options), None) if known.next().is_none() => options,
        (Some(_), None) => return Err(section_error("[[queues]]", "are several: name one by its ARN")),
        (None, None) => return Err(section_error("[queue]", "is not an SQS queue: give the ARN of one")),
    };
    let provider = settings.credentials.queue.as_ref().or(settings.credentials.source.as_ref());
    Ok(QueuePolicy::open(options, keys(settings, provider, "[queue]")?).await?)
}

/// Of every queue, in the settings' order. Needs a runtime.
pub async fn dead_letters(settings: &Settings) -> Result<Vec<Box<dyn DeadLetters>>, WiringError> {
    let mut all: Vec<Box<dyn DeadLetters>> = Vec::new();
    for queue in &settings.queues {
        all.push(match queue {
            config::QueueSettings::Sqs { queue, region, endpoint } => {
                let keys = keys(settings, settings.credentials.queue.as_ref(), "[queue]")?;
                Box::new(SqsDeadLetters::open(sqs_options(queue, region, endpoint), keys).await?)
            }
            config::QueueSettings::Embedded { path, .. } if !path.exists() => {
                let reason = format!("the file {} does not exist: no agent has run with it yet", path.display());
                return Err(WiringError::Section { section: "[queue]", reason });
            }
            config::QueueSettings::Embedded { path, .. } => {
                let queue = SharedFile::open(path).await?.queue(EMBEDDED_QUEUE, embedded_traits()).await?;
                Box::new(SqliteDeadLetters::new(queue))
            }
        });
    }
    Ok(all)
}

fn keys(
    settings: &Settings,
    provider: Option<&ProviderSettings>,
    section: &'static str,
) -> Result<Arc<Cached>, WiringError> {
    let provider = provider.ok_or_else(|| section_error(section, "needs credentials"))?;
    Ok(Arc::new(super::cached(provider, &settings.metadata)))
}

fn section_error(section: &'static str, reason: &str) -> WiringError {
    WiringError::Section { section, reason: reason.into() }
}
