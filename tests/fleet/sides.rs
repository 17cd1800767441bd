//! Source and destination as an agent sees them.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use skyferry_core::digest::Digests;
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, Revision, UploadId};
use skyferry_core::plan::SinkLimits;
use skyferry_core::store::{
    Capabilities, Chunks, CompletedPart, ListFrom, Metadata, Object, OpenUpload, OpenedObject, Page, Payload, Pin,
    Result, Sink, Source, StoredPart, WriteAttributes, WriteResult,
};

use crate::clock::now;
use crate::faults::Op;
use crate::port::Port;
use crate::source::State;
use crate::store::{Bucket, Law};
use crate::world::World;

const CHUNK: usize = 64 << 10;

/// The state that a read is pinned to, or what became of it.
fn state(world: &World, key: &str, pin: &Pin) -> std::result::Result<Option<State>, ErrorKind> {
    let Some(entry) = world.origin.find(key) else { return Ok(None) };
    let by_version = |version: &str| {
        let found = entry.states.iter().find(|state| state.identity.version.as_deref() == Some(version));
        found.filter(|state| state.bytes.is_some()).cloned()
    };
    match pin {
        Pin::Newest => Ok(entry.newest().cloned()),
        Pin::Version(version) => Ok(by_version(version)),
        Pin::State { identity, by_version: true } if identity.version.is_some() => {
            Ok(identity.version.as_deref().and_then(by_version))
        }
        Pin::State { identity, .. } => match entry.newest() {
            None => Ok(None),
            Some(state) if state.identity.etag == identity.etag => Ok(Some(state.clone())),
            Some(_) => Err(ErrorKind::SourceChanged),
        },
    }
}

fn object(state: &State) -> Object {
    let metadata = Metadata { content_type: Some(state.content_type.clone()), ..Metadata::default() };
    Object {
        identity: state.identity.clone(),
        revision: Revision(state.identity.etag.clone()),
        metadata,
        stored: state.stored,
        provenance: None,
    }
}

#[async_trait]
impl Source for Port {
    async fn list(&self, _bucket: &str, _prefix: &Key, _from: ListFrom<'_>) -> Result<Page> {
        Ok(Page::default())
    }

    async fn head(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        let (key, pin, op) = (at.key.to_string(), pin.clone(), Op::HeadSource);
        let name = key.clone();
        let look = move |world: &mut World| state(world, &key, &pin);
        let found = self.call(op, &name, look).await.map_err(|trouble| trouble.at(op, at))?;
        let found = found.map_err(|kind| CopyError::new(Side::Source, kind, op.name(), at, "412"))?;
        Ok(found.as_ref().map(object))
    }

    async fn open(&self, at: &Location, pin: &Pin, range: Option<Range<u64>>) -> Result<Option<OpenedObject>> {
        let (key, pin, op) = (at.key.to_string(), pin.clone(), Op::GetSource);
        let name = key.clone();
        let open = move |world: &mut World| {
            let found = state(world, &key, &pin);
            let rates = world.faults.rates;
            (found, world.dice.chance(rates.broken), world.dice.chance(rates.trickle))
        };
        let (found, broken, trickle) = self.call(op, &name, open).await.map_err(|trouble| trouble.at(op, at))?;
        let found = found.map_err(|kind| CopyError::new(Side::Source, kind, op.name(), at, "412"))?;
        let Some(state) = found else { return Ok(None) };
        let whole = state.bytes.clone().unwrap_or_default();
        let bytes = match range {
            Some(range) => whole.slice(range.start as usize..range.end as usize),
            None => whole,
        };
        let length = bytes.len() as u64;
        let chunks = self.body(at.clone(), bytes, broken, trickle);
        Ok(Some(OpenedObject { object: object(&state), length, chunks }))
    }
}

impl Port {
    /// Chunk by chunk; it breaks off in the middle, or takes minutes.
    fn body(&self, at: Location, bytes: Bytes, broken: bool, trickle: bool) -> Chunks {
        let break_at = if broken { bytes.len() / 2 } else { usize::MAX };
        let port = self.clone();
        let start = (bytes, 0usize, false);
        Box::pin(futures_util::stream::unfold(start, move |(bytes, sent, over)| {
            let (port, at) = (port.clone(), at.clone());
            async move {
                if over || sent >= bytes.len() {
                    return None;
                }
                let pause = {
                    let mut world = port.world.lock();
                    if trickle { world.dice.millis(1_000, 100_000) } else { world.dice.millis(0, 20) }
                };
                tokio::time::sleep(pause).await;
                if sent >= break_at || (break_at != usize::MAX && sent + CHUNK >= bytes.len()) {
                    let error = CopyError::new(
                        Side::Source,
                        ErrorKind::Unavailable,
                        "GetObject",
                        &at,
                        "the body was interrupted",
                    );
                    return Some((Err(error), (bytes, sent, true)));
                }
                let end = (sent + CHUNK).min(bytes.len());
                port.world.lock().seen.read += (end - sent) as u64;
                let chunk = bytes.slice(sent..end);
                Some((Ok(chunk), (bytes, end, false)))
            }
        }))
    }

    async fn collect(&self, payload: Payload) -> Result<Bytes> {
        let bytes = match payload {
            Payload::Whole(bytes) => bytes,
            Payload::Stream { mut chunks, .. } => {
                let mut bytes = BytesMut::new();
                while let Some(chunk) = chunks.next().await {
                    bytes.extend_from_slice(&chunk?);
                }
                bytes.freeze()
            }
        };
        self.world.lock().seen.sent += bytes.len() as u64;
        Ok(bytes)
    }

    /// Carries out a request whose refusals have kinds of their own.
    async fn ask<T: Send + 'static>(
        &self,
        op: Op,
        at: &Location,
        effect: impl FnOnce(&mut World) -> std::result::Result<T, ErrorKind> + Send + 'static,
    ) -> Result<T> {
        let answer = self.call(op, &at.key.to_string(), effect).await.map_err(|trouble| trouble.at(op, at))?;
        answer.map_err(|kind| CopyError::new(Side::Destination, kind, op.name(), at, "the service's own word"))
    }
}

/// Bytes on their way into a destination that is not to be trusted.
fn spoil(world: &mut World, bytes: &Bytes) -> (Bytes, bool) {
    let rate = world.faults.rates.garbled;
    if bytes.is_empty() || !world.dice.chance(rate) {
        return (bytes.clone(), false);
    }
    let mut spoilt = bytes.to_vec();
    let at = world.dice.below(spoilt.len());
    spoilt[at] ^= 0x10;
    world.note(0, "garbled", "", "");
    *world.seen.faults.entry("destination garbled".into()).or_default() += 1;
    (spoilt.into(), true)
}

fn refuses(world: &World, key: &Key) -> bool {
    World::source_of(key).and_then(|name| world.origin.find(&name)).is_some_and(|entry| entry.poison)
}

fn disputed(world: &mut World, expected: &Expected) -> bool {
    let rate = world.faults.rates.conflict;
    world.bucket.law == Law::S3 && *expected != Expected::Any && world.dice.chance(rate)
}

#[async_trait]
impl Sink for Port {
    fn limits(&self) -> &SinkLimits {
        Bucket::limits()
    }

    fn capabilities(&self) -> Capabilities {
        self.world.lock().bucket.capabilities()
    }

    async fn list(&self, _bucket: &str, _prefix: &Key, _from: ListFrom<'_>) -> Result<Page> {
        Ok(Page::default())
    }

    async fn head(&self, at: &Location) -> Result<Option<Object>> {
        let key = at.key.clone();
        self.ask(Op::HeadObject, at, move |world| Ok(world.bucket.head(&key))).await
    }

    async fn open(&self, at: &Location) -> Result<Option<OpenedObject>> {
        let key = at.key.clone();
        let found = self.ask(Op::GetObject, at, move |world| {
            Ok(world.bucket.head(&key).zip(world.bucket.objects.get(&key).map(|copy| copy.bytes.clone())))
        });
        let Some((object, bytes)) = found.await? else { return Ok(None) };
        let length = bytes.len() as u64;
        Ok(Some(OpenedObject { object, length, chunks: self.body(at.clone(), bytes, false, false) }))
    }

    async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &WriteAttributes,
        expected: &Expected,
    ) -> Result<WriteResult> {
        let bytes = self.collect(payload).await?;
        let (key, with, expected) = (at.key.clone(), with.clone(), expected.clone());
        let put = move |world: &mut World| {
            if refuses(world, &key) {
                return Err(ErrorKind::CannotHold);
            }
            if disputed(world, &expected) {
                return Err(ErrorKind::Precondition);
            }
            let (bytes, garbled) = spoil(world, &bytes);
            let published = world.bucket.put(&key, bytes, &with, &expected, now())?;
            world.check_published(&key, garbled);
            Ok(published)
        };
        self.ask(Op::Put, at, put).await
    }

    async fn begin(&self, at: &Location, with: &WriteAttributes) -> Result<UploadId> {
        let (key, with) = (at.key.clone(), with.clone());
        let begin = move |world: &mut World| match refuses(world, &key) {
            true => Err(ErrorKind::CannotHold),
            false => Ok(world.bucket.begin(&key, Some(with), now())),
        };
        self.ask(Op::Initiate, at, begin).await
    }

    async fn part(&self, at: &Location, upload: &UploadId, number: u32, payload: Payload) -> Result<StoredPart> {
        let again = self.world.lock().ledger.has_part(self.agent, upload, number);
        if again {
            let text = format!("part {number} of {upload} at {at} is recorded, and was sent again");
            self.world.lock().broken(7, text);
        }
        let bytes = self.collect(payload).await?;
        let (key, id) = (at.key.clone(), upload.clone());
        let send = move |world: &mut World| {
            let (bytes, _) = spoil(world, &bytes);
            world.bucket.part(&key, &id, number, bytes)
        };
        self.ask(Op::UploadPart, at, send).await
    }

    async fn parts(&self, at: &Location, upload: &UploadId) -> Result<Option<Vec<StoredPart>>> {
        let id = upload.clone();
        self.ask(Op::ListParts, at, move |world| Ok(world.bucket.parts(&id, now()))).await
    }

    async fn finish(
        &self,
        at: &Location,
        upload: &UploadId,
        parts: &[CompletedPart],
        whole: &Digests,
        expected: &Expected,
    ) -> Result<WriteResult> {
        let (key, id, parts, whole, expected) =
            (at.key.clone(), upload.clone(), parts.to_vec(), *whole, expected.clone());
        let complete = move |world: &mut World| {
            if disputed(world, &expected) {
                return Err(ErrorKind::Precondition);
            }
            let published = world.bucket.complete(&key, &id, &parts, &whole, &expected, now())?;
            world.check_published(&key, false);
            Ok(published)
        };
        self.ask(Op::Complete, at, complete).await
    }

    async fn abort(&self, at: &Location, upload: &UploadId) -> Result<()> {
        let id = upload.clone();
        let abort = move |world: &mut World| {
            if world.bucket.uploads.get(&id).is_some_and(|upload| upload.with.is_none()) {
                world.broken(10, format!("{id} is somebody else's, and was aborted"));
            }
            let rate = world.faults.rates.lingering;
            let lingers = world.dice.chance(rate).then(|| now() + world.dice.millis(100, 3_000));
            world.bucket.abort(&id, lingers);
            Ok(())
        };
        self.ask(Op::Abort, at, abort).await
    }

    async fn uploads(&self, _bucket: &str, prefix: &Key) -> Result<Vec<OpenUpload>> {
        let (prefix, at) = (prefix.clone(), Location::new(crate::store::BUCKET, ""));
        self.ask(Op::ListUploads, &at, move |world| Ok(world.bucket.list_uploads(&prefix, now()))).await
    }

    async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        let (key, expected) = (at.key.clone(), expected.clone());
        let delete = move |world: &mut World| {
            world.bucket.delete(&key, &expected)?;
            world.seen.deleted += 1;
            Ok(())
        };
        self.ask(Op::DeleteObject, at, delete).await
    }
}
