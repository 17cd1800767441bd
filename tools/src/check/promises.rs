//! Which of the promises that the README makes hold here: a fact that is not as it should be names those that it weakens.

use serde::Serialize;
use serde_json::json;
use skyferry_agent::status::CHECKED;
use skyferry_core::ambient;
use skyferry_core::ledger::Ledger;

use super::finding::{CheckResult, CheckStatus};

const NAMES: [&str; 12] = [
    "no silent loss",
    "no mixture",
    "byte-true",
    "no going back",
    "idempotent",
    "crash anywhere",
    "safe resume",
    "polite",
    "lively",
    "no orphans",
    "keys are sacred",
    "bounded and tight-lipped",
];

#[derive(Debug, Serialize)]
pub struct Promise {
    pub number: usize,
    pub name: &'static str,
    /// Something failed that it rests on: until that is repaired nothing is known.
    pub in_doubt: bool,
    /// The facts that weaken it; none: it is kept, if it was tried.
    pub weaker: Vec<String>,
    /// What it rests on was not looked at, and why.
    pub not_tried: Option<&'static str>,
}

/// What is shown by reading the source and by writing to the destination.
const OF_COPIES: [usize; 5] = [2, 3, 4, 7, 11];

pub fn promises(facts: &[CheckResult]) -> Vec<Promise> {
    let has = |side: &str| facts.iter().any(|fact| fact.about.starts_with(side));
    let unwritten = facts.iter().any(|fact| fact.what == "write" && fact.found.starts_with("not tried"));
    let not_tried = match (has("source "), has("destination "), unwritten) {
        (false, ..) => Some("no source bucket is named: add it to [[routes]]"),
        (_, false, _) => Some("no destination was checked"),
        (.., true) => Some("nothing was written (--no-write)"),
        _ => None,
    };
    let of = |(name, number): (&'static str, usize)| {
        let bears = |fact: &&CheckResult| fact.promises.iter().any(|promise| usize::from(*promise) == number);
        let bad: Vec<&CheckResult> =
            facts.iter().filter(|fact| fact.verdict != CheckStatus::Ok).filter(bears).collect();
        let in_doubt = bad.iter().any(|fact| fact.verdict == CheckStatus::Failed);
        let weaker = bad.iter().map(|fact| format!("{}, {}", fact.about, fact.what)).collect();
        let not_tried = not_tried.filter(|_| OF_COPIES.contains(&number));
        Promise { number, name, in_doubt, weaker, not_tried }
    };
    NAMES.into_iter().zip(1..).map(of).collect()
}

/// A note in the ledger, for the agents' pages. It is for people to see: one that is not written is no fault.
pub async fn publish(ledger: &dyn Ledger, facts: &[CheckResult]) {
    let note = json!({ "at": ambient::since_epoch().as_secs(), "promises": promises(facts) }).to_string();
    let written = async {
        let old = ledger.note(CHECKED).await?;
        ledger.set_note(CHECKED, old.as_deref(), Some(note.as_bytes())).await
    };
    if let Err(error) = written.await {
        tracing::debug!(%error, "what the check found is not in the ledger");
    }
}

pub fn describe(promises: &[Promise]) -> String {
    let mut text = String::from("promises (see the README)");
    for Promise { number, name, in_doubt, weaker, not_tried } in promises {
        let kept = match (&weaker[..], in_doubt) {
            ([], _) => not_tried.map_or("kept".to_owned(), |why| format!("not tried: {why}")),
            (why, true) => format!("in doubt: {}", why.join("; ")),
            (why, false) => format!("weaker: {}", why.join("; ")),
        };
        text.push_str(&format!("\n  {number:>2} {name:<25} {kept}"));
    }
    text
}
