//! Listings: of what is there, and of the versions of it. A page that cannot be one fails where it is read, never as the end
//! of a listing: keys outside the range asked for, a place to continue that is no further, the same page again.

use std::sync::Arc;

use http::Method;

use super::super::http::{Call, retry_idempotent};
use super::XmlClient;
use super::answers::RequestKind;
use super::document::{self, Contents, Listing, VersionListing, XmlDocument};
use super::headers::unquoted;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Key, Location, Revision};
use skyferry_core::store::{ListFrom, Listed, Page, Result};

/// A `Page::next`: what the page that gave it began with, and the service's own words.
struct Token<'a> {
    began: &'a str,
    words: &'a str,
}

/// Hexadecimal digits of the checksum of a page's first key.
const BEGAN: usize = 8;

impl<'a> Token<'a> {
    fn of(from: ListFrom<'a>) -> Option<Self> {
        let ListFrom::Token(token) = from else { return None };
        let (began, words) = token.split_at_checked(BEGAN).unwrap_or(("", token));
        Some(Token { began, words })
    }
}

impl XmlClient {
    pub(super) async fn page(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.page_of(bucket, prefix, from, None).await
    }

    pub(super) async fn page_of(
        &self,
        bucket: &str,
        prefix: &Key,
        from: ListFrom<'_>,
        most: Option<&'static str>,
    ) -> Result<Page> {
        let call = Call::new(self.side, "ListObjectsV2", &Location::new(bucket, prefix.clone()));
        let mut query = vec![("list-type", "2".to_owned())];
        query.extend(most.map(|most| ("max-keys", most.to_owned())));
        match from {
            ListFrom::Start => {}
            ListFrom::After(key) => query.push(("start-after", text(&call, key)?)),
            ListFrom::Token(_) => {
                query.extend(Token::of(from).map(|token| ("continuation-token", token.words.to_owned())))
            }
        }
        let read = |listing: Listing| {
            let Listing { is_truncated, next_continuation_token, encoding_type, contents } = listing;
            let next = is_truncated.then(|| next_continuation_token.unwrap_or_default());
            self.rows(contents, encoding_type.as_deref(), next, prefix, from)
        };
        self.listing(&call, &query, prefix, read).await
    }

    /// A page may have few rows, or none: older versions and delete markers are listed too, and left out here.
    pub(super) async fn versions(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        let call = Call::new(self.side, "ListObjectVersions", &Location::new(bucket, prefix.clone()));
        let mut query = vec![("versions", String::new())];
        match from {
            ListFrom::Start => {}
            ListFrom::After(key) => query.push(("key-marker", text(&call, key)?)),
            // A version's id holds no line's end.
            ListFrom::Token(_) => {
                let words = Token::of(from).map_or("", |token| token.words);
                let (version, key) = words.split_once('\n').unwrap_or_default();
                query.push(("key-marker", key.to_owned()));
                if !version.is_empty() {
                    query.push(("version-id-marker", version.to_owned()));
                }
            }
        }
        let read = |listing: VersionListing| {
            let VersionListing { is_truncated, encoding_type, versions, .. } = listing;
            let encoding = encoding_type.as_deref();
            let next = match (is_truncated, listing.next_key_marker) {
                (true, Some(key)) => {
                    let key = document::key(&key, encoding)?;
                    let key = key.as_str().ok_or("a marker that is not UTF-8")?;
                    Some(format!("{}\n{key}", listing.next_version_id_marker.unwrap_or_default()))
                }
                (truncated, _) => truncated.then(String::new),
            };
            self.rows(versions.into_iter().filter(|row| row.is_latest).collect(), encoding, next, prefix, from)
        };
        self.listing(&call, &query, prefix, read).await
    }

    fn rows(
        &self,
        rows: Vec<Contents>,
        encoding: Option<&str>,
        next: Option<String>,
        prefix: &Key,
        from: ListFrom<'_>,
    ) -> Result<Page, String> {
        let generations = self.traits().generations;
        let rows = rows.into_iter().map(|row| listed(row, encoding, generations));
        page(rows.collect::<Result<_, _>>()?, next, prefix, from)
    }

    async fn listing<T: XmlDocument>(
        &self,
        call: &Call,
        query: &[(&'static str, String)],
        prefix: &Key,
        read: impl Fn(T) -> Result<Page, String>,
    ) -> Result<Page> {
        retry_idempotent(|| async {
            let mut list = self.bucket(Method::GET, call.operation, &call.at);
            list.query("encoding-type", "url");
            for (name, value) in query {
                list.query(name, value.clone());
            }
            if !prefix.as_bytes().is_empty() {
                list.query("prefix", text(call, prefix)?);
            }
            let answer = self.send(list).await?;
            let document = self.document(call, RequestKind::Control, answer).await?;
            read(document).map_err(|why| call.error(ErrorKind::InvalidAnswer, why))
        })
        .await
    }
}

pub(super) fn text(call: &Call, key: &Key) -> Result<String> {
    let text = key.as_str().map(str::to_owned);
    text.ok_or_else(|| call.error(ErrorKind::CannotHold, "a key of this service is UTF-8"))
}

/// A page of these rows. `next`: the service's words for where to continue, `None` at the end.
fn page(mut objects: Vec<Listed>, next: Option<String>, prefix: &Key, from: ListFrom<'_>) -> Result<Page, String> {
    if let Some(row) = objects.iter().find(|row| !row.key.as_bytes().starts_with(prefix.as_bytes())) {
        return Err(format!("the listing of `{prefix}` shows {:?}", row.key));
    }
    if let ListFrom::After(after) = from {
        // Some services take it for the first key to show.
        objects.retain(|row| row.key != *after);
        if let Some(row) = objects.iter().find(|row| is_before(&row.key, after)) {
            return Err(format!("the listing after {after:?} shows {:?}", row.key));
        }
    }
    let began = objects.first().map(|row| format!("{:0BEGAN$x}", crc32c::crc32c(row.key.as_bytes())));
    let began = began.unwrap_or_else(|| "-".repeat(BEGAN));
    let last = Token::of(from);
    if last.as_ref().is_some_and(|last| last.began == began && !objects.is_empty()) {
        return Err("the listing does not advance: the same page twice".into());
    }
    let next = match next {
        Some(words) if words.is_empty() => return Err("a truncated listing without a token to continue from".into()),
        Some(words) if last.is_some_and(|last| last.words == words) => {
            return Err("the listing does not advance: the same token twice".into());
        }
        Some(words) => Some(format!("{began}{words}")),
        None => None,
    };
    Ok(Page { objects, next })
}

/// Before it in the order of the bytes, and in that of services which list folder by folder too.
fn is_before(key: &Key, after: &Key) -> bool {
    let by_folder = |key: &Key| key.as_bytes().split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    key < after && by_folder(key) < by_folder(after)
}

fn listed(row: Contents, encoding: Option<&str>, generations: bool) -> Result<Listed, String> {
    let etag: Arc<str> = unquoted(&row.etag).into();
    let revision = match generations {
        true => row.generation.map(|generation| generation.to_string().into()),
        false => Some(etag.clone()).filter(|etag| !etag.is_empty()),
    };
    Ok(Listed {
        key: document::key(&row.key, encoding)?,
        size: row.size,
        revision: revision.map(Revision),
        etag,
        last_modified: document::seconds(&row.last_modified)?,
        storage_class: row.storage_class,
        version: row.version_id.filter(|id| id != "null").map(Arc::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str], next: Option<&str>, prefix: &str, from: ListFrom<'_>) -> Result<Page, String> {
        let row = |key: &&str| Listed {
            key: Key::from(*key),
            size: 1,
            etag: "e".into(),
            last_modified: 0,
            storage_class: None,
            revision: None,
            version: None,
        };
        page(keys.iter().map(row).collect(), next.map(str::to_owned), &prefix.into(), from)
    }

    #[test]
    fn fault_a10_a_listing_that_does_not_move_fails_at_the_second_page() {
        let first = of(&["a", "b"], Some("t"), "", ListFrom::Start).unwrap();
        let from = ListFrom::Token(first.next.as_deref().unwrap());
        assert!(of(&["c"], Some("t"), "", from).is_err(), "the same token");
        assert!(of(&["a", "b"], Some("u"), "", from).is_err(), "the same page under another token");
        assert!(of(&["c"], Some("u"), "", from).is_ok());
        assert!(of(&[], Some("u"), "", from).is_ok(), "a page may be empty");
        assert!(of(&["c"], Some(""), "", from).is_err(), "truncated, and no token");
    }

    #[test]
    fn fault_a10_keys_outside_the_range_are_no_page_of_it() {
        assert!(of(&["a/b"], None, "a/", ListFrom::Start).is_ok());
        assert!(of(&["b"], None, "a/", ListFrom::Start).is_err());
        let after = Key::from("a/b");
        let keys = |keys: &[&str]| of(keys, None, "", ListFrom::After(&after)).map(|page| page.objects.len());
        assert_eq!(keys(&["a/b", "a/c"]), Ok(1), "the key itself is passed over");
        assert!(keys(&["a/a"]).is_err());
        assert_eq!(keys(&["a b"]), Ok(1), "behind it where folders are listed one by one");
    }
}
