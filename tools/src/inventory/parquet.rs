//! Rows of a Parquet file: only the columns that matter, some thousand values of each at a time, row group by row group.
//! Keys are as they are: only CSV encodes them. The file's own schema is the one that holds.

mod cells;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::panic::AssertUnwindSafe;

use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{BoolType, ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnDescriptor;

use super::row::{InventoryRow, RowError, etag, version};
use super::schema::{Column, Schema};
use cells::{Cells, Sizes, error_text, unreadable_file};

/// What CSV files may shrink by (`unpack`) is enough for this format too.
const RATIO: u64 = 250;
/// Small files may shrink by more, and have more rows than bytes.
const ALWAYS: u64 = 16 << 20;

pub struct Parquet {
    pub schema: Schema,
    file: SerializedFileReader<File>,
    /// The next one.
    group: usize,
    columns: Option<Columns>,
    /// Of those decoded.
    rows: usize,
    row: usize,
    /// In the whole file, for people: from 1.
    number: u64,
    /// Parts of a second in which the file's times are written.
    parts: i64,
}

impl Parquet {
    pub fn open(file: File) -> Result<Parquet, String> {
        guarded(|| Parquet::read(file))
    }

    fn read(file: File) -> Result<Parquet, String> {
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        let file = SerializedFileReader::new(file).map_err(|error| error_text(&error))?;
        bound(file.metadata(), size)?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        // With its whole path: a part of a map or a struct is no column of the report, whatever its name.
        let names: Vec<String> = columns.iter().map(|column| column.path().string()).collect();
        let schema = Schema::new(names.iter().map(String::as_str))?;
        compressions(file.metadata(), &schema)?;
        let parts = schema.index(Column::LastModifiedDate).map_or(Ok(1), |place| parts_of_a_second(&columns[place]))?;
        Ok(Parquet { schema, file, group: 0, columns: None, rows: 0, row: 0, number: 0, parts })
    }

    pub fn next(&mut self) -> Result<Option<InventoryRow<'_>>, RowError> {
        while self.row >= self.rows {
            if !guarded(|| self.decode()).map_err(RowError::File)? {
                return Ok(None);
            }
        }
        self.row += 1;
        self.number += 1;
        let Parquet { columns: Some(columns), number, parts, .. } = self else { return Ok(None) };
        columns.row(*parts).map(Some).map_err(|why| RowError::Row { at: format!("row {number}"), why })
    }

    /// The next rows, of the next group where this one is read. `false`: that was all.
    fn decode(&mut self) -> Result<bool, String> {
        let rows = match &mut self.columns {
            Some(columns) => columns.fill()?,
            None => 0,
        };
        (self.rows, self.row) = (rows, 0);
        if rows > 0 {
            return Ok(true);
        }
        if self.group >= self.file.num_row_groups() {
            return Ok(false);
        }
        check_offsets(self.file.metadata().row_group(self.group), &self.schema)?;
        let group = self.file.get_row_group(self.group).map_err(|error| error_text(&error))?;
        self.columns = Some(Columns::of(&*group, &self.schema)?);
        self.group += 1;
        Ok(true)
    }
}

/// The library asserts what a damaged file breaks: that file cannot be read, like others.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(unreadable_file("it is damaged")))
}

/// Where a group's columns begin and how long they are, as far as a damaged file can get it wrong.
fn check_offsets(group: &RowGroupMetaData, schema: &Schema) -> Result<(), String> {
    let sound = |place: usize| {
        let column = group.columns().get(place)?;
        let sizes = [column.data_page_offset(), column.dictionary_page_offset().unwrap_or(0), column.compressed_size()];
        sizes.iter().all(|size| *size >= 0).then_some(())
    };
    let all = schema.indices().try_for_each(sound);
    all.ok_or_else(|| unreadable_file("a column has no position in it"))
}

/// In what the times of a column count.
fn parts_of_a_second(column: &ColumnDescriptor) -> Result<i64, String> {
    let unit = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(time)), _) => time.unit,
        (_, ConvertedType::TIMESTAMP_MILLIS) => TimeUnit::MILLIS,
        (_, ConvertedType::TIMESTAMP_MICROS) => TimeUnit::MICROS,
        _ => return Err(format!("the column {} does not specify the unit of its times", column.name())),
    };
    Ok(match unit {
        TimeUnit::MILLIS => 1000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    })
}

fn compressions(about: &ParquetMetaData, schema: &Schema) -> Result<(), String> {
    let groups = about.row_groups().iter();
    let mut used = groups.flat_map(|group| schema.indices().map(|place| group.column(place).compression()));
    used.find_map(unreadable).map_or(Ok(()), Err)
}

fn unreadable(compression: Compression) -> Option<String> {
    let readable = matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_));
    let named = format!("{compression:?}").to_lowercase();
    let name = named.split('(').next().unwrap_or_default();
    (!readable).then(|| format!("it is compressed with {name}, which is not read here: write it with snappy or gzip"))
}

/// The file says how large it becomes. What lies about that is read in pages, and so in little memory all the same.
fn bound(about: &ParquetMetaData, size: u64) -> Result<(), String> {
    let sum = |of: fn(&RowGroupMetaData) -> i64| {
        about.row_groups().iter().map(|group| u64::try_from(of(group)).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    };
    let (bytes, rows) = (sum(|group| group.total_byte_size()), sum(|group| group.num_rows()));
    if bytes > size.saturating_mul(RATIO).max(ALWAYS) || rows > size.max(ALWAYS) {
        return Err(format!(
            "{size} bytes that unpack to {bytes} bytes and {rows} rows, which no report does: a decompression bomb"
        ));
    }
    Ok(())
}

type Texts = Cells<ByteArrayType>;

/// The columns of one row group; `None`: the report has it not.
struct Columns {
    key: Texts,
    bucket: Option<Texts>,
    version: Option<Texts>,
    etag: Option<Texts>,
    encryption: Option<Texts>,
    latest: Option<Cells<BoolType>>,
    delete_marker: Option<Cells<BoolType>>,
    size: Option<Sizes>,
    last_modified: Option<Cells<Int64Type>>,
}

/// A column of the type that it is to have.
macro_rules! cells {
    ($group:expr, $schema:expr, $column:expr, $variant:ident) => {
        match $schema.index($column) {
            None => None,
            Some(place) => {
                let about = $group.metadata().column(place).column_descr_ptr();
                match $group.get_column_reader(place).map_err(|error| error_text(&error))? {
                    ColumnReader::$variant(reader) if about.max_rep_level() == 0 => {
                        Some(Cells::new(reader, about.max_def_level()))
                    }
                    _ => return Err(format!("the column {} is of another type than S3 gives it", about.name())),
                }
            }
        }
    };
}

impl Columns {
    fn of(group: &dyn RowGroupReader, schema: &Schema) -> Result<Columns, String> {
        Ok(Columns {
            key: cells!(group, schema, Column::Key, ByteArrayColumnReader).ok_or("the schema has no column Key")?,
            bucket: cells!(group, schema, Column::Bucket, ByteArrayColumnReader),
            version: cells!(group, schema, Column::VersionId, ByteArrayColumnReader),
            etag: cells!(group, schema, Column::ETag, ByteArrayColumnReader),
            encryption: cells!(group, schema, Column::EncryptionStatus, ByteArrayColumnReader),
            latest: cells!(group, schema, Column::IsLatest, BoolColumnReader),
            delete_marker: cells!(group, schema, Column::IsDeleteMarker, BoolColumnReader),
            size: schema.index(Column::Size).map(|place| sizes(group, place)).transpose()?,
            last_modified: cells!(group, schema, Column::LastModifiedDate, Int64ColumnReader),
        })
    }

    /// Decodes the next rows, as many of every column.
    fn fill(&mut self) -> Result<usize, String> {
        let rows = self.key.fill()?;
        let texts = [&mut self.bucket, &mut self.version, &mut self.etag, &mut self.encryption];
        let mut others = Vec::with_capacity(8);
        for cells in texts.into_iter().flatten() {
            others.push(cells.fill()?);
        }
        for cells in [&mut self.latest, &mut self.delete_marker].into_iter().flatten() {
            others.push(cells.fill()?);
        }
        for cells in self.last_modified.iter_mut() {
            others.push(cells.fill()?);
        }
        for cells in self.size.iter_mut() {
            others.push(cells.fill()?);
        }
        match others.iter().all(|count| *count == rows) {
            true => Ok(rows),
            false => Err("its columns are not equally long".into()),
        }
    }

    fn row(&mut self, parts: i64) -> Result<InventoryRow<'_>, String> {
        let Columns { key, bucket, version: id, etag: tag, encryption, latest, delete_marker, size, last_modified } =
            self;
        // Every column moves on, whatever is wrong with another.
        let (key, bucket, id, tag) = (key.next(), text(bucket), text(id), text(tag));
        let (encryption, latest, delete_marker) = (text(encryption), value(latest), value(delete_marker));
        let (size, last_modified) = (size.as_mut().and_then(Sizes::next), value(last_modified));
        let key = key.map(|key| key.data()).filter(|key| !key.is_empty()).ok_or("the key is empty")?;
        Ok(InventoryRow {
            bucket: bucket?,
            key,
            version: version(id?),
            latest: latest.unwrap_or(true),
            delete_marker: delete_marker.unwrap_or(false),
            size: size.transpose()?,
            last_modified: last_modified.map(|at| at.div_euclid(parts)),
            etag: etag(tag?),
            encryption: Some(encryption?).filter(|text| !text.is_empty()),
        })
    }
}

/// S3 gives sizes as integers; other programs that write such reports do not always.
fn sizes(group: &dyn RowGroupReader, place: usize) -> Result<Sizes, String> {
    let about = group.metadata().column(place).column_descr_ptr();
    let full = about.max_def_level();
    match group.get_column_reader(place).map_err(|error| error_text(&error))? {
        ColumnReader::Int64ColumnReader(reader) if about.max_rep_level() == 0 => {
            Ok(Sizes::Whole(Cells::new(reader, full)))
        }
        ColumnReader::DoubleColumnReader(reader) if about.max_rep_level() == 0 => {
            Ok(Sizes::Double(Cells::new(reader, full)))
        }
        _ => Err(format!("the column {} is of another type than S3 gives it", about.name())),
    }
}

fn text(cells: &mut Option<Texts>) -> Result<&str, String> {
    let bytes = cells.as_mut().and_then(Cells::next).map(|value| value.data()).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".into())
}

fn value<T: DataType>(cells: &mut Option<Cells<T>>) -> Option<T::T>
where
    T::T: Copy,
{
    cells.as_mut().and_then(Cells::next).copied()
}
