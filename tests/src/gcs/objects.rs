//! Objects: GET, HEAD, PUT, copy, DELETE.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;

use super::{Asked, Gcs, rules};
use crate::{
    call::Call,
    object::{answer, attributes, crc_text, iso, quoted, range, read_conditions, receive, shape},
    operation::Operation,
    refusal::{Failure, Refusal},
    server::{Answer, Commit},
    signature::Scheme,
    store::{
        Draft, Object, ObjectInfo,
        data::{Digests, Wanted},
    },
    stored_options,
    xml::Xml,
};

const FAMILIES: &[&str] = &["x-goog-", "x-amz-"];

/// How user metadata is named in answers.
fn meta_prefix(scheme: Scheme) -> &'static str {
    if scheme == Scheme::Aws4 { "x-amz-meta-" } else { "x-goog-meta-" }
}

/// Whether a read of this object is decompressed on the way out.
fn transcodes(call: &Call, info: &ObjectInfo) -> bool {
    let content = |name: &str, part: &str| info.attributes.content.get(name).is_some_and(|value| value.contains(part));
    let accepts = call.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
    content("content-encoding", "gzip") && !content("cache-control", "no-transform") && !accepts
}

impl Gcs {
    /// `x-goog-hash`, one header an algorithm.
    pub(super) fn add_hashes(&self, answer: &mut Answer, crc32c: u32, md5: Option<[u8; 16]>) {
        if !self.options.answer_hashes {
            return;
        }
        answer.add("x-goog-hash", format!("crc32c={}", crc_text(crc32c)));
        if let Some(md5) = md5 {
            answer.add("x-goog-hash", format!("md5={}", BASE64_STANDARD.encode(md5)));
        }
    }

    fn describe(&self, answer: &mut Answer, info: &ObjectInfo) {
        let encoding = info.attributes.content.get("content-encoding").map_or("identity", String::as_str);
        answer.add("x-goog-generation", info.generation.to_string());
        answer.add("x-goog-metageneration", info.metageneration.to_string());
        answer.add("x-goog-stored-content-length", info.size.to_string());
        answer.add("x-goog-stored-content-encoding", encoding);
        answer.add("x-goog-storage-class", &info.attributes.storage_class);
        stored_options::show(answer, &info.attributes, "x-goog-", true);
        if let Some(parts) = info.parts {
            answer.add("x-goog-component-count", parts.to_string());
        }
        self.add_hashes(answer, info.crc32c, info.md5);
    }

    pub(super) fn get(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, .. } = asked;
        let wanted = rules::generation_match(&call, &identity, "x-goog-if-generation-match")?;
        Ok(Box::new(move || {
            let object = self.store().object(&call.bucket, &call.key, None)?;
            let info = &object.info;
            if call.query.get("generation").is_some_and(|text| text != info.generation.to_string()) {
                return Err(Refusal::not_found("NoSuchKey", "no such generation"));
            }
            rules::same_generation(wanted, Some(info))?;
            read_conditions(&call.headers, info)?;
            let mut found = self.bytes(&call, &object)?;
            self.describe(&mut found, info);
            for (name, value) in &info.attributes.metadata {
                found.add(&format!("{}{name}", meta_prefix(identity.scheme)), value);
            }
            Ok(found)
        }))
    }

    fn bytes(&self, call: &Call, object: &Object) -> Result<Answer, Refusal> {
        if transcodes(call, &object.info) {
            if call.operation == Operation::GetObject {
                let why = "GCS would decompress here: read gzip objects with Accept-Encoding: gzip";
                return Err(Refusal::not_implemented(why));
            }
            let mut found = shape(object, None);
            found.headers.remove("content-encoding");
            found.unsized_body = true;
            return Ok(found);
        }
        let range = range(call, object.info.size)?;
        if call.operation == Operation::HeadObject { Ok(shape(object, range)) } else { answer(object, range) }
    }

    pub(super) async fn put(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let wanted = rules::generation_match(&call, &identity, "x-goog-if-generation-match")?;
        let attributes = attributes(&call, FAMILIES, stored_options::GOOGLE);
        rules::attributes_allowed(&attributes)?;
        let (data, digests) =
            receive(self.store(), &call, &mut body, self.hashes_wanted(&call), &identity.payload).await?;
        rules::hashes_agree(&call, &digests)?;
        let etag = digests.md5.map(hex::encode);
        let draft = Draft { data, digests, attributes, etag, parts: None, part_size: None, checksum: None };
        Ok(Box::new(move || {
            let guard = |present: Option<&ObjectInfo>| rules::same_generation(wanted, present);
            let object = self.store().publish(&call.bucket, &call.key, draft, guard)?;
            let mut done = Answer::new(StatusCode::OK).with("etag", quoted(&object.info.etag));
            self.describe(&mut done, &object.info);
            Ok(done)
        }))
    }

    /// MD5 is taken where the request claims one.
    pub(super) fn hashes_wanted(&self, call: &Call) -> Wanted {
        let mut claims = call.headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
        Wanted { md5: claims.any(|value| value.contains("md5=")), ..Wanted::default() }
    }

    pub(super) fn copy(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, .. } = asked;
        let wanted = rules::generation_match(&call, &identity, "x-goog-if-generation-match")?;
        let source_wanted = rules::generation_match(&call, &identity, "x-goog-copy-source-if-generation-match")?;
        let (bucket, key) = call.copy_source()?;
        let directive = call.header("x-goog-metadata-directive").or_else(|| call.header("x-amz-metadata-directive"));
        let replaces = directive.is_some_and(|value| value.eq_ignore_ascii_case("replace"));
        let given = attributes(&call, FAMILIES, stored_options::GOOGLE);
        rules::attributes_allowed(&given)?;
        self.store().admit(&bucket, false)?;
        Ok(Box::new(move || {
            let Object { info, data } = self.store().object(&bucket, &key, None)?;
            rules::same_generation(source_wanted, Some(&info))?;
            let digests = Digests { size: info.size, crc32c: info.crc32c, md5: info.md5, ..Digests::default() };
            let mut attributes = if replaces { given.clone() } else { info.attributes.clone() };
            attributes.storage_class = given.storage_class;
            let etag = digests.md5.map(hex::encode);
            let draft =
                Draft { data, digests, attributes, etag, parts: info.parts, part_size: info.part_size, checksum: None };
            let guard = |present: Option<&ObjectInfo>| rules::same_generation(wanted, present);
            let object = self.store().publish(&call.bucket, &call.key, draft, guard)?;
            let mut xml = Xml::plain("CopyObjectResult");
            xml.leaf("LastModified", iso(object.info.modified)).leaf("ETag", quoted(&object.info.etag));
            let mut done = Answer::xml(StatusCode::OK, xml.end("CopyObjectResult"));
            self.describe(&mut done, &object.info);
            Ok(done)
        }))
    }

    pub(super) fn delete(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, .. } = asked;
        let wanted = rules::generation_match(&call, &identity, "x-goog-if-generation-match")?;
        Ok(Box::new(move || {
            let missing = || Refusal::not_found("NoSuchKey", call.key.clone());
            self.store().delete(&call.bucket, &call.key, |present| {
                present.ok_or_else(missing)?;
                rules::same_generation(wanted, present)
            })?;
            Ok(Answer::new(StatusCode::NO_CONTENT))
        }))
    }
}
