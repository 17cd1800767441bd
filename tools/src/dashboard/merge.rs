//! The reports of many agents as one, in the form of one: what the page shows of an agent it shows of a fleet.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use skyferry_agent::pause::Pause;
use skyferry_agent::status::Totals;

use crate::status::agents::AgentPage;

/// The largest of all objects in flight, and the last of all errors.
const TRANSFERS: usize = 40;
const ERRORS: usize = 50;
const LETTERS: usize = 100;
/// Counts that are added up.
const SUMS: [&str; 13] = [
    "copied",
    "deleted",
    "gone",
    "unchanged",
    "skipped",
    "parked",
    "bytes",
    "retries",
    "bytes_passed",
    "bytes_moved",
    "inflight_objects",
    "inflight_bytes",
    "transfers_all",
];
const ENDED: [&str; 6] = ["copied", "deleted", "gone", "unchanged", "skipped", "parked"];

/// One agent, asked.
pub struct AgentView {
    pub page: AgentPage,
    pub answer: Result<Value, String>,
}

/// `paused`: what the ledger had when it was asked last.
pub fn merged(views: &[AgentView], ends: &[String; 2], actions: bool, paused: Option<Pause>) -> Value {
    let all: Vec<(&AgentView, &Value)> =
        views.iter().filter_map(|view| Some((view, view.answer.as_ref().ok()?))).collect();
    let first = |name: &str| all.iter().map(|(_, report)| &report[name]).find(|value| !value.is_null()).cloned();
    let most = |name: &str| all.iter().filter_map(|(_, report)| report[name].as_f64()).reduce(f64::max);
    let versions: BTreeSet<&str> = all.iter().filter_map(|(_, report)| report["version"].as_str()).collect();
    let mut report = json!({
        "version": versions.into_iter().collect::<Vec<_>>().join(", "),
        "host": format!("fleet of {}", views.len()),
        "uptime_seconds": most("uptime_seconds").unwrap_or(0.0),
        "draining": !all.is_empty() && all.iter().all(|(_, report)| report["draining"] == true),
        "paused": paused.map_or_else(|| first("paused"), |pause| Some(json!(pause))),
        "deletions_held": first("deletions_held"),
        "lag_seconds": most("lag_seconds"),
        "queue": queue(&all),
        "source": ends[0],
        "destination": ends[1],
        "routes": first("routes").unwrap_or_else(|| json!([])),
        "transfers": largest(&all),
        "storm": first("storm"),
        "storms": with_agent(&all, "storms"),
        "errors": newest(with_agent(&all, "errors"), ERRORS),
        "parked_by_reason": sums(all.iter().map(|(_, report)| &report["parked_by_reason"])),
        "agents": views.iter().map(agent).collect::<Vec<_>>(),
        "actions": actions,
    });
    for name in SUMS {
        report[name] = all.iter().filter_map(|(_, report)| report[name].as_u64()).sum::<u64>().into();
    }
    report
}

pub fn totals(report: &Value) -> Totals {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    Totals {
        objects: ended(report),
        bytes: count(&report["bytes_moved"]),
        errors: count(&report["retries"]) + count(&report["parked"]),
        backlog: count(&report["queue"]["visible"]) + count(&report["queue"]["in_flight"]),
        lag: report["lag_seconds"].as_f64(),
    }
}

/// What every agent has given up.
pub fn merged_parked(views: Vec<AgentView>) -> Value {
    let all: Vec<Value> = views.into_iter().filter_map(|view| view.answer.ok()).collect();
    let count = |name: &str| all.iter().filter_map(|one| one[name].as_u64()).sum::<u64>();
    let letters = all.iter().flat_map(|one| one["letters"].as_array().cloned().unwrap_or_default()).collect();
    json!({
        // Those of a queue are sent again by the command, which has its keys.
        "dead_letters": false,
        "waiting": count("waiting"),
        "found": count("found"),
        "kinds": sums(all.iter().map(|one| &one["kinds"])),
        "letters": newest(letters, LETTERS),
    })
}

fn ended(report: &Value) -> u64 {
    ENDED.iter().filter_map(|name| report[*name].as_u64()).sum()
}

/// Agents of one queue see the same messages; those of several queues add up.
fn queue(all: &[(&AgentView, &Value)]) -> Value {
    let mut queues: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (_, report) in all {
        let queue = &report["queue"];
        let seen = queues.entry(queue["name"].as_str().unwrap_or_default()).or_default();
        for (seen, name) in seen.iter_mut().zip(["visible", "in_flight"]) {
            *seen = (*seen).max(queue[name].as_u64().unwrap_or(0));
        }
    }
    let [visible, in_flight] = [0, 1].map(|at| queues.values().map(|seen| seen[at]).sum::<u64>());
    json!({ "name": queues.into_keys().collect::<Vec<_>>().join(", "), "visible": visible, "in_flight": in_flight })
}

fn sums<'a>(all: impl Iterator<Item = &'a Value>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in all.filter_map(Value::as_object).flatten() {
        *sums.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
    }
    sums
}

fn largest(all: &[(&AgentView, &Value)]) -> Vec<Value> {
    let mut transfers: Vec<Value> =
        all.iter().flat_map(|(_, report)| report["transfers"].as_array().cloned().unwrap_or_default()).collect();
    transfers.sort_by_key(|one| std::cmp::Reverse(one["size"].as_u64()));
    transfers.truncate(TRANSFERS);
    transfers
}

/// A list of each, with whose it is.
fn with_agent(all: &[(&AgentView, &Value)], name: &str) -> Vec<Value> {
    let mut list = Vec::new();
    for (view, report) in all {
        for one in report[name].as_array().into_iter().flatten() {
            let mut one = one.clone();
            if one.is_object() {
                one["agent"] = view.page.host.as_deref().unwrap_or(&view.page.url).into();
                list.push(one);
            }
        }
    }
    list
}

fn newest(mut list: Vec<Value>, most: usize) -> Vec<Value> {
    list.sort_by_key(|one| std::cmp::Reverse(one["at"].as_u64()));
    list.truncate(most);
    list
}

/// A row of the fleet: as it answers, or as its note had it.
fn agent(view: &AgentView) -> Value {
    let AgentView { page, answer } = view;
    let note = page.note.as_ref();
    match answer {
        Ok(report) => {
            let state = match report {
                report if report["draining"] == true => "stopping",
                report if !report["paused"].is_null() => "paused",
                report if report["storms"].as_array().is_some_and(|storms| !storms.is_empty()) => "outage",
                report if report["inflight_objects"].as_u64() == Some(0) => "idle",
                _ => "working",
            };
            json!({
                "url": page.url, "host": report["host"], "version": report["version"], "state": state,
                "ended": ended(report), "parked": report["parked"], "inflight": report["inflight_objects"],
            })
        }
        Err(error) => {
            let mut row = json!({ "url": page.url, "error": error, "ended": 0, "parked": 0, "inflight": 0 });
            if let Some(note) = note {
                row = json!(note);
                // One that cannot be asked from here works all the same.
                if page.reachable {
                    row["error"] = error.as_str().into();
                }
            }
            row
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(url: &str, answer: Result<Value, String>) -> AgentView {
        AgentView { page: AgentPage::named(url), answer }
    }

    #[test]
    fn agents_are_one_fleet_and_one_that_is_silent_is_still_in_it() {
        let report = |copied: u64, visible: u64, size: u64| {
            json!({ "copied": copied, "queue": { "name": "list", "visible": visible, "in_flight": 1 }, "lag_seconds": copied,
                "host": "h", "version": "1", "storms": [], "transfers": [{ "size": size }], "inflight_objects": 1,
                "parked_by_reason": { "archived": 2 }, "errors": [{ "at": size, "text": "t" }] })
        };
        let views = [
            view("http://a", Ok(report(3, 70, 5))),
            view("http://b", Ok(report(4, 72, 9))),
            view("http://c", Err("refused".into())),
        ];
        let all = merged(&views, &["S3".into(), "GCS".into()], false, None);
        assert_eq!((&all["copied"], &all["lag_seconds"], &all["host"]), (&7.into(), &4.0.into(), &"fleet of 3".into()));
        assert_eq!(all["queue"], json!({ "name": "list", "visible": 72, "in_flight": 1 }), "one queue, seen twice");
        assert_eq!((&all["transfers"][0]["size"], &all["errors"][0]["agent"]), (&9.into(), &"http://b".into()));
        assert_eq!(all["parked_by_reason"]["archived"], 4);
        let states: Vec<_> = (0..3).map(|at| all["agents"][at]["state"].as_str()).collect();
        assert_eq!(
            (states, &all["agents"][2]["error"]),
            (vec![Some("working"), Some("working"), None], &"refused".into())
        );
        assert_eq!(totals(&all).backlog, 73);
        let none = merged(&[], &["S3".into(), "GCS".into()], false, None);
        assert_eq!((&none["draining"], &none["agents"]), (&false.into(), &json!([])));
    }
}
