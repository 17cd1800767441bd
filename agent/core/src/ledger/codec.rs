//! How both ledgers write an upload and digests as few bytes: an item of DynamoDB holds 400 KB, and the list of 10,000 parts is
//! written every few seconds.
//!
//! Almost every part has the upload's part size, the next number, and an ETag that is a hash in hex: those cost a bit each
//! (and the hash its 16 bytes, unless it is the MD5 that is there anyway). So a part is about 30 bytes. Where a service's
//! ETags are longer, what does not fit is left out: such parts are sent again after a crash, and nothing else.
//!
//! Every function that reads returns `None` for bytes that its counterpart did not write.

use std::sync::Arc;

use super::{PartRecord, UploadRecord};
use crate::digest::{Digests, Grade};
use crate::model::{SourceIdentity, Token, UploadId};

const VERSION: u8 = 1;
/// Of an upload as a whole: another number than that of an earlier layout, which is not read any more.
const WHOLE: u8 = 2;

const CRC64: u8 = 1;
const CRC32: u8 = 2;
const SHA256: u8 = 4;
const MD5: u8 = 8;
/// The next number, and the upload's part size.
const REGULAR: u8 = 16;
/// The ETag is 32 hex digits; `QUOTED`: in quotes. `IS_MD5`: they are those of the MD5.
const HEX: u8 = 32;
const QUOTED: u8 = 64;
const IS_MD5: u8 = 128;

/// An upload with all its parts.
pub fn encode_upload(upload: &UploadRecord) -> Vec<u8> {
    let head = encode_head(upload);
    let mut out = vec![WHOLE];
    put_number(&mut out, head.len() as u64);
    out.extend(head);
    out.extend(encode_parts(upload, usize::MAX));
    out
}

/// What [`encode_upload`] wrote.
pub fn decode_upload(id: UploadId, bytes: &[u8]) -> Option<UploadRecord> {
    let mut from = Reader(bytes);
    if from.u8()? != WHOLE {
        return None;
    }
    let length = usize::try_from(from.number()?).ok()?;
    let (head, parts) = from.0.split_at_checked(length)?;
    let mut upload = decode_head(id, head)?;
    upload.parts = decode_parts(parts, upload.token)?;
    Some(upload)
}

/// Everything of an upload but its parts.
pub fn encode_head(upload: &UploadRecord) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(upload.token.0.to_le_bytes());
    put_text(&mut out, &upload.identity.etag);
    put_number(&mut out, upload.identity.size);
    out.extend(upload.identity.last_modified.to_le_bytes());
    out.push(u8::from(upload.identity.version.is_some()));
    if let Some(version) = &upload.identity.version {
        put_text(&mut out, version);
    }
    put_number(&mut out, upload.part_size);
    // Older versions do not write it, and do not read it.
    out.extend(upload.headers.iter().flat_map(|headers| headers.to_le_bytes()));
    out
}

/// What [`encode_head`] wrote, without parts.
pub fn decode_head(id: UploadId, bytes: &[u8]) -> Option<UploadRecord> {
    let mut from = Reader(bytes);
    if from.u8()? != VERSION {
        return None;
    }
    let token = Token(u128::from_le_bytes(from.array()?));
    let identity = SourceIdentity {
        etag: from.text()?,
        size: from.number()?,
        last_modified: i64::from_le_bytes(from.array()?),
        version: if from.u8()? == 1 { Some(from.text()?) } else { None },
    };
    let part_size = from.number()?;
    let headers = if from.0.is_empty() { None } else { Some(u32::from_le_bytes(from.array()?)) };
    Some(UploadRecord { id, token, identity, headers, part_size, parts: Vec::new() })
}

/// The parts, as far as they fit into so many bytes.
pub fn encode_parts(upload: &UploadRecord, most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + upload.parts.len() * 32);
    out.push(VERSION);
    out.extend(upload.token.0.to_le_bytes());
    put_number(&mut out, upload.part_size);
    let mut before = 0;
    for part in &upload.parts {
        let start = out.len();
        put_part(&mut out, part, before, upload.part_size);
        if out.len() > most {
            out.truncate(start);
            break;
        }
        before = part.number;
    }
    out
}

/// What [`encode_parts`] wrote of the upload with this token.
pub fn decode_parts(bytes: &[u8], token: Token) -> Option<Vec<PartRecord>> {
    let mut from = Reader(bytes);
    if from.u8()? != VERSION || u128::from_le_bytes(from.array()?) != token.0 {
        return None;
    }
    let part_size = from.number()?;
    let (mut parts, mut before) = (Vec::new(), 0);
    while !from.0.is_empty() {
        let part = from.part(before, part_size)?;
        before = part.number;
        parts.push(part);
    }
    Some(parts)
}

/// The digests of a whole object alone.
pub fn encode_digests(digests: &Digests) -> Vec<u8> {
    let mut out = vec![flags(digests)];
    out.extend(digests.length.to_le_bytes());
    put_sums(&mut out, digests);
    out
}

/// What [`encode_digests`] wrote.
pub fn decode_digests(bytes: &[u8]) -> Option<Digests> {
    let mut from = Reader(bytes);
    let (flags, length) = (from.u8()?, u64::from_le_bytes(from.array()?));
    from.sums(flags, length)
}

/// How far a copy was verified: its digests and grade.
pub fn encode_proof(digests: Option<&Digests>, grade: Option<Grade>) -> Vec<u8> {
    let mut out = vec![VERSION, u8::from(digests.is_some())];
    if let Some(digests) = digests {
        out.push(flags(digests));
        put_number(&mut out, digests.length);
        put_sums(&mut out, digests);
    }
    put_text(&mut out, grade.map_or("", Grade::name));
    out
}

/// What [`encode_proof`] wrote.
pub fn decode_proof(bytes: &[u8]) -> Option<(Option<Digests>, Option<Grade>)> {
    let mut from = Reader(bytes);
    if from.u8()? != VERSION {
        return None;
    }
    let digests = match from.u8()? {
        1 => {
            let flags = from.u8()?;
            let length = from.number()?;
            Some(from.sums(flags, length)?)
        }
        _ => None,
    };
    Some((digests, Grade::parse(&from.text()?)))
}

fn flags(digests: &Digests) -> u8 {
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    flag(digests.crc64nvme.is_some(), CRC64)
        | flag(digests.crc32.is_some(), CRC32)
        | flag(digests.sha256.is_some(), SHA256)
        | flag(digests.md5.is_some(), MD5)
}

fn put_sums(out: &mut Vec<u8>, digests: &Digests) {
    out.extend(digests.crc32c.to_le_bytes());
    out.extend(digests.crc64nvme.iter().flat_map(|crc| crc.to_le_bytes()));
    out.extend(digests.crc32.iter().flat_map(|crc| crc.to_le_bytes()));
    out.extend(digests.sha256.iter().flatten());
    out.extend(digests.md5.iter().flatten());
}

fn put_part(out: &mut Vec<u8>, part: &PartRecord, before: u32, part_size: u64) {
    let regular = part.number == before.wrapping_add(1) && part.digests.length == part_size;
    let etag = hash_in(&part.etag);
    let mut bits = flags(&part.digests) | if regular { REGULAR } else { 0 };
    if let Some((hash, quoted)) = etag {
        bits |= HEX | if quoted { QUOTED } else { 0 };
        bits |= if part.digests.md5 == Some(hash) { IS_MD5 } else { 0 };
    }
    out.push(bits);
    if !regular {
        put_number(out, part.number.into());
        put_number(out, part.digests.length);
    }
    match etag {
        None => put_text(out, &part.etag),
        Some(_) if bits & IS_MD5 != 0 => {}
        Some((hash, _)) => out.extend(hash),
    }
    put_sums(out, &part.digests);
}

/// An ETag of 32 small hex digits, in quotes or not.
fn hash_in(etag: &str) -> Option<([u8; 16], bool)> {
    let bare = etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = bare.unwrap_or(etag);
    let small = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut hash = [0; 16];
    (small && hex::decode_to_slice(digits, &mut hash).is_ok()).then_some((hash, bare.is_some()))
}

fn shown(hash: &[u8; 16], quoted: bool) -> Arc<str> {
    let digits = hex::encode(hash);
    if quoted { format!("\"{digits}\"").into() } else { digits.into() }
}

/// Seven bits a byte, the lowest first.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(head).ok().map(Arc::from)
    }

    fn sums(&mut self, flags: u8, length: u64) -> Option<Digests> {
        let has = |bit: u8| flags & bit != 0;
        Some(Digests {
            length,
            crc32c: u32::from_le_bytes(self.array()?),
            crc64nvme: if has(CRC64) { Some(u64::from_le_bytes(self.array()?)) } else { None },
            crc32: if has(CRC32) { Some(u32::from_le_bytes(self.array()?)) } else { None },
            sha256: if has(SHA256) { Some(self.array()?) } else { None },
            md5: if has(MD5) { Some(self.array()?) } else { None },
        })
    }

    fn part(&mut self, before: u32, part_size: u64) -> Option<PartRecord> {
        let flags = self.u8()?;
        let (number, length) = match flags & REGULAR != 0 {
            true => (before.checked_add(1)?, part_size),
            false => (u32::try_from(self.number()?).ok()?, self.number()?),
        };
        let quoted = flags & QUOTED != 0;
        let etag = match (flags & HEX != 0, flags & IS_MD5 != 0) {
            (false, _) => Some(self.text()?),
            (true, false) => Some(shown(&self.array()?, quoted)),
            (true, true) => None,
        };
        let digests = self.sums(flags, length)?;
        let etag = match etag {
            Some(etag) => etag,
            None => shown(&digests.md5?, quoted),
        };
        Some(PartRecord { number, etag, digests })
    }
}

#[cfg(test)]
mod tests;
