//! Sees that bytes still move, at the cost of one timer a request: a timer that fires looks when the last byte
//! moved and, if that was lately, sleeps on. Nothing is reset per chunk.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::Uri;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::SendProgress;
use super::{Call, cause, host};
use skyferry_core::error::{CopyError, ErrorKind};

/// Ends when a request has made no progress for `stall`. Waiting for the body's source is not this side's stall:
/// the source has its own watch.
pub(super) async fn watch(sending: &SendProgress, stall: Duration) {
    let mut deadline = Instant::now() + stall;
    loop {
        sleep_until(deadline).await;
        let since = if sending.waits_for_source() { Instant::now() } else { sending.last_progress() };
        deadline = since + stall;
        if deadline <= Instant::now() {
            return;
        }
    }
}

/// An answer's body with its length checked and its stalls seen.
pub(super) struct IncomingBody {
    /// What comes from the service.
    pub body: Incoming,
    /// Whose errors these are.
    pub call: Call,
    /// Shown in errors.
    pub uri: Uri,
    /// No byte for so long is an error.
    pub stall: Duration,
    /// Bytes still to come, where the length is known.
    pub left: Option<u64>,
    /// Since when the consumer waits.
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl IncomingBody {
    /// `left`: bytes that are to come, where that is known.
    pub fn new(body: Incoming, call: Call, uri: Uri, stall: Duration, left: Option<u64>) -> Self {
        IncomingBody { body, call, uri, stall, left, waiting: None, timer: None, ended: false }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<CopyError> {
        let deadline = *self.waiting.get_or_insert_with(Instant::now) + self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                let words = format!("{}: no byte of the answer for {} s", host(&self.uri), self.stall.as_secs());
                return Poll::Ready(self.call.error(ErrorKind::Stalled, words));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn take(&mut self, bytes: Bytes) -> Result<Bytes, CopyError> {
        if let Some(left) = &mut self.left {
            match left.checked_sub(bytes.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(self.call.error(ErrorKind::Corrupt, "the body is longer than announced")),
            }
        }
        Ok(bytes)
    }
}

impl Stream for IncomingBody {
    type Item = Result<Bytes, CopyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let item = loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending => match this.poll_stalled(cx) {
                    Poll::Ready(error) => break Some(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => break Some(this.take(bytes)),
                    _ => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    let words = format!("{}: the body was interrupted: {}", host(&this.uri), cause(&error));
                    break Some(Err(this.call.error(ErrorKind::Unavailable, words)));
                }
                Poll::Ready(None) => match this.left {
                    Some(left) if left > 0 => {
                        let words = format!("{}: the body ended {left} bytes early", host(&this.uri));
                        break Some(Err(this.call.error(ErrorKind::Unavailable, words)));
                    }
                    _ => break None,
                },
            }
        };
        this.waiting = None;
        this.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}
