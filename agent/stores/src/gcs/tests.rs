//! What goes as headers and what comes back from them.

use http::header;

use super::*;
use crate::xml_api::headers;
use skyferry_core::digest::Checksum;
use skyferry_core::model::{Location, SourceIdentity, Token};
use skyferry_core::store::{Metadata, Object, Provenance, WriteAttributes};

fn google() -> Google {
    let endpoint = BucketEndpoint::parse(GOOGLE, Addressing::Path, None).unwrap();
    Google { endpoint, facts: facts(), signer: GcsSigner::default() }
}

fn attributes(metadata: Metadata) -> WriteAttributes {
    let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
    let source = Location::new("photos", "é/\n");
    WriteAttributes {
        metadata,
        provenance: Provenance { source, identity, token: Token(7), crc32c: None, headers: None },
        size: 3,
        options: Default::default(),
    }
}

fn outgoing(metadata: Metadata) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers::outgoing(&facts(), &attributes(metadata), &mut headers).map(|()| headers)
}

/// What HEAD would answer for an object that was stored with these headers.
fn answered(mut headers: HeaderMap) -> HeaderMap {
    for (name, value) in [
        ("etag", "\"900150983cd24fb0d6963f7d28e17f72\""),
        ("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ("x-goog-generation", "1767323045000001"),
        ("x-goog-hash", "crc32c=Nks/tw=="),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.append("x-goog-hash", HeaderValue::from_static("md5=kAFQmDzST7DWlj99KOF/cg=="));
    headers
}

fn object(headers: &HeaderMap) -> Result<Object, String> {
    headers::object(&google(), headers, 3, true)
}

#[test]
fn storage_classes_of_both_services_are_mapped_and_others_are_refused() {
    for (from, to) in [
        ("STANDARD", "STANDARD"),
        ("STANDARD_IA", "NEARLINE"),
        ("INTELLIGENT_TIERING", "NEARLINE"),
        ("GLACIER_IR", "COLDLINE"),
        ("DEEP_ARCHIVE", "ARCHIVE"),
        ("REDUCED_REDUNDANCY", "STANDARD"),
        ("REGIONAL", "REGIONAL"),
    ] {
        assert_eq!(storage_class(from), Some(to), "{from}");
    }
    for unknown in ["", "standard", "OUTPOSTS", "SNOW"] {
        assert_eq!(storage_class(unknown), None, "{unknown}");
    }
    let refused = outgoing(Metadata { storage_class: Some("SNOW".into()), ..Metadata::default() });
    assert!(refused.unwrap_err().contains("SNOW"));
}

#[test]
fn metadata_and_provenance_come_back_as_they_went() {
    let user = [("plain", "two words"), ("latin", "naïve"), ("blanks", " a  b "), ("empty", ""), ("lines", "a\nb")];
    let metadata = Metadata {
        content_type: Some("text/plain;  charset=utf-8".into()),
        content_encoding: Some("gzip".into()),
        content_language: Some("fr".into()),
        content_disposition: Some("attachment; filename=\"é.txt\"".into()),
        cache_control: Some("no-cache".into()),
        expires: Some("Thu, 01 Dec 1994 16:00:00 GMT".into()),
        user: user.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        storage_class: Some("NEARLINE".into()),
        encryption: None,
        retention: None,
        tags: None,
    };
    let headers = outgoing(metadata.clone()).unwrap();
    assert!(headers.keys().all(|name| !name.as_str().starts_with("x-amz-") && !name.as_str().contains("acl")));
    let object = object(&answered(headers)).unwrap();
    assert_eq!(object.metadata, metadata);
    assert_eq!(object.provenance, Some(attributes(metadata).provenance));
    assert_eq!((object.stored.crc32c, object.stored.md5.is_some()), (Some(Checksum::Full(0x364b_3fb7)), true));
    assert_eq!(object.revision, Revision("1767323045000001".into()));
    assert_eq!((object.identity.size, object.identity.last_modified), (3, 1_767_323_045));
}

#[test]
fn tags_become_metadata_unless_that_name_is_taken() {
    let tags = Some("team=a%26b".to_owned());
    let sent = |metadata: Metadata| {
        outgoing(metadata).unwrap().get("x-goog-meta-tags").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(sent(Metadata { tags: tags.clone(), ..Metadata::default() }), tags);
    assert_eq!(sent(Metadata { tags: Some(String::new()), ..Metadata::default() }), None);
    let user = [("tags".to_owned(), "mine".to_owned())].into();
    assert_eq!(sent(Metadata { tags, user, ..Metadata::default() }).as_deref(), Some("mine"));
}

#[test]
fn metadata_that_does_not_fit_is_refused_and_provenance_is_not_forged() {
    let with = |name: &str, value: &str| {
        outgoing(Metadata { user: [(name.to_owned(), value.to_owned())].into(), ..Metadata::default() })
    };
    assert!(with("a", &"v".repeat(7000)).is_ok());
    assert!(with("a", &"v".repeat(8192)).is_err());
    assert!(with("a", &"é".repeat(3500)).is_err(), "counted as it is sent");
    for name in ["", "a b", "é", "a:b", &"n".repeat(300)] {
        assert!(with(name, "v").is_err(), "{name}");
    }
    assert!(outgoing(Metadata { content_type: Some("a\r\nb".into()), ..Metadata::default() }).is_err());
    let forged = with("skyferry-token", &"0".repeat(32)).unwrap();
    assert_eq!(object(&answered(forged)).unwrap().provenance.unwrap().token, Token(7));
}

#[test]
fn an_answer_without_the_essentials_is_not_understood() {
    for name in [header::LAST_MODIFIED, GENERATION] {
        let mut headers = answered(HeaderMap::new());
        headers.remove(&name);
        assert!(object(&headers).is_err(), "{name}");
    }
    let mut headers = answered(HeaderMap::new());
    headers.insert(GENERATION, HeaderValue::from_static("-1\u{9}"));
    assert!(object(&headers).is_err());
}
