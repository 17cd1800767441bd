//! The little XML that the peers speak: elements written by hand, the two request bodies read by serde.

use quick_xml::{de::from_str, escape::escape};
use serde::Deserialize;

use crate::refusal::Refusal;

/// An XML document being written.
#[derive(Debug)]
pub(crate) struct Xml(String);

impl Xml {
    /// Opens a document with this root.
    pub(crate) fn new(root: &str) -> Self {
        Xml(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        ))
    }

    /// Opens a document without a namespace.
    pub(crate) fn plain(root: &str) -> Self {
        Xml(format!("<?xml version='1.0' encoding='UTF-8'?><{root}>"))
    }

    pub(crate) fn open(&mut self, name: &str) -> &mut Self {
        self.0.push_str(&format!("<{name}>"));
        self
    }

    pub(crate) fn close(&mut self, name: &str) -> &mut Self {
        self.0.push_str(&format!("</{name}>"));
        self
    }

    /// An element with text.
    pub(crate) fn leaf(&mut self, name: &str, text: impl ToString) -> &mut Self {
        self.0.push_str(&format!("<{name}>{}</{name}>", escape(text.to_string())));
        self
    }

    pub(crate) fn end(mut self, root: &str) -> String {
        self.close(root);
        self.0
    }
}

fn malformed(error: quick_xml::DeError) -> Refusal {
    Refusal::bad("MalformedXML", error.to_string())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Complete {
    #[serde(default)]
    part: Vec<CompletePart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompletePart {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

/// Part numbers and ETags of a CompleteMultipartUpload.
pub(crate) fn complete(text: &str) -> Result<Vec<(u32, String)>, Refusal> {
    let read: Complete = from_str(text).map_err(malformed)?;
    let parts: Vec<_> = read.part.into_iter().map(|part| (part.part_number, part.etag)).collect();
    match parts.iter().find(|(number, _)| !(1..=10_000).contains(number)) {
        Some((number, _)) => Err(Refusal::argument(format!("part {number}: 1 to 10000"))),
        None => Ok(parts),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    #[serde(default)]
    quiet: bool,
    #[serde(default)]
    object: Vec<DeleteOne>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteOne {
    key: String,
}

/// The keys of a multi-object delete, and whether it is quiet.
pub(crate) fn delete(text: &str) -> Result<(Vec<String>, bool), Refusal> {
    let read: Delete = from_str(text).map_err(malformed)?;
    if read.object.is_empty() || read.object.len() > 1000 {
        return Err(Refusal::bad("MalformedXML", format!("{} keys: 1 to 1000", read.object.len())));
    }
    Ok((read.object.into_iter().map(|object| object.key).collect(), read.quiet))
}
