//! `skyferry trigger`: which events of a bucket go to which queue, set in bulk and without harm to what others have set.

mod arguments;
mod configuration;
mod connect;
mod declared;
mod entry;
mod merge;
mod policy;
mod proposal;
mod xml;

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::cli::{self, Cli, DONE};
use crate::output::Output;
use crate::usage::UsageError;
pub use arguments::Arguments;
use arguments::{
    AddEntries, ApplyEntries, EntryFilter, ListEntries, PolicyArguments, RemoveEntries, RestoreEntries, TriggerCommand,
};
use connect::{BucketConfiguration, TriggerClient, standard_queue};
use entry::{KeyFilter, TriggerEntry};
use merge::{EntryChange, EntrySelection};
use policy::SendPermission;
use proposal::{NewPolicy, Proposal, back_up, settle};

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        cli.block_on(async {
            match &self.verb {
                TriggerCommand::List(arguments) => list(arguments, &cli.output).await,
                TriggerCommand::Add(arguments) => add(arguments, &cli.output).await,
                TriggerCommand::Remove(arguments) => remove(arguments, &cli.output).await,
                TriggerCommand::Apply(arguments) => apply(arguments, &cli.output).await,
                TriggerCommand::Restore(arguments) => restore(arguments, &cli.output).await,
            }
        })
    }
}

async fn list(arguments: &ListEntries, output: &Output) -> anyhow::Result<u8> {
    let client = TriggerClient::open(&arguments.connection)?;
    let bucket = client.bucket(arguments.bucket.as_deref())?;
    let BucketConfiguration { configuration, region } = client.read(&bucket).await?;
    if let Some(file) = &arguments.backup {
        back_up(file, configuration.text())?;
    }
    let entries: Vec<&TriggerEntry> = configuration.entries().collect();
    let ours = entries.iter().filter(|entry| entry.is_ours()).count();
    for entry in &entries {
        output.line(&format!("  {entry}"))?;
    }
    for other in configuration.other_elements() {
        output.line(&format!("  {other}"))?;
    }
    output.line(&format!("{bucket}: {} of 100 entries used, {ours} by Skyferry", entries.len()))?;
    let others = configuration.other_elements();
    output.json(json!({ "bucket": bucket, "region": region, "ours": ours, "entries": entries, "others": others }))?;
    Ok(DONE)
}

async fn add(arguments: &AddEntries, output: &Output) -> anyhow::Result<u8> {
    let AddEntries { which, policy, writing, connection } = arguments;
    let client = TriggerClient::open(connection)?;
    let bucket = client.bucket(which.bucket.as_deref())?;
    let (filters, events) = (filters(which)?, events(&client, which)?);
    let queue = match &which.queue {
        Some(arn) => standard_queue(arn).map(|_| arn.clone())?,
        None => client.queue(None).await?.arn()?.to_owned(),
    };
    let wanted = entries(&queue, &filters, &events);
    let proposal = propose(&client, &bucket, &wanted, false, policy).await?;
    settle(&client, vec![proposal], writing, output).await
}

async fn apply(arguments: &ApplyEntries, output: &Output) -> anyhow::Result<u8> {
    let client = TriggerClient::open(&arguments.connection)?;
    let mut proposals = Vec::new();
    for (bucket, wanted) in declared::read(&arguments.file, &client.default_events())? {
        proposals.push(propose(&client, &bucket, &wanted, arguments.prune, &arguments.policy).await?);
    }
    settle(&client, proposals, &arguments.writing, output).await
}

async fn remove(arguments: &RemoveEntries, output: &Output) -> anyhow::Result<u8> {
    let RemoveEntries { which, all, writing, connection } = arguments;
    let client = TriggerClient::open(connection)?;
    let bucket = client.bucket(which.bucket.as_deref())?;
    let unsaid = which.prefix.is_empty() && which.prefix_file.is_none() && which.suffix.is_none();
    if unsaid && which.queue.is_none() && !all {
        return Err(
            UsageError("which entries? Use --prefix, --prefix-file, --suffix or --queue, or --all".into()).into()
        );
    }
    let (filters, events) = (filters(which)?, events(&client, which)?);
    let exactly = which.queue.as_ref().map_or_else(Vec::new, |queue| entries(queue, &filters, &events));
    let filters = if unsaid { Vec::new() } else { filters };
    let before = client.read(&bucket).await?.configuration;
    let change = EntryChange::remove(&before, &EntrySelection { queue: which.queue.clone(), filters, exactly });
    let after = before.with(&change.removed, &[]).map_err(|what| anyhow!("the new configuration {what}"))?;
    settle(&client, vec![Proposal { bucket, before, after, kept: 0, policies: Vec::new() }], writing, output).await
}

async fn restore(arguments: &RestoreEntries, output: &Output) -> anyhow::Result<u8> {
    let RestoreEntries { file, bucket, writing, connection } = arguments;
    let client = TriggerClient::open(connection)?;
    let bucket = client.bucket(bucket.as_deref())?;
    let wrong = |what: String| UsageError(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let after = client.parse(&text).map_err(wrong)?;
    let before = client.read(&bucket).await?.configuration;
    settle(&client, vec![Proposal { bucket, before, after, kept: 0, policies: Vec::new() }], writing, output).await
}

/// What makes the bucket have these entries, and their queues let it in.
async fn propose(
    client: &TriggerClient,
    bucket: &str,
    wanted: &[TriggerEntry],
    prune: bool,
    policy: &PolicyArguments,
) -> anyhow::Result<Proposal> {
    let queues: BTreeSet<&str> = wanted.iter().map(|entry| entry.target.as_str()).collect();
    let BucketConfiguration { configuration: before, region } = client.read(bucket).await?;
    for queue in &queues {
        let there = standard_queue(queue)?.region;
        if let Some(region) = region.as_deref().filter(|region| *region != there) {
            let text =
                format!("{queue} is in {there} and {bucket} in {region}: S3 sends to queues of its own region only");
            return Err(UsageError(text).into());
        }
    }
    let change = EntryChange::add(&before, wanted, prune).with_context(|| bucket.to_owned())?;
    let after = before.with(&change.removed, &change.added).map_err(|what| anyhow!("the new configuration {what}"))?;
    let mut policies = Vec::new();
    for arn in queues.into_iter().filter(|_| !policy.keep_policy) {
        policies.extend(new_policy(client, bucket, arn, policy.source_account.as_deref()).await?);
    }
    Ok(Proposal { bucket: bucket.to_owned(), before, after, kept: change.kept, policies })
}

async fn new_policy(
    client: &TriggerClient,
    bucket: &str,
    arn: &str,
    account: Option<&str>,
) -> anyhow::Result<Option<NewPolicy>> {
    let queue = client.queue(Some(arn)).await?;
    let parsed = standard_queue(arn)?;
    let account = account.or_else(|| client.expected_owner()).unwrap_or(parsed.account);
    let admission = SendPermission {
        queue: arn.to_owned(),
        bucket: bucket.to_owned(),
        partition: parsed.partition.to_owned(),
        account: account.to_owned(),
    };
    if let Some(key) = queue.kms_key() {
        eprintln!(
            "skyferry: {arn} is encrypted with {key}: the key's policy must allow s3.amazonaws.com to use \
             kms:GenerateDataKey and kms:Decrypt (the key alias/aws/sqs cannot)"
        );
    }
    let missing = admission.added_to(queue.policy())?.is_some();
    Ok(missing.then_some(NewPolicy { queue, admission }))
}

fn entries(queue: &str, filters: &[KeyFilter], events: &BTreeSet<String>) -> Vec<TriggerEntry> {
    filters.iter().map(|filter| TriggerEntry::ours(queue, filter.clone(), events.clone())).collect()
}

/// One for each prefix; without any, one for all keys.
fn filters(which: &EntryFilter) -> Result<Vec<KeyFilter>, UsageError> {
    let suffix = which.suffix.as_deref().unwrap_or_default();
    if let Some(file) = &which.prefix_file {
        return KeyFilter::of_file(file, suffix);
    }
    if which.prefix.is_empty() {
        return Ok(vec![KeyFilter::new("", suffix)?]);
    }
    which.prefix.iter().map(|prefix| KeyFilter::new(prefix, suffix)).collect()
}

fn events(client: &TriggerClient, which: &EntryFilter) -> Result<BTreeSet<String>, UsageError> {
    if which.events.is_empty() { entry::events(&client.default_events()) } else { entry::events(&which.events) }
}
