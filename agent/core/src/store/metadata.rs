//! Whether a copy carries the headers of its source: they are part of an object's state, and change without its bytes, even
//! within the second that services tell times in.
//!
//! Skyferry's own copies say what was sent with them: a digest of the source's headers among the provenance. So a service
//! that keeps a header in another form, or not at all, does not get the same object again and again. Copies by others are
//! compared by what both sides show, and become Skyferry's own when they are replaced: once.

use super::{Metadata, Object};

/// What services show of objects that were stored without a type.
const NO_TYPE: [&str; 2] = ["binary/octet-stream", "application/octet-stream"];
/// What Google Cloud Storage shows of objects that were stored without a Cache-Control.
const NO_CACHE_CONTROL: [&str; 3] = ["public, max-age=3600", "private, max-age=0", "no-cache"];

impl Metadata {
    /// The headers that travel, and nothing of where the object is: a CRC32C of their names and values.
    pub fn digest(&self) -> u32 {
        let headers = self.headers().into_iter().filter_map(|(name, value)| Some((name, value?)));
        let user = self.user.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // A zero byte is in no header, and the two kinds are apart.
        let mut digest = headers.fold(0, add);
        digest = crc32c::crc32c_append(digest, b"\0");
        user.fold(digest, add)
    }

    fn headers(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("content-type", self.content_type.as_deref()),
            ("content-encoding", self.content_encoding.as_deref()),
            ("content-language", self.content_language.as_deref()),
            ("content-disposition", self.content_disposition.as_deref()),
            ("cache-control", self.cache_control.as_deref()),
            ("expires", self.expires.as_deref()),
        ]
    }

    /// Whether these are the headers of `source` as far as a service may show them: what it adds by itself, and metadata that
    /// another program added, are not the source's.
    fn covers(&self, source: &Metadata) -> bool {
        let mut pairs = self.headers().into_iter().zip(source.headers());
        let user = source.user.iter().all(|(name, value)| self.user.get(name).map(|v| v.trim()) == Some(value.trim()));
        user && pairs.all(|((name, here), (_, there))| match (name, here, there) {
            // A source that says nothing of the type has nothing to lose.
            ("content-type", _, None) => true,
            ("content-type", here, Some(there)) => here == Some(there) || (is_untyped(here) && is_untyped(Some(there))),
            ("cache-control", Some(here), None) => NO_CACHE_CONTROL.contains(&here),
            (_, here, there) => here.map(str::trim) == there.map(str::trim),
        })
    }

    fn shows_nothing(&self) -> bool {
        self.user.is_empty() && self.headers().iter().all(|(_, value)| value.is_none())
    }
}

fn add(digest: u32, (name, value): (&str, &str)) -> u32 {
    [name, "\0", value, "\0"].into_iter().fold(digest, |digest, text| crc32c::crc32c_append(digest, text.as_bytes()))
}

fn is_untyped(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|name| NO_TYPE.contains(&name))
}

/// Whether the copy has lost, or never had, headers of the source. A file that another program put there has none to lose.
pub fn lacks_headers(copy: &Object, source: &Object) -> bool {
    match &copy.provenance {
        Some(provenance) if provenance.headers.is_some() => provenance.headers != Some(source.metadata.digest()),
        None if copy.metadata.shows_nothing() => false,
        _ => !copy.metadata.covers(&source.metadata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Metadata {
        Metadata {
            content_type: Some("text/css".into()),
            content_encoding: Some("gzip".into()),
            content_language: Some("fr".into()),
            content_disposition: Some("inline".into()),
            cache_control: Some("max-age=60".into()),
            expires: Some("Tue, 14 Nov 2023 22:13:20 GMT".into()),
            user: [("owner".to_owned(), "me".to_owned())].into(),
            storage_class: Some("STANDARD".into()),
            encryption: None,
            retention: None,
            tags: None,
        }
    }

    type Change = fn(&mut Metadata);

    /// Every header that travels, lost or changed.
    const LOSSES: [Change; 9] = [
        |m| m.content_type = Some("binary/octet-stream".into()),
        |m| m.content_type = None,
        |m| m.content_encoding = None,
        |m| m.content_language = Some("en".into()),
        |m| m.content_disposition = None,
        |m| m.cache_control = None,
        |m| m.expires = None,
        |m| m.user.clear(),
        |m| drop(m.user.insert("owner".into(), "you".into())),
    ];

    #[test]
    fn every_header_that_travels_is_compared() {
        for (n, loss) in LOSSES.into_iter().enumerate() {
            let mut copy = source();
            loss(&mut copy);
            assert!(!copy.covers(&source()), "loss {n}");
            assert_ne!(copy.digest(), source().digest(), "loss {n}");
        }
    }

    #[test]
    fn what_a_service_or_another_program_adds_is_no_difference() {
        let additions: [Change; 4] = [
            |m| m.storage_class = Some("NEARLINE".into()),
            |m| m.encryption = Some("aws:kms".into()),
            |m| m.tags = Some("a=b".into()),
            |m| drop(m.user.insert("mtime".into(), "1700000000.5".into())),
        ];
        for (n, addition) in additions.into_iter().enumerate() {
            let mut copy = source();
            addition(&mut copy);
            assert!(copy.covers(&source()), "addition {n}");
        }
        let bare = Metadata { content_type: Some("binary/octet-stream".into()), ..Metadata::default() };
        let shown = Metadata {
            content_type: Some("application/octet-stream".into()),
            cache_control: Some("public, max-age=3600".into()),
            ..Metadata::default()
        };
        assert!(shown.covers(&bare) && Metadata::default().covers(&bare) && bare.covers(&Metadata::default()));
    }

    #[test]
    fn names_and_values_do_not_run_into_each_other() {
        let with = |name: &str, value: &str| {
            Metadata { user: [(name.to_owned(), value.to_owned())].into(), ..Metadata::default() }.digest()
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
        let header = Metadata { expires: Some("x".into()), ..Metadata::default() };
        assert_ne!(with("expires", "x"), header.digest());
    }
}
