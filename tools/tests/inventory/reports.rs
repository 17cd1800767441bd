//! Reports as S3 writes them, of any rows, in its layout.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sandbox::Ministack;

/// Where S3 puts them, after the bucket.
pub const HOME: &str = "daily/photos/all";
pub const MANIFEST: &str = "daily/photos/all/2026-11-21T01-00Z/manifest.json";
pub const CHECKSUM: &str = "daily/photos/all/2026-11-21T01-00Z/manifest.checksum";
/// What S3 writes for all versions.
pub const VERSIONED: &str = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, IsMultipartUploaded, EncryptionStatus";
pub const CURRENT: &str = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass";

/// Keys that a careless reader gets wrong.
pub const ODD: [&str; 12] = [
    "plain.jpg",
    "a b/ c ",
    "pl+us",
    "per%41cent%",
    "quo\"te,comma",
    "new\nline",
    "照/😀",
    "q?u#e&r;=",
    "a//b",
    "/abs",
    "back\\slash'",
    "~tilde*!()",
];

#[derive(Clone, Debug)]
pub struct ReportLine {
    pub bucket: &'static str,
    pub key: String,
    pub version: &'static str,
    pub latest: bool,
    pub delete_marker: bool,
    pub size: u64,
    pub modified: &'static str,
    pub etag: &'static str,
}

/// The latest state of an object.
pub fn line(key: &str, size: u64) -> ReportLine {
    ReportLine {
        bucket: "photos",
        key: key.to_owned(),
        version: "",
        latest: true,
        delete_marker: false,
        size,
        modified: "2026-11-20T12:00:00.000Z",
        etag: "900150983cd24fb0d6963f7d28e17f72",
    }
}

/// As S3 encodes keys: as a form.
pub fn encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'/' | b'-' | b'_' | b'.' | b'*' => text.push(char::from(byte)),
            plain if plain.is_ascii_alphanumeric() => text.push(char::from(plain)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

impl ReportLine {
    fn value(&self, column: &str) -> String {
        match column {
            "Bucket" => self.bucket.into(),
            "Key" => encoded(&self.key),
            "VersionId" => self.version.into(),
            "IsLatest" => self.latest.to_string(),
            "IsDeleteMarker" => self.delete_marker.to_string(),
            "Size" if self.delete_marker => String::new(),
            "Size" => self.size.to_string(),
            "LastModifiedDate" => self.modified.into(),
            "ETag" => self.etag.into(),
            "StorageClass" => "STANDARD".into(),
            "EncryptionStatus" => "SSE-S3".into(),
            _ => "false".into(),
        }
    }
}

pub fn csv(columns: &str, lines: &[ReportLine]) -> Vec<u8> {
    let mut text = String::new();
    for line in lines {
        let values = columns.split(", ").map(|column| format!("\"{}\"", line.value(column)));
        text.push_str(&values.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text.into_bytes()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

/// S3's schema, keys as they are.
pub const PARQUET: &str = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); optional binary \
     version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; optional int64 \
     last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8); }";

pub fn parquet(lines: &[ReportLine]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(PARQUET).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a writer");
    for lines in lines.chunks(1000) {
        let mut group = writer.next_row_group().expect("a group");
        let all = vec![1; lines.len()];
        let sized: Vec<i16> = lines.iter().map(|line| i16::from(!line.delete_marker)).collect();
        let sizes = lines.iter().filter(|line| !line.delete_marker).map(|line| line.size as i64).collect::<Vec<_>>();
        let texts =
            |text: fn(&ReportLine) -> &str| lines.iter().map(|line| text(line).into()).collect::<Vec<ByteArray>>();
        let flags = |flag: fn(&ReportLine) -> bool| lines.iter().map(flag).collect::<Vec<bool>>();
        let mut place = 0;
        while let Some(mut column) = group.next_column().expect("a column") {
            match place {
                0 => column.typed::<ByteArrayType>().write_batch(&texts(|line| line.bucket), None, None),
                1 => column.typed::<ByteArrayType>().write_batch(&texts(|line| &line.key), None, None),
                2 => column.typed::<ByteArrayType>().write_batch(&texts(|line| line.version), Some(&all), None),
                3 => column.typed::<BoolType>().write_batch(&flags(|line| line.latest), Some(&all), None),
                4 => column.typed::<BoolType>().write_batch(&flags(|line| line.delete_marker), Some(&all), None),
                5 => column.typed::<Int64Type>().write_batch(&sizes, Some(&sized), None),
                6 => column.typed::<Int64Type>().write_batch(&vec![1_795_176_000_000; all.len()], Some(&all), None),
                _ => column.typed::<ByteArrayType>().write_batch(&texts(|line| line.etag), Some(&all), None),
            }
            .expect("written");
            column.close().expect("closed");
            place += 1;
        }
        group.close().expect("closed");
    }
    writer.into_inner().expect("closed")
}

pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A report's objects by their keys; tests may spoil them.
pub struct Report(pub Vec<(String, Vec<u8>)>);

impl Report {
    /// Of these files' bytes.
    pub fn of(format: &str, schema: &str, files: Vec<Vec<u8>>) -> Report {
        let extension = if format == "CSV" { "csv.gz" } else { "parquet" };
        let key = |number: usize| format!("{HOME}/data/part-{number}.{extension}");
        let named: Vec<_> = files.into_iter().enumerate().map(|(number, bytes)| (key(number), bytes)).collect();
        let about = named
            .iter()
            .map(|(key, bytes)| serde_json::json!({ "key": key, "size": bytes.len(), "MD5checksum": md5(bytes) }));
        let manifest = serde_json::json!({
            "sourceBucket": "photos",
            "destinationBucket": "arn:aws:s3:::reports",
            "version": "2016-11-30",
            "creationTimestamp": "1795224000000",
            "fileFormat": format,
            "fileSchema": schema,
            "files": about.collect::<Vec<_>>(),
        });
        let manifest = serde_json::to_vec_pretty(&manifest).expect("JSON");
        let mut objects = named;
        objects.push((CHECKSUM.into(), format!("{}\n", md5(&manifest)).into_bytes()));
        objects.push((MANIFEST.into(), manifest));
        Report(objects)
    }

    /// CSV in files of so many lines.
    pub fn csv(columns: &str, lines: &[ReportLine], each: usize) -> Report {
        Report::of("CSV", columns, lines.chunks(each).map(|lines| gzip(&csv(columns, lines))).collect())
    }

    pub fn object(&mut self, ending: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(key, _)| key.ends_with(ending)).expect("an object").1
    }

    /// Below a folder, in S3's layout; gives the manifest's path.
    pub fn write(&self, folder: &Path) -> PathBuf {
        for (key, bytes) in &self.0 {
            let path = folder.join(key);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, bytes).expect("written");
        }
        folder.join(MANIFEST)
    }

    /// Into a bucket; gives the manifest's URL.
    pub async fn upload(&self, cloud: &Ministack, bucket: &str) -> String {
        for (key, bytes) in &self.0 {
            cloud.put_object(&format!("/{bucket}/{key}"), bytes.clone()).await.expect("an object");
        }
        format!("s3://{bucket}/{MANIFEST}")
    }
}
