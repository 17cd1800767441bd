//! Rows of a Parquet file: only the columns that matter, some thousand values of each at a time, row group by row group.
//! Keys are as they are: only CSV encodes them. The file's own schema is the one that holds.

use std::fs::File;

use parquet::basic::ConvertedType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader as _, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::rows::{Row, Wrong, etag, version};
use super::schema::{Column, Schema};

/// Rows that are decoded at a time.
const BATCH: usize = 2048;
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
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        let file = SerializedFileReader::new(file).map_err(|error| told(&error))?;
        bound(file.metadata(), size)?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        let schema = Schema::new(columns.iter().map(|column| column.name()))?;
        let date = schema.place(Column::LastModifiedDate).map(|place| columns[place].converted_type());
        let parts = if date == Some(ConvertedType::TIMESTAMP_MICROS) { 1_000_000 } else { 1000 };
        Ok(Parquet { schema, file, group: 0, columns: None, rows: 0, row: 0, number: 0, parts })
    }

    pub fn next(&mut self) -> Result<Option<Row<'_>>, Wrong> {
        while self.row >= self.rows {
            if !self.decode().map_err(Wrong::File)? {
                return Ok(None);
            }
        }
        self.row += 1;
        self.number += 1;
        let Parquet { columns: Some(columns), number, parts, .. } = self else { return Ok(None) };
        columns.row(*parts).map(Some).map_err(|why| Wrong::Row { at: format!("row {number}"), why })
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
        let group = self.file.get_row_group(self.group).map_err(|error| told(&error))?;
        self.columns = Some(Columns::of(&*group, &self.schema)?);
        self.group += 1;
        Ok(true)
    }
}

/// The file says how large it becomes. What lies about that is read in pages, and so in little memory all the same.
fn bound(about: &ParquetMetaData, size: u64) -> Result<(), String> {
    let sum = |of: fn(&parquet::file::metadata::RowGroupMetaData) -> i64| {
        about.row_groups().iter().map(|group| u64::try_from(of(group)).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    };
    let (bytes, rows) = (sum(|group| group.total_byte_size()), sum(|group| group.num_rows()));
    if bytes > size.saturating_mul(RATIO).max(ALWAYS) || rows > size.max(ALWAYS) {
        return Err(format!("{size} bytes that unpack to {bytes} bytes and {rows} rows, which no report does: a bomb"));
    }
    Ok(())
}

/// Values of one column, and which of the rows have none.
struct Cells<T: DataType> {
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
    fn new(reader: ColumnReaderImpl<T>, full: i16) -> Cells<T> {
        Cells { reader, full, levels: Vec::new(), values: Vec::new(), row: 0, value: 0 }
    }

    fn fill(&mut self) -> Result<usize, String> {
        self.levels.clear();
        self.values.clear();
        (self.row, self.value) = (0, 0);
        let read = self.reader.read_records(BATCH, Some(&mut self.levels), None, &mut self.values);
        read.map(|(rows, ..)| rows).map_err(|error| told(&error))
    }

    fn next(&mut self) -> Option<&T::T> {
        let there = self.full == 0 || self.levels.get(self.row) == Some(&self.full);
        self.row += 1;
        if !there {
            return None;
        }
        self.value += 1;
        self.values.get(self.value - 1)
    }
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
    size: Option<Cells<Int64Type>>,
    last_modified: Option<Cells<Int64Type>>,
}

/// A column of the type that it is to have.
macro_rules! cells {
    ($group:expr, $schema:expr, $column:expr, $variant:ident) => {
        match $schema.place($column) {
            None => None,
            Some(place) => {
                let about = $group.metadata().column(place).column_descr_ptr();
                match $group.get_column_reader(place).map_err(|error| told(&error))? {
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
            size: cells!(group, schema, Column::Size, Int64ColumnReader),
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
        for cells in [&mut self.size, &mut self.last_modified].into_iter().flatten() {
            others.push(cells.fill()?);
        }
        match others.iter().all(|count| *count == rows) {
            true => Ok(rows),
            false => Err("its columns are not equally long".into()),
        }
    }

    fn row(&mut self, parts: i64) -> Result<Row<'_>, String> {
        let Columns { key, bucket, version: id, etag: tag, encryption, latest, delete_marker, size, last_modified } =
            self;
        // Every column moves on, whatever is wrong with another.
        let (key, bucket, id, tag) = (key.next(), text(bucket), text(id), text(tag));
        let (encryption, latest, delete_marker) = (text(encryption), value(latest), value(delete_marker));
        let (size, last_modified) = (value(size), value(last_modified));
        let key = key.map(|key| key.data()).filter(|key| !key.is_empty()).ok_or("the key is empty")?;
        let size = size.map(|size| u64::try_from(size).map_err(|_| format!("the size {size} is below zero")));
        Ok(Row {
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

fn told(error: &ParquetError) -> String {
    format!("it is no Parquet file that can be read: {error}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::ByteArray;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// S3's columns in another order, with some keys, three rows a group: a version, an older one, a delete marker.
    fn report(keys: &[&str]) -> File {
        let schema =
            "message s3.inventory { optional int64 size; required binary key (UTF8); required binary bucket (UTF8);
            optional binary version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker;
            optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = tempfile::tempfile().expect("a file");
        let mut writer = SerializedFileWriter::new(file.try_clone().expect("cloned"), schema, Arc::new(properties))
            .expect("a writer");
        let texts = |texts: &[&str]| texts.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
        for keys in keys.chunks(3) {
            let mut group = writer.next_row_group().expect("a group");
            let levels: Vec<i16> = [1, 1, 0][..keys.len()].to_vec();
            let (there, all) = (levels.iter().filter(|level| **level == 1).count(), vec![1; keys.len()]);
            for place in 0..8 {
                let mut column = group.next_column().expect("a column").expect("a column");
                match place {
                    0 => column.typed::<Int64Type>().write_batch(&[5, 6][..there], Some(&levels), None),
                    1 => column.typed::<ByteArrayType>().write_batch(&texts(keys), None, None),
                    2 => column.typed::<ByteArrayType>().write_batch(&texts(&vec!["b"; keys.len()]), None, None),
                    3 => column.typed::<ByteArrayType>().write_batch(
                        &texts(&["v1", "null"][..there]),
                        Some(&levels),
                        None,
                    ),
                    4 => column.typed::<BoolType>().write_batch(&[true, false, true][..keys.len()], Some(&all), None),
                    5 => column.typed::<BoolType>().write_batch(&[false, false, true][..keys.len()], Some(&all), None),
                    6 => column.typed::<Int64Type>().write_batch(&vec![1500; keys.len()], Some(&all), None),
                    _ => {
                        column.typed::<ByteArrayType>().write_batch(&texts(&["e", "f-2"][..there]), Some(&levels), None)
                    }
                }
                .expect("written");
                column.close().expect("closed");
            }
            group.close().expect("closed");
        }
        writer.close().expect("closed");
        file
    }

    #[test]
    fn rows_have_their_values_over_gaps_and_groups() {
        let keys = ["a+b%20c", "照/\n", "gone", "d", "", "f", "g"];
        let mut parquet = Parquet::open(report(&keys)).expect("opened");
        let row = parquet.next().expect("a row").expect("a row");
        assert_eq!((row.bucket, row.key, row.version), ("b", &b"a+b%20c"[..], Some("v1")));
        assert_eq!((row.size, row.last_modified, row.etag), (Some(5), Some(1), Some("e")));
        let older = parquet.next().expect("a row").expect("a row");
        assert_eq!(
            (older.key, older.version, older.latest, older.etag),
            ("照/\n".as_bytes(), None, false, Some("f-2"))
        );
        let marker = parquet.next().expect("a row").expect("a row");
        assert_eq!((marker.size, marker.latest, marker.delete_marker, marker.etag), (None, true, true, None));
        assert_eq!(parquet.next().expect("a row").expect("a row").size, Some(5), "the next group");
        let empty = Wrong::Row { at: "row 5".into(), why: "the key is empty".into() };
        assert_eq!(parquet.next(), Err(empty));
        let rest: Vec<bool> = (0..2).map(|_| parquet.next().expect("a row").expect("a row").delete_marker).collect();
        assert_eq!((rest, parquet.next()), (vec![true, false], Ok(None)));
    }

    #[test]
    fn what_is_no_parquet_or_breaks_off_is_an_error() {
        use std::io::{Seek as _, Write as _};
        let whole = report(&["a", "b"]);
        whole.set_len(whole.metadata().expect("about it").len() - 20).expect("cut");
        assert!(Parquet::open(whole).err().expect("refused").contains("no Parquet file"));
        let mut text = tempfile::tempfile().expect("a file");
        text.write_all(b"Bucket,Key\n").expect("written");
        text.rewind().expect("rewound");
        assert!(Parquet::open(text).err().expect("refused").contains("no Parquet file"));
    }
}
