//! Every difference in a file: CSV, or JSON by the line.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use skyferry_core::store::Listed;

use crate::cells::cell;
use crate::compare::{Difference, Finding};

pub enum DifferenceReport {
    Csv(Box<csv::Writer<File>>),
    Json(BufWriter<File>),
}

#[derive(Serialize)]
struct Row {
    difference: &'static str,
    source: String,
    destination: String,
    source_size: Option<u64>,
    destination_size: Option<u64>,
    source_etag: Option<String>,
    destination_etag: Option<String>,
    source_modified: Option<String>,
    destination_modified: Option<String>,
}

impl DifferenceReport {
    pub fn create(path: &Path) -> anyhow::Result<DifferenceReport> {
        let file = File::create(path).with_context(|| format!("--report {}", path.display()))?;
        let json = path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
        Ok(if json {
            DifferenceReport::Json(BufWriter::new(file))
        } else {
            DifferenceReport::Csv(Box::new(csv::Writer::from_writer(file)))
        })
    }

    pub fn add(&mut self, finding: &Finding, why: Difference) -> anyhow::Result<()> {
        let size = |row: &Option<Listed>| row.as_ref().map(|row| row.size);
        let etag = |row: &Option<Listed>| row.as_ref().map(|row| cell(&row.etag).into_owned());
        let modified = |row: &Option<Listed>| {
            let time = row.as_ref().map(|row| Timestamp::from_second(row.last_modified));
            time.and_then(Result::ok).map(|time| time.to_string())
        };
        let Finding { source, destination, here, there, .. } = finding;
        let row = Row {
            difference: why.name(),
            source: cell(&source.to_string()).into_owned(),
            destination: cell(&destination.to_string()).into_owned(),
            source_size: size(here),
            destination_size: size(there),
            source_etag: etag(here),
            destination_etag: etag(there),
            source_modified: modified(here),
            destination_modified: modified(there),
        };
        match self {
            DifferenceReport::Csv(csv) => csv.serialize(row)?,
            DifferenceReport::Json(file) => writeln!(file, "{}", serde_json::to_string(&row)?)?,
        }
        Ok(())
    }

    /// Until now some of it may only be in memory.
    pub fn finish(&mut self) -> std::io::Result<()> {
        match self {
            DifferenceReport::Csv(csv) => csv.flush(),
            DifferenceReport::Json(file) => file.flush(),
        }
    }
}
