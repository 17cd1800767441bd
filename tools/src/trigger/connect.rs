//! What every verb begins with: from the flags, or the settings file, to the bucket's S3 and the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use skyferry_agent::wiring::{queue_policy, source_s3};
use skyferry_aws::sqs::{Arn, QueuePolicy};
use skyferry_config::{ProviderSettings, Settings, StoreSettings};
use skyferry_stores::s3::S3;

use super::arguments::ConnectionArguments;
use super::configuration::Configuration;
use super::entry::FilterEncoding;
use crate::usage::UsageError;

pub struct TriggerClient {
    settings: Settings,
    pub s3: S3,
    spelling: FilterEncoding,
}

/// A bucket's configuration as it was read.
pub struct BucketConfiguration {
    pub configuration: Configuration,
    /// Where the bucket is, if that is known.
    pub region: Option<String>,
}

impl TriggerClient {
    pub fn open(connection: &ConnectionArguments) -> anyhow::Result<TriggerClient> {
        let settings = match &connection.config {
            Some(file) => Settings::load(file, std::env::vars_os()).map_err(|error| UsageError(error.to_string()))?,
            None => typed(connection)?,
        };
        let s3 = source_s3(&settings).map_err(|error| UsageError(error.to_string()))?;
        let own = match &settings.source {
            StoreSettings::S3(s3) => s3.endpoint.as_ref().map(|endpoint| endpoint.host().to_owned()),
            _ => None,
        };
        let amazon = own.is_none_or(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"));
        let spelling = if amazon { FilterEncoding::Form } else { FilterEncoding::Plain };
        Ok(TriggerClient { settings, s3, spelling })
    }

    /// The one that was named, else that of the settings.
    pub fn bucket(&self, named: Option<&str>) -> Result<String, UsageError> {
        if let Some(bucket) = named {
            return Ok(bucket.to_owned());
        }
        let routed: BTreeSet<&str> =
            self.settings.routes.iter().filter_map(|route| route.source_bucket.as_deref()).collect();
        match (routed.first(), routed.len()) {
            (Some(bucket), 1) => Ok((*bucket).to_owned()),
            _ => Err(UsageError("which bucket? Use --bucket".into())),
        }
    }

    pub async fn read(&self, bucket: &str) -> anyhow::Result<BucketConfiguration> {
        let notification = self.s3.notification(bucket).await?;
        let configuration = self.parse(&notification.document);
        let configuration =
            configuration.map_err(|what| anyhow!("the notification configuration of {bucket} {what}"))?;
        Ok(BucketConfiguration { configuration, region: notification.region.map(|region| region.to_string()) })
    }

    pub fn parse(&self, document: &str) -> Result<Configuration, String> {
        Configuration::read(document, self.spelling)
    }

    /// The queue of this ARN, else that of the settings.
    pub async fn queue(&self, arn: Option<&str>) -> anyhow::Result<QueuePolicy> {
        let arn = arn.map(standard_queue).transpose()?;
        Ok(queue_policy(&self.settings, arn.as_ref()).await?)
    }

    /// The bucket's account, as far as the settings know it.
    pub fn expected_owner(&self) -> Option<&str> {
        match &self.settings.source {
            StoreSettings::S3(s3) => s3.expected_owner.as_deref(),
            _ => None,
        }
    }

    /// What the agent of these settings has to hear of.
    pub fn default_events(&self) -> Vec<String> {
        let transfer = &self.settings.transfer;
        let wanted = [
            (true, "s3:ObjectCreated:*"),
            (transfer.deletes, "s3:ObjectRemoved:*"),
            (transfer.deletes, "s3:LifecycleExpiration:*"),
            (transfer.restore, "s3:ObjectRestore:Completed"),
        ];
        wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, event)| event.to_owned()).collect()
    }
}

/// An ARN to which S3 can send.
pub fn standard_queue(text: &str) -> Result<Arn<'_>, UsageError> {
    let wanted = "a queue's ARN is like arn:aws:sqs:us-west-2:123456789012:name";
    let arn =
        Arn::parse(text).ok_or_else(|| UsageError(format!("{text:?} is not the ARN of an SQS queue: {wanted}")))?;
    if arn.name.ends_with(".fifo") {
        return Err(UsageError(format!("{text} is a FIFO queue, and S3 sends its events to standard queues only")));
    }
    Ok(arn)
}

/// The flags as settings, so that there is one place that knows defaults.
fn typed(connection: &ConnectionArguments) -> anyhow::Result<Settings> {
    let mut text = String::from(
        "ledger.kind = \"none\"\ndestination.kind = \"directory\"\ndestination.path = \"none\"\n\
         credentials.source.provider = \"environment\"\n",
    );
    let ConnectionArguments { region, endpoint, queue_endpoint, .. } = connection;
    for (table, name, value) in
        [("source", "region", region), ("source", "endpoint", endpoint), ("queue", "endpoint", queue_endpoint)]
    {
        if let Some(value) = value {
            // What JSON says of a text, TOML says too.
            let _ = writeln!(text, "{table}.{name} = {}", serde_json::Value::from(value.as_str()));
        }
    }
    let here = std::env::current_dir().context("the current directory")?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !name.starts_with("SKYFERRY__"))
        .collect();
    let parsed = Settings::parse(&here.join("command line"), &text, &environment);
    let mut settings = parsed.map_err(|error| {
        let text = error.to_string();
        UsageError(text.replace("source.", "--").replace("queue.endpoint", "--queue-endpoint"))
    })?;
    if let Some(text) = &connection.credentials {
        let provider = ProviderSettings::from_argument(text, Path::new(&here));
        let provider = provider.map_err(|wanted| UsageError(format!("--credentials: {wanted}")))?;
        settings.credentials.source = Some(provider.clone());
        settings.credentials.queue = Some(provider);
    }
    Ok(settings)
}
