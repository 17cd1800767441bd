//! Reports as S3 writes them, and as other programs do.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
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
    let mut writer =
        SerializedFileWriter::new(file.try_clone().expect("cloned"), schema, Arc::new(properties)).expect("a writer");
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
                3 => column.typed::<ByteArrayType>().write_batch(&texts(&["v1", "null"][..there]), Some(&levels), None),
                4 => column.typed::<BoolType>().write_batch(&[true, false, true][..keys.len()], Some(&all), None),
                5 => column.typed::<BoolType>().write_batch(&[false, false, true][..keys.len()], Some(&all), None),
                6 => column.typed::<Int64Type>().write_batch(&vec![1500; keys.len()], Some(&all), None),
                _ => column.typed::<ByteArrayType>().write_batch(&texts(&["e", "f-2"][..there]), Some(&levels), None),
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
    assert_eq!((older.key, older.version, older.latest, older.etag), ("照/\n".as_bytes(), None, false, Some("f-2")));
    let marker = parquet.next().expect("a row").expect("a row");
    assert_eq!((marker.size, marker.latest, marker.delete_marker, marker.etag), (None, true, true, None));
    assert_eq!(parquet.next().expect("a row").expect("a row").size, Some(5), "the next group");
    let empty = RowError::Row { at: "row 5".into(), why: "the key is empty".into() };
    assert_eq!(parquet.next(), Err(empty));
    let rest: Vec<bool> = (0..2).map(|_| parquet.next().expect("a row").expect("a row").delete_marker).collect();
    assert_eq!((rest, parquet.next()), (vec![true, false], Ok(None)));
}

#[test]
fn what_is_no_parquet_or_breaks_off_is_an_error() {
    use std::io::{Seek as _, Write as _};
    let whole = report(&["a", "b"]);
    whole.set_len(whole.metadata().expect("about it").len() - 20).expect("cut");
    assert!(Parquet::open(whole).err().expect("refused").contains("not a readable Parquet file"));
    let mut text = tempfile::tempfile().expect("a file");
    text.write_all(b"Bucket,Key\n").expect("written");
    text.rewind().expect("rewound");
    assert!(Parquet::open(text).err().expect("refused").contains("not a readable Parquet file"));
}

#[test]
fn what_the_library_asserts_is_an_error_of_the_file() {
    let error = guarded::<()>(|| panic!("asserted")).expect_err("refused");
    assert!(error.contains("not a readable Parquet file"), "{error}");
    assert_eq!(guarded(|| Ok(1)), Ok(1));
}

/// One row of these columns, each written by its position.
fn one_row(schema: &str, compression: Compression, write: impl Fn(usize, &mut SerializedColumnWriter<'_>)) -> File {
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = tempfile::tempfile().expect("a file");
    let mut writer =
        SerializedFileWriter::new(file.try_clone().expect("cloned"), schema, Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut place = 0;
    while let Some(mut column) = group.next_column().expect("a column") {
        write(place, &mut column);
        column.close().expect("closed");
        place += 1;
    }
    group.close().expect("closed");
    writer.close().expect("closed");
    file
}

fn key(column: &mut SerializedColumnWriter<'_>) {
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("k")], None, None).expect("written");
}

#[test]
fn fault_b15_times_are_read_in_the_unit_that_their_type_names() {
    let at = |date: &str, time: i64| {
        let schema = format!("message r {{ required binary key (UTF8); required int64 last_modified_date {date}; }}");
        let file = one_row(&schema, Compression::UNCOMPRESSED, |place, column| match place {
            0 => key(column),
            _ => drop(column.typed::<Int64Type>().write_batch(&[time], None, None).expect("written")),
        });
        Parquet::open(file).map(|mut parquet| parquet.next().expect("a row").expect("a row").last_modified)
    };
    for (date, parts) in [
        ("(TIMESTAMP(NANOS,true))", 1_000_000_000),
        ("(TIMESTAMP(MICROS,true))", 1_000_000),
        ("(TIMESTAMP(MILLIS,false))", 1000),
        ("(TIMESTAMP_MICROS)", 1_000_000),
        ("(TIMESTAMP_MILLIS)", 1000),
    ] {
        assert_eq!(at(date, 1_700_000_000 * parts + 1), Ok(Some(1_700_000_000)), "{date}");
    }
    assert!(at("", 1).is_err_and(|why| why.contains("last_modified_date does not specify the unit")));
}

#[test]
fn fault_b16_parts_of_maps_and_structs_are_no_columns_of_the_report() {
    let schema = "message r { required binary key (UTF8); required int64 size; required group tags {
        required binary key (UTF8); required int64 size; } required group bucket { required int64 name; } }";
    let file = one_row(schema, Compression::SNAPPY, |place, column| match place {
        0 => key(column),
        2 => drop(column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("tag")], None, None).expect("written")),
        _ => drop(column.typed::<Int64Type>().write_batch(&[7 + place as i64], None, None).expect("written")),
    });
    let mut parquet = Parquet::open(file).expect("opened");
    let row = parquet.next().expect("a row").expect("a row");
    assert_eq!((row.key, row.size, row.bucket), (&b"k"[..], Some(8), ""));
}

#[test]
fn fault_b16_sizes_that_are_whole_doubles_are_read() {
    let read = |size: f64| {
        let schema = "message r { required binary key (UTF8); required double size; }";
        let file = one_row(schema, Compression::UNCOMPRESSED, |place, column| match place {
            0 => key(column),
            _ => drop(column.typed::<DoubleType>().write_batch(&[size], None, None).expect("written")),
        });
        Parquet::open(file).expect("opened").next().map(|row| row.expect("a row").size)
    };
    assert_eq!(read(5e9), Ok(Some(5_000_000_000)));
    for wrong in [1.5, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert!(matches!(read(wrong), Err(RowError::Row { .. })), "{wrong}");
    }
}

#[test]
fn fault_b16_a_compression_that_is_not_read_is_named() {
    use Compression::{BROTLI, GZIP, LZ4, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    let others = [ZSTD(Default::default()), LZ4, LZ4_RAW, BROTLI(Default::default())];
    for (compression, name) in others.into_iter().zip(["zstd", "lz4", "lz4_raw", "brotli"]) {
        let why = unreadable(compression).expect("refused");
        assert!(why.starts_with(&format!("it is compressed with {name}, ")), "{why}");
    }
    assert!([UNCOMPRESSED, SNAPPY, GZIP(Default::default())].into_iter().all(|known| unreadable(known).is_none()));
}
