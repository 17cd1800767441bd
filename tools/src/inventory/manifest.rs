//! A report's `manifest.json`: which files it has, how they are written, and the sums that prove them.

use serde::Deserialize;

use super::schema::Schema;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// With the columns that the manifest, or who typed the command, names.
    Csv(Schema),
    /// Each file names its own.
    Parquet,
}

#[derive(Debug)]
pub struct Manifest {
    /// The bucket that the report is about.
    pub bucket: String,
    pub format: ReportFormat,
    pub files: Vec<ManifestFile>,
}

/// One file of a report.
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestFile {
    /// In the bucket that the report was written to.
    pub key: String,
    #[serde(rename = "MD5checksum")]
    pub md5: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    source_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<ManifestFile>,
}

impl Manifest {
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let raw: Raw =
            serde_json::from_slice(text).map_err(|error| format!("it is not a manifest of S3 Inventory: {error}"))?;
        let format = match raw.file_format.to_ascii_lowercase().as_str() {
            "csv" => ReportFormat::Csv(Schema::new(raw.file_schema.split(','))?),
            "parquet" => ReportFormat::Parquet,
            "orc" => {
                return Err("the report is written as ORC, which is not read: set the inventory's format to CSV or Parquet, and use the next report; or let Athena write this one as CSV, and name its columns with --columns"
                    .into());
            }
            _ => return Err(format!("its fileFormat {} is neither CSV nor Parquet", raw.file_format)),
        };
        Ok(Manifest { bucket: raw.source_bucket, format, files: raw.files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(format: &str, schema: &str) -> Result<Manifest, String> {
        let files = r#"[{"key":"p/data/x.csv.gz","size":3,"MD5checksum":"900150983CD24FB0D6963F7D28E17F72"}]"#;
        Manifest::parse(
            format!(
                r#"{{"sourceBucket":"photos","destinationBucket":"arn:aws:s3:::reports","version":"2016-11-30",
                "creationTimestamp":"1514944800000","fileFormat":"{format}","fileSchema":"{schema}","files":{files}}}"#
            )
            .as_bytes(),
        )
    }

    #[test]
    fn the_three_formats_are_told_apart() {
        let csv = manifest("CSV", "Bucket, Key, Size").expect("a manifest");
        assert!(matches!(csv.format, ReportFormat::Csv(schema) if schema.width == 3));
        assert_eq!((csv.bucket.as_str(), csv.files[0].key.as_str()), ("photos", "p/data/x.csv.gz"));
        let parquet = manifest("Parquet", "message s3.inventory { required binary key (UTF8); }");
        assert_eq!(parquet.expect("a manifest").format, ReportFormat::Parquet);
        assert!(manifest("ORC", "struct<bucket:string>").is_err_and(|why| why.contains("CSV or Parquet")));
        assert!(manifest("XML", "").is_err_and(|why| why.contains("XML")));
    }

    #[test]
    fn fault_a24_a_byte_order_mark_before_it_is_passed_over() {
        let text =
            "\u{feff}{\"sourceBucket\":\"b\",\"fileFormat\":\"CSV\",\"fileSchema\":\"Bucket, Key\",\"files\":[]}";
        assert_eq!(Manifest::parse(text.as_bytes()).expect("a manifest").bucket, "b");
    }

    #[test]
    fn what_is_none_is_told() {
        assert!(manifest("CSV", "Bucket, Size").is_err_and(|why| why.contains("no column Key")));
        for text in ["", "{}", "[]", "{\"files\":[]}"] {
            assert!(Manifest::parse(text.as_bytes()).is_err_and(|why| why.contains("not a manifest")), "{text}");
        }
    }
}
