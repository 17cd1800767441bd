//! An object's bytes, however they are kept: in memory while small, in the spool when large, not at all under
//! `discard`, made up on the fly when synthetic, or as the parts of a multipart upload. Their checksums are taken as
//! they pass.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use crc_fast::{
    CrcAlgorithm::{Crc32IsoHdlc, Crc64Nvme},
    checksum_combine,
};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{
    spool::{Spool, Spooled},
    synthetic::Synthetic,
};

/// Bodies up to this many bytes stay in memory.
const SMALL: usize = 256 << 10;
/// The most bytes of one read.
pub(crate) const CHUNK: usize = 256 << 10;

/// A body at rest; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Memory(Bytes),
    Spooled(Arc<Spooled>),
    Synthetic(Arc<Synthetic>),
    /// Only the length is known.
    Discarded(u64),
    /// Where each part begins, and the part.
    Parts(Arc<Vec<(u64, Data)>>),
}

impl Data {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Data::Memory(bytes) => bytes.len() as u64,
            Data::Spooled(body) => body.len(),
            Data::Synthetic(body) => body.len(),
            Data::Discarded(len) => *len,
            Data::Parts(parts) => parts.last().map_or(0, |(start, part)| start + part.len()),
        }
    }

    /// The parts one after another, as one body.
    pub(crate) fn joined(parts: impl IntoIterator<Item = Data>) -> Data {
        let mut start = 0;
        let mut joined = Vec::new();
        for part in parts {
            let len = part.len();
            joined.push((start, part));
            start += len;
        }
        Data::Parts(Arc::new(joined))
    }

    /// Some bytes from `offset`, at least one unless at the end. Fails on discarded bytes and on the spool's errors.
    pub(crate) fn read_at(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        match self {
            Data::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(most).min(bytes.len());
                Ok(bytes.slice(start..end))
            }
            Data::Spooled(body) => body.read_at(offset, most),
            Data::Synthetic(body) => Ok(body.read_at(offset, most)),
            Data::Discarded(_) => Err(io::Error::other("the bytes were discarded on arrival")),
            Data::Parts(parts) => {
                let after = parts.partition_point(|(start, _)| *start <= offset);
                match after.checked_sub(1).map(|index| &parts[index]) {
                    Some((start, part)) => part.read_at(offset - start, most),
                    None => Ok(Bytes::new()),
                }
            }
        }
    }

    /// Whether reading fails because the bytes were not kept.
    pub(crate) fn is_discarded(&self) -> bool {
        match self {
            Data::Discarded(_) => true,
            Data::Parts(parts) => parts.iter().any(|(_, part)| part.is_discarded()),
            _ => false,
        }
    }
}

/// Which costly checksums to take beside CRC32C.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) md5: bool,
    pub(crate) crc32: bool,
    pub(crate) crc64: bool,
    pub(crate) sha256: bool,
}

/// What is known of a body that has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) size: u64,
    pub(crate) crc32c: u32,
    pub(crate) crc32: Option<u32>,
    pub(crate) crc64: Option<u64>,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) sha256: Option<[u8; 32]>,
}

impl Digests {
    /// The digests of this body followed by another: the CRCs combine, the hashes are lost.
    pub(crate) fn then(&self, next: &Digests) -> Digests {
        let length = usize::try_from(next.size).unwrap_or(usize::MAX);
        let crc32 = match (self.crc32, next.crc32) {
            (Some(first), Some(second)) => {
                Some(checksum_combine(Crc32IsoHdlc, first.into(), second.into(), next.size) as u32)
            }
            _ => None,
        };
        let crc64 = match (self.crc64, next.crc64) {
            (Some(first), Some(second)) => Some(checksum_combine(Crc64Nvme, first, second, next.size)),
            _ => None,
        };
        Digests {
            size: self.size + next.size,
            crc32c: crc32c::crc32c_combine(self.crc32c, next.crc32c, length),
            crc32,
            crc64,
            md5: None,
            sha256: None,
        }
    }

    /// The digests of no bytes, as a start for [`Digests::then`].
    pub(crate) fn empty() -> Digests {
        Digests { crc32: Some(0), crc64: Some(0), ..Digests::default() }
    }
}

/// Takes a body in: keeps and hashes it.
pub(crate) struct Writer {
    spool: Arc<Spool>,
    keep: bool,
    memory: BytesMut,
    spooled: Option<Spooled>,
    size: u64,
    crc32c: u32,
    crc32: Option<crc_fast::Digest>,
    crc64: Option<crc_fast::Digest>,
    md5: Option<Md5>,
    sha256: Option<Sha256>,
}

impl Writer {
    pub(crate) fn new(spool: Arc<Spool>, discard: bool, wanted: Wanted) -> Self {
        Writer {
            spool,
            keep: !discard,
            memory: BytesMut::new(),
            spooled: None,
            size: 0,
            crc32c: 0,
            crc32: wanted.crc32.then(|| crc_fast::Digest::new(Crc32IsoHdlc)),
            crc64: wanted.crc64.then(|| crc_fast::Digest::new(Crc64Nvme)),
            md5: wanted.md5.then(Md5::new),
            sha256: wanted.sha256.then(Sha256::new),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        if let Some(crc32) = &mut self.crc32 {
            crc32.update(bytes);
        }
        if let Some(crc64) = &mut self.crc64 {
            crc64.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if self.keep { self.store(bytes) } else { Ok(()) }
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(spooled) = &mut self.spooled {
            return spooled.append(bytes);
        }
        if self.memory.len() + bytes.len() <= SMALL {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut spooled = Spooled::new(Arc::clone(&self.spool));
        spooled.append(&std::mem::take(&mut self.memory))?;
        spooled.append(bytes)?;
        self.spooled = Some(spooled);
        Ok(())
    }

    pub(crate) fn finish(self) -> (Data, Digests) {
        let data = match self.spooled {
            _ if !self.keep => Data::Discarded(self.size),
            Some(spooled) => Data::Spooled(Arc::new(spooled)),
            None => Data::Memory(self.memory.freeze()),
        };
        let digests = Digests {
            size: self.size,
            crc32c: self.crc32c,
            crc32: self.crc32.map(|crc32| crc32.finalize() as u32),
            crc64: self.crc64.map(|crc64| crc64.finalize()),
            md5: self.md5.map(|md5| md5.finalize().into()),
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
        };
        (data, digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]]) -> (Data, Digests) {
        let spool = Arc::new(Spool::new().unwrap());
        let mut writer = Writer::new(spool, false, Wanted { crc64: true, ..Wanted::default() });
        for piece in pieces {
            writer.write(piece).unwrap();
        }
        writer.finish()
    }

    #[test]
    fn checksums_of_parts_combine_to_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..700_000u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let (first, second) = (written(&[&bytes[..300_000]]), written(&[&bytes[300_000..]]));
        let (_, whole) = written(&[&bytes[..10], &bytes[10..400_000], &bytes[400_000..]]);
        assert_eq!(Digests::empty().then(&first.1).then(&second.1), whole);
        let joined = Data::joined([first.0, second.0]);
        let mut read = Vec::new();
        while (read.len() as u64) < joined.len() {
            read.extend_from_slice(&joined.read_at(read.len() as u64, 65_000).unwrap());
        }
        assert!(read == bytes);
    }
}
