//! Which of the promises that the README makes hold here: a fact that is not as it should be names those that it weakens.

use serde::Serialize;

use super::finding::{Fact, Verdict};

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
    /// Why it is weaker here; none: it is kept.
    pub weaker: Vec<String>,
}

pub fn promises(facts: &[Fact]) -> Vec<Promise> {
    let bad: Vec<&Fact> = facts.iter().filter(|fact| fact.verdict != Verdict::Ok).collect();
    let of = |number: usize| {
        let weaken = bad.iter().filter(|fact| fact.promises.iter().any(|promise| usize::from(*promise) == number));
        weaken.map(|fact| format!("{}, {}", fact.about, fact.what)).collect()
    };
    NAMES.into_iter().zip(1..).map(|(name, number)| Promise { number, name, weaker: of(number) }).collect()
}

pub fn words(promises: &[Promise], failed: bool) -> String {
    let mut text = String::from("promises (see the README)");
    if failed {
        text.push_str(", once what FAILED is mended");
    }
    for Promise { number, name, weaker } in promises {
        let kept = if weaker.is_empty() { "kept".to_owned() } else { format!("weaker: {}", weaker.join("; ")) };
        text.push_str(&format!("\n  {number:>2} {name:<25} {kept}"));
    }
    text
}
