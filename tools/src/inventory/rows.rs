//! A report's rows one by one, whatever format they are written in. A row borrows from its reader: there are millions.

use std::fs::File;

use super::csv::Csv;
use super::manifest::Format;
use super::parquet::Parquet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
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
pub enum Wrong {
    /// Only this one: the next can be read. `at` is its line in the file, or its number where there are no lines.
    Row { at: String, why: String },
    /// The file cannot be read any further.
    File(String),
}

pub enum Rows {
    Csv(Box<Csv>),
    Parquet(Box<Parquet>),
}

impl Rows {
    pub fn open(file: File, format: &Format) -> Result<Rows, String> {
        Ok(match format {
            Format::Csv(schema) => Rows::Csv(Box::new(Csv::open(file, schema.clone())?)),
            Format::Parquet => Rows::Parquet(Box::new(Parquet::open(file)?)),
        })
    }

    /// `Ok(None)` at the end, which must not be read past; neither must a `Wrong::File`.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Wrong> {
        match self {
            Rows::Csv(csv) => csv.next(),
            Rows::Parquet(parquet) => parquet.next(),
        }
    }

    pub fn schema(&self) -> &super::schema::Schema {
        match self {
            Rows::Csv(csv) => &csv.schema,
            Rows::Parquet(parquet) => &parquet.schema,
        }
    }
}

/// `null` is how an object without a version is written.
pub fn version(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty() && *text != "null")
}

pub fn etag(text: &str) -> Option<&str> {
    Some(text.trim_matches('"')).filter(|text| !text.is_empty())
}
