//! What was found: a fact a line, said as soon as it is known, with what to do where something is to be done.

use serde::Serialize;
use skyferry_agent::wiring::WiringError;
use skyferry_core::error::CopyError;
use skyferry_core::ledger::LedgerError;
use skyferry_core::queue::QueueError;
use skyferry_providers::ProviderError;

use crate::output::{Colour, Output};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    Warning,
    Failed,
}

impl CheckStatus {
    fn colour(self) -> Colour {
        match self {
            CheckStatus::Ok => Colour::Green,
            CheckStatus::Warning => Colour::Yellow,
            CheckStatus::Failed => Colour::Red,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    pub about: String,
    pub what: &'static str,
    pub verdict: CheckStatus,
    pub found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Numbers of the promises that are weaker by it.
    pub promises: &'static [u8],
}

pub struct Findings<'a> {
    output: &'a Output,
    about: String,
    pub facts: Vec<CheckResult>,
}

/// An error in two halves: what was answered, and what to do about it.
pub struct CheckError {
    pub found: String,
    pub advice: String,
}

impl<'a> Findings<'a> {
    pub fn new(output: &'a Output) -> Findings<'a> {
        Findings { output, about: String::new(), facts: Vec::new() }
    }

    /// What the next facts are about.
    pub fn about(&mut self, about: impl Into<String>) {
        self.about = about.into();
    }

    pub fn pass(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, CheckStatus::Ok, CheckError::new(found, ""), &[]);
    }

    pub fn warn(&mut self, what: &'static str, trouble: impl Into<CheckError>, promises: &'static [u8]) {
        self.add(what, CheckStatus::Warning, trouble.into(), promises);
    }

    pub fn fail(&mut self, what: &'static str, trouble: impl Into<CheckError>, promises: &'static [u8]) {
        self.add(what, CheckStatus::Failed, trouble.into(), promises);
    }

    pub fn count(&self, verdict: CheckStatus) -> usize {
        self.facts.iter().filter(|fact| fact.verdict == verdict).count()
    }

    fn add(&mut self, what: &'static str, verdict: CheckStatus, trouble: CheckError, promises: &'static [u8]) {
        let CheckError { found, advice } = trouble;
        let word = match verdict {
            CheckStatus::Ok => "ok",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "FAILED",
        };
        let mut text = String::new();
        if self.facts.last().is_none_or(|last| last.about != self.about) {
            text = format!("{}\n", self.about);
        }
        let word = self.output.coloured(&format!("{word:<8}"), verdict.colour());
        text.push_str(&format!("  {word} {what:<21} {found}"));
        if !advice.is_empty() {
            text.push_str(&format!("\n{:33}{advice}", ""));
        }
        // A pipe that nobody reads any more ends nothing: there is something to clean up.
        let _ = self.output.line(&text);
        self.facts.push(CheckResult { about: self.about.clone(), what, verdict, found, advice, promises });
    }
}

impl CheckError {
    pub fn new(found: impl Into<String>, advice: impl Into<String>) -> CheckError {
        CheckError { found: found.into(), advice: advice.into() }
    }
}

impl From<(&str, &str)> for CheckError {
    fn from((found, advice): (&str, &str)) -> CheckError {
        CheckError::new(found, advice)
    }
}

impl From<(String, &str)> for CheckError {
    fn from((found, advice): (String, &str)) -> CheckError {
        CheckError::new(found, advice)
    }
}

impl From<&CopyError> for CheckError {
    fn from(error: &CopyError) -> CheckError {
        let (text, advice) = (error.to_string(), error.advice());
        let found = text.strip_suffix(&*advice).map_or(&*text, |found| found.trim_end_matches("; "));
        CheckError::new(found, advice)
    }
}

impl From<&QueueError> for CheckError {
    fn from(error: &QueueError) -> CheckError {
        match error {
            QueueError::Unusable { problem, advice, .. } => CheckError::new(problem, advice),
            error => CheckError::new(error.to_string(), "check the network, [queue] endpoint and region, and the keys"),
        }
    }
}

impl From<&LedgerError> for CheckError {
    fn from(error: &LedgerError) -> CheckError {
        match error {
            LedgerError::Unusable { problem, advice, .. } | LedgerError::Record { problem, advice, .. } => {
                CheckError::new(problem, advice)
            }
            error => {
                CheckError::new(error.to_string(), "check the network, [ledger] endpoint and region, and the keys")
            }
        }
    }
}

impl From<&ProviderError> for CheckError {
    fn from(error: &ProviderError) -> CheckError {
        CheckError::new(format!("{}: {}", error.from, error.problem), &error.advice)
    }
}

impl From<&WiringError> for CheckError {
    fn from(error: &WiringError) -> CheckError {
        match error {
            WiringError::Queue(error) => error.into(),
            WiringError::Ledger(error) => error.into(),
            WiringError::Credentials { error, .. } => error.into(),
            error => CheckError::new(error.to_string(), ""),
        }
    }
}
