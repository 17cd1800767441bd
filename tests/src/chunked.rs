//! The aws-chunked framing: `SIZE[;chunk-signature=…]` CRLF, bytes, CRLF, …, a chunk of size 0, trailers. The chunks'
//! own signatures are not checked; the trailing checksum, which matters for the bytes, is checked by the caller.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::refusal::Refusal;

/// The longest line (a size or a trailer) in bytes.
const LONGEST_LINE: usize = 4096;

#[derive(Debug, Default)]
enum Expect {
    #[default]
    Size,
    Bytes(u64),
    LineEnd,
    Trailers,
    End,
}

/// A decoder fed with whatever pieces arrive.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    expect: Expect,
    buffer: BytesMut,
    trailers: Vec<(String, String)>,
}

fn broken(why: &str) -> Refusal {
    Refusal::bad("InvalidRequest", format!("a broken aws-chunked body: {why}"))
}

impl Chunked {
    pub(crate) fn ended(&self) -> bool {
        // The last empty line is missing from some clients that send no trailers.
        matches!(self.expect, Expect::End | Expect::Trailers) && self.buffer.is_empty()
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The payload in these bytes, perhaps none.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<Bytes, Refusal> {
        self.buffer.extend_from_slice(bytes);
        let mut payload = BytesMut::new();
        loop {
            match self.expect {
                Expect::Bytes(left) => {
                    if self.buffer.is_empty() {
                        break;
                    }
                    let length = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    payload.extend_from_slice(&self.buffer.split_to(length));
                    let left = left - length as u64;
                    self.expect = if left == 0 { Expect::LineEnd } else { Expect::Bytes(left) };
                }
                Expect::End if !self.buffer.is_empty() => {
                    return Err(broken("bytes after the end"));
                }
                Expect::End => break,
                _ => {
                    let Some(line) = self.line()? else { break };
                    self.take_line(&line)?;
                }
            }
        }
        Ok(payload.freeze())
    }

    fn take_line(&mut self, line: &str) -> Result<(), Refusal> {
        self.expect = match self.expect {
            Expect::Size => {
                let size = line.split(';').next().unwrap_or_default();
                match u64::from_str_radix(size, 16).map_err(|_| broken("a size that is not hexadecimal"))? {
                    0 => Expect::Trailers,
                    size => Expect::Bytes(size),
                }
            }
            Expect::LineEnd if line.is_empty() => Expect::Size,
            Expect::LineEnd => return Err(broken("a chunk longer than it says")),
            Expect::Trailers if line.is_empty() => Expect::End,
            _ => {
                let (name, value) = line.split_once(':').ok_or_else(|| broken("a trailer without a colon"))?;
                self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                Expect::Trailers
            }
        };
        Ok(())
    }

    fn line(&mut self) -> Result<Option<String>, Refusal> {
        let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\r\n") else {
            return if self.buffer.len() > LONGEST_LINE { Err(broken("an endless line")) } else { Ok(None) };
        };
        let line = self.buffer.split_to(at);
        self.buffer.advance(2);
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| broken("a line that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5;chunk-signature=ab\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32c:yZRlqg==\r\n\r\n";

    #[test]
    fn a_chunked_body_decodes_alike_however_it_is_torn() {
        for size in 1..BODY.len() {
            let mut chunked = Chunked::default();
            let mut payload = Vec::new();
            for piece in BODY.chunks(size) {
                payload.extend_from_slice(&chunked.decode(piece).unwrap());
            }
            assert_eq!(payload, b"hello world");
            assert!(chunked.ended());
            assert_eq!(chunked.trailer("x-amz-checksum-crc32c"), Some("yZRlqg=="));
        }
    }

    #[test]
    fn a_chunked_body_without_its_last_chunk_has_not_ended() {
        let mut chunked = Chunked::default();
        chunked.decode(&BODY[..BODY.len() - 40]).unwrap();
        assert!(!chunked.ended());
        assert!(Chunked::default().decode(b"zz\r\n").is_err());
    }
}
