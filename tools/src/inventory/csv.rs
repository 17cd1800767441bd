//! Rows of a CSV file: no header, quoted, keys form-encoded.

use std::fs::File;

use csv::{ByteRecord, Reader, ReaderBuilder};
use skyferry_core::model::Key;

use super::row::{InventoryRow, RowError, etag, version};
use super::schema::{Column, Schema};
use super::unpack::{self, RowStart, Unpacked};

pub struct Csv {
    pub schema: Schema,
    reader: Reader<Unpacked>,
    row_start: RowStart,
    record: ByteRecord,
    key: Vec<u8>,
}

impl Csv {
    pub fn open(file: File, schema: Schema) -> Result<Csv, String> {
        let bytes = Unpacked::new(file).map_err(|error| unpack::error_text(&error))?;
        let row_start = bytes.row_start();
        let mut builder = ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).buffer_capacity(64 << 10).from_reader(bytes);
        Ok(Csv { schema, reader, row_start, record: ByteRecord::new(), key: Vec::new() })
    }

    pub fn next(&mut self) -> Result<Option<InventoryRow<'_>>, RowError> {
        self.row_start.set(self.reader.position().byte());
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                let line = self.reader.position().line();
                let why = match error.into_kind() {
                    csv::ErrorKind::Io(error) => unpack::error_text(&error),
                    other => format!("{other:?}"),
                };
                return Err(RowError::File(format!("line {line}: {why}")));
            }
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let Csv { schema, record, key, .. } = self;
        row(schema, record, key).map(Some).map_err(|why| RowError::Row { at: format!("line {line}"), why })
    }
}

fn row<'a>(schema: &Schema, record: &'a ByteRecord, key: &'a mut Vec<u8>) -> Result<InventoryRow<'a>, String> {
    if record.len() != schema.width {
        return Err(format!("{} columns where the schema has {}", record.len(), schema.width));
    }
    let bytes = |column| schema.index(column).and_then(|place| record.get(place)).unwrap_or_default();
    let text = |column: Column| {
        std::str::from_utf8(bytes(column)).map_err(|_| format!("{column:?} {} is not UTF-8", printable(bytes(column))))
    };
    let flag = |column: Column, unsaid: bool| match bytes(column) {
        b"" => Ok(unsaid),
        yes if yes.eq_ignore_ascii_case(b"true") => Ok(true),
        no if no.eq_ignore_ascii_case(b"false") => Ok(false),
        other => Err(format!("{column:?} {} is neither true nor false", printable(other))),
    };
    let encoded = bytes(Column::Key);
    if !decode(encoded, key) {
        return Err(format!("Key {} has a % without two hex digits after it", printable(encoded)));
    }
    if key.is_empty() {
        return Err("Key is empty".into());
    }
    let size = match text(Column::Size)? {
        "" => None,
        digits => Some(digits.parse().map_err(|_| format!("Size {} is not a number", printable(digits.as_bytes())))?),
    };
    let last_modified = match text(Column::LastModifiedDate)? {
        "" => None,
        date => Some(
            seconds(date).ok_or_else(|| format!("LastModifiedDate {} is not a time", printable(date.as_bytes())))?,
        ),
    };
    Ok(InventoryRow {
        bucket: text(Column::Bucket)?,
        key,
        version: version(text(Column::VersionId)?),
        latest: flag(Column::IsLatest, true)?,
        delete_marker: flag(Column::IsDeleteMarker, false)?,
        size,
        last_modified,
        etag: etag(text(Column::ETag)?),
        encryption: Some(text(Column::EncryptionStatus)?).filter(|text| !text.is_empty()),
    })
}

fn seconds(date: &str) -> Option<i64> {
    date.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// For people, cut where it is long.
fn printable(bytes: &[u8]) -> Key {
    Key::new(bytes.get(..100).unwrap_or(bytes).to_vec())
}

/// As S3 encodes keys in its reports and in its events: `+` is a space, `%XX` a byte, and so a plus is `%2B`. `false`: a
/// `%` stands without its digits.
fn decode(text: &[u8], key: &mut Vec<u8>) -> bool {
    key.clear();
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return false,
            },
            plain => plain,
        };
        key.push(decoded);
    }
    true
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.rewind().expect("rewound");
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).expect("packed");
        packed.finish().expect("packed")
    }

    fn open(columns: &str, bytes: &[u8]) -> Csv {
        Csv::open(file(bytes), Schema::new(columns.split(',')).expect("a schema")).expect("opened")
    }

    /// Keys and sizes, or what is wrong.
    fn read(columns: &str, bytes: &[u8]) -> Vec<Result<(String, Option<u64>), RowError>> {
        let (mut csv, mut found) = (open(columns, bytes), Vec::new());
        loop {
            match csv.next() {
                Ok(None) => return found,
                Ok(Some(row)) => found.push(Ok((String::from_utf8_lossy(row.key).into_owned(), row.size))),
                Err(wrong @ RowError::Row { .. }) => found.push(Err(wrong)),
                Err(wrong) => {
                    found.push(Err(wrong));
                    return found;
                }
            }
        }
    }

    #[test]
    fn keys_are_decoded_as_bytes_and_quotes_commas_and_line_ends_stay() {
        let text =
            "\"b\",\"a+b%2Bc%25\",\"1\"\nb,%E4%BD%A0/%F0%9F%98%80,2\nb,\"x%0Ay,\"\"z\"\"\",\nb,\"two\nlines\",4\n";
        let keys = [("a b+c%", Some(1)), ("你/😀", Some(2)), ("x\ny,\"z\"", None), ("two\nlines", Some(4))];
        let expected: Vec<_> = keys.into_iter().map(|(key, size)| Ok((key.to_owned(), size))).collect();
        assert_eq!(read("Bucket,Key,Size", text.as_bytes()), expected);
        assert_eq!(read("Bucket,Key,Size", &gzip(text.as_bytes())), expected, "packed");
        let members = [gzip(&text.as_bytes()[..20]), gzip(&text.as_bytes()[20..])].concat();
        assert_eq!(read("Bucket,Key,Size", &members), expected, "in two members");
    }

    #[test]
    fn every_column_is_found_where_the_schema_says() {
        let columns = "Size,ETag,IsDeleteMarker,Key,IsLatest,Bucket,VersionId,LastModifiedDate,EncryptionStatus";
        let text = "7,\"\"\"e\"\"\",false,k,true,b,v1,1970-01-01T00:01:00.000Z,SSE-KMS\n,,True,k,False,b,null,,\n";
        let mut csv = open(columns, text.as_bytes());
        let row = csv.next().expect("a row").expect("a row");
        assert_eq!((row.size, row.etag, row.version, row.last_modified), (Some(7), Some("e"), Some("v1"), Some(60)));
        assert_eq!((row.latest, row.delete_marker, row.encryption), (true, false, Some("SSE-KMS")));
        let marker = csv.next().expect("a row").expect("a row");
        assert_eq!((marker.size, marker.version, marker.latest, marker.delete_marker), (None, None, false, true));
    }

    #[test]
    fn a_bad_row_is_told_with_its_line_and_the_next_is_read() {
        let rows = read("Bucket,Key,Size", b"b,\"a\nb\",1\nb,%4,1\nb,k,x\nb,k\nb,,1\nb,fine,1\n");
        let wrong = |at: &str, why: &str| Err(RowError::Row { at: at.into(), why: why.into() });
        let expected = [
            Ok(("a\nb".into(), Some(1))),
            wrong("line 3", "Key %4 has a % without two hex digits after it"),
            wrong("line 4", "Size x is not a number"),
            wrong("line 5", "2 columns where the schema has 3"),
            wrong("line 6", "Key is empty"),
            Ok(("fine".into(), Some(1))),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_end() {
        let packed = gzip(b"b,k,1\n".repeat(1000).as_slice());
        let rows = read("Bucket,Key,Size", &packed[..packed.len() - 9]);
        assert!(
            matches!(rows.last(), Some(Err(RowError::File(why))) if why.contains("is truncated")),
            "{:?}",
            rows.last()
        );
        let damaged = [&packed[..packed.len() - 8], &[0; 8]].concat();
        let rows = read("Bucket,Key,Size", &damaged);
        assert!(matches!(rows.last(), Some(Err(RowError::File(why))) if why.contains("damaged")), "{:?}", rows.last());
    }

    #[test]
    fn bombs_of_rows_and_bombs_of_one_row_are_refused() {
        let rows = [b"b,".to_vec(), vec![b'k'; 250], b",1\n".to_vec()].concat();
        let rows = read("Bucket,Key,Size", &gzip(&rows.repeat(80_000)));
        assert!(
            matches!(rows.last(), Some(Err(RowError::File(why))) if why.contains("decompression bomb")),
            "{:?}",
            rows.last()
        );
        let endless = read("Bucket,Key,Size", &[b"b,\"".to_vec(), vec![b'k'; 3 << 20]].concat());
        assert!(
            matches!(&endless[..], [Err(RowError::File(why))] if why.contains("a row of more than")),
            "{endless:?}"
        );
    }
}
