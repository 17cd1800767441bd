//! What was found: a fact a line, said as soon as it is known, with what to do where something is to be done.

use serde::Serialize;
use skyferry_agent::wiring::WiringError;
use skyferry_core::error::CopyError;
use skyferry_core::ledger::LedgerError;
use skyferry_core::queue::QueueError;
use skyferry_providers::ProviderError;

use crate::show::Show;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warning,
    Failed,
}

#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    pub about: String,
    pub what: &'static str,
    pub verdict: Verdict,
    pub found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Numbers of the promises that are weaker by it.
    pub promises: &'static [u8],
}

pub struct Findings<'a> {
    show: &'a Show,
    about: String,
    pub facts: Vec<Fact>,
}

/// An error in two halves: what was answered, and what to do about it.
pub struct Trouble {
    pub found: String,
    pub advice: String,
}

impl<'a> Findings<'a> {
    pub fn new(show: &'a Show) -> Findings<'a> {
        Findings { show, about: String::new(), facts: Vec::new() }
    }

    /// What the next facts are about.
    pub fn about(&mut self, about: impl Into<String>) {
        self.about = about.into();
    }

    pub fn fine(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Ok, Trouble::new(found, ""), &[]);
    }

    pub fn warn(&mut self, what: &'static str, trouble: impl Into<Trouble>, promises: &'static [u8]) {
        self.add(what, Verdict::Warning, trouble.into(), promises);
    }

    pub fn fail(&mut self, what: &'static str, trouble: impl Into<Trouble>, promises: &'static [u8]) {
        self.add(what, Verdict::Failed, trouble.into(), promises);
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.facts.iter().filter(|fact| fact.verdict == verdict).count()
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, trouble: Trouble, promises: &'static [u8]) {
        let Trouble { found, advice } = trouble;
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
        };
        let mut text = String::new();
        if self.facts.last().is_none_or(|last| last.about != self.about) {
            text = format!("{}\n", self.about);
        }
        text.push_str(&format!("  {word:<8} {what:<21} {found}"));
        if !advice.is_empty() {
            text.push_str(&format!("\n{:33}{advice}", ""));
        }
        // A pipe that nobody reads any more ends nothing: there is something to clean up.
        let _ = self.show.say(&text);
        self.facts.push(Fact { about: self.about.clone(), what, verdict, found, advice, promises });
    }
}

impl Trouble {
    pub fn new(found: impl Into<String>, advice: impl Into<String>) -> Trouble {
        Trouble { found: found.into(), advice: advice.into() }
    }
}

impl From<(&str, &str)> for Trouble {
    fn from((found, advice): (&str, &str)) -> Trouble {
        Trouble::new(found, advice)
    }
}

impl From<(String, &str)> for Trouble {
    fn from((found, advice): (String, &str)) -> Trouble {
        Trouble::new(found, advice)
    }
}

impl From<&CopyError> for Trouble {
    fn from(error: &CopyError) -> Trouble {
        let (text, advice) = (error.to_string(), error.advice());
        let found = text.strip_suffix(&*advice).map_or(&*text, |found| found.trim_end_matches("; "));
        Trouble::new(found, advice)
    }
}

impl From<&QueueError> for Trouble {
    fn from(error: &QueueError) -> Trouble {
        match error {
            QueueError::Unusable { problem, advice, .. } => Trouble::new(problem, advice),
            error => Trouble::new(error.to_string(), "check the network, [queue] endpoint and region, and the keys"),
        }
    }
}

impl From<&LedgerError> for Trouble {
    fn from(error: &LedgerError) -> Trouble {
        match error {
            LedgerError::Unusable { problem, advice, .. } | LedgerError::Record { problem, advice, .. } => {
                Trouble::new(problem, advice)
            }
            error => Trouble::new(error.to_string(), "check the network, [ledger] endpoint and region, and the keys"),
        }
    }
}

impl From<&ProviderError> for Trouble {
    fn from(error: &ProviderError) -> Trouble {
        Trouble::new(format!("{}: {}", error.from, error.problem), &error.advice)
    }
}

impl From<&WiringError> for Trouble {
    fn from(error: &WiringError) -> Trouble {
        match error {
            WiringError::Queue(error) => error.into(),
            WiringError::Ledger(error) => error.into(),
            WiringError::Credentials { error, .. } => error.into(),
            error => Trouble::new(error.to_string(), ""),
        }
    }
}
