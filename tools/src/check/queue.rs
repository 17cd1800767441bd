//! The queue: that it answers, and what its owner decided about it.

use std::time::Duration;

use serde_json::Value;
use skyferry_agent::wiring::{QueueComponent, WiringError};
use skyferry_aws::sqs::{DeadLetterTarget, SqsSettings};
use skyferry_core::queue::{Queue, QueueError, Receipt};

use super::finding::Findings;

/// A heartbeat needs room; a queue set to less is hard to hold.
const SHORT_VISIBILITY: Duration = Duration::from_secs(30);
/// Over a weekend somebody has to notice.
const SHORT_RETENTION: Duration = Duration::from_secs(4 * 24 * 3600);
const TEST_EVENT: &str = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"skyferry-check"}"#;
const FEW_RECEIVES: u32 = 3;
const SPARE_RECEIVES: u32 = 4;
/// S3 demands it.
const SMALLEST_MESSAGE: u64 = 64 << 10;
/// Signatures are refused beyond a few minutes.
const FAR_OFF: i64 = 60_000;

pub async fn probe(name: &str, opened: &Result<QueueComponent, WiringError>, write: bool, findings: &mut Findings<'_>) {
    findings.about(format!("queue {name}"));
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return findings.fail("open", error, &[1, 9]),
    };
    match opened.queue.depth().await {
        Ok(depth) => {
            let (visible, in_flight, delayed) = (depth.visible, depth.in_flight, depth.delayed);
            findings.pass("messages", format!("{visible} visible, {in_flight} in flight, {delayed} delayed"));
        }
        Err(error) => findings.fail("messages", &error, &[]),
    }
    let Some(sqs) = &opened.sqs else { return };
    if write {
        check_permissions(&*opened.queue, findings).await;
    }
    match sqs.settings().await {
        Ok(settings) => check_settings(&settings, findings),
        Err(error) => findings.fail("settings", &error, &[]),
    }
}

/// What agents may do, asked for so that nothing changes: S3's own test event, which agents pass over, a delivery that there never
/// was, a dead letter without a body, which no queue takes.
async fn check_permissions(queue: &dyn Queue, findings: &mut Findings<'_>) {
    let traits = queue.traits();
    let nobody = || Receipt(format!("{}.skyferry-check", jiff::Timestamp::now().as_second()).into());
    let mut answers = vec![("send", queue.send(&[TEST_EVENT.to_owned()]).await)];
    // A look counts as a receive, and the last one sends a message to the dead letters.
    if traits.max_receives.is_none_or(|most| most > SPARE_RECEIVES) {
        answers.push(("receive", check_receive(queue).await));
    }
    answers.push(("keep and give back", queue.release(&nobody(), Duration::ZERO).await));
    answers.push(("delete", queue.delete(&nobody()).await));
    if traits.dead_letters.is_some() {
        answers.push(("park", queue.park("", "skyferry check").await));
    }
    let denied = answers.iter().filter_map(|(what, answer)| Some((*what, answer.as_ref().err()?)));
    // Any other refusal is about what was asked for.
    let denied: Vec<_> =
        denied.filter(|(_, error)| matches!(error, QueueError::Unusable { denied: true, .. })).collect();
    for (what, error) in &denied {
        findings.fail(what, *error, &[1, 9]);
    }
    if denied.is_empty() {
        findings.pass("rights", "messages may be received, extended, returned, deleted, sent and parked");
    }
}

async fn check_receive(queue: &dyn Queue) -> Result<(), QueueError> {
    for message in queue.receive(10, Duration::ZERO).await? {
        match &*message.body == TEST_EVENT {
            true => queue.delete(&message.receipt).await?,
            false => queue.release(&message.receipt, Duration::ZERO).await?,
        }
    }
    Ok(())
}

fn check_settings(settings: &SqsSettings, findings: &mut Findings<'_>) {
    let SqsSettings { visibility, retention, delay, max_message, .. } = settings;
    let found = describe(*visibility);
    match visibility < &SHORT_VISIBILITY {
        true => findings.warn("visibility", (found, "set 30 s or more: a delayed agent loses its lease"), &[9]),
        false => findings.pass("visibility", found),
    }
    let found = describe(*retention);
    match retention < &SHORT_RETENTION {
        true => findings.warn("retention", (found, "set 14 days: events must survive an outage over a weekend"), &[9]),
        false => findings.pass("retention", found),
    }
    if !delay.is_zero() {
        findings.warn("delay", (describe(*delay), "set 0: every event is delayed by this time"), &[]);
    }
    let found = format!("{} KiB", max_message >> 10);
    match max_message < &SMALLEST_MESSAGE {
        true => {
            findings.fail("message size", (found, "set MaximumMessageSize to 64 KiB or more, which S3 demands"), &[1])
        }
        false => findings.pass("message size", found),
    }
    dead_letters(settings.dead_letters.as_ref(), *retention, findings);
    policy(settings.policy.as_deref(), findings);
    let (least, most) = settings.clock_ahead;
    let found = format!(
        "this machine's differs from the queue's by {:.1} s at most",
        least.abs().max(most.abs()) as f64 / 1000.0
    );
    match least > FAR_OFF || most < -FAR_OFF {
        true => findings.fail("clock", (found, "set this machine's clock: chrony, or systemd-timesyncd"), &[]),
        false => findings.pass("clock", found),
    }
}

fn dead_letters(named: Option<&DeadLetterTarget>, retention: Duration, findings: &mut Findings<'_>) {
    let what = "dead letters";
    let Some(DeadLetterTarget { name, max_receives, found }) = named else {
        let advice = "give the queue a redrive policy (12 receives or more): parked objects are in the ledger only";
        return findings.warn(what, ("none", advice), &[1]);
    };
    let (kept, waiting) = match found {
        Ok(found) => *found,
        Err(error) => {
            let found = format!("{name} cannot be read: {error}");
            return findings.fail(what, (found, "create that queue, or allow these keys sqs:GetQueueAttributes"), &[1]);
        }
    };
    let receives = max_receives.map_or("?".to_owned(), |most| most.to_string());
    let found = format!("{name}, after {receives} receives; {waiting} there, kept for {}", describe(kept));
    if kept < retention {
        return findings.warn(what, (found, "set a longer retention than the queue's: messages keep their age"), &[1]);
    }
    if max_receives.is_some_and(|most| most < FEW_RECEIVES) {
        return findings.warn(what, (found, "set maxReceiveCount to 12: kills count as receives"), &[9]);
    }
    findings.pass(what, found);
}

/// S3 needs to be let in, and nobody else's bucket.
fn policy(policy: Option<&str>, findings: &mut Findings<'_>) {
    let advice = "let s3.amazonaws.com send, with aws:SourceArn and aws:SourceAccount; `skyferry trigger` does";
    let Some(policy) = policy else {
        return findings.fail("policy", ("none: S3 cannot send its events to it", advice), &[]);
    };
    let Ok(policy) = serde_json::from_str::<Value>(policy) else {
        return findings.fail("policy", ("it is not JSON", advice), &[]);
    };
    let statements = policy["Statement"].as_array().cloned().unwrap_or_else(|| vec![policy["Statement"].clone()]);
    let of_s3 = statements.iter().filter(|statement| {
        statement["Effect"] == "Allow" && statement["Principal"].to_string().contains("s3.amazonaws.com")
    });
    let of_s3: Vec<&Value> = of_s3.collect();
    if !statements.iter().any(|statement| statement["Effect"] == "Allow") {
        return findings.fail("policy", ("it admits no sender, so S3 cannot send its events", advice), &[]);
    }
    if of_s3.is_empty() {
        return findings.warn("policy", ("it does not admit S3, so S3 cannot send its events", advice), &[]);
    }
    let pinned =
        of_s3.iter().all(|statement| statement["Condition"].to_string().to_ascii_lowercase().contains("aws:source"));
    match pinned {
        true => findings.pass("policy", "S3 may send, for the buckets that it names"),
        false => findings.warn("policy", ("S3 may send for any bucket of any account", advice), &[11]),
    }
}

fn describe(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
