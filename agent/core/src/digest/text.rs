//! Digests as services write them: base64 of the big-endian bytes (`x-amz-checksum-*`, `x-goog-hash`, `Content-MD5`), hex
//! in ETags.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// A digest that cannot be read. It does not quote the text: headers may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 text of a digest of {bytes} bytes")]
pub struct BadDigest {
    /// How many bytes it is to have.
    pub bytes: usize,
}

/// CRC32C or CRC32, as S3 and GCS write them: `4waSgw==`.
pub fn base64_crc32(crc: u32) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// CRC64NVME, as S3 writes it: `rosUhgp5mIg=`.
pub fn base64_crc64(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// `Content-MD5`.
pub fn base64_md5(md5: &[u8; 16]) -> String {
    STANDARD.encode(md5)
}

/// Base64 of four bytes, big-endian.
pub fn parse_crc32(text: &str) -> Result<u32, BadDigest> {
    decode(text).map(u32::from_be_bytes)
}

/// Base64 of eight bytes, big-endian.
pub fn parse_crc64(text: &str) -> Result<u64, BadDigest> {
    decode(text).map(u64::from_be_bytes)
}

/// The request header `x-goog-hash`, with which GCS refuses a wrong body before it publishes it.
pub fn goog_hash(crc32c: u32) -> String {
    format!("crc32c={}", base64_crc32(crc32c))
}

/// The ETag, without quotes, that S3 gives a multipart object: the MD5 of the parts' MD5s, and their number.
pub fn etag_of_parts(parts: &[[u8; 16]]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|md5| hash.update(md5));
    format!("{}-{}", hex::encode(hash.finalize()), parts.len())
}

pub(super) fn decode<const N: usize>(text: &str) -> Result<[u8; N], BadDigest> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| BadDigest { bytes: N })?;
    bytes.try_into().map_err(|_| BadDigest { bytes: N })
}

pub(super) fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}
