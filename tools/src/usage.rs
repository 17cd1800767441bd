//! The error of what was typed, or of a file that was named: it ends with another exit code than what fails.

use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl std::error::Error for UsageError {}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For what only the person who typed it can repair.
pub trait OrUsage<T> {
    fn or_usage(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrUsage<T> for Result<T, E> {
    fn or_usage(self) -> anyhow::Result<T> {
        self.map_err(|error| UsageError(format!("{:#}", error.into())).into())
    }
}
