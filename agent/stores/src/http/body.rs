//! A request's body: whole or streamed, of exactly the length that its header announces.
//!
//! hyper cuts a body that is longer than its Content-Length without a word, and turns an error of the source into a
//! broken upload. So the bytes are counted here, the source's own error is kept for `Transport::send`, and the last
//! chunk is held back until the source has ended: a source that finds its bytes wrong at the end (a checksum, a
//! length) can still refuse, and the far side, short of its last bytes, publishes nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{Call, Chunks};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::store::Payload;

/// A whole body goes out in slices of this size, so that progress can be seen.
const SLICE: usize = 256 * 1024;

/// How far a body has gone, seen from outside while hyper owns it.
pub(super) struct SendProgress {
    started: Instant,
    /// Microseconds after `started`.
    progress: AtomicU64,
    left: AtomicU64,
    waits_for_source: AtomicBool,
    failure: Mutex<Option<CopyError>>,
}

impl SendProgress {
    fn new(length: u64) -> Arc<Self> {
        Arc::new(SendProgress {
            started: Instant::now(),
            progress: AtomicU64::new(0),
            left: AtomicU64::new(length),
            waits_for_source: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }
    /// Every byte was handed to the connection: the far side may have it all.
    pub(super) fn is_complete(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
    pub(super) fn last_progress(&self) -> Instant {
        self.started + Duration::from_micros(self.progress.load(Ordering::Relaxed))
    }
    pub(super) fn waits_for_source(&self) -> bool {
        self.waits_for_source.load(Ordering::Relaxed)
    }
    pub(super) fn failure(&self) -> Option<CopyError> {
        self.failure.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
    fn advance(&self, bytes: usize) {
        self.left.fetch_sub(bytes as u64, Ordering::Release);
        self.progress.store(self.started.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
    fn fail(&self, error: CopyError) -> CopyError {
        *self.failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(error.clone());
        error
    }
}

enum From {
    Whole(Bytes),
    Stream { chunks: Chunks, held: Option<Bytes>, call: Call },
}

/// What hyper sends. Made once a request; it cannot be sent twice.
pub struct HttpBody {
    from: From,
    sending: Arc<SendProgress>,
}

impl HttpBody {
    /// No bytes.
    pub fn empty() -> Self {
        HttpBody::whole(Bytes::new())
    }

    /// Bytes that are there already.
    pub fn whole(bytes: Bytes) -> Self {
        let sending = SendProgress::new(bytes.len() as u64);
        HttpBody { from: From::Whole(bytes), sending }
    }

    /// Exactly `length` bytes of `chunks`; fewer or more fail the request before it is complete.
    pub fn stream(length: u64, chunks: Chunks, call: &Call) -> Self {
        if length == 0 {
            return HttpBody::empty();
        }
        HttpBody { from: From::Stream { chunks, held: None, call: call.clone() }, sending: SendProgress::new(length) }
    }

    /// What a copy sends; an error of its source is this request's.
    pub fn of(payload: Payload, call: &Call) -> Self {
        match payload {
            Payload::Whole(bytes) => HttpBody::whole(bytes),
            Payload::Stream { length, chunks, .. } => HttpBody::stream(length, chunks, call),
        }
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.sending.left.load(Ordering::Relaxed)
    }

    pub(super) fn sending(&self) -> Arc<SendProgress> {
        self.sending.clone()
    }
}

impl http_body::Body for HttpBody {
    type Data = Bytes;
    type Error = CopyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CopyError>>> {
        let HttpBody { from, sending } = &mut *self;
        let ready = match from {
            From::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            From::Whole(bytes) => Ok(bytes.split_to(bytes.len().min(SLICE))),
            From::Stream { .. } if sending.is_complete() => return Poll::Ready(None),
            From::Stream { chunks, held, call } => {
                match next(chunks, held, call, sending.left.load(Ordering::Relaxed), cx) {
                    Poll::Ready(ready) => ready,
                    Poll::Pending => {
                        sending.waits_for_source.store(true, Ordering::Relaxed);
                        return Poll::Pending;
                    }
                }
            }
        };
        sending.waits_for_source.store(false, Ordering::Relaxed);
        Poll::Ready(Some(match ready {
            Ok(bytes) => {
                sending.advance(bytes.len());
                Ok(Frame::data(bytes))
            }
            Err(error) => Err(sending.fail(error)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.sending.is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// The next chunk; the one that completes the length only once the source has ended.
fn next(
    chunks: &mut Chunks,
    held: &mut Option<Bytes>,
    call: &Call,
    left: u64,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, CopyError>> {
    loop {
        let arrived = match chunks.as_mut().poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(arrived) => arrived,
        };
        return Poll::Ready(match (arrived, held.take()) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(bytes)), last) if bytes.is_empty() => {
                *held = last;
                continue;
            }
            (Some(Ok(_)), Some(_)) => Err(call.error(ErrorKind::Corrupt, "the source sent more bytes than announced")),
            (Some(Ok(bytes)), None) if (bytes.len() as u64) < left => Ok(bytes),
            (Some(Ok(bytes)), None) if bytes.len() as u64 == left => {
                *held = Some(bytes);
                continue;
            }
            (Some(Ok(_)), None) => Err(call.error(ErrorKind::Corrupt, "the source sent more bytes than announced")),
            (None, Some(last)) => Ok(last),
            (None, None) => Err(call.error(ErrorKind::Corrupt, format!("the source ended {left} bytes too early"))),
        });
    }
}
