//! Bodies on the wire: a request's, counted, decoded if it is aws-chunked, and cut where a fault says so; a response's,
//! made from bytes at rest without holding them.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

use crate::{
    chunked::Chunked,
    counters::Counters,
    faults::BodyFaults,
    refusal::{Failure, Refusal},
    store::data::{CHUNK, Data},
};

/// A response's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The most bytes of an XML request: a Complete of 10,000 parts is about 1.5 MB.
const MOST_XML: usize = 4 << 20;

/// A request's body as the peer reads it.
pub(crate) struct RequestBody {
    incoming: Incoming,
    counters: Arc<Counters>,
    faults: BodyFaults,
    offset: u64,
    chunked: Option<Chunked>,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, counters: Arc<Counters>, faults: BodyFaults) -> Self {
        RequestBody { incoming, counters, faults, offset: 0, chunked: None }
    }

    /// From here on the body is aws-chunked.
    pub(crate) fn decode_chunks(&mut self) {
        self.chunked = Some(Chunked::default());
    }

    /// The trailers of an aws-chunked body that has ended.
    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.chunked.as_ref().and_then(|chunked| chunked.trailer(name))
    }

    /// The next bytes, `None` at the end. A client that goes away in the middle is [`Failure::Dropped`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(bytes) = self.wire().await? else {
                return match &self.chunked {
                    Some(chunked) if !chunked.ended() => {
                        Err(Refusal::bad("IncompleteBody", "an aws-chunked body without its end").into())
                    }
                    _ => Ok(None),
                };
            };
            let bytes = match &mut self.chunked {
                Some(chunked) => chunked.decode(&bytes)?,
                None => bytes,
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    async fn wire(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = match self.incoming.frame().await {
                None if self.faults.cut.is_some_and(|at| at < self.offset) => {
                    return Err(Failure::Dropped);
                }
                None => return Ok(None),
                Some(frame) => frame.map_err(|_| Failure::Dropped)?,
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            let length = bytes.len() as u64;
            self.counters.bytes_received.fetch_add(length, Relaxed);
            let bytes = self.faults.apply(self.offset, bytes).await.ok_or(Failure::Dropped)?;
            self.offset += length;
            return Ok(Some(bytes));
        }
    }

    /// The whole of a small body.
    pub(crate) async fn text(&mut self) -> Result<String, Failure> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
            if all.len() > MOST_XML {
                return Err(Refusal::bad("EntityTooLarge", "more XML than any request needs").into());
            }
        }
        Ok(String::from_utf8(all).map_err(|_| Refusal::bad("MalformedXML", "not UTF-8"))?)
    }
}

/// A response's bytes: a range of something at rest.
pub(crate) struct Outgoing {
    pub(crate) data: Data,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) faults: BodyFaults,
    pub(crate) counters: Arc<Counters>,
}

impl Outgoing {
    pub(crate) fn into_body(self) -> Body {
        let frames = stream::unfold(Some((self, 0)), |state| async {
            let (mut outgoing, sent) = state?;
            match outgoing.next(sent).await {
                Ok(None) => None,
                Ok(Some(bytes)) => {
                    let sent = sent + bytes.len() as u64;
                    Some((Ok(Frame::data(bytes)), Some((outgoing, sent))))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    async fn next(&mut self, sent: u64) -> io::Result<Option<Bytes>> {
        let at = self.start + sent;
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let bytes = self.data.read_at(at, self.faults.piece(CHUNK).min(left))?;
        let Some(bytes) = self.faults.apply(sent, bytes).await else {
            // Lets the connection flush, so that exactly the bytes before the cut arrive.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(io::Error::other("the response is cut by a fault"));
        };
        self.counters.bytes_sent.fetch_add(bytes.len() as u64, Relaxed);
        Ok(Some(bytes))
    }
}
