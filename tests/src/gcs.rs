//! Google Cloud Storage's XML API on loopback, as strict as what was measured and documented of the real one
//! (docs/gcs-xml.md): nobody ships such an emulator, and a lax one would hide the very mistakes that cost data.

mod buckets;
mod multipart;
mod objects;
mod rules;

use std::{io, ops::Deref, sync::Arc};

use crate::{
    body::RequestBody,
    call::Call,
    google_tokens::GoogleTokens,
    operation::Operation,
    refusal::{Failure, Refusal},
    server::{Answer, Commit, Dialect, PeerState},
    signature::{Identity, Keys},
    store::{Store, StoreOptions},
    store_peer::StorePeer,
    xml::Xml,
};

/// How a [`GcsPeer`] behaves. The default is the strictest.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    /// Serve TLS with a certificate of a private authority.
    pub tls: bool,
    /// Buckets to make at the start.
    pub buckets: Vec<String>,
    /// Make any bucket that is asked for. Off: 404 NoSuchBucket.
    pub create_buckets: bool,
    /// Keep only length and checksums of bodies, so that 20 GiB need no disk; reading such an object is a 500.
    pub discard: bool,
    /// Compute MD5 as GCS does for single PUTs and parts. Off saves CPU in benchmarks.
    pub md5: bool,
    /// Whether answers carry `x-goog-hash`.
    pub answer_hashes: bool,
    /// Part ETags that are no MD5: the documentation promises none.
    pub opaque_part_etags: bool,
    /// Whether multi-object delete exists (it has been reported missing): 501 if not.
    pub multi_delete: bool,
    /// Seconds that the peer's clock is ahead.
    pub clock_ahead: i64,
    /// The metadata server whose access tokens are taken, too.
    pub tokens: Option<GoogleTokens>,
}

impl Default for GcsOptions {
    fn default() -> Self {
        GcsOptions {
            tls: false,
            buckets: Vec::new(),
            create_buckets: false,
            discard: false,
            md5: true,
            answer_hashes: true,
            opaque_part_etags: false,
            multi_delete: true,
            clock_ahead: 0,
            tokens: None,
        }
    }
}

/// A running peer. Ends when dropped. What tests arrange and assert behind its back is on [`StorePeer`].
#[derive(Debug)]
pub struct GcsPeer(StorePeer);

impl GcsPeer {
    /// The interoperability key's access id.
    pub const ACCESS_ID: &'static str = "GOOG1ESANDBOXACCESSID";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+gcs+peer";
    /// A Bearer token that is taken.
    pub const TOKEN: &'static str = "ya29.sandbox-token";

    /// Starts on a free port of 127.0.0.1. Must be called within a tokio runtime. Fails without a port or without a
    /// temporary directory.
    pub fn start(options: GcsOptions) -> io::Result<Self> {
        let store = Store::new(StoreOptions {
            discard: options.discard,
            md5: options.md5,
            create_buckets: options.create_buckets,
            ..StoreOptions::default()
        })?;
        for bucket in &options.buckets {
            store.create_bucket(bucket);
        }
        let hall = PeerState::new(store);
        let keys = Keys {
            access_id: Self::ACCESS_ID.to_owned(),
            secret: Self::SECRET.to_owned(),
            bearer: Some(Self::TOKEN.to_owned()),
            mint: options.tokens.clone(),
            goog4: true,
            check: true,
            clock: options.clock_ahead,
        };
        let tls = options.tls;
        let dialect = Gcs { hall: Arc::clone(&hall), keys, options };
        StorePeer::start(dialect, hall, tls).map(GcsPeer)
    }
}

impl Deref for GcsPeer {
    type Target = StorePeer;

    fn deref(&self) -> &StorePeer {
        &self.0
    }
}

/// The dialect.
#[derive(Debug)]
struct Gcs {
    hall: Arc<PeerState>,
    keys: Keys,
    options: GcsOptions,
}

/// A request whose sender is known.
struct Asked {
    call: Call,
    identity: Identity,
    body: RequestBody,
}

impl Gcs {
    fn store(&self) -> &Store {
        &self.hall.store
    }

    fn create_bucket(self: Arc<Self>, bucket: String) -> Commit {
        Box::new(move || {
            self.store().create_bucket(&bucket);
            Ok(Answer::new(http::StatusCode::OK))
        })
    }
}

impl Dialect for Gcs {
    async fn prepare(self: Arc<Self>, call: Call, body: RequestBody) -> Result<Commit, Failure> {
        rules::families(&call)?;
        let identity = self.keys.prove(&call)?;
        rules::request(&call, &identity)?;
        let operation = call.operation;
        if operation == Operation::CreateBucket {
            return Ok(self.create_bucket(call.bucket));
        }
        if operation != Operation::Other {
            self.store().admit(&call.bucket, operation.writes())?;
        }
        let asked = Asked { call, identity, body };
        match operation {
            Operation::GetObject | Operation::HeadObject => self.get(asked),
            Operation::PutObject => self.put(asked).await,
            Operation::CopyObject => self.copy(asked),
            Operation::DeleteObject => self.delete(asked),
            Operation::DeleteObjects => self.delete_many(asked).await,
            Operation::CreateUpload => self.initiate(asked),
            Operation::UploadPart => self.upload_part(asked).await,
            Operation::CompleteUpload => self.complete(asked).await,
            Operation::AbortUpload => self.abort(asked),
            Operation::ListObjects => self.list(asked),
            Operation::ListUploads => self.list_uploads(asked),
            Operation::ListParts => self.list_parts(asked),
            Operation::HeadBucket => Ok(Box::new(|| Ok(Answer::new(http::StatusCode::OK)))),
            Operation::UploadPartCopy
            | Operation::RestoreObject
            | Operation::GetTags
            | Operation::CreateBucket
            | Operation::Other => Err(Refusal::not_implemented("the XML API has no such call").into()),
        }
    }

    fn error(&self, refusal: &Refusal) -> String {
        let mut xml = Xml::plain("Error");
        xml.leaf("Code", &refusal.code).leaf("Message", &refusal.message).leaf("Details", &refusal.details);
        xml.end("Error")
    }
}
