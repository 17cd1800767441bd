//! A change of buckets' configurations: shown, agreed on, made in an order that leaves nothing half done, and proven.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use skyferry_aws::sqs::QueuePolicy;
use tokio::time::{Instant, sleep};

use super::arguments::WriteArguments;
use super::configuration::Configuration;
use super::connect::TriggerClient;
use super::policy::SendPermission;
use crate::cli::{self, DONE, FAILED};
use crate::output::Output;
use crate::usage::UsageError;

/// SQS says that a new policy may take a minute to be known everywhere.
const SETTLING: Duration = Duration::from_secs(75);
const AGAIN: Duration = Duration::from_secs(3);

/// What is to become of one bucket.
pub struct Proposal {
    pub bucket: String,
    pub before: Configuration,
    pub after: Configuration,
    /// Wanted, and there already.
    pub kept: usize,
    pub policies: Vec<NewPolicy>,
}

/// A queue that is to let a bucket in.
pub struct NewPolicy {
    pub queue: QueuePolicy,
    pub admission: SendPermission,
}

impl NewPolicy {
    /// Made from what the policy is now: another bucket of the same run may have been let in before.
    async fn make(&mut self) -> anyhow::Result<()> {
        let NewPolicy { queue, admission } = self;
        queue.read().await?;
        let Some(policy) = admission.added_to(queue.policy())? else { return Ok(()) };
        queue.set_policy(&policy).await?;
        let end = Instant::now() + SETTLING;
        while admission.added_to(queue.policy())?.is_some() {
            if Instant::now() > end {
                bail!("the policy of {} was written, but reads differently", admission.queue);
            }
            sleep(AGAIN).await;
            queue.read().await?;
        }
        Ok(())
    }
}

impl Proposal {
    fn removed(&self) -> Vec<String> {
        self.before.missing_in(&self.after)
    }

    fn added(&self) -> Vec<String> {
        self.after.missing_in(&self.before)
    }

    fn is_nothing(&self) -> bool {
        self.before.is_same(&self.after) && self.policies.is_empty()
    }

    fn show(&self) {
        eprintln!("{}:", self.bucket);
        self.removed().iter().for_each(|line| eprintln!("  - {line}"));
        self.added().iter().for_each(|line| eprintln!("  + {line}"));
        for NewPolicy { admission, .. } in &self.policies {
            eprintln!("  + the policy of {} lets {} in", admission.queue, self.bucket);
        }
    }

    /// The policy comes first: S3 tries the queue before it takes a configuration that names it.
    async fn make(mut self, client: &TriggerClient) -> anyhow::Result<()> {
        let Proposal { bucket, before, after, policies, .. } = &mut self;
        let lets_in = !policies.is_empty();
        for policy in policies {
            policy.make().await.with_context(|| format!("{bucket} is as it was"))?;
        }
        if before.is_same(after) {
            return Ok(());
        }
        let so_far = if lets_in { "; the queue's policy is set, which does no harm" } else { "" };
        match put(client, bucket, [before, after], lets_in).await {
            Ok(true) => {}
            Ok(false) => {
                bail!("somebody has changed {bucket} meanwhile: nothing is written there{so_far}; run this again")
            }
            Err(error) => {
                let now = match client.read(bucket).await {
                    Ok(read) if read.configuration.is_same(before) => "is as it was",
                    Ok(_) => "was not found unchanged: see skyferry trigger list",
                    Err(_) => "cannot be read either: see skyferry trigger list",
                };
                return Err(error.context(format!("{bucket} {now}{so_far}")));
            }
        }
        let there = client.read(bucket).await?.configuration;
        let (lost, foreign) = (after.missing_in(&there), there.missing_in(after));
        if lost.is_empty() && foreign.is_empty() {
            return Ok(());
        }
        let lines = lost.iter().map(|line| format!("\n  missing: {line}"));
        let lines = lines.chain(foreign.iter().map(|line| format!("\n  not written: {line}")));
        Err(anyhow!("{bucket} was written, but reads differently:{}", lines.collect::<String>()))
    }
}

/// Writes it if it is still as it was; whether it was. Again for a while, where S3 may not know yet that the queue lets it in.
async fn put(
    client: &TriggerClient,
    bucket: &str,
    [before, after]: [&Configuration; 2],
    lets_in: bool,
) -> anyhow::Result<bool> {
    let end = Instant::now() + SETTLING;
    let mut reported = false;
    loop {
        if !client.read(bucket).await?.configuration.is_same(before) {
            return Ok(false);
        }
        match client.s3.put_notification(bucket, after.text()).await {
            Err(error) if lets_in && error.answer.contains("Unable to validate") && Instant::now() + AGAIN < end => {
                if !std::mem::replace(&mut reported, true) {
                    eprintln!("waiting for the queue's new policy, which takes up to a minute");
                }
                sleep(AGAIN).await;
            }
            other => return Ok(other.map(|()| true)?),
        }
    }
}

/// Shows all, asks once, then makes them one after the other.
pub async fn settle(
    client: &TriggerClient,
    proposals: Vec<Proposal>,
    writing: &WriteArguments,
    output: &Output,
) -> anyhow::Result<u8> {
    if let Some(file) = &writing.backup {
        let [only] = &proposals[..] else {
            return Err(UsageError("--backup is for one bucket at a time".into()).into());
        };
        back_up(file, only.before.text())?;
    }
    let sum = |count: fn(&Proposal) -> usize| proposals.iter().map(count).sum::<usize>();
    let (added, removed) = (sum(|p| p.added().len()), sum(|p| p.removed().len()));
    let (kept, policies) = (sum(|p| p.kept), sum(|p| p.policies.len()));
    let open: Vec<Proposal> = proposals.into_iter().filter(|proposal| !proposal.is_nothing()).collect();
    open.iter().for_each(Proposal::show);
    let (nothing, dry_run) = (open.is_empty(), writing.dry_run);
    if !nothing && !dry_run {
        if !agreed(writing.yes).await? {
            eprintln!("nothing is changed");
            return Ok(FAILED);
        }
        for proposal in open {
            proposal.make(client).await?;
        }
    }
    let would = if dry_run { "would be " } else { "" };
    output.line(&match nothing {
        true => format!("nothing to change, {kept} there already"),
        false => format!("{would}added: {added}, {would}removed: {removed}, there already: {kept}, {would}let in at queues: {policies}"),
    })?;
    output.json(serde_json::json!({
        "dry_run": dry_run, "added": added, "removed": removed, "kept": kept, "policies": policies,
    }))?;
    Ok(DONE)
}

/// Never over a file that is there: it may be the backup of a run before this one.
pub fn back_up(file: &Path, document: &str) -> Result<(), UsageError> {
    let written = std::fs::File::create_new(file).and_then(|mut file| file.write_all(document.as_bytes()));
    written.map_err(|error| UsageError(format!("--backup {}: {error}; nothing is changed", file.display())))
}

async fn agreed(yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !cli::can_ask() {
        return Err(UsageError("nothing is changed: without a terminal, --yes is required".into()).into());
    }
    Ok(cli::ask("Write this?").await?)
}
