//! What a far side says that it stores, and whether what was read agrees.

use std::fmt;

use super::text::{BadDigest, decode, hex_bytes};
use super::{Algorithm, Digests, base64_crc32, base64_crc64};

/// A digest of the whole object, or one of the digests of its parts, which says nothing about the bytes without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum<T> {
    Full(T),
    Composite(Composite<T>),
}

/// A digest of `parts` digests. S3 writes it with `-N` behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composite<T> {
    pub value: T,
    pub parts: u32,
}

impl<T: Copy> Sum<T> {
    pub fn is_full(&self) -> bool {
        matches!(self, Sum::Full(_))
    }

    pub fn full(&self) -> Option<T> {
        match self {
            Sum::Full(value) => Some(*value),
            Sum::Composite(_) => None,
        }
    }
}

/// What a far side stores about one whole object. Empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub length: Option<u64>,
    pub crc32c: Option<Sum<u32>>,
    pub crc64nvme: Option<Sum<u64>>,
    pub crc32: Option<Sum<u32>>,
    pub sha256: Option<Sum<[u8; 32]>>,
    /// From `x-goog-hash`, or from an ETag where the store's adapter knows that it is an MD5 (a single PUT without SSE-KMS
    /// or SSE-C); a multipart ETag is a composite.
    pub md5: Option<Sum<[u8; 16]>>,
}

impl Stored {
    /// Takes in one header of S3's answer: `x-amz-checksum-<algorithm>`, in any case; others are left alone. `composite` is
    /// what `x-amz-checksum-type` says, if it is there; else a `-N` behind the value decides.
    pub fn amz_header(&mut self, name: &str, value: &str, composite: Option<bool>) -> Result<(), BadDigest> {
        let name = name.to_ascii_lowercase();
        let Some(algorithm) = name.strip_prefix("x-amz-checksum-") else { return Ok(()) };
        let (value, parts) = split_parts(value.trim());
        let parts = match composite {
            Some(false) => None,
            // Parts are not counted in every answer; that it is a composite is what matters.
            Some(true) => Some(parts.unwrap_or(0)),
            None => parts,
        };
        match algorithm {
            "crc32c" => self.crc32c = Some(sum(u32::from_be_bytes(decode(value)?), parts)),
            "crc64nvme" => self.crc64nvme = Some(sum(u64::from_be_bytes(decode(value)?), parts)),
            "crc32" => self.crc32 = Some(sum(u32::from_be_bytes(decode(value)?), parts)),
            "sha256" => self.sha256 = Some(sum(decode(value)?, parts)),
            _ => {}
        }
        Ok(())
    }

    /// Takes in a value of `x-goog-hash`: `crc32c=…,md5=…`, or one of them; the header may come twice.
    pub fn goog_hash(&mut self, value: &str) -> Result<(), BadDigest> {
        for item in value.split(',').map(str::trim) {
            match item.split_once('=') {
                Some(("crc32c", text)) => self.crc32c = Some(Sum::Full(u32::from_be_bytes(decode(text)?))),
                Some(("md5", text)) => self.md5 = Some(Sum::Full(decode(text)?)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes in an ETag, with or without quotes, that the caller knows to be an MD5 or a multipart's MD5 of MD5s.
    /// Anything else is left alone.
    pub fn md5_etag(&mut self, etag: &str) {
        let (text, parts) = split_parts(etag.trim().trim_matches('"'));
        if let Some(value) = hex_bytes(text) {
            self.md5 = Some(sum(value, parts));
        }
    }

    /// Whether two far sides store the same bytes, as far as both store the same kind of whole-object digest. `None`: no
    /// digest can be compared, and nothing is proven.
    pub fn agrees_with(&self, other: &Stored) -> Option<bool> {
        fn both<T: Copy + PartialEq>(a: Option<Sum<T>>, b: Option<Sum<T>>) -> Option<bool> {
            Some(a?.full()? == b?.full()?)
        }
        let pairs = [
            both(self.sha256, other.sha256),
            both(self.md5, other.md5),
            both(self.crc64nvme, other.crc64nvme),
            both(self.crc32c, other.crc32c),
            both(self.crc32, other.crc32),
        ];
        pairs.into_iter().flatten().reduce(|a, b| a && b)
    }

    /// Compares with what was read or sent. One digest that differs is a mismatch, whatever others say. The answer names
    /// the strongest that agrees; a length alone proves nothing.
    pub fn compare(&self, got: &Digests) -> Verdict {
        let checks = [
            check(Algorithm::Length, self.length.map(Sum::Full), Some(got.length), |n| n.to_string()),
            check(Algorithm::Sha256, self.sha256, got.sha256, hex::encode),
            check(Algorithm::Md5, self.md5, got.md5, hex::encode),
            check(Algorithm::Crc64Nvme, self.crc64nvme, got.crc64nvme, base64_crc64),
            check(Algorithm::Crc32c, self.crc32c, Some(got.crc32c), base64_crc32),
            check(Algorithm::Crc32, self.crc32, got.crc32, base64_crc32),
        ];
        let mut verdict = Verdict::NothingToCompare;
        for check in checks.into_iter().flatten() {
            match (check, &verdict) {
                (mismatch @ Verdict::Mismatch { .. }, _) => return mismatch,
                (Verdict::Verified(Algorithm::Length), _) => {}
                (agreed, Verdict::NothingToCompare) => verdict = agreed,
                _ => {}
            }
        }
        verdict
    }
}

fn sum<T>(value: T, parts: Option<u32>) -> Sum<T> {
    match parts {
        None => Sum::Full(value),
        Some(parts) => Sum::Composite(Composite { value, parts }),
    }
}

/// `hash-3` → `hash`, 3.
fn split_parts(text: &str) -> (&str, Option<u32>) {
    match text.rsplit_once('-').map(|(value, parts)| (value, parts.parse().ok())) {
        Some((value, Some(parts))) => (value, Some(parts)),
        _ => (text, None),
    }
}

fn check<T: Copy + PartialEq>(
    algorithm: Algorithm,
    stored: Option<Sum<T>>,
    got: Option<T>,
    show: impl Fn(T) -> String,
) -> Option<Verdict> {
    let (expected, got) = (stored?.full()?, got?);
    Some(if expected == got {
        Verdict::Verified(algorithm)
    } else {
        Verdict::Mismatch { algorithm, expected: show(expected), got: show(got) }
    })
}

/// Whether one side's stored digests agree with the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Verified(Algorithm),
    /// The side stores no digest of the whole object that was computed here.
    NothingToCompare,
    Mismatch {
        algorithm: Algorithm,
        /// What the side stores, in the form that it writes it.
        expected: String,
        got: String,
    },
}

impl Verdict {
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Verdict::Mismatch { .. })
    }
}

/// How far the chain of checksums reached, recorded per object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grade {
    /// From the checksum that the source stores to the one that the destination stores.
    EndToEnd,
    /// The source stores none; the destination's equals what was read.
    InTransit,
    /// The destination stores none of the whole; it has confirmed every part's MD5.
    Md5Parts,
}

impl Grade {
    pub const ALL: [Grade; 3] = [Grade::EndToEnd, Grade::InTransit, Grade::Md5Parts];

    pub fn name(self) -> &'static str {
        match self {
            Grade::EndToEnd => "end-to-end",
            Grade::InTransit => "in-transit",
            Grade::Md5Parts => "md5-parts",
        }
    }

    pub fn parse(name: &str) -> Option<Grade> {
        Self::ALL.into_iter().find(|grade| grade.name() == name)
    }

    /// The grade that two verdicts reach; `md5_parts`: the destination has confirmed the MD5 of everything that was sent.
    /// `None`: not proven, so not published as true.
    pub fn of(source: &Verdict, destination: &Verdict, md5_parts: bool) -> Option<Grade> {
        match (source, destination) {
            (Verdict::Mismatch { .. }, _) | (_, Verdict::Mismatch { .. }) => None,
            (Verdict::Verified(_), Verdict::Verified(_)) => Some(Grade::EndToEnd),
            (Verdict::NothingToCompare, Verdict::Verified(_)) => Some(Grade::InTransit),
            (_, Verdict::NothingToCompare) => md5_parts.then_some(Grade::Md5Parts),
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
