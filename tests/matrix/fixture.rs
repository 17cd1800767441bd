//! One cell's world: a strict peer in memory with both buckets, the real stores, and the job engine as an agent wires it.

use std::ops::Deref;
use std::sync::{Arc, LazyLock, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fixture::PeerKeys;
use sandbox::{GcsPeer, S3Peer, StorePeer};
use skyferry_agent::drain::{Drain, DrainReport, DrainUntil, JobRunner as Job};
use skyferry_agent::fuse::Fuse;
use skyferry_agent::janitor::Janitor;
use skyferry_agent::job::{self, JobContext, KeyLocks as Locks};
use skyferry_agent::limits::Limiter;
use skyferry_agent::pause::PauseWatch;
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_core::digest::{DigestSelection, Digests};
use skyferry_core::error::Side;
use skyferry_core::ledger::{Ledger, Leftover, PartRecord, Subject, UploadRecord, WriterEnd};
use skyferry_core::metrics::{Metrics, Outcome};
use skyferry_core::model::{Key, Location, Token, Writer};
use skyferry_core::plan::PartSettings;
use skyferry_core::route::{IgnoreList, LiveRoutes, Route, Router};
use skyferry_core::store::{Metadata, Payload, Pin, Provenance, Sink, Source, WriteAttributes};
use skyferry_providers::Cached;
use skyferry_stores::gcs::{Gcs, GcsOptions};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};
use tokio::task::JoinHandle;

use crate::ledger::MemoryLedger;
use crate::queue::MemoryQueue;

pub const FROM: &str = "from";
pub const TO: &str = "to";
const PART: usize = 5 << 20;

/// Small ones by version, and one in two parts.
pub static LARGE: LazyLock<Bytes> = LazyLock::new(|| {
    let bytes = (0..PART as u32 + 999).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    bytes.collect::<Vec<u8>>().into()
});

/// A service and its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Aws,
    Generic,
    Gcs,
}

enum Peer {
    S3(S3Peer),
    Gcs(GcsPeer),
}

impl Deref for Peer {
    type Target = StorePeer;
    fn deref(&self) -> &StorePeer {
        match self {
            Peer::S3(peer) => peer,
            Peer::Gcs(peer) => peer,
        }
    }
}

pub struct Fixture {
    peer: Arc<Peer>,
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub queue: Arc<MemoryQueue>,
    pub ledger: Arc<MemoryLedger>,
    running: Option<(JoinHandle<DrainReport>, Shutdown)>,
}

impl Fixture {
    /// Two buckets of one service.
    pub fn new(service: Service) -> Fixture {
        let buckets = vec![FROM.to_owned(), TO.to_owned()];
        let peer = match service {
            Service::Gcs => {
                Peer::Gcs(GcsPeer::start(sandbox::GcsOptions { buckets, ..Default::default() }).expect("started"))
            }
            _ => Peer::S3(S3Peer::start(sandbox::S3Options { buckets, ..Default::default() }).expect("started")),
        };
        let pipes = peer.pipes();
        let options = TransportOptions { allow_http: true, ..TransportOptions::default() };
        let transport = Transport::in_memory(Arc::new(move |_| pipes()), &options);
        let endpoint = Some(peer.endpoint());
        let s3 = |side, profile| {
            let profile = S3Profile::named(profile).expect("a profile");
            let options = S3Options { profile, endpoint: endpoint.clone(), ..S3Options::default() };
            let keys = Arc::new(Cached::new(PeerKeys::new(S3Peer::ACCESS_ID, S3Peer::SECRET)));
            S3::new(options, keys, side, transport.clone()).expect("a client")
        };
        let gcs = |side| {
            let keys = Arc::new(Cached::new(PeerKeys::new(GcsPeer::ACCESS_ID, GcsPeer::SECRET)));
            Gcs::new(&GcsOptions { endpoint: endpoint.clone() }, keys, side, transport.clone()).expect("a client")
        };
        let (source, sink): (Arc<dyn Source>, Arc<dyn Sink>) = match service {
            Service::Aws => (Arc::new(s3(Side::Source, "aws")), Arc::new(s3(Side::Destination, "aws"))),
            Service::Generic => (Arc::new(s3(Side::Source, "generic")), Arc::new(s3(Side::Destination, "generic"))),
            Service::Gcs => (Arc::new(gcs(Side::Source)), Arc::new(gcs(Side::Destination))),
        };
        Fixture { peer: Arc::new(peer), source, sink, queue: Arc::default(), ledger: Arc::default(), running: None }
    }

    pub fn peer(&self) -> &StorePeer {
        &self.peer
    }

    /// From now on every recorded outcome is compared with what is there.
    pub fn judge(&self) {
        let peer = self.peer.clone();
        let judge = move |source: &Location, outcome: Outcome| {
            let key = source.key.as_str().unwrap_or_default();
            let (from, to) = (peer.object(FROM, key), peer.object(TO, key));
            let equal =
                from.as_ref().zip(to).is_some_and(|(from, to)| (from.size, from.crc32c) == (to.size, to.crc32c));
            let right = match outcome {
                Outcome::Copied | Outcome::Unchanged => equal,
                Outcome::Deleted | Outcome::Gone => from.is_none(),
                Outcome::Skipped | Outcome::Parked => true,
            };
            (!right).then(|| format!("{key} recorded as {outcome}, which it is not"))
        };
        *self.ledger.judge.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(judge));
    }

    /// Starts the agent.
    pub fn start(&mut self, tags: bool) {
        let shutdown = Shutdown::default();
        let context = Arc::new(self.context(tags));
        let shared = context.clone();
        let job: Job = Arc::new(move |message, lease, cancelled, stop| {
            let context = shared.clone();
            Box::pin(async move { job::run(&context, message, lease, cancelled, stop).await })
        });
        let JobContext { queue, limiter, breaker, metrics, .. } = &*context;
        let drain =
            Drain::new(queue.clone(), limiter.clone(), breaker.clone(), PauseWatch::default(), metrics.clone(), job);
        self.running = Some((tokio::spawn(drain.run(DrainUntil::Stopped, shutdown.clone())), shutdown));
    }

    pub async fn stop(&mut self) {
        if let Some((running, shutdown)) = self.running.take() {
            shutdown.request(ShutdownReason::Terminate);
            let drained = running.await.expect("no panic in the loop");
            assert_eq!(drained.panicked, 0, "a job panicked");
        }
    }

    fn context(&self, tags: bool) -> JobContext {
        let metrics = Arc::new(Metrics::default());
        JobContext {
            source: self.source.clone(),
            sink: self.sink.clone(),
            queue: self.queue.clone(),
            ledger: self.ledger.clone(),
            routes: LiveRoutes::new(router()),
            cut: PartSettings { multipart_threshold: PART as u64, part_size: PART as u64 },
            deletes: true,
            metadata: true,
            md5: false,
            tags,
            exact: false,
            restore: false,
            hold: Duration::from_secs(60),
            limiter: Arc::new(Limiter::new(64 << 20, 0)),
            breaker: Arc::default(),
            fuse: Arc::new(Fuse::new(1.0, None)),
            metrics,
            keys: Locks::default(),
            unsendable: Once::new(),
        }
    }

    pub fn janitor(&self) -> Janitor {
        Janitor {
            sink: self.sink.clone(),
            ledger: self.ledger.clone(),
            routes: LiveRoutes::new(router()),
            dry: false,
            tell: None,
        }
    }

    pub fn set(&self, key: &str, bytes: &[u8]) {
        self.peer.set_object(FROM, key, bytes).expect("kept");
    }

    /// Tells the agent that a key has changed; `received`: how often it was reported before.
    pub fn tell(&self, key: &str, received: u32) {
        let size = self.peer.object(FROM, key).map(|object| object.size);
        let (event, size) = match size {
            Some(size) => ("ObjectCreated:Put", format!(r#","size":{size}"#)),
            None => ("ObjectRemoved:Delete", String::new()),
        };
        let body = format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"{event}",
            "s3":{{"bucket":{{"name":"{FROM}"}},"object":{{"key":"{key}"{size}}}}}}}]}}"#
        );
        self.queue.put(&body, received, Duration::ZERO);
    }

    /// Until the queue is empty, or for so long.
    pub async fn ended(&self, limit: Duration) -> bool {
        let end = tokio::time::Instant::now() + limit;
        while self.queue.left("") > 0 {
            if tokio::time::Instant::now() > end {
                return false;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        true
    }

    /// An upload of the source's state with its first part, left open by a writer that stopped. `stale`: begun when the
    /// source had another state.
    pub async fn leave_upload(&self, key: &str, stale: bool) {
        let subject = subject(key);
        let object = self.source.head(&subject.source, &Pin::Newest).await.expect("an answer").expect("an object");
        let mut identity = object.identity;
        if stale {
            identity.etag = "11112222333344445555666677778888".into();
        }
        let (token, first) = (Token::random(), LARGE.slice(..PART));
        let provenance = Provenance {
            source: subject.source.clone(),
            identity: identity.clone(),
            token,
            crc32c: None,
            headers: None,
        };
        let with = WriteAttributes {
            metadata: Metadata::default(),
            provenance,
            size: identity.size,
            options: Default::default(),
        };
        let id = self.sink.begin(&subject.destination, &with).await.expect("begun");
        let digests = Digests::of(
            &first,
            DigestSelection::for_source(&object.stored, false)
                .union(DigestSelection { md5: true, ..DigestSelection::default() }),
        );
        let part = self.sink.part(&subject.destination, &id, 1, Payload::Whole(first)).await.expect("stored");
        let parts = vec![PartRecord { number: 1, etag: part.etag, digests }];
        let record = UploadRecord { id, token, identity, headers: None, part_size: PART as u64, parts };
        let writer = Writer::random();
        self.ledger.begin(&subject, writer).await.expect("begun");
        self.ledger.checkpoint(&subject, writer, Some(&record)).await.expect("recorded");
        let released = WriterEnd::Released { counted: false };
        self.ledger.finish(&subject, writer, &released, Leftover::Upload, &[]).await.expect("released");
    }
}

pub fn subject(key: &str) -> Subject {
    Subject { source: Location::new(FROM, key), destination: Location::new(TO, key), primary: true }
}

fn router() -> Router {
    let route = Route {
        source_bucket: Some(FROM.into()),
        source_prefix: Key::default(),
        bucket: TO.into(),
        prefix: Key::default(),
        strip_prefix: false,
        options: Default::default(),
    };
    Router::new(vec![route], IgnoreList::default()).expect("one route")
}
