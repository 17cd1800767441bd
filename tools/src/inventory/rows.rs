//! A report's rows one by one, whatever format they are written in.

use std::fs::File;

use super::csv::Csv;
use super::manifest::ReportFormat;
use super::parquet::Parquet;
use super::row::{InventoryRow, RowError};

pub enum ReportRows {
    Csv(Box<Csv>),
    Parquet(Box<Parquet>),
}

impl ReportRows {
    pub fn open(file: File, format: &ReportFormat) -> Result<ReportRows, String> {
        Ok(match format {
            ReportFormat::Csv(schema) => ReportRows::Csv(Box::new(Csv::open(file, schema.clone())?)),
            ReportFormat::Parquet => ReportRows::Parquet(Box::new(Parquet::open(file)?)),
        })
    }

    /// `Ok(None)` at the end, which must not be read past; neither must a `RowError::File`.
    pub fn next(&mut self) -> Result<Option<InventoryRow<'_>>, RowError> {
        match self {
            ReportRows::Csv(csv) => csv.next(),
            ReportRows::Parquet(parquet) => parquet.next(),
        }
    }

    pub fn schema(&self) -> &super::schema::Schema {
        match self {
            ReportRows::Csv(csv) => &csv.schema,
            ReportRows::Parquet(parquet) => &parquet.schema,
        }
    }
}
