//! What can be wrong with settings: all of it is reported at once, each with its name, its value, its place and a way out.

use std::fmt;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the settings file {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be read as settings (TOML, or the predecessors' ini): {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// One thing wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its name: `transfer.part_size`, `routes[0].prefix`.
    pub setting: String,
    /// The file, or the environment variable, that it came from. `None`: it is not set.
    pub origin: Option<String>,
    pub what: ProblemKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// No setting has this name.
    Unknown { nearest: String },
    /// `found` is not what is `wanted`.
    Value { found: String, wanted: String },
    /// It must be set; the text says to what.
    Missing(String),
    /// Anything else: reads on after the setting's name.
    Invalid(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        match &self.what {
            ProblemKind::Unknown { nearest } => write!(f, "there is no setting {setting}; did you mean {nearest}?")?,
            ProblemKind::Value { found, wanted } => write!(f, "{setting} = {found:?} is not {wanted}")?,
            ProblemKind::Missing(advice) => write!(f, "{setting} is missing: {advice}")?,
            ProblemKind::Invalid(text) => write!(f, "{setting} {text}")?,
        }
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
