//! Listings: of what is there, and of the versions of it.

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;

use super::super::http::{Call, again};
use super::super::{ListFrom, Listed, Page, Result};
use super::read::{timestamp, unquoted};
use super::{S3, xml};
use crate::error::Kind;
use crate::object::{Key, Location, Revision};

impl S3 {
    pub(super) async fn list_page(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        let call = Call::new(self.side, "ListObjectsV2", &Location::new(bucket, prefix.clone()));
        let mut query = vec![("list-type", "2".to_owned())];
        match from {
            ListFrom::Start => {}
            ListFrom::After(key) => query.push(("start-after", text(&call, key)?)),
            ListFrom::Token(token) => query.push(("continuation-token", token.to_owned())),
        }
        let result: xml::ListBucketResult = self.page(&call, bucket, prefix, &query).await?;
        let next = match (result.is_truncated, result.next_continuation_token) {
            (true, None) => return Err(S3::nonsense(&call, "truncated, and no token to go on")),
            (true, token) => token,
            (false, _) => None,
        };
        let encoding = result.encoding_type.as_deref();
        let rows = result.contents.into_iter().map(|row| listed(&call, row, encoding));
        Ok(Page { objects: rows.collect::<Result<_>>()?, next })
    }

    /// A page may have few rows, or none: older versions and delete markers are listed too, and left out here.
    pub(super) async fn versions_page(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        let call = Call::new(self.side, "ListObjectVersions", &Location::new(bucket, prefix.clone()));
        let mut query = vec![("versions", String::new())];
        match from {
            ListFrom::Start => {}
            ListFrom::After(key) => query.push(("key-marker", text(&call, key)?)),
            // A version's id holds no line's end.
            ListFrom::Token(token) => {
                let (version, key) = token.split_once('\n').unwrap_or_default();
                query.push(("key-marker", key.to_owned()));
                if !version.is_empty() {
                    query.push(("version-id-marker", version.to_owned()));
                }
            }
        }
        let result: xml::ListVersionsResult = self.page(&call, bucket, prefix, &query).await?;
        let encoding = result.encoding_type.as_deref();
        let next = match (result.is_truncated, result.next_key_marker) {
            (true, None) => return Err(S3::nonsense(&call, "truncated, and no key to go on")),
            (true, Some(key)) => {
                let version = result.next_version_id_marker.unwrap_or_default();
                Some(format!("{version}\n{}", text(&call, &xml::key(&key, encoding))?))
            }
            (false, _) => None,
        };
        let newest = result.versions.into_iter().filter(|version| version.is_latest);
        let rows = newest.map(|version| {
            let xml::ListedVersion { key, version_id, last_modified, etag, size, storage_class, .. } = version;
            let row = listed(&call, xml::Contents { key, last_modified, etag, size, storage_class }, encoding)?;
            Ok(Listed { version: version_id.filter(|id| id != "null").map(Arc::from), ..row })
        });
        Ok(Page { objects: rows.collect::<Result<_>>()?, next })
    }

    async fn page<T: DeserializeOwned>(
        &self,
        call: &Call,
        bucket: &str,
        prefix: &Key,
        query: &[(&'static str, String)],
    ) -> Result<T> {
        let at = Location::new(bucket, prefix.clone());
        let body = again(|| async {
            let mut list = self.bucket(Method::GET, call.operation, &at);
            list.query("encoding-type", "url");
            for (name, value) in query {
                list.query(name, value.clone());
            }
            if !prefix.as_bytes().is_empty() {
                list.query("prefix", text(call, prefix)?);
            }
            self.send(list).await?.read().await
        })
        .await?;
        xml::parse(call, &body)
    }
}

fn text(call: &Call, key: &Key) -> Result<String> {
    let text = key.as_str().map(str::to_owned);
    text.ok_or_else(|| call.error(Kind::CannotHold, "an S3 key is UTF-8"))
}

fn listed(call: &Call, row: xml::Contents, encoding: Option<&str>) -> Result<Listed> {
    let etag: Arc<str> = unquoted(&row.etag).into();
    Ok(Listed {
        key: xml::key(&row.key, encoding),
        size: row.size,
        revision: (!etag.is_empty()).then(|| Revision(etag.clone())),
        etag,
        last_modified: timestamp(call, &row.last_modified)?,
        storage_class: row.storage_class,
        version: None,
    })
}
