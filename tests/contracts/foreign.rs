//! The S3 client on servers by other people. Each is something less than S3 in its own way, and that way is its table: a
//! fact that a server cannot keep is tried all the same, and has to fail as the table says. So a row that is no longer
//! true is found as surely as one that is missing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sandbox::{JuiceFs, Moto, Rclone, S3Files, SeaweedFs};
use skyferry_core::store::Capabilities;

use crate::remote::{S3_CAN, s3};
use crate::store::{Can, Subject};

#[async_trait]
pub trait Server: Send + Sized {
    /// The dialect by which the client speaks to it.
    const PROFILE: &'static str;
    const KEYS: (&'static str, &'static str);
    /// What it cannot do: the fact, and words of how that shows.
    const CANNOT: &'static [(&'static str, &'static str)];
    fn can() -> Can;
    async fn begin() -> Self;
    fn endpoint(&self) -> String;
    async fn bucket(&self, name: &str);
}

/// A server, and what was found so far.
pub struct ForeignFixture<S> {
    server: S,
    buckets: usize,
    findings: Vec<String>,
}

impl<S: Server> ForeignFixture<S> {
    pub async fn start() -> Self {
        ForeignFixture { server: S::begin().await, buckets: 0, findings: Vec::new() }
    }

    /// Tries one fact on a fresh bucket.
    pub async fn hold<F: Future<Output = ()>>(&mut self, name: &str, fact: fn(Subject) -> F) {
        let name: String = name.split_whitespace().collect();
        self.buckets += 1;
        let bucket = format!("fact-{}", self.buckets);
        self.server.bucket(&bucket).await;
        let (source, sink) = s3(&self.server.endpoint(), S::PROFILE, S::KEYS);
        let subject = Subject { source, sink, bucket: Arc::from(bucket), can: S::can(), _keep: Box::new(()) };
        let held = AssertUnwindSafe(fact(subject)).catch_unwind().await;
        let row = S::CANNOT.iter().find(|(cannot, _)| *cannot == name).map(|(_, words)| *words);
        match (held, row) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => self.findings.push(format!("{name} holds: take it out of the table")),
            (Err(failed), row) => {
                let output = failed.downcast_ref::<String>().cloned();
                let output =
                    output.or_else(|| failed.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
                if !row.is_some_and(|words| output.contains(words)) {
                    self.findings.push(format!("{name}: {output}"));
                }
            }
        }
    }

    pub fn end(self) {
        assert!(self.findings.is_empty(), "{}", self.findings.join("\n"));
    }
}

#[async_trait]
impl Server for SeaweedFs {
    const PROFILE: &'static str = "aws";
    const KEYS: (&'static str, &'static str) = (SeaweedFs::ACCESS_ID, SeaweedFs::SECRET);
    const CANNOT: &'static [(&'static str, &'static str)] = &[
        // Keys are paths: what a path cannot say becomes another key.
        ("objects::odd_keys_are_kept_byte_for_byte", "[\"a/b\"]"),
        ("objects::keys_that_look_alike_are_different_objects", "PreconditionFailed"),
        ("multipart::an_upload_id_of_nobodys_making_is_gone", "InvalidRequest"),
        // A listing follows its folders: `a/b` before `a-b`.
        ("listing::keys_come_in_the_order_of_their_bytes", "\"a-b\""),
        ("listing::a_listing_goes_on_after_any_key_there_or_not", "\"b-\""),
        // Without a KMS of its own it answers 500.
        ("options::under_a_key_of_kms_an_etag_is_never_taken_for_an_md5", "InternalError"),
        // Writing makes the bucket.
        ("objects::a_missing_bucket_is_told_as_such", "this must fail"),
        ("conditions::deleting_nothing_is_no_error", "PreconditionFailed"),
    ];
    fn can() -> Can {
        S3_CAN
    }
    async fn begin() -> Self {
        SeaweedFs::start(&[]).await.expect("SeaweedFS")
    }
    fn endpoint(&self) -> String {
        SeaweedFs::endpoint(self)
    }
    async fn bucket(&self, name: &str) {
        self.create_bucket(name).await.expect("a bucket");
    }
}

/// What a server is believed that nothing is known of.
const GENERIC: Capabilities = Capabilities {
    conditional_put: false,
    conditional_finish: false,
    conditional_delete: false,
    checksums: false,
    metadata: true,
};

#[async_trait]
impl Server for JuiceFs {
    const PROFILE: &'static str = "generic";
    const KEYS: (&'static str, &'static str) = (JuiceFs::ACCESS_ID, JuiceFs::SECRET);
    const CANNOT: &'static [(&'static str, &'static str)] = &[
        // Keys are paths: what a path cannot say becomes another key.
        ("objects::odd_keys_are_kept_byte_for_byte", "[\"a/b\"]"),
        ("objects::keys_that_look_alike_are_different_objects", "x/a//b"),
        ("listing::keys_come_in_the_order_of_their_bytes", "already exists as a directory"),
        ("listing::a_listing_goes_on_after_any_key_there_or_not", "already exists as a directory"),
        // All comes on one page.
        ("listing::more_than_a_page_is_listed_without_gap_or_repeat", "page.next.is_some()"),
        // It stores no checksum that could disagree: such copies are read back.
        ("multipart::a_whole_digest_that_disagrees_with_the_parts_is_told", "is_mismatch()"),
        ("multipart::an_upload_id_of_nobodys_making_is_gone", "InvalidResourceName"),
        ("options::objects_are_encrypted_by_the_service_s_own_keys_where_that_is_asked_for", "NotImplemented"),
        ("options::under_a_key_of_kms_an_etag_is_never_taken_for_an_md5", "NotImplemented"),
    ];
    fn can() -> Can {
        Can { capabilities: GENERIC, checks_whole: false, all_headers: false, ..S3_CAN }
    }
    async fn begin() -> Self {
        JuiceFs::start().await.expect("JuiceFS")
    }
    fn endpoint(&self) -> String {
        JuiceFs::endpoint(self)
    }
    async fn bucket(&self, name: &str) {
        self.create_bucket(name).await.expect("a bucket");
    }
}

/// s3s-fs with its directory.
pub struct Files {
    server: S3Files,
    _root: tempfile::TempDir,
}

#[async_trait]
impl Server for Files {
    const PROFILE: &'static str = "generic";
    const KEYS: (&'static str, &'static str) = (S3Files::ACCESS_ID, S3Files::SECRET);
    const CANNOT: &'static [(&'static str, &'static str)] = &[
        // Keys are paths: what a path cannot say becomes another key.
        ("objects::odd_keys_are_kept_byte_for_byte", "[\"a/b\"]"),
        ("objects::keys_that_look_alike_are_different_objects", "x/a//b"),
        ("listing::keys_come_in_the_order_of_their_bytes", "directory object"),
        ("listing::a_listing_goes_on_after_any_key_there_or_not", "directory object"),
        // Writing makes the bucket.
        ("objects::a_missing_bucket_is_told_as_such", "this must fail"),
        ("listing::a_row_tells_what_a_look_tells", "(1234, \"\")"),
        // It stores no checksum that could disagree: such copies are read back.
        ("multipart::a_whole_digest_that_disagrees_with_the_parts_is_told", "is_mismatch()"),
        ("multipart::finishing_with_a_wrong_etag_publishes_nothing", "is_err()"),
        ("multipart::the_parts_are_listed_as_they_were_answered", "missing field `ETag`"),
        // An upload that has ended, or never was, has no parts; nobody can tell it from one that is open.
        ("multipart::an_aborted_upload_is_gone", "Some([])"),
        ("multipart::a_finished_upload_is_gone_and_its_object_stays", "Some([])"),
        ("multipart::an_upload_id_of_nobodys_making_is_gone", "Some([])"),
        ("multipart::open_uploads_are_listed_by_prefix", "NotImplemented"),
        // Taken in silence, and not done: `skyferry check` sees it.
        ("options::objects_are_encrypted_by_the_service_s_own_keys_where_that_is_asked_for", "left: None"),
        ("options::under_a_key_of_kms_an_etag_is_never_taken_for_an_md5", "encryption: None"),
    ];
    fn can() -> Can {
        Can { capabilities: GENERIC, checks_whole: false, ..S3_CAN }
    }
    async fn begin() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        Files { server: S3Files::start(root.path()).expect("s3s-fs"), _root: root }
    }
    fn endpoint(&self) -> String {
        self.server.endpoint()
    }
    async fn bucket(&self, name: &str) {
        self.server.create_bucket(name).expect("a bucket");
    }
}

#[async_trait]
impl Server for Rclone {
    const PROFILE: &'static str = "generic";
    const KEYS: (&'static str, &'static str) = (Rclone::ACCESS_ID, Rclone::SECRET);
    const CANNOT: &'static [(&'static str, &'static str)] = &[
        // Keys are paths: what a path cannot say is refused, a folder has no object of its own beside what is in it.
        ("objects::odd_keys_are_kept_byte_for_byte", "unsupported characters: \"a//b\""),
        ("objects::keys_that_look_alike_are_different_objects", "unsupported characters: \"x/a//b\""),
        ("listing::keys_come_in_the_order_of_their_bytes", "InternalError"),
        ("listing::a_listing_goes_on_after_any_key_there_or_not", "\"b0\", \"c\"]"),
        // Parts go into the file as they come: one that was taken cannot be sent again, and no Complete is tried twice.
        ("multipart::a_part_sent_again_replaces_the_first", "already been streamed"),
        ("multipart::finishing_with_a_wrong_etag_publishes_nothing", "NoSuchUpload"),
        // Complete answers with an ETag of parts, and HEAD with the MD5: what was made is known by the write token.
        ("multipart::parts_in_parallel_and_out_of_order_make_the_object", "-3\")), Some(Provenance"),
    ];
    fn can() -> Can {
        Can { capabilities: GENERIC, checks_whole: false, ..S3_CAN }
    }
    async fn begin() -> Self {
        Rclone::start().await.expect("rclone serve s3")
    }
    fn endpoint(&self) -> String {
        Rclone::endpoint(self)
    }
    async fn bucket(&self, name: &str) {
        self.create_bucket(name).await.expect("a bucket");
    }
}

#[async_trait]
impl Server for Moto {
    const PROFILE: &'static str = "generic";
    const KEYS: (&'static str, &'static str) = (Moto::ACCESS_ID, Moto::SECRET);
    const CANNOT: &'static [(&'static str, &'static str)] = &[
        // Its checksum of a multipart object is not that of the bytes, so none is asked for: such copies are read back.
        ("multipart::a_whole_digest_that_disagrees_with_the_parts_is_told", "is_mismatch()"),
        // A part of an upload that does not exist is answered with 500 instead of 404 NoSuchUpload.
        ("multipart::an_aborted_upload_is_gone", "Unavailable"),
        ("multipart::an_upload_id_of_nobodys_making_is_gone", "Unavailable"),
        // Every upload was initiated on 2010-11-10.
        ("multipart::open_uploads_are_listed_by_prefix", "initiated: 1289"),
    ];
    fn can() -> Can {
        Can { capabilities: GENERIC, checks_whole: false, ..S3_CAN }
    }
    async fn begin() -> Self {
        Moto::start().await.expect("moto")
    }
    fn endpoint(&self) -> String {
        Moto::endpoint(self)
    }
    async fn bucket(&self, name: &str) {
        self.create_bucket(name).await.expect("a bucket");
    }
}
