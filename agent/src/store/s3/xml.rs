//! The few documents of S3 that the agent reads and the one that it writes.

use bytes::Bytes;
use percent_encoding::percent_decode;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::http::Call;
use super::super::{FinishedPart, Result};
use super::S3;
use crate::digest::base64_crc32;
use crate::object::Key;

pub(super) fn parse<T: DeserializeOwned>(call: &Call, body: &Bytes) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|e| S3::nonsense(call, e.to_string()))?;
    quick_xml::de::from_str(text).map_err(|e| S3::nonsense(call, e.to_string()))
}

/// An object's tags.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tagging {
    #[serde(default)]
    pub tag_set: TagSet,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TagSet {
    #[serde(rename = "Tag", default)]
    pub tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListBucketResult {
    #[serde(default)]
    pub is_truncated: bool,
    pub next_continuation_token: Option<String>,
    pub encoding_type: Option<String>,
    #[serde(default)]
    pub contents: Vec<Contents>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Contents {
    #[serde(default)]
    pub key: String,
    pub last_modified: String,
    #[serde(rename = "ETag", default)]
    pub etag: String,
    pub size: u64,
    pub storage_class: Option<String>,
}

/// Versions and delete markers come in one order of keys; the markers are not asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListVersionsResult {
    #[serde(default)]
    pub is_truncated: bool,
    pub next_key_marker: Option<String>,
    pub next_version_id_marker: Option<String>,
    pub encoding_type: Option<String>,
    #[serde(rename = "Version", default)]
    pub versions: Vec<ListedVersion>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedVersion {
    #[serde(default)]
    pub key: String,
    pub version_id: Option<String>,
    #[serde(default)]
    pub is_latest: bool,
    pub last_modified: String,
    #[serde(rename = "ETag", default)]
    pub etag: String,
    #[serde(default)]
    pub size: u64,
    pub storage_class: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct InitiateMultipartUploadResult {
    #[serde(rename = "UploadId")]
    pub upload_id: String,
}

// (No `flatten` for the checksums: with it, the XML reader takes every text for a map.)
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompleteMultipartUploadResult {
    #[serde(rename = "ETag")]
    pub etag: String,
    #[serde(rename = "ChecksumCRC32C")]
    pub crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub crc64nvme: Option<String>,
    pub checksum_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPartsResult {
    #[serde(default)]
    pub is_truncated: bool,
    pub next_part_number_marker: Option<String>,
    #[serde(rename = "Part", default)]
    pub parts: Vec<ListedPart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedPart {
    pub part_number: u32,
    #[serde(rename = "ETag")]
    pub etag: String,
    pub size: u64,
    #[serde(rename = "ChecksumCRC32C")]
    pub crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub crc64nvme: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMultipartUploadsResult {
    #[serde(default)]
    pub is_truncated: bool,
    pub encoding_type: Option<String>,
    pub next_key_marker: Option<String>,
    pub next_upload_id_marker: Option<String>,
    #[serde(rename = "Upload", default)]
    pub uploads: Vec<ListedUpload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedUpload {
    #[serde(default)]
    pub key: String,
    pub upload_id: String,
    pub initiated: String,
}

/// A key of a listing: encoded as in a form where the answer says so (a `+` is a space).
pub(super) fn key(text: &str, encoding: Option<&str>) -> Key {
    Key::new(match encoding {
        Some("url") => percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>(),
        _ => text.as_bytes().to_vec(),
    })
}

/// The body of CompleteMultipartUpload.
pub(super) fn complete(parts: &[FinishedPart], checksums: bool) -> Bytes {
    let mut text = String::with_capacity(64 + parts.len() * 140);
    text.push_str("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        let (number, etag) = (part.number, escape(&*part.etag));
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>"));
        if checksums {
            text.push_str(&format!("<ChecksumCRC32C>{}</ChecksumCRC32C>", base64_crc32(part.crc32c)));
        }
        text.push_str("</Part>");
    }
    text.push_str("</CompleteMultipartUpload>");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Side;
    use crate::object::Location;

    #[test]
    fn a_listing_s_keys_are_decoded_as_forms() {
        let call = Call::new(Side::Source, "ListObjectsV2", &Location::new("b", ""));
        let body = Bytes::from(
            r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><Prefix></Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>
            <IsTruncated>true</IsTruncated><NextContinuationToken>t/+=</NextContinuationToken>
            <Contents><Key>a+b%2Bc%0A%E7%85%A7%3C</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>
            <ETag>&quot;e&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>
            <Contents><Key>+</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified><ETag>"f"</ETag><Size>0</Size></Contents>
            </ListBucketResult>"#,
        );
        let list: ListBucketResult = parse(&call, &body).unwrap();
        assert_eq!((list.is_truncated, list.next_continuation_token.as_deref()), (true, Some("t/+=")));
        assert_eq!(key(&list.contents[0].key, list.encoding_type.as_deref()), "a b+c\n照<".into());
        assert_eq!(key(&list.contents[1].key, list.encoding_type.as_deref()), " ".into());
        assert_eq!((list.contents[0].etag.as_str(), list.contents[0].size), ("\"e\"", 7));
    }

    #[test]
    fn parts_are_written_in_order_with_what_the_service_checks() {
        let part = FinishedPart { number: 1, etag: "a<b".into(), crc32c: 0xe306_9283 };
        let text = String::from_utf8(complete(&[part], true).to_vec()).unwrap();
        assert!(text.contains("<ETag>&quot;a&lt;b&quot;</ETag><ChecksumCRC32C>4waSgw==</ChecksumCRC32C></Part></Comp"));
    }
}
