//! Checksums: computed on the buffer as bytes pass, combined from parts, compared with what each side stores.
//!
//! CRC32C (the destination's) is hashed first, then CRC64NVME and the others (the source's): a bit that flips in the buffer
//! between the two passes spoils the source's sum, and one that flips after both spoils the destination's; in the other
//! order a flip between them would be in the destination's sum and in what is sent, and in neither comparison.

mod combine;
mod stored;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

pub use combine::{Combiner, Overlap};
pub use stored::{Checksum, Composite, DigestCheck, Grade, StoredDigests};
pub use text::{BadDigest, base64_crc32, base64_crc64, base64_md5, etag_of_parts, goog_hash, parse_crc32, parse_crc64};

/// What services store about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The number of bytes.
    Length,
    /// CRC-32C (Castagnoli), RFC 3720: what GCS stores.
    Crc32c,
    /// CRC-64/NVME: what S3 stores by default.
    Crc64Nvme,
    /// CRC-32 of zlib.
    Crc32,
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
}

impl Algorithm {
    /// As logs and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Length => "length",
            Algorithm::Crc32c => "crc32c",
            Algorithm::Crc64Nvme => "crc64nvme",
            Algorithm::Crc32 => "crc32",
            Algorithm::Sha256 => "sha256",
            Algorithm::Md5 => "md5",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which digests to compute beside CRC32C, which is always computed. The CRCs cost next to nothing; SHA-256 and MD5 cost
/// more than all the rest of a copy and do not combine, so ask for them only where nothing else is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestSelection {
    /// Whether CRC-64/NVME is computed.
    pub crc64nvme: bool,
    /// Whether CRC-32 is computed.
    pub crc32: bool,
    /// Whether SHA-256 is computed.
    pub sha256: bool,
    /// Whether MD5 is computed.
    pub md5: bool,
}

impl DigestSelection {
    /// The cheapest that can be compared with what the source stores: a CRC where there is one (both CRCs cost less than
    /// the choice), else SHA-256 or MD5, but those only when the object is read in one piece (`whole`).
    pub fn for_source(stored: &StoredDigests, whole: bool) -> DigestSelection {
        let full = |sum: Option<bool>| sum == Some(true);
        let crc64nvme = full(stored.crc64nvme.as_ref().map(Checksum::is_full));
        let crc32 = full(stored.crc32.as_ref().map(Checksum::is_full));
        let of_parts = !whole && stored.parts_only(false).is_some() && stored.crc32.is_some();
        let enough = crc64nvme || crc32 || full(stored.crc32c.as_ref().map(Checksum::is_full));
        let md5 = whole && !enough && full(stored.md5.as_ref().map(Checksum::is_full));
        let sha256 = whole && !enough && !md5 && full(stored.sha256.as_ref().map(Checksum::is_full));
        DigestSelection { crc64nvme, crc32: crc32 || of_parts, sha256, md5 }
    }

    /// Both wishes.
    #[must_use]
    pub fn union(self, other: DigestSelection) -> DigestSelection {
        DigestSelection {
            crc64nvme: self.crc64nvme || other.crc64nvme,
            crc32: self.crc32 || other.crc32,
            sha256: self.sha256 || other.sha256,
            md5: self.md5 || other.md5,
        }
    }
}

/// The digests of a run of bytes: a part's, or a whole object's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Bytes.
    pub length: u64,
    /// Always computed.
    pub crc32c: u32,
    /// If it was selected.
    pub crc64nvme: Option<u64>,
    /// If it was selected.
    pub crc32: Option<u32>,
    /// If it was selected.
    pub sha256: Option<[u8; 32]>,
    /// If it was selected.
    pub md5: Option<[u8; 16]>,
}

impl Digests {
    /// Of bytes that are all in memory.
    pub fn of(bytes: &[u8], select: DigestSelection) -> Digests {
        let mut hasher = Hasher::new(select);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digests of these bytes followed by those of `next`. CRCs combine, MD5 and SHA-256 do not (but with nothing).
    #[must_use]
    pub fn then(&self, next: &Digests) -> Digests {
        if next.length == 0 {
            return *self;
        }
        if self.length == 0 {
            return *next;
        }
        let crc = |algorithm, a, b| crc_fast::checksum_combine(algorithm, a, b, next.length);
        let crc32 = |algorithm, a: u32, b: u32| low(crc(algorithm, a.into(), b.into()));
        Digests {
            length: self.length.saturating_add(next.length),
            crc32c: crc32(CrcAlgorithm::Crc32Iscsi, self.crc32c, next.crc32c),
            crc64nvme: self.crc64nvme.zip(next.crc64nvme).map(|(a, b)| crc(CrcAlgorithm::Crc64Nvme, a, b)),
            crc32: self.crc32.zip(next.crc32).map(|(a, b)| crc32(CrcAlgorithm::Crc32IsoHdlc, a, b)),
            sha256: None,
            md5: None,
        }
    }
}

/// A 32-bit CRC, which the library carries in 64 bits.
fn low(crc: u64) -> u32 {
    (crc & u64::from(u32::MAX)) as u32
}

/// Computes [`Digests`] of bytes as they pass. Those of two parts combine to those of the whole:
///
/// ```
/// use skyferry_core::digest::{DigestSelection, Digests, Hasher};
///
/// let select = DigestSelection { crc64nvme: true, ..DigestSelection::default() };
/// let mut whole = Hasher::new(select);
/// whole.update(b"first, ");
/// whole.update(b"second");
/// let parts = Digests::of(b"first, ", select).then(&Digests::of(b"second", select));
/// assert_eq!(whole.finish(), parts);
/// ```
#[derive(Clone)]
pub struct Hasher {
    length: u64,
    crc32c: Crc,
    crc64nvme: Option<Crc>,
    crc32: Option<Crc>,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
}

impl Hasher {
    /// Computes what is selected, and CRC-32C.
    pub fn new(select: DigestSelection) -> Hasher {
        Hasher {
            length: 0,
            crc32c: Crc::new(CrcAlgorithm::Crc32Iscsi),
            crc64nvme: select.crc64nvme.then(|| Crc::new(CrcAlgorithm::Crc64Nvme)),
            crc32: select.crc32.then(|| Crc::new(CrcAlgorithm::Crc32IsoHdlc)),
            sha256: select.sha256.then(Sha256::new),
            md5: select.md5.then(Md5::new),
        }
    }

    /// The order is the point: see the head of this file.
    pub fn update(&mut self, buffer: &[u8]) {
        self.length += buffer.len() as u64;
        self.crc32c.update(buffer);
        if let Some(crc) = &mut self.crc64nvme {
            crc.update(buffer);
        }
        if let Some(crc) = &mut self.crc32 {
            crc.update(buffer);
        }
        if let Some(hash) = &mut self.sha256 {
            hash.update(buffer);
        }
        if let Some(hash) = &mut self.md5 {
            hash.update(buffer);
        }
    }

    /// Of the bytes so far.
    pub fn crc32c(&self) -> u32 {
        low(self.crc32c.finalize())
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Of all bytes that it was given.
    pub fn finish(self) -> Digests {
        Digests {
            length: self.length,
            crc32c: self.crc32c(),
            crc64nvme: self.crc64nvme.map(|crc| crc.finalize()),
            crc32: self.crc32.map(|crc| low(crc.finalize())),
            sha256: self.sha256.map(|hash| hash.finalize().into()),
            md5: self.md5.map(|hash| hash.finalize().into()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({} bytes)", self.length)
    }
}
