//! Pages of keys, uploads and parts: in byte order, resumable at any point, the same for both dialects.

use std::{ops::Bound, sync::Arc};

use jiff::Timestamp;

use super::{ObjectInfo, Store, uploads::Part};
use crate::refusal::Refusal;

/// What of a bucket to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    pub(crate) delimiter: String,
    /// Only what sorts after it.
    pub(crate) after: String,
    pub(crate) most: usize,
}

/// A page of objects.
#[derive(Debug, Default)]
pub(crate) struct ListPage {
    pub(crate) objects: Vec<Arc<ObjectInfo>>,
    pub(crate) prefixes: Vec<String>,
    /// The `after` of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// Key, upload id and start of an open upload.
pub(crate) type OpenUpload = (String, String, Timestamp);

impl Store {
    pub(crate) fn list(&self, bucket: &str, query: &ListQuery) -> Result<ListPage, Refusal> {
        self.with(bucket, |bucket| {
            let mut page = ListPage::default();
            let mut last = query.after.clone();
            // Starting at the prefix itself: a key may equal it.
            let start = if query.after >= query.prefix {
                Bound::Excluded(query.after.as_str())
            } else {
                Bound::Included(query.prefix.as_str())
            };
            for (key, object) in bucket.objects.range::<str, _>((start, Bound::Unbounded)) {
                let Some(rest) = key.strip_prefix(&query.prefix) else {
                    break;
                };
                let group = group_of(&query.prefix, rest, &query.delimiter);
                let name = group.as_deref().unwrap_or(key);
                let grouped_before = group.is_some() && (name == last || name == query.after);
                if grouped_before {
                    continue;
                }
                if page.objects.len() + page.prefixes.len() == query.most {
                    page.next = (query.most > 0).then_some(last);
                    break;
                }
                last = name.to_owned();
                match group {
                    Some(group) => page.prefixes.push(group),
                    None => page.objects.push(Arc::clone(&object.info)),
                }
            }
            Ok(page)
        })
    }

    /// Uploads after `(key, id)`: an empty id means after every upload of that key.
    pub(crate) fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: (&str, &str),
        most: usize,
    ) -> Result<(Vec<OpenUpload>, bool), Refusal> {
        self.with(bucket, |bucket| {
            let later = |key: &str, id: &str| {
                if after.1.is_empty() { key > after.0 } else { (key, id) > after }
            };
            let mut found = bucket
                .uploads
                .iter()
                .filter(|((key, id), _)| key.starts_with(prefix) && (after.0.is_empty() || later(key, id)))
                .map(|((key, id), upload)| (key.clone(), id.clone(), upload.started));
            let page: Vec<_> = found.by_ref().take(most).collect();
            let more = found.next().is_some();
            Ok((page, more))
        })
    }

    /// Parts numbered above `after`, and whether there are more.
    pub(crate) fn list_parts(
        &self,
        (bucket, key, id): (&str, &str, &str),
        after: u32,
        most: usize,
    ) -> Result<(Vec<(u32, Part)>, bool), Refusal> {
        let upload = self.upload(bucket, key, id)?;
        let mut later = upload.parts.range((Bound::Excluded(after), Bound::Unbounded));
        let page: Vec<_> = later.by_ref().take(most).map(|(number, part)| (*number, part.clone())).collect();
        let more = later.next().is_some();
        Ok((page, more))
    }
}

fn group_of(prefix: &str, rest: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let at = rest.find(delimiter)?;
    Some(format!("{prefix}{}", &rest[..at + delimiter.len()]))
}
