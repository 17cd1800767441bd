//! A local directory as a bucket: the near end of `copy ./dir s3://…`, and the far end of the way back.
//!
//! - Keys are paths below the root, one to one (`names`). A file where a folder must be (`a` and `a/b`) cannot be held,
//!   and the error says so. Folders appear with their files and go when the last of these is deleted.
//! - The bucket is only a word: one `Directory` is one bucket, and any other name is refused, so that two routes
//!   cannot meet in one tree unseen.
//! - Links are not followed: a listing leaves them out with a warning, a read finds nothing there, a write replaces the
//!   link or is refused, and never goes through it. The root itself may be a link.
//! - A file's ETag and revision are its inode, time of change and size. A read that meets a change ends in
//!   `SourceChanged` before its last chunk. That a program writes *while keeping all three* cannot be seen.
//! - Writes are synced before they answer. What is ours lies in `.skyferry` in the root, on the same file system; headers and
//!   metadata may be kept elsewhere, and then nothing is left of it when a sink is closed.

mod names;
mod parts;
mod read;
mod root;
mod sidecar;
mod walk;
mod write;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use self::root::{DirectoryRoot, DiskResult};
use self::walk::DirectoryWalk;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, UploadId};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::*;

/// How much is read or written in one go by a thread that may block.
const CHUNK: usize = 256 << 10;
/// Rows of one page of a listing.
const PAGE: usize = 1000;
/// Listings that are kept between two pages: without its walk a page begins again at the root.
const WALKS: usize = 8;

/// Which directory, and how its keys' bucket is called.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// The directory that all keys lie under.
    pub root: PathBuf,
    /// The word that locations, ledger and logs call it by.
    pub bucket: Arc<str>,
    /// Make the root if it is not there: for a sink.
    pub create: bool,
    /// Where headers, metadata and locks are kept instead of in the root's `.skyferry`.
    pub metadata: Option<PathBuf>,
}

/// A directory as `Source` and as `Sink`.
///
/// ```
/// use skyferry_core::{model::{Key, Location}, store::{ListFrom, Source}};
/// use skyferry_stores::directory::{Directory, DirectoryOptions};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("a.jpg"), "bytes")?;
/// let options = DirectoryOptions {
///     root: folder.path().into(),
///     bucket: "photos".into(),
///     create: false,
///     metadata: None,
/// };
/// let directory = Directory::open(options)?;
/// let page = Source::list(&directory, "photos", &Key::default(), ListFrom::Start).await?;
/// assert_eq!((page.objects.len(), page.objects[0].size), (1, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Directory {
    place: DirectoryRoot,
    bucket: Arc<str>,
    uploads: parts::UploadTable,
    walks: Mutex<Vec<Resting>>,
}

/// A listing between two pages.
struct Resting {
    prefix: Key,
    token: String,
    walk: DirectoryWalk,
}

/// What an error names.
#[derive(Clone)]
struct Call {
    side: Side,
    operation: &'static str,
    at: Location,
}

impl Call {
    fn error(&self, kind: ErrorKind, why: impl Into<String>) -> CopyError {
        CopyError::new(self.side, kind, self.operation, &self.at, why)
    }
}

/// Runs what may block where blocking is allowed. It runs to its end even if the caller goes away.
async fn blocking<T: Send + 'static>(call: &Call, work: impl FnOnce() -> DiskResult<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|trouble| trouble.at(call.side, call.operation, &call.at)),
        Err(ended) => Err(call.error(ErrorKind::Local, ended.to_string())),
    }
}

/// What is empty goes: an upload that is open, or a file that is being written, stays.
impl Drop for Directory {
    fn drop(&mut self) {
        if self.place.metadata.is_some() {
            self.place.tidy();
        }
    }
}

impl Directory {
    /// Makes the root if asked to, and removes what dead processes left in it. Blocks for a moment.
    pub fn open(options: DirectoryOptions) -> Result<Directory> {
        let place = DirectoryRoot { root: options.root, metadata: options.metadata };
        if options.create {
            let at = Location::new(options.bucket.clone(), "");
            std::fs::create_dir_all(place.root())
                .map_err(|error| root::DiskError::from(error).at(Side::Destination, "mkdir", &at))?;
            write::sweep(&place);
            if place.own_path("").exists() {
                parts::sweep(&place);
            }
        }
        Ok(Directory { place, bucket: options.bucket, uploads: parts::UploadTable::default(), walks: Mutex::default() })
    }

    fn call(&self, side: Side, operation: &'static str, at: &Location) -> Result<Call> {
        let call = Call { side, operation, at: at.clone() };
        if at.bucket == self.bucket {
            return Ok(call);
        }
        Err(call.error(ErrorKind::BucketMissing, format!("this directory is called `{}`", self.bucket)))
    }

    async fn page(&self, side: Side, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        let call = self.call(side, "list", &Location::new(bucket, prefix.clone()))?;
        let (resting, after) = match from {
            ListFrom::Start => (None, None),
            ListFrom::After(key) => (None, Some(key.clone())),
            ListFrom::Token(token) => {
                let key = hex::decode(token).map_err(|_| call.error(ErrorKind::Refused, "not a token of ours"))?;
                (self.take_walk(prefix, token), Some(Key::new(key)))
            }
        };
        let (place, wanted) = (self.place.clone(), prefix.clone());
        let listed = blocking(&call, move || {
            let mut walk = match resting {
                Some(walk) => walk,
                None => DirectoryWalk::new(&place, &wanted, after.as_ref())?,
            };
            let mut objects = Vec::new();
            while objects.len() < PAGE {
                match walk.next() {
                    Ok(Some(listed)) => objects.push(listed),
                    Ok(None) => return Ok((objects, None)),
                    Err(trouble) if objects.is_empty() => return Err(trouble),
                    // What was found before it comes first.
                    Err(trouble) => {
                        walk.ends_with(trouble);
                        return Ok((objects, Some(walk)));
                    }
                }
            }
            Ok((objects, Some(walk)))
        });
        let (objects, walk) = listed.await?;
        let next = walk.and_then(|walk| {
            let token = hex::encode(objects.last()?.key.as_bytes());
            self.keep_walk(Resting { prefix: prefix.clone(), token: token.clone(), walk });
            Some(token)
        });
        Ok(Page { objects, next })
    }

    fn take_walk(&self, prefix: &Key, token: &str) -> Option<DirectoryWalk> {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        let found = walks.iter().position(|resting| resting.prefix == *prefix && resting.token == token)?;
        Some(walks.remove(found).walk)
    }

    fn keep_walk(&self, resting: Resting) {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        if walks.len() == WALKS {
            walks.remove(0);
        }
        walks.push(resting);
    }

    async fn head_file(&self, call: Call, pin: Pin, settled: bool) -> Result<Option<Object>> {
        let (place, key) = (self.place.clone(), call.at.key.clone());
        blocking(&call, move || {
            let found = if settled { read::find_settled(&place, &key) } else { read::find(&place, &key) };
            let Some((_, state)) = found? else { return Ok(None) };
            read::check_pin(&state, &pin)?;
            Ok(Some(sidecar::object(&place, &state)))
        })
        .await
    }
}

#[async_trait]
impl Source for Directory {
    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.page(Side::Source, bucket, prefix, from).await
    }

    async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        self.head_file(self.call(Side::Source, "stat", at)?, pin.clone(), true).await
    }

    async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<OpenedObject>> {
        read::open(&self.place, self.call(Side::Source, "read", at)?, pin.clone(), range, true).await
    }
}

#[async_trait]
impl Sink for Directory {
    fn limits(&self) -> &SinkLimits {
        &SinkLimits::DIRECTORY
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_put: true,
            conditional_finish: true,
            conditional_delete: true,
            checksums: true,
            metadata: true,
        }
    }

    async fn list(&self, bucket: &str, prefix: &Key, from: ListFrom<'_>) -> Result<Page> {
        self.page(Side::Destination, bucket, prefix, from).await
    }

    async fn head(&self, at: &Location) -> Result<Option<Object>> {
        self.head_file(self.call(Side::Destination, "stat", at)?, Pin::Newest, false).await
    }

    async fn open(&self, at: &Location) -> Result<Option<OpenedObject>> {
        read::open(&self.place, self.call(Side::Destination, "read", at)?, Pin::Newest, None, false).await
    }

    async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &WriteAttributes,
        expected: &Expected,
    ) -> Result<WriteResult> {
        write::put(&self.place, &self.call(Side::Destination, "write", at)?, payload, with, expected).await
    }

    async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId> {
        parts::begin(&self.place, &self.call(Side::Destination, "begin", at)?, with).await
    }

    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<StoredPart> {
        let call = self.call(Side::Destination, "write part", at)?;
        parts::part(&self.place, &self.uploads, &call, upload, number, payload).await
    }

    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
        parts::parts(&self.place, &self.call(Side::Destination, "list parts", at)?, upload).await
    }

    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[CompletedPart],
        whole: &skyferry_core::digest::Digests,
        expected: &Expected,
    ) -> Result<WriteResult> {
        let call = self.call(Side::Destination, "finish", at)?;
        parts::finish(&self.place, &self.uploads, &call, upload, (parts, whole), expected).await
    }

    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        parts::abort(&self.place, &self.uploads, &self.call(Side::Destination, "abort", at)?, upload).await
    }

    async fn uploads(&self, bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        let at = Location::new(bucket, prefix.clone());
        parts::uploads(&self.place, &self.call(Side::Destination, "list uploads", &at)?).await
    }

    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        let call = self.call(Side::Destination, "delete", at)?;
        let (place, key, expected) = (self.place.clone(), at.key.clone(), expected.clone());
        blocking(&call, move || write::delete(&place, &key, &expected)).await
    }
}

#[cfg(test)]
mod tests;
