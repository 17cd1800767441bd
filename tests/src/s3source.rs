//! A light S3 on loopback for benchmarks and fault tests: objects may be made up on the fly, checksums are stored and shown as
//! S3 does, and an object can be changed under a reader's hands. Foreign servers (SeaweedFS, ministack) are the judges
//! of compatibility; this one is for what they cannot do.

mod checksums;
mod multipart;
mod objects;

use std::{io, ops::Deref, sync::Arc};

use http::StatusCode;

use crate::{
    body::RequestBody,
    call::Call,
    listings,
    object::{needs_length, xml_text},
    operation::Operation,
    refusal::{Failure, Refusal},
    server::{Answer, Commit, Dialect, PeerState},
    signature::{Identity, Keys, Payload},
    store::{Store, StoreOptions},
    store_peer::StorePeer,
    xml::{self, Xml},
};

/// How an [`S3Peer`] behaves.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Serve TLS with a certificate of a private authority.
    pub tls: bool,
    /// Buckets to make at the start.
    pub buckets: Vec<String>,
    /// Make any bucket that is asked for. Off: 404 NoSuchBucket.
    pub create_buckets: bool,
    /// Keep only length and checksums of bodies that are written.
    pub discard: bool,
    /// Check the signature's value and not only the access key id.
    pub check_signatures: bool,
    /// Keep every state of a key as a version and show version ids.
    pub versioning: bool,
    /// ETags of single PUTs and of parts are MD5. Off: opaque, and cheaper (as under SSE-KMS).
    pub md5: bool,
    /// Store CRC64NVME for objects written without another checksum, as S3 does since the end of 2024.
    pub default_checksum: bool,
    /// The account that owns the buckets: `x-amz-expected-bucket-owner` with another is 403.
    pub owner: String,
    /// The header that the bucket's policy demands on every write, as `name: value`.
    pub demands: Option<String>,
    /// Seconds that the peer's clock is ahead.
    pub clock_ahead: i64,
}

impl Default for S3Options {
    fn default() -> Self {
        S3Options {
            tls: false,
            buckets: Vec::new(),
            create_buckets: false,
            discard: false,
            check_signatures: true,
            versioning: false,
            md5: true,
            default_checksum: true,
            owner: "111122223333".to_owned(),
            demands: None,
            clock_ahead: 0,
        }
    }
}

/// A running peer. Ends when dropped. What tests arrange and assert behind its back is on [`StorePeer`].
#[derive(Debug)]
pub struct S3Peer(StorePeer);

impl S3Peer {
    /// The access key id.
    pub const ACCESS_ID: &'static str = "AKIASANDBOX000000001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+s3+peer";

    /// Starts on a free port of 127.0.0.1. Must be called within a tokio runtime. Fails without a port or without a
    /// temporary directory.
    pub fn start(options: S3Options) -> io::Result<Self> {
        let store = Store::new(StoreOptions {
            discard: options.discard,
            md5: options.md5,
            crc64: options.default_checksum,
            versioning: options.versioning,
            create_buckets: options.create_buckets,
        })?;
        for bucket in &options.buckets {
            store.create_bucket(bucket);
        }
        let hall = PeerState::new(store);
        let keys = Keys {
            access_id: Self::ACCESS_ID.to_owned(),
            secret: Self::SECRET.to_owned(),
            bearer: None,
            mint: None,
            goog4: false,
            check: options.check_signatures,
            clock: options.clock_ahead,
        };
        let tls = options.tls;
        let dialect = S3 { hall: Arc::clone(&hall), keys, options };
        StorePeer::start(dialect, hall, tls).map(S3Peer)
    }
}

impl Deref for S3Peer {
    type Target = StorePeer;

    fn deref(&self) -> &StorePeer {
        &self.0
    }
}

/// The dialect.
#[derive(Debug)]
struct S3 {
    hall: Arc<PeerState>,
    keys: Keys,
    options: S3Options,
}

/// A request whose sender is known.
struct Asked {
    call: Call,
    identity: Identity,
    body: RequestBody,
}

impl S3 {
    fn store(&self) -> &Store {
        &self.hall.store
    }

    fn rules(&self, call: &Call) -> Result<(), Refusal> {
        // An aws-chunked body may come with transfer-encoding: chunked, as botocore sends it over TLS.
        let framed = call.header("x-amz-decoded-content-length").is_some();
        if matches!(call.method, http::Method::PUT | http::Method::POST) && !framed {
            needs_length(call)?;
        }
        if call.key.len() > 1024 {
            return Err(Refusal::bad("KeyTooLongError", "1024 bytes at most"));
        }
        match call.header("x-amz-expected-bucket-owner") {
            Some(owner) if owner != self.options.owner => Err(Refusal::forbidden("AccessDenied", "another owner")),
            _ => Ok(()),
        }
    }

    async fn delete_many(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        let text = xml_text(&call, &mut body, &identity.payload).await?;
        let (keys, quiet) = xml::delete(&text)?;
        Ok(Box::new(move || listings::delete_many(self.store(), &call, &keys, quiet)))
    }

    /// Every object has the same one.
    fn tags(&self, call: &Call) -> Result<Answer, Refusal> {
        self.store().object(&call.bucket, &call.key, call.query.get("versionId"))?;
        let mut xml = Xml::new("Tagging");
        xml.open("TagSet").open("Tag").leaf("Key", "kept").leaf("Value", "yes");
        xml.close("Tag").close("TagSet");
        Ok(Answer::xml(StatusCode::OK, xml.end("Tagging")))
    }

    /// What only needs the store and the call.
    fn plain(self: Arc<Self>, call: Call) -> Commit {
        Box::new(move || match call.operation {
            Operation::ListObjects => listings::objects(self.store(), &call, false),
            Operation::ListUploads => listings::uploads(self.store(), &call),
            Operation::ListParts => listings::parts(self.store(), &call),
            Operation::HeadBucket => Ok(Answer::new(StatusCode::OK)),
            Operation::GetTags => self.tags(&call),
            // Begun; when it is done, the test says.
            Operation::RestoreObject => Ok(Answer::new(StatusCode::ACCEPTED)),
            Operation::CreateBucket => {
                self.store().create_bucket(&call.bucket);
                Ok(Answer::new(StatusCode::OK))
            }
            _ => Err(Refusal::not_implemented("this peer has no such call")),
        })
    }
}

impl Dialect for S3 {
    async fn prepare(self: Arc<Self>, call: Call, mut body: RequestBody) -> Result<Commit, Failure> {
        let identity = self.keys.prove(&call)?;
        self.rules(&call)?;
        let operation = call.operation;
        if !matches!(operation, Operation::CreateBucket | Operation::Other) {
            self.store().admit(&call.bucket, operation.writes())?;
        }
        if identity.payload == Payload::Streaming {
            body.decode_chunks();
        }
        let asked = Asked { call, identity, body };
        match operation {
            Operation::GetObject | Operation::HeadObject => Ok(self.get(asked.call)),
            Operation::PutObject => self.put(asked).await,
            Operation::DeleteObject => Ok(self.delete(asked.call)),
            Operation::DeleteObjects => self.delete_many(asked).await,
            Operation::CreateUpload => self.create(asked.call),
            Operation::UploadPart => self.upload_part(asked).await,
            Operation::CompleteUpload => self.complete(asked).await,
            Operation::AbortUpload => Ok(self.abort(asked.call)),
            _ => Ok(self.plain(asked.call)),
        }
    }

    fn error(&self, refusal: &Refusal) -> String {
        let mut xml = Xml::plain("Error");
        xml.leaf("Code", &refusal.code).leaf("Message", &refusal.details).leaf("RequestId", "SANDBOX");
        xml.end("Error")
    }
}
