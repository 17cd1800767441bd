//! Uploads and digests as compact bytes: an upload of 10,000 parts is checkpointed every few seconds, whole.
//!
//! Numbers are little-endian, texts carry a length of two bytes before them, a byte of flags says which of the optional
//! digests follow. The first byte of an upload is the version of this layout.

use std::sync::Arc;

use skyferry_core::digest::Digests;
use skyferry_core::ledger::{PartRecord, UploadRecord};
use skyferry_core::object::{SourceIdentity, Token, UploadId};

const VERSION: u8 = 1;
const CRC64: u8 = 1;
const CRC32: u8 = 2;
const SHA256: u8 = 4;
const MD5: u8 = 8;

pub fn upload(record: &UploadRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + record.parts.len() * 72);
    out.push(VERSION);
    out.extend(record.token.0.to_le_bytes());
    text(&mut out, &record.identity.etag);
    out.extend(record.identity.size.to_le_bytes());
    out.extend(record.identity.last_modified.to_le_bytes());
    out.push(record.identity.version.is_some() as u8);
    if let Some(version) = &record.identity.version {
        text(&mut out, version);
    }
    out.extend(record.part_size.to_le_bytes());
    out.extend((record.parts.len() as u32).to_le_bytes());
    for part in &record.parts {
        out.extend(part.number.to_le_bytes());
        text(&mut out, &part.etag);
        digests(&mut out, &part.digests);
    }
    // Older versions do not write it, and do not read it.
    out.extend(record.headers.iter().flat_map(|headers| headers.to_le_bytes()));
    out
}

/// `None` if these are not bytes that `upload` made.
pub fn read_upload(id: &str, bytes: &[u8]) -> Option<UploadRecord> {
    let mut from = Reader(bytes);
    if from.u8()? != VERSION {
        return None;
    }
    let token = Token(u128::from_le_bytes(from.array()?));
    let etag = from.text()?;
    let size = from.u64()?;
    let last_modified = from.u64()? as i64;
    let version = if from.u8()? == 1 { Some(from.text()?) } else { None };
    let part_size = from.u64()?;
    let count = from.u32()?;
    let parts = (0..count)
        .map(|_| Some(PartRecord { number: from.u32()?, etag: from.text()?, digests: from.digests()? }))
        .collect::<Option<Vec<_>>>()?;
    let headers = if from.0.is_empty() { None } else { Some(from.u32()?) };
    let identity = SourceIdentity { etag, size, last_modified, version };
    Some(UploadRecord { id: UploadId(id.into()), token, identity, headers, part_size, parts })
}

pub fn digests(out: &mut Vec<u8>, of: &Digests) {
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    out.push(
        flag(of.crc64nvme.is_some(), CRC64)
            | flag(of.crc32.is_some(), CRC32)
            | flag(of.sha256.is_some(), SHA256)
            | flag(of.md5.is_some(), MD5),
    );
    out.extend(of.length.to_le_bytes());
    out.extend(of.crc32c.to_le_bytes());
    out.extend(of.crc64nvme.iter().flat_map(|crc| crc.to_le_bytes()));
    out.extend(of.crc32.iter().flat_map(|crc| crc.to_le_bytes()));
    out.extend(of.sha256.iter().flatten());
    out.extend(of.md5.iter().flatten());
}

pub fn read_digests(bytes: &[u8]) -> Option<Digests> {
    Reader(bytes).digests()
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_le_bytes());
    out.extend(&text.as_bytes()[..usize::from(length)]);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn text(&mut self) -> Option<Arc<str>> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(head).ok().map(Arc::from)
    }
    fn digests(&mut self) -> Option<Digests> {
        let flags = self.u8()?;
        let has = |bit: u8| flags & bit != 0;
        Some(Digests {
            length: self.u64()?,
            crc32c: self.u32()?,
            crc64nvme: if has(CRC64) { Some(self.u64()?) } else { None },
            crc32: if has(CRC32) { Some(self.u32()?) } else { None },
            sha256: if has(SHA256) { Some(self.array()?) } else { None },
            md5: if has(MD5) { Some(self.array()?) } else { None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> UploadRecord {
        let part = |number| PartRecord {
            number,
            etag: format!("\"{number:032x}\"").as_str().into(),
            digests: Digests {
                length: 16 << 20,
                crc32c: number,
                crc64nvme: Some(7),
                md5: Some([9; 16]),
                ..Default::default()
            },
        };
        UploadRecord {
            id: UploadId("an id".into()),
            token: Token(u128::MAX - 5),
            identity: SourceIdentity { etag: "e".into(), size: 1 << 40, last_modified: -1, version: Some("v".into()) },
            headers: None,
            part_size: 16 << 20,
            parts: (1..=10_000).map(part).collect(),
        }
    }

    #[test]
    fn an_upload_comes_back_as_it_was() {
        for headers in [Some(7), None] {
            let record = UploadRecord { headers, ..record() };
            let packed = upload(&record);
            assert!(packed.len() < 800_000, "{}", packed.len());
            assert_eq!(read_upload("an id", &packed), Some(record));
        }
    }

    #[test]
    fn a_torn_upload_is_refused_at_every_length() {
        let mut record = record();
        record.parts.truncate(2);
        let packed = upload(&record);
        for length in 0..packed.len() {
            assert_eq!(read_upload("an id", &packed[..length]), None, "{length}");
        }
    }
}
