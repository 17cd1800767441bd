//! One row of a report. It borrows from its reader: there are millions.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventoryRow<'a> {
    /// Empty where the report does not say.
    pub bucket: &'a str,
    /// As the service has it: decoded.
    pub key: &'a [u8],
    /// `None` for `null` and for reports of the current versions only.
    pub version: Option<&'a str>,
    pub latest: bool,
    pub delete_marker: bool,
    /// Delete markers have none.
    pub size: Option<u64>,
    /// Seconds since the epoch.
    pub last_modified: Option<i64>,
    /// Without quotes.
    pub etag: Option<&'a str>,
    /// As the report names it: `SSE-KMS`.
    pub encryption: Option<&'a str>,
}

/// Why there is no row.
#[derive(Debug, PartialEq, Eq)]
pub enum RowError {
    /// Only this one: the next can be read. `at` is its line in the file, or its number where there are no lines.
    Row { at: String, why: String },
    /// The file cannot be read any further.
    File(String),
}

/// `null` is how an object without a version is written.
pub fn version(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty() && *text != "null")
}

pub fn etag(text: &str) -> Option<&str> {
    Some(text.trim_matches('"')).filter(|text| !text.is_empty())
}
