//! `aws-chunked`: a streamed body whose CRC32C comes behind it, so that the service refuses a wrong one before it is
//! published, and nothing had to be read twice. In chunks as large as any service takes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};

use skyferry_core::digest::base64_crc32;
use skyferry_core::store::{Chunks, Crc32cSoFar, Result};

/// MinIO refuses a chunk of more than 16 MiB.
const CHUNK: u64 = 8 << 20;
/// Of a chunk.
const END: &str = "\r\n";
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
    let (full, rest) = (of / CHUNK, of % CHUNK);
    let framed = |chunk: u64| head(chunk).len() as u64 + chunk + END.len() as u64;
    full * framed(CHUNK) + if rest > 0 { framed(rest) } else { 0 } + tail(0).len() as u64
}

fn head(chunk: u64) -> String {
    format!("{chunk:X}\r\n")
}

fn tail(crc32c: u32) -> String {
    format!("0\r\n{TRAILER}:{}\r\n\r\n", base64_crc32(crc32c))
}

/// The framed body. A source of another length makes it one of another length, which the transport refuses. `known`: the
/// CRC32C is computed by somebody else, before the bytes come here.
pub(super) fn frame(length: u64, chunks: Chunks, known: Option<Crc32cSoFar>) -> Chunks {
    Box::pin(Framed {
        chunks,
        known,
        crc32c: 0,
        left: length,
        in_chunk: 0,
        held: Bytes::new(),
        begun: false,
        ended: false,
    })
}

struct Framed {
    chunks: Chunks,
    known: Option<Crc32cSoFar>,
    crc32c: u32,
    /// Bytes of chunks that have not begun.
    left: u64,
    /// Bytes still to come in the chunk that has begun.
    in_chunk: u64,
    /// Bytes of the source that have not gone.
    held: Bytes,
    begun: bool,
    ended: bool,
}

impl Framed {
    /// The head of the next chunk, and the end of the one before it.
    fn next_head(&mut self, first: bool) -> Bytes {
        self.in_chunk = self.left.min(CHUNK);
        self.left -= self.in_chunk;
        let end = if first { "" } else { END };
        Bytes::from(format!("{end}{}", head(self.in_chunk)))
    }
}

impl Stream for Framed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        while this.held.is_empty() {
            match this.chunks.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(bytes))) => this.held = bytes,
                Poll::Ready(None) => {
                    this.ended = true;
                    let crc32c = this.known.as_ref().map_or(this.crc32c, |known| known());
                    return Poll::Ready(Some(Ok(Bytes::from(format!("{END}{}", tail(crc32c))))));
                }
            }
        }
        if this.in_chunk == 0 && this.left > 0 {
            let first = !std::mem::replace(&mut this.begun, true);
            return Poll::Ready(Some(Ok(this.next_head(first))));
        }
        // More than was announced goes as it is: the transport counts it, and refuses.
        let most = if this.in_chunk == 0 { this.held.len() as u64 } else { this.in_chunk };
        let bytes = this.held.split_to(this.held.len().min(most as usize));
        this.in_chunk = this.in_chunk.saturating_sub(bytes.len() as u64);
        if this.known.is_none() {
            this.crc32c = crc32c::crc32c_append(this.crc32c, &bytes);
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, TryStreamExt, stream};

    #[tokio::test]
    async fn the_checksum_follows_the_bytes_and_the_length_is_known_before() {
        let chunks: Chunks = stream::iter(["12345", "6789"].map(|part| Ok(Bytes::from(part)))).boxed();
        let framed: Vec<Bytes> = frame(9, chunks, None).try_collect().await.unwrap();
        let framed = framed.concat();
        let expected = "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n";
        assert_eq!(String::from_utf8(framed.clone()).unwrap(), expected);
        assert_eq!(framed.len() as u64, length(9));
    }

    #[tokio::test]
    async fn fault_a27_no_chunk_is_longer_than_8_mib() {
        for size in [CHUNK - 1, CHUNK, CHUNK + 1, 40 << 20] {
            let whole = Bytes::from(vec![7; size as usize]);
            let pieces: Vec<Result<Bytes>> = whole.chunks(3 << 20).map(|piece| Ok(whole.slice_ref(piece))).collect();
            let framed: Vec<Bytes> = frame(size, stream::iter(pieces).boxed(), None).try_collect().await.unwrap();
            let framed = framed.concat();
            assert_eq!(framed.len() as u64, length(size), "the length is known before");
            let (mut rest, mut decoded) = (&framed[..], 0);
            loop {
                let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
                let chunk = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
                rest = &rest[end + 2..];
                if chunk == 0 {
                    break;
                }
                assert!(chunk <= CHUNK as usize && &rest[chunk..chunk + 2] == b"\r\n");
                decoded += chunk as u64;
                rest = &rest[chunk + 2..];
            }
            assert_eq!(decoded, size);
            assert_eq!(rest, format!("{TRAILER}:{}\r\n\r\n", base64_crc32(crc32c::crc32c(&whole))).as_bytes());
        }
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
