//! What a source is asked beside its bytes: in what parts an object was written, its tags, the restore of an archived one.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::http::retry_idempotent;
use super::XmlClient;
use super::answers::RequestKind;
use super::document::Tagging;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Location, SourceIdentity};
use skyferry_core::store::{Payload, Result};

/// Long enough for a backlog, and what a restored copy costs is small.
const RESTORE: &str =
    "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>7</Days></RestoreRequest>";

impl XmlClient {
    /// The first part's size, if as many parts of that size as are stored make the object.
    pub(super) async fn first_part(&self, at: &Location, identity: &SourceIdentity, parts: u32) -> Result<Option<u64>> {
        let answer = retry_idempotent(|| async {
            let mut head = self.object(Method::HEAD, "HeadObject", at, RequestKind::Head)?;
            head.query("partNumber", "1");
            if let Some(version) = &identity.version {
                head.query("versionId", version.to_string());
            }
            head.header(IF_MATCH, &format!("\"{}\"", identity.etag))?;
            self.send(head).await
        })
        .await?;
        let count =
            answer.headers.get("x-amz-mp-parts-count").and_then(|count| count.to_str().ok()?.parse::<u64>().ok());
        let first = answer.content_length().filter(|first| *first > 0);
        Ok(first.filter(|first| count == Some(parts.into()) && identity.size.div_ceil(*first) == u64::from(parts)))
    }

    pub(super) async fn tags(&self, at: &Location, version: Option<&str>) -> Result<String> {
        let tagging: Tagging = retry_idempotent(|| async {
            let mut get = self.object(Method::GET, "GetObjectTagging", at, RequestKind::Read)?;
            get.query("tagging", "");
            if let Some(version) = version {
                get.query("versionId", version.to_owned());
            }
            let call = get.call.clone();
            let answer = self.send(get).await?;
            self.document(&call, RequestKind::Read, answer).await
        })
        .await?;
        let coded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = tagging.tag_set.tags.iter().map(|tag| format!("{}={}", coded(&tag.key), coded(&tag.value)));
        Ok(pairs.collect::<Vec<_>>().join("&"))
    }

    pub(super) async fn restore(&self, at: &Location, version: Option<&str>) -> Result<()> {
        let mut post = self.object(Method::POST, "RestoreObject", at, RequestKind::Control)?;
        post.query("restore", "");
        if let Some(version) = version {
            post.query("versionId", version.to_owned());
        }
        post.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        post.payload = Some(Payload::Whole(Bytes::from_static(RESTORE.as_bytes())));
        match self.send(post).await {
            Err(error) if error.answer.contains("RestoreAlreadyInProgress") => Ok(()),
            Err(error) if error.kind == ErrorKind::Archived => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}
