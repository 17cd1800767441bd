//! The values of a column, some thousand at a time.

use std::fmt::Display;

use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;

/// Rows that are decoded at a time.
const BATCH: usize = 2048;
/// Beyond this not every whole number is a double.
const MOST: f64 = 9_007_199_254_740_992.0;

/// Values of one column, and which of the rows have none.
pub struct Cells<T: DataType> {
    reader: ColumnReaderImpl<T>,
    /// The level of a value that is there.
    full: i16,
    levels: Vec<i16>,
    values: Vec<T::T>,
    /// The next row, and its value if it has one.
    row: usize,
    value: usize,
}

impl<T: DataType> Cells<T> {
    pub fn new(reader: ColumnReaderImpl<T>, full: i16) -> Cells<T> {
        Cells { reader, full, levels: Vec::new(), values: Vec::new(), row: 0, value: 0 }
    }

    pub fn fill(&mut self) -> Result<usize, String> {
        self.levels.clear();
        self.values.clear();
        (self.row, self.value) = (0, 0);
        let read = self.reader.read_records(BATCH, Some(&mut self.levels), None, &mut self.values);
        read.map(|(rows, ..)| rows).map_err(|error| error_text(&error))
    }

    pub fn next(&mut self) -> Option<&T::T> {
        let there = self.full == 0 || self.levels.get(self.row) == Some(&self.full);
        self.row += 1;
        if !there {
            return None;
        }
        self.value += 1;
        self.values.get(self.value - 1)
    }
}

pub enum Sizes {
    Whole(Cells<Int64Type>),
    Double(Cells<DoubleType>),
}

impl Sizes {
    pub fn fill(&mut self) -> Result<usize, String> {
        match self {
            Sizes::Whole(cells) => cells.fill(),
            Sizes::Double(cells) => cells.fill(),
        }
    }

    pub fn next(&mut self) -> Option<Result<u64, String>> {
        match self {
            Sizes::Whole(cells) => {
                let size = *cells.next()?;
                Some(u64::try_from(size).map_err(|_| format!("the size {size} is below zero")))
            }
            Sizes::Double(cells) => {
                let size = *cells.next()?;
                let whole = (0.0..=MOST).contains(&size) && size.fract() == 0.0;
                Some(whole.then_some(size as u64).ok_or(format!("the size {size} is not a whole number")))
            }
        }
    }
}

pub fn error_text(error: &ParquetError) -> String {
    unreadable_file(error)
}

pub fn unreadable_file(why: impl Display) -> String {
    format!("it is not a readable Parquet file: {why}")
}
