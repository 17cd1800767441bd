//! What every object store does alike: buckets of keys in byte order, publishing under a condition in one step,
//! generations that only grow, and a log of every state that was ever visible. The dialects (GCS, S3) differ in how
//! they ask for it, not in this.

pub(crate) mod data;
pub(crate) mod listing;
mod spool;
mod synthetic;
pub(crate) mod uploads;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;

pub(crate) use self::synthetic::Synthetic;
use self::{
    data::{Data, Digests, Wanted, Writer},
    spool::Spool,
    uploads::Upload,
};
use crate::refusal::Refusal;

/// What a writer says of an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// User metadata, names in lower case without `x-goog-meta-` or `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Content headers as sent: `content-type`, `cache-control`, `content-disposition`, `content-encoding`,
    /// `content-language`, `expires`.
    pub content: BTreeMap<String, String>,
    /// The storage class, `STANDARD` unless the writer or the bucket says otherwise.
    pub storage_class: String,
    /// How it is stored, by the names of the service's own headers without `x-amz-` or `x-goog-`: encryption, access,
    /// retention, custom time.
    pub options: BTreeMap<String, String>,
}

/// A checksum as S3 keeps and shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChecksum {
    /// `crc32`, `crc32c`, `crc64nvme` or `sha256`.
    pub algorithm: &'static str,
    /// `COMPOSITE` (over the parts' checksums, with `-N`) instead of `FULL_OBJECT`.
    pub composite: bool,
    /// Base64 of the big-endian value.
    pub value: String,
}

/// A CRC64NVME as S3 keeps it when a writer names no checksum.
pub(crate) fn crc64_checksum(crc: u64) -> StoredChecksum {
    StoredChecksum { algorithm: "crc64nvme", composite: false, value: BASE64_STANDARD.encode(crc.to_be_bytes()) }
}

/// One visible state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key, decoded.
    pub key: String,
    /// Grows with every write to the peer.
    pub generation: u64,
    /// 1: the peers have no call that changes metadata alone.
    pub metageneration: u64,
    /// Bytes.
    pub size: u64,
    /// CRC32C of the whole object, of which the peer is sure even if it does not show it.
    pub crc32c: u32,
    /// CRC64NVME of the whole object, where the peer takes it (S3).
    pub crc64nvme: Option<u64>,
    /// MD5, for objects of one PUT only, unless it is switched off.
    pub md5: Option<[u8; 16]>,
    /// Without quotes.
    pub etag: String,
    /// Metadata, content headers, storage class.
    pub attributes: Attributes,
    /// When it was published.
    pub modified: Timestamp,
    /// The number of parts, for multipart objects.
    pub parts: Option<u32>,
    /// The first part's size, where it is known.
    pub part_size: Option<u64>,
    /// S3 with versioning only.
    pub version_id: Option<String>,
    /// The checksum that S3 shows.
    pub checksum: Option<StoredChecksum>,
}

/// One entry of the publication log.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The state that became visible; `None`: the key was deleted.
    pub object: Option<Arc<ObjectInfo>>,
}

/// What a bucket lets anyone do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    #[default]
    Full,
    /// 403 AccessDenied for what writes.
    ReadOnly,
    /// 403 AccessDenied for what reads or lists.
    WriteOnly,
    /// 403 AccessDenied.
    Denied,
}

/// An object and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) info: Arc<ObjectInfo>,
    pub(crate) data: Data,
}

/// An object about to be published.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) data: Data,
    pub(crate) digests: Digests,
    pub(crate) attributes: Attributes,
    /// Without quotes; `None`: opaque, made from the generation.
    pub(crate) etag: Option<String>,
    pub(crate) parts: Option<u32>,
    pub(crate) part_size: Option<u64>,
    pub(crate) checksum: Option<StoredChecksum>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreOptions {
    pub(crate) discard: bool,
    pub(crate) md5: bool,
    pub(crate) crc64: bool,
    pub(crate) versioning: bool,
    pub(crate) create_buckets: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) versions: BTreeMap<(String, String), Object>,
    /// By key and upload id.
    pub(crate) uploads: BTreeMap<(String, String), Upload>,
    pub(crate) access: Access,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    last_generation: u64,
    log: Vec<Publication>,
}

/// The buckets of one peer. Its lock is never held across an await.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    spool: Arc<Spool>,
    options: StoreOptions,
}

impl Store {
    pub(crate) fn new(options: StoreOptions) -> io::Result<Self> {
        Ok(Store { state: Mutex::default(), spool: Arc::new(Spool::new()?), options })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer for a body; the store's own digests are added to the caller's.
    pub(crate) fn writer(&self, wanted: Wanted) -> Writer {
        let wanted =
            Wanted { md5: wanted.md5 || self.options.md5, crc64: wanted.crc64 || self.options.crc64, ..wanted };
        Writer::new(Arc::clone(&self.spool), self.options.discard, wanted)
    }

    /// Keeps bytes that are already in memory, also where what comes in is discarded.
    pub(crate) fn keep(&self, bytes: &[u8]) -> io::Result<(Data, Digests)> {
        let wanted = Wanted { md5: true, crc64: self.options.crc64, ..Wanted::default() };
        let mut writer = Writer::new(Arc::clone(&self.spool), false, wanted);
        writer.write(bytes)?;
        Ok(writer.finish())
    }

    pub(crate) fn create_bucket(&self, bucket: &str) {
        self.state().buckets.entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn set_access(&self, bucket: &str, access: Access) {
        self.state().buckets.entry(bucket.to_owned()).or_default().access = access;
    }

    /// Whether the bucket is there and allows it.
    pub(crate) fn admit(&self, bucket: &str, writes: bool) -> Result<(), Refusal> {
        let mut state = self.state();
        let access = state.bucket(bucket, self.options)?.access;
        let denied = match access {
            Access::Full => false,
            Access::ReadOnly => writes,
            Access::WriteOnly => !writes,
            Access::Denied => true,
        };
        if denied { Err(Refusal::forbidden("AccessDenied", format!("no permission on {bucket}"))) } else { Ok(()) }
    }

    /// Runs `work` on a bucket under the lock.
    pub(crate) fn with<R>(
        &self,
        bucket: &str,
        work: impl FnOnce(&mut Bucket) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        work(self.state().bucket(bucket, self.options)?)
    }

    /// The newest state of a key, or one version of it.
    pub(crate) fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Object, Refusal> {
        let missing = || Refusal::not_found("NoSuchKey", format!("no such object: {bucket}/{key}"));
        self.with(bucket, |bucket| match version {
            None | Some("null") => bucket.objects.get(key).cloned().ok_or_else(missing),
            Some(version) => bucket
                .versions
                .get(&(key.to_owned(), version.to_owned()))
                .cloned()
                .ok_or_else(|| Refusal::not_found("NoSuchVersion", format!("{key} {version}"))),
        })
    }

    /// Makes an object visible if `guard` agrees with the present state: both under one lock.
    pub(crate) fn publish(
        &self,
        bucket: &str,
        key: &str,
        draft: Draft,
        guard: impl FnOnce(Option<&ObjectInfo>) -> Result<(), Refusal>,
    ) -> Result<Object, Refusal> {
        let mut state = self.state();
        let present = state.bucket(bucket, self.options)?.objects.get(key);
        guard(present.map(|object| &*object.info))?;
        state.publish(bucket, key, draft, self.options)
    }

    /// Deletes a key if `guard` agrees; says whether it was there.
    pub(crate) fn delete(
        &self,
        bucket: &str,
        key: &str,
        guard: impl FnOnce(Option<&ObjectInfo>) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let mut state = self.state();
        let objects = &mut state.bucket(bucket, self.options)?.objects;
        guard(objects.get(key).map(|object| &*object.info))?;
        let was_there = objects.remove(key).is_some();
        if was_there {
            state.record(bucket, key, None);
        }
        Ok(was_there)
    }

    /// Every state that ever became visible, oldest first.
    pub(crate) fn log(&self) -> Vec<Publication> {
        self.state().log.clone()
    }

    pub(crate) fn options(&self) -> StoreOptions {
        self.options
    }
}

impl State {
    pub(crate) fn bucket(&mut self, bucket: &str, options: StoreOptions) -> Result<&mut Bucket, Refusal> {
        if options.create_buckets {
            return Ok(self.buckets.entry(bucket.to_owned()).or_default());
        }
        let missing = || Refusal::not_found("NoSuchBucket", format!("no such bucket: {bucket}"));
        self.buckets.get_mut(bucket).ok_or_else(missing)
    }

    /// A number larger than any before it, in microseconds since 1970 as GCS makes them.
    fn next_generation(&mut self) -> u64 {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        self.last_generation = now.max(self.last_generation + 1);
        self.last_generation
    }

    pub(crate) fn publish(
        &mut self,
        bucket: &str,
        key: &str,
        draft: Draft,
        options: StoreOptions,
    ) -> Result<Object, Refusal> {
        let generation = self.next_generation();
        let opaque = || BASE64_STANDARD.encode(generation.to_be_bytes());
        let info = Arc::new(ObjectInfo {
            key: key.to_owned(),
            generation,
            metageneration: 1,
            size: draft.digests.size,
            crc32c: draft.digests.crc32c,
            crc64nvme: draft.digests.crc64,
            md5: draft.digests.md5,
            etag: draft.etag.unwrap_or_else(opaque),
            attributes: draft.attributes,
            modified: Timestamp::now(),
            parts: draft.parts,
            part_size: draft.part_size,
            version_id: options.versioning.then(|| format!("v{generation:016x}")),
            checksum: draft.checksum,
        });
        let object = Object { info: Arc::clone(&info), data: draft.data };
        let kept = self.bucket(bucket, options)?;
        if let Some(version) = &info.version_id {
            kept.versions.insert((key.to_owned(), version.clone()), object.clone());
        }
        kept.objects.insert(key.to_owned(), object.clone());
        self.record(bucket, key, Some(info));
        Ok(object)
    }

    fn record(&mut self, bucket: &str, key: &str, object: Option<Arc<ObjectInfo>>) {
        self.log.push(Publication { bucket: bucket.to_owned(), key: key.to_owned(), object });
    }
}
