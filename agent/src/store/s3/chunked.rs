//! `aws-chunked`: a streamed body whose CRC32C comes behind it, so that the service refuses a wrong one before it is
//! published, and nothing had to be read twice. One chunk of the whole length: the service streams it all the same.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};

use super::super::{Chunks, Result};

const TRAILER: &str = "x-amz-checksum-crc32c";

/// Headers that announce it; a content encoding of the object's own stays behind it.
pub(super) fn describe(headers: &mut HeaderMap, length: u64) {
    let encoding = match headers.get(CONTENT_ENCODING).and_then(|own| own.to_str().ok()) {
        Some(own) => HeaderValue::from_str(&format!("aws-chunked,{own}")).ok(),
        None => None,
    };
    headers.insert(CONTENT_ENCODING, encoding.unwrap_or(HeaderValue::from_static("aws-chunked")));
    headers.insert(HeaderName::from_static("x-amz-decoded-content-length"), length.into());
    headers.insert(HeaderName::from_static("x-amz-trailer"), HeaderValue::from_static(TRAILER));
    headers.insert(HeaderName::from_static("x-amz-sdk-checksum-algorithm"), HeaderValue::from_static("CRC32C"));
}

/// Bytes of the framed body.
pub(super) fn length(of: u64) -> u64 {
    (head(of).len() + tail(0).len()) as u64 + of
}

fn head(length: u64) -> String {
    format!("{length:X}\r\n")
}

fn tail(crc32c: u32) -> String {
    format!("\r\n0\r\n{TRAILER}:{}\r\n\r\n", STANDARD.encode(crc32c.to_be_bytes()))
}

/// The framed body. A source of another length makes it one of another length, which the transport refuses.
pub(super) fn frame(length: u64, chunks: Chunks) -> Chunks {
    Box::pin(Framed { chunks, crc32c: 0, state: State::Head(length) })
}

enum State {
    Head(u64),
    Bytes,
    End,
}

struct Framed {
    chunks: Chunks,
    crc32c: u32,
    state: State,
}

impl Stream for Framed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        Poll::Ready(match this.state {
            State::Head(length) => {
                this.state = State::Bytes;
                Some(Ok(Bytes::from(head(length))))
            }
            State::Bytes => match this.chunks.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(chunk)) => {
                    if let Ok(bytes) = &chunk {
                        this.crc32c = crc32c::crc32c_append(this.crc32c, bytes);
                    }
                    Some(chunk)
                }
                Poll::Ready(None) => {
                    this.state = State::End;
                    Some(Ok(Bytes::from(tail(this.crc32c))))
                }
            },
            State::End => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, TryStreamExt, stream};

    #[tokio::test]
    async fn the_checksum_follows_the_bytes_and_the_length_is_known_before() {
        let chunks: Chunks = stream::iter(["12345", "6789"].map(|part| Ok(Bytes::from(part)))).boxed();
        let framed: Vec<Bytes> = frame(9, chunks).try_collect().await.unwrap();
        let framed = framed.concat();
        let expected = "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n";
        assert_eq!(String::from_utf8(framed.clone()).unwrap(), expected);
        assert_eq!(framed.len() as u64, length(9));
    }

    #[test]
    fn the_object_s_own_encoding_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        describe(&mut headers, 5);
        assert_eq!(headers[CONTENT_ENCODING], "aws-chunked,gzip");
        assert_eq!(headers["x-amz-decoded-content-length"], "5");
    }
}
