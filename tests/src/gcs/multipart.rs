//! Multipart uploads as GCS has them: no preconditions, no MD5 of the whole, an abort that succeeds twice.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;

use super::{Asked, Gcs, rules};
use crate::{
    listings,
    object::{attributes, quoted, receive, xml_text},
    refusal::{Failure, Refusal},
    server::{Answer, Commit},
    store::uploads::{Ending, Part},
    stored_options,
    xml::{self, Xml},
};

impl Gcs {
    pub(super) fn initiate(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let call = asked.call;
        let conditional = |name: &str| name.starts_with("x-goog-if-");
        if call.headers.keys().any(|name| conditional(name.as_str())) {
            return Err(Refusal::bad("NotImplemented", "no preconditions on multipart uploads").into());
        }
        let attributes = attributes(&call, &["x-goog-", "x-amz-"], stored_options::GOOGLE);
        rules::attributes_allowed(&attributes)?;
        Ok(Box::new(move || {
            let id = self.store().create_upload(&call.bucket, &call.key, attributes, None)?;
            let mut xml = Xml::new("InitiateMultipartUploadResult");
            xml.leaf("Bucket", &call.bucket).leaf("Key", &call.key).leaf("UploadId", id);
            Ok(Answer::xml(StatusCode::OK, xml.end("InitiateMultipartUploadResult")))
        }))
    }

    pub(super) async fn upload_part(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let number = call.part_number()?;
        self.store().upload_checksum(&call.bucket, &call.key, call.upload_id())?;
        let wanted = self.hashes_wanted(&call);
        let (data, digests) = receive(self.store(), &call, &mut body, wanted, &identity.payload).await?;
        rules::hashes_agree(&call, &digests)?;
        let md5 = digests.md5.filter(|_| !self.options.opaque_part_etags);
        let etag = md5.map_or_else(|| format!("{:032x}", rand::random::<u128>()), hex::encode);
        Ok(Box::new(move || {
            let mut done = Answer::new(StatusCode::OK).with("etag", quoted(&etag));
            self.add_hashes(&mut done, digests.crc32c, digests.md5);
            done.add("x-goog-stored-content-length", digests.size.to_string());
            done.add("x-goog-stored-content-encoding", "identity");
            let part = Part { data, digests, etag, modified: Timestamp::now() };
            self.store().put_part(&call.bucket, &call.key, call.upload_id(), number, part)?;
            Ok(done)
        }))
    }

    pub(super) async fn complete(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let text = xml_text(&call, &mut body, &identity.payload).await?;
        let listed = xml::complete(&text)?;
        Ok(Box::new(move || {
            let upload = (call.bucket.as_str(), call.key.as_str(), call.upload_id());
            let opaque = |_: &_, _: &[Part], _: &_| Ok(Ending { etag: None, checksum: None });
            let object = self.store().complete_upload(upload, &listed, |_| Ok(()), opaque)?;
            let mut xml = Xml::new("CompleteMultipartUploadResult");
            xml.leaf("Location", format!("http://storage.googleapis.com/{}/{}", call.bucket, call.key));
            xml.leaf("Bucket", &call.bucket).leaf("Key", &call.key).leaf("ETag", quoted(&object.info.etag));
            let mut done = Answer::xml(StatusCode::OK, xml.end("CompleteMultipartUploadResult"));
            done.add("x-goog-generation", object.info.generation.to_string());
            self.add_hashes(&mut done, object.info.crc32c, None);
            Ok(done)
        }))
    }

    pub(super) fn abort(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let call = asked.call;
        Ok(Box::new(move || {
            self.store().abort_upload(&call.bucket, &call.key, call.upload_id())?;
            Ok(Answer::new(StatusCode::NO_CONTENT))
        }))
    }

    pub(super) fn list_parts(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        Ok(Box::new(move || listings::parts(self.store(), &asked.call)))
    }
}
