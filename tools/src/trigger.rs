//! `skyferry trigger`: which events of a bucket go to which queue, set in bulk and without harm to what others have set.

mod arguments;
mod change;
mod configuration;
mod declared;
mod entry;
mod merge;
mod policy;
mod wire;
mod xml;

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::cli::{self, Cli, DONE};
use crate::show::Show;
use crate::usage::Usage;
pub use arguments::Arguments;
use arguments::{Add, Apply, List, Policy, Remove, Restore, Verb, Which};
use change::{NewPolicy, Proposal, back_up, settle};
use entry::{Entry, Filter};
use merge::{Change, Selection};
use policy::Admission;
use wire::{Read, Wire, standard_queue};

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        cli.block_on(async {
            match &self.verb {
                Verb::List(arguments) => list(arguments, &cli.show).await,
                Verb::Add(arguments) => add(arguments, &cli.show).await,
                Verb::Remove(arguments) => remove(arguments, &cli.show).await,
                Verb::Apply(arguments) => apply(arguments, &cli.show).await,
                Verb::Restore(arguments) => restore(arguments, &cli.show).await,
            }
        })
    }
}

async fn list(arguments: &List, show: &Show) -> anyhow::Result<u8> {
    let wire = Wire::open(&arguments.connection)?;
    let bucket = wire.bucket(arguments.bucket.as_deref())?;
    let Read { configuration, region } = wire.read(&bucket).await?;
    if let Some(file) = &arguments.backup {
        back_up(file, configuration.text())?;
    }
    let entries: Vec<&Entry> = configuration.entries().collect();
    let ours = entries.iter().filter(|entry| entry.is_ours()).count();
    for entry in &entries {
        show.say(&format!("  {entry}"))?;
    }
    for other in configuration.others() {
        show.say(&format!("  {other}"))?;
    }
    show.say(&format!("{bucket}: {} entries of 100, {ours} of them Skyferry's", entries.len()))?;
    let others = configuration.others();
    show.json(json!({ "bucket": bucket, "region": region, "ours": ours, "entries": entries, "others": others }))?;
    Ok(DONE)
}

async fn add(arguments: &Add, show: &Show) -> anyhow::Result<u8> {
    let Add { which, policy, writing, connection } = arguments;
    let wire = Wire::open(connection)?;
    let bucket = wire.bucket(which.bucket.as_deref())?;
    let (filters, events) = (filters(which)?, events(&wire, which)?);
    let queue = match &which.queue {
        Some(arn) => standard_queue(arn).map(|_| arn.clone())?,
        None => wire.queue(None).await?.arn()?.to_owned(),
    };
    let wanted = entries(&queue, &filters, &events);
    let proposal = propose(&wire, &bucket, &wanted, false, policy).await?;
    settle(&wire, vec![proposal], writing, show).await
}

async fn apply(arguments: &Apply, show: &Show) -> anyhow::Result<u8> {
    let wire = Wire::open(&arguments.connection)?;
    let mut proposals = Vec::new();
    for (bucket, wanted) in declared::read(&arguments.file, &wire.default_events())? {
        proposals.push(propose(&wire, &bucket, &wanted, arguments.prune, &arguments.policy).await?);
    }
    settle(&wire, proposals, &arguments.writing, show).await
}

async fn remove(arguments: &Remove, show: &Show) -> anyhow::Result<u8> {
    let Remove { which, all, writing, connection } = arguments;
    let wire = Wire::open(connection)?;
    let bucket = wire.bucket(which.bucket.as_deref())?;
    let unsaid = which.prefix.is_empty() && which.prefix_file.is_none() && which.suffix.is_none();
    if unsaid && which.queue.is_none() && !all {
        return Err(
            Usage("which entries? Say it with --prefix, --prefix-file, --suffix or --queue, or --all".into()).into()
        );
    }
    let (filters, events) = (filters(which)?, events(&wire, which)?);
    let exactly = which.queue.as_ref().map_or_else(Vec::new, |queue| entries(queue, &filters, &events));
    let filters = if unsaid { Vec::new() } else { filters };
    let before = wire.read(&bucket).await?.configuration;
    let change = Change::remove(&before, &Selection { queue: which.queue.clone(), filters, exactly });
    let after = before.with(&change.removed, &[]).map_err(|what| anyhow!("the new configuration {what}"))?;
    settle(&wire, vec![Proposal { bucket, before, after, kept: 0, policies: Vec::new() }], writing, show).await
}

async fn restore(arguments: &Restore, show: &Show) -> anyhow::Result<u8> {
    let Restore { file, bucket, writing, connection } = arguments;
    let wire = Wire::open(connection)?;
    let bucket = wire.bucket(bucket.as_deref())?;
    let wrong = |what: String| Usage(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let after = wire.parse(&text).map_err(wrong)?;
    let before = wire.read(&bucket).await?.configuration;
    settle(&wire, vec![Proposal { bucket, before, after, kept: 0, policies: Vec::new() }], writing, show).await
}

/// What makes the bucket have these entries, and their queues let it in.
async fn propose(
    wire: &Wire,
    bucket: &str,
    wanted: &[Entry],
    prune: bool,
    policy: &Policy,
) -> anyhow::Result<Proposal> {
    let queues: BTreeSet<&str> = wanted.iter().map(|entry| entry.target.as_str()).collect();
    let Read { configuration: before, region } = wire.read(bucket).await?;
    for queue in &queues {
        let there = standard_queue(queue)?.region;
        if let Some(region) = region.as_deref().filter(|region| *region != there) {
            let text =
                format!("{queue} is in {there} and {bucket} in {region}: S3 sends to queues of its own region only");
            return Err(Usage(text).into());
        }
    }
    let change = Change::add(&before, wanted, prune).with_context(|| bucket.to_owned())?;
    let after = before.with(&change.removed, &change.added).map_err(|what| anyhow!("the new configuration {what}"))?;
    let mut policies = Vec::new();
    for arn in queues.into_iter().filter(|_| !policy.keep_policy) {
        policies.extend(new_policy(wire, bucket, arn, policy.source_account.as_deref()).await?);
    }
    Ok(Proposal { bucket: bucket.to_owned(), before, after, kept: change.kept, policies })
}

async fn new_policy(wire: &Wire, bucket: &str, arn: &str, account: Option<&str>) -> anyhow::Result<Option<NewPolicy>> {
    let queue = wire.queue(Some(arn)).await?;
    let parsed = standard_queue(arn)?;
    let account = account.or_else(|| wire.expected_owner()).unwrap_or(parsed.account);
    let admission = Admission {
        queue: arn.to_owned(),
        bucket: bucket.to_owned(),
        partition: parsed.partition.to_owned(),
        account: account.to_owned(),
    };
    if let Some(key) = queue.kms_key() {
        eprintln!(
            "skyferry: {arn} is encrypted with {key}: that key's own policy has to let s3.amazonaws.com use \
             kms:GenerateDataKey and kms:Decrypt (the key alias/aws/sqs cannot)"
        );
    }
    let missing = admission.added_to(queue.policy())?.is_some();
    Ok(missing.then_some(NewPolicy { queue, admission }))
}

fn entries(queue: &str, filters: &[Filter], events: &BTreeSet<String>) -> Vec<Entry> {
    filters.iter().map(|filter| Entry::ours(queue, filter.clone(), events.clone())).collect()
}

/// One for each prefix; without any, one for all keys.
fn filters(which: &Which) -> Result<Vec<Filter>, Usage> {
    let suffix = which.suffix.as_deref().unwrap_or_default();
    if let Some(file) = &which.prefix_file {
        return Filter::of_file(file, suffix);
    }
    if which.prefix.is_empty() {
        return Ok(vec![Filter::new("", suffix)?]);
    }
    which.prefix.iter().map(|prefix| Filter::new(prefix, suffix)).collect()
}

fn events(wire: &Wire, which: &Which) -> Result<BTreeSet<String>, Usage> {
    if which.events.is_empty() { entry::events(&wire.default_events()) } else { entry::events(&which.events) }
}
