//! The documents of the answers, and the one that is sent. Only what is used is named; whatever else a service says is
//! passed over. Nothing is guessed: a document of another name, one that lacks what it must say, or breaks off, is an error.
// Fields are the elements of the services' own documents.
#![allow(missing_docs)]

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use skyferry_core::digest::base64_crc32;
use skyferry_core::model::Key;
use skyferry_core::store::CompletedPart;

/// A type that stands for a whole document.
pub trait XmlDocument: DeserializeOwned {
    /// Its outermost element, and how else some services call it.
    const ROOTS: &'static [&'static str];
}

/// Reads one document. The error says what came instead, in a line.
pub fn read<T: XmlDocument>(body: &[u8]) -> Result<T, String> {
    let expected = T::ROOTS.first().copied().unwrap_or_default();
    let text = std::str::from_utf8(body).map_err(|_| "an answer that is not UTF-8".to_owned())?;
    match root(body) {
        None if text.trim().is_empty() => Err(format!("an empty answer in place of <{expected}>")),
        None => Err(format!("no XML in place of <{expected}>: {:.60}", one_line(text))),
        Some(root) if !T::ROOTS.contains(&root) => Err(format!("<{root:.40}> in place of <{expected}>")),
        Some(_) => quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("<{expected}> that cannot be read: {:.160}", one_line(&error.to_string()))),
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The name of the outermost element.
pub fn root(body: &[u8]) -> Option<&str> {
    // What precedes it is short: a long page is not searched, nor need it be text to its end.
    let start = &body[..body.len().min(1024)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(after) = rest.strip_prefix("<?").or_else(|| rest.strip_prefix("<!")) {
        rest = after[after.find('>')? + 1..].trim_start();
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    Some(&name[..end])
}

/// Declares documents with the outermost element that each must have.
macro_rules! documents {
    ($($root:literal $(or $other:literal)* as $name:ident { $($(#[$of:meta])* $field:ident: $type:ty,)* })*) => { $(
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name { $($(#[$of])* pub $field: $type,)* }
        impl XmlDocument for $name { const ROOTS: &'static [&'static str] = &[$root $(, $other)*]; }
    )* };
}

documents! {
    "ListBucketResult" as Listing {
        is_truncated: bool,
        next_continuation_token: Option<String>,
        encoding_type: Option<String>,
        #[serde(default)]
        contents: Vec<Contents>,
    }
    // Versions and delete markers come in one order of keys; the markers are not asked for.
    "ListVersionsResult" or "ListBucketVersionsResult" as VersionListing {
        is_truncated: bool,
        next_key_marker: Option<String>,
        next_version_id_marker: Option<String>,
        encoding_type: Option<String>,
        #[serde(rename = "Version", default)]
        versions: Vec<Contents>,
    }
    // Some services leave `IsTruncated` out of the two that follow.
    // (moto calls it a response.)
    "ListPartsResult" or "ListPartsResponse" as PartListing {
        #[serde(default)]
        is_truncated: bool,
        next_part_number_marker: Option<String>,
        #[serde(rename = "Part", default)]
        parts: Vec<ListedPart>,
    }
    "ListMultipartUploadsResult" as UploadListing {
        #[serde(default)]
        is_truncated: bool,
        encoding_type: Option<String>,
        next_key_marker: Option<String>,
        next_upload_id_marker: Option<String>,
        #[serde(rename = "Upload", default)]
        uploads: Vec<ListedUpload>,
    }
    "InitiateMultipartUploadResult" or "InitiateMultipartUpload" as Initiated {
        upload_id: String,
    }
    // (No `flatten` for the checksums: with it, the XML reader takes every text for a map.)
    "CompleteMultipartUploadResult" as Completed {
        #[serde(rename = "ETag")]
        etag: Option<String>,
        #[serde(rename = "ChecksumCRC32C")]
        crc32c: Option<String>,
        #[serde(rename = "ChecksumCRC64NVME")]
        crc64nvme: Option<String>,
        checksum_type: Option<String>,
    }
    "Tagging" as Tagging {
        tag_set: TagSet,
    }
}

/// A row of a listing, of objects or of versions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Contents {
    pub key: String,
    pub last_modified: String,
    #[serde(rename = "ETag", default)]
    pub etag: String,
    pub size: u64,
    pub storage_class: Option<String>,
    pub generation: Option<u64>,
    pub version_id: Option<String>,
    #[serde(default)]
    pub is_latest: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedPart {
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
pub struct ListedUpload {
    pub key: String,
    pub upload_id: String,
    pub initiated: String,
}

#[derive(Debug, Default, Deserialize)]
pub struct TagSet {
    #[serde(rename = "Tag", default)]
    pub tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

/// `Details` says which rule refused; it repeats request headers for a wrong signature, so it is not always shown.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ErrorDocument {
    pub code: String,
    pub message: String,
    pub details: String,
    pub region: String,
    pub request_id: String,
}

impl XmlDocument for ErrorDocument {
    const ROOTS: &'static [&'static str] = &["Error"];
}

/// A key of a listing: encoded as in a form where the answer says so (a `+` is a blank). It is always asked for, as XML
/// cannot hold every key.
pub fn key(text: &str, encoding: Option<&str>) -> Result<Key, String> {
    match encoding {
        _ if text.is_empty() => Err("a row without a key".into()),
        None | Some("") => Ok(Key::from(text)),
        Some("url") => {
            let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
            Ok(Key::new(percent_decode_str(&spaced).collect::<Vec<u8>>()))
        }
        Some(other) => Err(format!("keys of the encoding type {other:.20}")),
    }
}

/// `2026-01-02T03:04:05.678Z` in seconds since the epoch; the fraction goes, as headers have none.
pub fn seconds(text: &str) -> Result<i64, String> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    at.map(jiff::Timestamp::as_second).map_err(|_| format!("the time {text:.40}"))
}

/// The body of CompleteMultipartUpload.
pub fn complete(parts: &[CompletedPart], checksums: bool) -> String {
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
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        "<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>0</Size></Contents>";

    #[test]
    fn a_listing_is_read_and_its_keys_are_decoded_to_bytes() {
        let text = "\u{feff}<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>
            <Name>b</Name><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
            <NextContinuationToken>t/+=</NextContinuationToken><Contents><Key>a+b%2Bc%25%0A%C3%A9</Key>
            <Generation>17</Generation><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e&quot;</ETag>
            <Size>5497558138880</Size></Contents></ListBucketResult>";
        let list: Listing = read(text.as_bytes()).unwrap();
        assert_eq!((list.is_truncated, list.next_continuation_token.as_deref()), (true, Some("t/+=")));
        let row = &list.contents[0];
        assert_eq!(key(&row.key, list.encoding_type.as_deref()).unwrap(), Key::from("a b+c%\né"));
        assert_eq!((row.size, row.generation, row.etag.as_str()), (5 << 40, Some(17), "\"e\""));
        assert_eq!(seconds(&row.last_modified).unwrap(), 1_767_323_045);
        assert_eq!(key("a+b%41", None).unwrap(), Key::from("a+b%41"), "taken as it is where nothing says otherwise");
    }

    #[test]
    fn fault_a1_answers_that_are_not_the_document_are_not_understood() {
        let whole = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{ROW}</ListBucketResult>");
        assert!(read::<Listing>(whole.as_bytes()).is_ok());
        for cut in 1..whole.len() {
            assert!(read::<Listing>(&whole.as_bytes()[..cut]).is_err(), "cut after {}", &whole[..cut]);
        }
        for wrong in [
            "",
            "<html><body>Sorry</body></html>",
            "<!DOCTYPE html><html><body>Sorry</body></html>",
            "<LocationConstraint/>",
            "<Error><Code>SlowDown</Code></Error>",
            "<ListBucketResult/>",
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
            "{\"error\":{\"code\":503}}",
        ] {
            assert!(read::<Listing>(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(read::<Listing>(&whole.replace("<Size>0", "<Size>-1").into_bytes()).is_err());
        assert!(read::<Listing>(b"<ListBucketResult>\xff</ListBucketResult>").is_err());
        assert!(read::<Initiated>(b"<InitiateMultipartUploadResult/>").is_err());
        let as_rclone_has_it = b"<InitiateMultipartUpload><UploadId>u</UploadId></InitiateMultipartUpload>";
        assert_eq!(read::<Initiated>(as_rclone_has_it).unwrap().upload_id, "u");
    }

    #[test]
    fn parts_are_written_in_order_with_what_the_service_checks() {
        let part = CompletedPart { number: 1, etag: "a<b".into(), crc32c: 0xe306_9283 };
        let text = complete(std::slice::from_ref(&part), true);
        assert!(text.contains("<ETag>&quot;a&lt;b&quot;</ETag><ChecksumCRC32C>4waSgw==</ChecksumCRC32C></Part></Comp"));
        assert!(complete(&[part], false).contains("&quot;</ETag></Part>"));
    }
}
