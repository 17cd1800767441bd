//! Which of the promises that the README makes hold here: a fact that is not as it should be names those that it weakens.

use serde::Serialize;

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
    /// Something failed that it rests on: until that is mended nothing is known.
    pub in_doubt: bool,
    /// The facts that weaken it; none: it is kept.
    pub weaker: Vec<String>,
}

pub fn promises(facts: &[CheckResult]) -> Vec<Promise> {
    let of = |(name, number): (&'static str, usize)| {
        let bears = |fact: &&CheckResult| fact.promises.iter().any(|promise| usize::from(*promise) == number);
        let bad: Vec<&CheckResult> =
            facts.iter().filter(|fact| fact.verdict != CheckStatus::Ok).filter(bears).collect();
        let in_doubt = bad.iter().any(|fact| fact.verdict == CheckStatus::Failed);
        let weaker = bad.iter().map(|fact| format!("{}, {}", fact.about, fact.what)).collect();
        Promise { number, name, in_doubt, weaker }
    };
    NAMES.into_iter().zip(1..).map(of).collect()
}

pub fn describe(promises: &[Promise]) -> String {
    let mut text = String::from("promises (see the README)");
    for Promise { number, name, in_doubt, weaker } in promises {
        let kept = match (&weaker[..], in_doubt) {
            ([], _) => "kept".to_owned(),
            (why, true) => format!("in doubt: {}", why.join("; ")),
            (why, false) => format!("weaker: {}", why.join("; ")),
        };
        text.push_str(&format!("\n  {number:>2} {name:<25} {kept}"));
    }
    text
}
