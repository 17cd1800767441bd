//! A report's rows one by one, whatever format they are written in.

use std::fs::File;

use super::csv::Csv;
use super::manifest::Format;
use super::parquet::Parquet;
use super::row::{Row, Wrong};

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
