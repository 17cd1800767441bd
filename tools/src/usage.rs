//! The error of what was typed, or of a file that was named: it ends with another exit code than what fails.

use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::error::Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
