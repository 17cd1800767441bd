//! The XML of the answers and of the one request that has a body. Only what is used is named; whatever else the
//! service says is passed over. Nothing here trusts the far side: a document that does not parse, a number that is
//! none, a key that is no percent-encoding is an error, never a guess.

use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};

use crate::object::Key;
use crate::store::FinishedPart;

/// Why a document was not understood; holds a line of it at most.
#[derive(Debug, thiserror::Error)]
#[error("XML: {0}")]
pub struct Misunderstood(String);

type Result<T> = std::result::Result<T, Misunderstood>;

/// Reads one document whose root element has the given name.
pub fn read<'a, T: Deserialize<'a> + Document>(body: &'a [u8]) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|_| Misunderstood("not UTF-8".into()))?;
    let root = root(text).ok_or_else(|| Misunderstood("no element".into()))?;
    if root != T::ROOT {
        return Err(Misunderstood(format!("<{:.40}> in place of <{}>", root, T::ROOT)));
    }
    quick_xml::de::from_str(text).map_err(|e| Misunderstood(format!("{:.200}", e.to_string())))
}

/// The name of the outermost element.
pub fn root(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(after) = rest.strip_prefix("<?").or_else(|| rest.strip_prefix("<!")) {
        rest = after[after.find('>')? + 1..].trim_start();
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    Some(&name[..end])
}

/// Whether a document is an `<Error>`, readable or not.
pub fn is_error(body: &[u8]) -> bool {
    root(&String::from_utf8_lossy(body)) == Some(Error::ROOT)
}

/// A type that stands for a whole document.
pub trait Document {
    const ROOT: &'static str;
}

macro_rules! document {
    ($($name:ident),*) => { $(impl Document for $name { const ROOT: &'static str = stringify!($name); })* };
}
document!(ListBucketResult, InitiateMultipartUploadResult, CompleteMultipartUploadResult);
document!(ListPartsResult, ListMultipartUploadsResult, Error);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListBucketResult {
    encoding_type: Option<String>,
    #[serde(default)]
    pub is_truncated: bool,
    pub next_continuation_token: Option<String>,
    #[serde(default, rename = "Contents")]
    pub contents: Vec<Contents>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Contents {
    key: String,
    pub size: u64,
    #[serde(rename = "ETag", default)]
    pub etag: String,
    last_modified: String,
    pub storage_class: Option<String>,
    pub generation: Option<u64>,
}

impl ListBucketResult {
    pub fn key(&self, of: &Contents) -> Result<Key> {
        decoded(&of.key, self.encoding_type.as_deref())
    }
}

impl Contents {
    pub fn last_modified(&self) -> Result<i64> {
        seconds(&self.last_modified)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InitiateMultipartUploadResult {
    pub upload_id: String,
}

#[derive(Debug, Deserialize)]
pub struct CompleteMultipartUploadResult {
    #[serde(rename = "ETag")]
    pub etag: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListPartsResult {
    #[serde(default)]
    pub is_truncated: bool,
    #[serde(default, rename = "Part")]
    pub parts: Vec<ListedPart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedPart {
    pub part_number: u32,
    pub size: u64,
    #[serde(rename = "ETag")]
    pub etag: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListMultipartUploadsResult {
    encoding_type: Option<String>,
    #[serde(default)]
    pub is_truncated: bool,
    next_key_marker: Option<String>,
    pub next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    pub uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Upload {
    key: String,
    pub upload_id: String,
    initiated: String,
}

impl ListMultipartUploadsResult {
    pub fn key(&self, of: &Upload) -> Result<Key> {
        decoded(&of.key, self.encoding_type.as_deref())
    }
    pub fn next_key_marker(&self) -> Result<Option<Key>> {
        let marker = self.next_key_marker.as_deref().filter(|marker| !marker.is_empty());
        marker.map(|marker| decoded(marker, self.encoding_type.as_deref())).transpose()
    }
}

impl Upload {
    pub fn initiated(&self) -> Result<i64> {
        seconds(&self.initiated)
    }
}

/// `Details` says which rule refused; it repeats request headers for a wrong signature, so it is never printed whole.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Error {
    pub code: String,
    pub message: String,
    pub details: String,
}

#[derive(Serialize)]
#[serde(rename = "CompleteMultipartUpload")]
struct CompleteMultipartUpload {
    #[serde(rename = "Part")]
    parts: Vec<CompletePart>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CompletePart {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

/// The body of the request that publishes `parts`, whose ETags are without quotes.
pub fn complete(parts: &[FinishedPart]) -> Result<String> {
    let quoted = |part: &FinishedPart| CompletePart { part_number: part.number, etag: format!("\"{}\"", part.etag) };
    let parts = parts.iter().map(quoted).collect();
    quick_xml::se::to_string(&CompleteMultipartUpload { parts }).map_err(|e| Misunderstood(e.to_string()))
}

/// A key as the listing wrote it. Encoded as in a form (`+` is a blank) if the listing says that it is encoded: it
/// is always asked for, as XML cannot hold every key.
fn decoded(key: &str, encoding: Option<&str>) -> Result<Key> {
    match encoding {
        Some("url") => {
            let spaced = key.replace('+', " ");
            let bytes: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
            Ok(Key::new(bytes))
        }
        None => Ok(Key::from(key)),
        Some(other) => Err(Misunderstood(format!("encoding type {other:.20}"))),
    }
}

/// `2026-01-02T03:04:05.678Z` in seconds since the epoch; the fraction goes, as headers have none.
fn seconds(text: &str) -> Result<i64> {
    let at: jiff::Timestamp = text.parse().map_err(|_| Misunderstood(format!("time {text:.40}")))?;
    Ok(at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version='1.0' encoding='UTF-8'?>";

    #[test]
    fn a_listing_is_read_and_its_keys_are_decoded_to_bytes() {
        let text = format!(
            "{HEAD}<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>b</Name><EncodingType>url\
             </EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>CgNh</NextContinuationToken>\
             <Contents><Key>a+b%2Bc%25%0A%C3%A9</Key><Generation>17</Generation><LastModified>2026-01-02T03:04:05.678Z\
             </LastModified><ETag>&quot;e&quot;</ETag><Size>5497558138880</Size></Contents>\
             <Contents><Key>z</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>0</Size></Contents>\
             </ListBucketResult>"
        );
        let list: ListBucketResult = read(text.as_bytes()).unwrap();
        assert!(list.is_truncated);
        assert_eq!(list.next_continuation_token.as_deref(), Some("CgNh"));
        assert_eq!(list.contents.len(), 2);
        assert_eq!(list.key(&list.contents[0]).unwrap(), Key::from("a b+c%\né"));
        assert_eq!(list.contents[0].size, 5 << 40);
        assert_eq!((list.contents[0].generation, list.contents[1].generation), (Some(17), None));
        assert_eq!(list.contents[0].etag, "\"e\"");
        assert_eq!(list.contents[0].last_modified().unwrap(), 1_767_323_045);
    }

    #[test]
    fn a_listing_that_is_not_encoded_is_taken_as_it_is() {
        let text = "<ListBucketResult><Contents><Key>a+b%41 &amp;</Key><LastModified>x</LastModified><Size>1</Size>\
                    </Contents></ListBucketResult>";
        let list: ListBucketResult = read(text.as_bytes()).unwrap();
        assert_eq!(list.key(&list.contents[0]).unwrap(), Key::from("a+b%41 &"));
        assert!(list.contents[0].last_modified().is_err());
    }

    #[test]
    fn an_empty_listing_has_no_rows() {
        let list: ListBucketResult = read(b"<ListBucketResult/>").unwrap();
        assert!(list.contents.is_empty() && !list.is_truncated);
    }

    #[test]
    fn answers_that_are_not_the_document_are_not_understood() {
        let wrong: [&[u8]; 8] = [
            b"",
            b"<html><body>Sorry</body></html>",
            b"<Error><Code>InternalError</Code></Error>",
            b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents>",
            b"<ListBucketResult>\xff</ListBucketResult>",
            b"{\"error\":{\"code\":503}}",
        ];
        for body in wrong {
            assert!(read::<ListBucketResult>(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn uploads_and_parts_are_read() {
        let text = format!(
            "{HEAD}<ListMultipartUploadsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>b</Bucket>\
             <KeyMarker></KeyMarker><NextKeyMarker>k%2F1</NextKeyMarker><NextUploadIdMarker>id</NextUploadIdMarker>\
             <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Upload><Key>k%2F1</Key><UploadId>id\
             </UploadId><StorageClass>STANDARD</StorageClass><Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>\
             </ListMultipartUploadsResult>"
        );
        let list: ListMultipartUploadsResult = read(text.as_bytes()).unwrap();
        assert_eq!(list.next_key_marker().unwrap(), Some(Key::from("k/1")));
        assert_eq!(list.key(&list.uploads[0]).unwrap(), Key::from("k/1"));
        assert_eq!(list.uploads[0].initiated().unwrap(), 1_767_323_045);

        let text = "<ListPartsResult><IsTruncated>false</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>\
                    <Part><PartNumber>2</PartNumber><LastModified>2026-01-02T03:04:05.678Z</LastModified>\
                    <ETag>\"x\"</ETag><Size>5242880</Size></Part></ListPartsResult>";
        let list: ListPartsResult = read(text.as_bytes()).unwrap();
        assert_eq!((list.parts[0].part_number, list.parts[0].size), (2, 5 << 20));
        assert_eq!(list.parts[0].etag, "\"x\"");
    }

    #[test]
    fn the_request_to_complete_names_every_part_in_order() {
        let parts = [(1, "a"), (2, "<&>")].map(|(number, etag)| FinishedPart { number, etag: etag.into(), crc32c: 0 });
        assert_eq!(
            complete(&parts).unwrap(),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"&lt;&amp;&gt;\"</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn an_error_is_read_whatever_else_it_holds() {
        let text = format!(
            "{HEAD}<Error><Code>AccessDenied</Code><Message>Access denied.</Message><RequestId>7</RequestId>\
             <Details>a@b does not have storage.objects.create access</Details></Error>"
        );
        let error: Error = read(text.as_bytes()).unwrap();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("AccessDenied", "Access denied."));
        assert!(error.details.contains("storage.objects.create"));
    }
}
