//! A running peer: where it listens, and its back door, by which tests arrange and assert without going through HTTP.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::io::DuplexStream;

use crate::{
    counters::Counts,
    faults::Faults,
    refusal::Refusal,
    server::{Dialect, PeerState, Server},
    store::{
        Access, Attributes, Draft, Object, ObjectInfo, Publication, Synthetic,
        data::{CHUNK, Data, Digests},
        uploads::UploadInfo,
    },
    tls::Authority,
};

/// What both peers have in common; they dereference to it. The peer ends when it is dropped.
#[derive(Debug)]
pub struct StorePeer {
    hall: Arc<PeerState>,
    server: Server,
}

/// What a connection in memory holds in each direction.
const PIPE: usize = 256 << 10;

fn io_error(refusal: Refusal) -> io::Error {
    io::Error::other(refusal)
}

impl StorePeer {
    pub(crate) fn start<D: Dialect>(dialect: D, hall: Arc<PeerState>, tls: bool) -> io::Result<Self> {
        let server = Server::start(Arc::new(dialect), Arc::clone(&hall), tls)?;
        Ok(StorePeer { hall, server })
    }

    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`, without a slash at the end. Path style only.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The address to put a [`crate::Proxy`] in front of.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Connections in memory: each call gives the client's end of a new one. Refused when the peer is gone.
    pub fn pipes(&self) -> impl Fn() -> io::Result<DuplexStream> + Send + Sync + 'static {
        let pipes = self.server.pipes();
        move || {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            let handed = pipes.send(theirs);
            handed.map(|()| ours).map_err(|_| io::ErrorKind::ConnectionRefused.into())
        }
    }

    /// The certificate authority to trust, if TLS is on.
    pub fn authority(&self) -> Option<&Authority> {
        self.server.authority()
    }

    /// Makes a bucket; one that is there stays as it is.
    pub fn create_bucket(&self, bucket: &str) {
        self.hall.store.create_bucket(bucket);
    }

    /// Lets a bucket refuse reads, writes or both with 403 from now on. Makes the bucket if need be.
    pub fn set_access(&self, bucket: &str, access: Access) {
        self.hall.store.set_access(bucket, access);
    }

    /// Scripted faults.
    pub fn faults(&self) -> &Faults {
        &self.hall.faults
    }

    /// Requests and bytes since the start.
    pub fn counts(&self) -> Counts {
        self.hall.counters.snapshot()
    }

    /// The visible objects of a bucket in key order; none if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<Arc<ObjectInfo>> {
        self.hall.store.visible(bucket)
    }

    /// The visible state of one key.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Arc<ObjectInfo>> {
        self.find(bucket, key).ok().map(|object| object.info)
    }

    /// An object's bytes, whole. Fails if it is not there or was discarded on arrival.
    pub fn read(&self, bucket: &str, key: &str) -> io::Result<Vec<u8>> {
        let data = self.find(bucket, key).map_err(io_error)?.data;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < data.len() {
            bytes.extend_from_slice(&data.read_at(bytes.len() as u64, CHUNK)?);
        }
        Ok(bytes)
    }

    /// Some of an object's bytes from `offset`: at least one and at most `most`, none at the end.
    pub fn read_at(&self, bucket: &str, key: &str, offset: u64, most: usize) -> io::Result<Bytes> {
        self.find(bucket, key).map_err(io_error)?.data.read_at(offset, most)
    }

    /// The open multipart uploads of a bucket, by key.
    pub fn open_uploads(&self, bucket: &str) -> Vec<UploadInfo> {
        self.hall.store.open_uploads(bucket)
    }

    /// Every state that was ever visible, oldest first, deletions too.
    pub fn publications(&self) -> Vec<Publication> {
        self.hall.store.log()
    }

    /// The states that were ever visible under one key; `None` for a deletion.
    pub fn history(&self, bucket: &str, key: &str) -> Vec<Option<Arc<ObjectInfo>>> {
        let log = self.publications().into_iter();
        log.filter(|entry| entry.bucket == bucket && entry.key == key).map(|entry| entry.object).collect()
    }

    /// Puts an object as a single PUT would, with its ETag an MD5; makes the bucket if need be.
    pub fn set_object(&self, bucket: &str, key: &str, bytes: impl AsRef<[u8]>) -> io::Result<Arc<ObjectInfo>> {
        self.set_object_with(bucket, key, bytes, standard())
    }

    /// The same with metadata, content headers and storage class.
    pub fn set_object_with(
        &self,
        bucket: &str,
        key: &str,
        bytes: impl AsRef<[u8]>,
        attributes: Attributes,
    ) -> io::Result<Arc<ObjectInfo>> {
        let (data, digests) = self.hall.store.keep(bytes.as_ref())?;
        let etag = digests.md5.map(hex::encode);
        self.set(bucket, key, data, digests, etag, attributes)
    }

    /// Puts an object of any size whose bytes are made up when they are read: the same for the same size and seed. Its
    /// CRCs are known; its ETag is that of a multipart upload, no MD5.
    pub fn put_synthetic(&self, bucket: &str, key: &str, size: u64, seed: u64) -> io::Result<Arc<ObjectInfo>> {
        let body = Synthetic::new(size, seed);
        let digests = body.digests();
        let etag = format!("{seed:016x}{size:016x}-{}", size.div_ceil(16 << 20).max(1));
        self.set(bucket, key, Data::Synthetic(Arc::new(body)), digests, Some(etag), standard())
    }

    /// Changes what is known of an object without publishing it again: backdate it, forget its checksum. Says whether it
    /// was there.
    pub fn amend(&self, bucket: &str, key: &str, change: impl FnOnce(&mut ObjectInfo)) -> bool {
        let amended = self.hall.store.with(bucket, |bucket| {
            Ok(bucket.objects.get_mut(key).map(|object| change(Arc::make_mut(&mut object.info))).is_some())
        });
        amended.unwrap_or(false)
    }

    /// Deletes an object; says whether it was there.
    pub fn remove_object(&self, bucket: &str, key: &str) -> bool {
        self.hall.store.delete(bucket, key, |_| Ok(())).unwrap_or(false)
    }

    /// Begins an upload that no client knows of, and gives its id.
    pub fn begin_upload(&self, bucket: &str, key: &str) -> io::Result<String> {
        self.hall.store.create_upload(bucket, key, standard(), None).map_err(io_error)
    }

    fn find(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        self.hall.store.object(bucket, key, None)
    }

    fn set(
        &self,
        bucket: &str,
        key: &str,
        data: Data,
        digests: Digests,
        etag: Option<String>,
        attributes: Attributes,
    ) -> io::Result<Arc<ObjectInfo>> {
        self.create_bucket(bucket);
        let shown = digests.crc64.filter(|_| self.hall.store.options().crc64);
        let checksum = shown.map(crate::store::crc64_checksum);
        let draft = Draft { data, digests, attributes, etag, parts: None, part_size: None, checksum };
        let object = self.hall.store.publish(bucket, key, draft, |_| Ok(())).map_err(io_error)?;
        Ok(object.info)
    }
}

fn standard() -> Attributes {
    Attributes { storage_class: "STANDARD".to_owned(), ..Attributes::default() }
}
