//! A look in words: what all have in common first, then each agent, then what went wrong last.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount, HumanDuration};

use super::agents::{AgentReply, AgentStatus, LoggedError};
use super::snapshot::{FleetStatus, QueueStatus};

const ERRORS: usize = 5;
/// Of one error: the rest is on the agent's page.
const LONGEST: usize = 160;

pub fn describe(fleet: &FleetStatus) -> String {
    let mut lines: Vec<String> = fleet.queues.iter().map(queue).collect();
    let named = fleet.agents.len();
    let agents = match named {
        0 => "no agent is named".to_owned(),
        _ => format!("{} of {named} agents answer", fleet.totals.answering),
    };
    lines.push(match &fleet.paused {
        Some(pause) => row("fleet", &format!("{pause}; {agents}")),
        None => row("fleet", &agents),
    });
    if let Some(held) = &fleet.deletions_held {
        lines.push(row("deletions", &format!("{held}; `skyferry resume --deletes` allows them")));
    }
    if fleet.totals.answering > 0 {
        lines.extend(totals(fleet));
    }
    let to_empty = match fleet.seconds_to_empty {
        None => "not known".to_owned(),
        Some(0.0) => "nothing waits".to_owned(),
        Some(seconds) => time(seconds),
    };
    lines.push(row("time to empty", &to_empty));
    lines.extend(fleet.agents.iter().map(agent));
    let mut errors: Vec<(&str, &LoggedError)> = fleet.agents.iter().flat_map(errors_of).collect();
    errors.sort_by_key(|(_, error)| std::cmp::Reverse(error.at));
    if !errors.is_empty() {
        lines.push("last warnings and errors".to_owned());
    }
    lines.extend(errors.into_iter().take(ERRORS).map(|(url, error)| {
        let at = skyferry_agent::pause::time(error.at);
        format!("  {at} {} {url}: {}", plain(&error.level), plain(&error.text))
    }));
    lines.join("\n")
}

fn totals(fleet: &FleetStatus) -> Vec<String> {
    let (totals, rate) = (&fleet.totals, &fleet.rate);
    let bytes = BinaryBytes(rate.bytes_per_second as u64);
    let mut lines = vec![
        row(
            "in flight",
            &format!(
                "{} objects, {} in memory",
                HumanCount(totals.inflight_objects),
                BinaryBytes(totals.inflight_bytes)
            ),
        ),
        row("throughput", &format!("{:.1} objects/s, {bytes}/s, over {:.0} s", rate.objects_per_second, rate.seconds)),
        row("lag", &totals.lag_seconds.map_or("nothing has ended yet".into(), time)),
    ];
    if totals.parked > 0 {
        let reasons: Vec<String> =
            fleet.parked_by_reason.iter().map(|(reason, count)| format!("{} {count}", plain(reason))).collect();
        let since = "since the agents' start";
        lines.push(row("parked", &format!("{} {since}: {}", HumanCount(totals.parked), reasons.join(", "))));
    }
    lines
}

fn queue(queue: &QueueStatus) -> String {
    if let Some(error) = &queue.error {
        return row("queue", error);
    }
    let QueueStatus { name, visible, in_flight, delayed, .. } = queue;
    let dead = queue.dead_letters.as_ref().map(|dead| match dead.waiting {
        Some(waiting) => format!("; dead letters in {}: {}", dead.name, HumanCount(waiting)),
        None => format!("; the dead-letter queue {} does not answer", dead.name),
    });
    let [visible, in_flight, delayed] = [visible, in_flight, delayed].map(|count| HumanCount(*count));
    let dead = dead.unwrap_or_default();
    row("queue", &format!("{name}: {visible} visible, {in_flight} in flight, {delayed} delayed{dead}"))
}

fn agent(agent: &AgentReply) -> String {
    let status = match (&agent.status, &agent.error) {
        (Some(status), _) => status,
        (None, error) => {
            let why = error.as_deref().unwrap_or("no answer");
            return row("agent", &format!("{} does not answer as an agent does: {}", agent.url, plain(why)));
        }
    };
    let AgentStatus { copied, deleted, gone, unchanged, skipped, parked, retries, .. } = status;
    row(
        "agent",
        &format!(
            "{} {}, up for {}: {copied} copied, {deleted} deleted, {gone} gone, {unchanged} unchanged, {skipped} skipped, \
             {parked} parked, {retries} retries",
            agent.url,
            state(status),
            time(status.uptime_seconds)
        ),
    )
}

fn state(status: &AgentStatus) -> String {
    match (&status.storm, status.inflight_objects) {
        _ if status.draining => "stops".into(),
        _ if status.paused.is_some() => "is paused".into(),
        (Some(storm), _) => {
            let (side, cause) = (plain(&storm.side), plain(&storm.cause));
            format!("waits: nothing succeeds against the {side} for {} ({cause})", time(storm.seconds))
        }
        (None, 0) => "is idle".into(),
        (None, _) => "works".into(),
    }
}

fn errors_of(agent: &AgentReply) -> impl Iterator<Item = (&str, &LoggedError)> {
    let errors = agent.status.iter().flat_map(|status| &status.errors);
    errors.map(|error| (agent.url.as_str(), error))
}

fn row(name: &str, text: &str) -> String {
    format!("{name:<14} {text}")
}

fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if seconds < 60.0 => format!("{:.1} s", time.as_secs_f64()),
        Ok(time) => HumanDuration(time).to_string(),
        Err(_) => "not known".into(),
    }
}

/// What an agent says may hold a key's bytes: nothing of it may move the cursor.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        plain.push('…');
    }
    plain
}
