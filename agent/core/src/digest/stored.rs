//! What a far side says that it stores, and whether what was read agrees.

use std::fmt;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::text::{BadDigest, decode, hex_bytes};
use super::{Algorithm, Digests, base64_crc32, base64_crc64};

/// A digest of the whole object, or one of the digests of its parts, which says nothing about the bytes without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum<T> {
    /// Of the object's bytes.
    Full(T),
    /// Of its parts' digests.
    Composite(Composite<T>),
}

/// A digest of `parts` digests. S3 writes it with `-N` behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composite<T> {
    /// Of the parts' values, in their order.
    pub value: T,
    /// How many parts.
    pub parts: u32,
}

impl<T: Copy> Checksum<T> {
    /// Whether it is of the object's bytes.
    pub fn is_full(&self) -> bool {
        matches!(self, Checksum::Full(_))
    }

    /// If it is of the object's bytes.
    pub fn full(&self) -> Option<T> {
        match self {
            Checksum::Full(value) => Some(*value),
            Checksum::Composite(_) => None,
        }
    }
}

/// What a far side stores about one whole object. Empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredDigests {
    /// Bytes.
    pub length: Option<u64>,
    /// As the service stores it.
    pub crc32c: Option<Checksum<u32>>,
    /// As the service stores it.
    pub crc64nvme: Option<Checksum<u64>>,
    /// As the service stores it.
    pub crc32: Option<Checksum<u32>>,
    /// As the service stores it.
    pub sha256: Option<Checksum<[u8; 32]>>,
    /// From `x-goog-hash`, or from an ETag where the store's adapter knows that it is an MD5 (a single PUT without SSE-KMS
    /// or SSE-C); a multipart ETag is a composite.
    pub md5: Option<Checksum<[u8; 16]>>,
}

impl StoredDigests {
    /// Takes in one header of S3's answer: `x-amz-checksum-<algorithm>`, in any case; others are left alone. `composite` is
    /// what `x-amz-checksum-type` says, if it is there; else a `-N` behind the value decides.
    pub fn amz_header(&mut self, name: &str, value: &str, composite: Option<bool>) -> Result<(), BadDigest> {
        const PREFIX: &str = "x-amz-checksum-";
        let is_checksum = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        if !is_checksum {
            return Ok(());
        }
        let algorithm = name[PREFIX.len()..].to_ascii_lowercase();
        let (value, parts) = split_parts(value.trim());
        let parts = match composite {
            Some(false) => None,
            // Parts are not counted in every answer; that it is a composite is what matters.
            Some(true) => Some(parts.unwrap_or(0)),
            None => parts,
        };
        match algorithm.as_str() {
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
                Some(("crc32c", text)) => self.crc32c = Some(Checksum::Full(u32::from_be_bytes(decode(text)?))),
                Some(("md5", text)) => self.md5 = Some(Checksum::Full(decode(text)?)),
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

    /// Whether two far sides store the same bytes, as far as both store the same kind of whole-object digest, or equal ones of
    /// as many parts (an equal ETag). `None`: no digest can be compared, and nothing is proven.
    pub fn agrees_with(&self, other: &StoredDigests) -> Option<bool> {
        fn both<T: Copy + PartialEq>(a: Option<Checksum<T>>, b: Option<Checksum<T>>) -> Option<bool> {
            match (a?, b?) {
                (Checksum::Full(a), Checksum::Full(b)) => Some(a == b),
                // Parts may be cut otherwise: unequal ones say nothing.
                (Checksum::Composite(a), Checksum::Composite(b)) => (a.parts > 0 && a == b).then_some(true),
                _ => None,
            }
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

    /// Of how many parts the stored digests are, where there is none of the whole: to be compared, they need the borders of
    /// those parts. With `md5` a multipart ETag is one of them.
    pub fn parts_only(&self, md5: bool) -> Option<u32> {
        fn both<T: Copy>(sum: Option<Checksum<T>>) -> (bool, Option<u32>) {
            match sum {
                Some(Checksum::Full(_)) => (true, None),
                Some(Checksum::Composite(composite)) => (false, Some(composite.parts).filter(|parts| *parts > 0)),
                None => (false, None),
            }
        }
        let sums = [both(self.crc32c), both(self.crc32), both(self.crc64nvme), both(self.sha256), both(self.md5)];
        let whole = sums.iter().any(|(full, _)| *full);
        let usable = if md5 { sums[0].1.or(sums[1].1).or(sums[4].1) } else { sums[0].1.or(sums[1].1) };
        usable.filter(|_| !whole)
    }

    /// Compares the digests of parts with those of the same parts as they were read, in their order.
    pub fn compare_parts(&self, parts: &[Digests]) -> DigestCheck {
        let all = |of: fn(&Digests) -> Option<Vec<u8>>| {
            let each: Option<Vec<Vec<u8>>> = parts.iter().map(of).collect();
            each.map(|each| each.concat())
        };
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let checks = [
            composite(
                Algorithm::Md5,
                self.md5,
                count,
                || all(|d| d.md5.map(Vec::from)),
                |b| Md5::digest(b).into(),
                hex::encode,
            ),
            composite(
                Algorithm::Crc32c,
                self.crc32c,
                count,
                || all(|d| Some(d.crc32c.to_be_bytes().to_vec())),
                crc32c::crc32c,
                base64_crc32,
            ),
            composite(
                Algorithm::Crc32,
                self.crc32,
                count,
                || all(|d| d.crc32.map(|crc| crc.to_be_bytes().to_vec())),
                crc_fast::crc32_iso_hdlc,
                base64_crc32,
            ),
        ];
        let checks: Vec<DigestCheck> = checks.into_iter().flatten().collect();
        let wrong = checks.iter().find(|verdict| verdict.is_mismatch());
        wrong.or(checks.first()).cloned().unwrap_or(DigestCheck::NothingToCompare)
    }

    /// Compares with what was read or sent. One digest that differs is a mismatch, whatever others say. The answer names
    /// the strongest that agrees; a length alone proves nothing.
    pub fn compare(&self, got: &Digests) -> DigestCheck {
        let checks = [
            check(Algorithm::Length, self.length.map(Checksum::Full), Some(got.length), |n| n.to_string()),
            check(Algorithm::Sha256, self.sha256, got.sha256, hex::encode),
            check(Algorithm::Md5, self.md5, got.md5, hex::encode),
            check(Algorithm::Crc64Nvme, self.crc64nvme, got.crc64nvme, base64_crc64),
            check(Algorithm::Crc32c, self.crc32c, Some(got.crc32c), base64_crc32),
            check(Algorithm::Crc32, self.crc32, got.crc32, base64_crc32),
        ];
        let mut verdict = DigestCheck::NothingToCompare;
        for check in checks.into_iter().flatten() {
            match (check, &verdict) {
                (mismatch @ DigestCheck::Mismatch { .. }, _) => return mismatch,
                (DigestCheck::Verified(Algorithm::Length), _) => {}
                (agreed, DigestCheck::NothingToCompare) => verdict = agreed,
                _ => {}
            }
        }
        verdict
    }
}

fn sum<T>(value: T, parts: Option<u32>) -> Checksum<T> {
    match parts {
        None => Checksum::Full(value),
        Some(parts) => Checksum::Composite(Composite { value, parts }),
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
    stored: Option<Checksum<T>>,
    got: Option<T>,
    show: impl Fn(T) -> String,
) -> Option<DigestCheck> {
    let (expected, got) = (stored?.full()?, got?);
    Some(if expected == got {
        DigestCheck::Verified(algorithm)
    } else {
        DigestCheck::Mismatch { algorithm, expected: show(expected), got: show(got) }
    })
}

/// The stored digest of so many parts' digests against the one of these.
fn composite<T: Copy + PartialEq>(
    algorithm: Algorithm,
    stored: Option<Checksum<T>>,
    count: u32,
    parts: impl Fn() -> Option<Vec<u8>>,
    of: impl Fn(&[u8]) -> T,
    show: impl Fn(T) -> String,
) -> Option<DigestCheck> {
    let Checksum::Composite(Composite { value: expected, parts: wanted }) = stored? else { return None };
    if wanted != count {
        return None;
    }
    let got = of(&parts()?);
    Some(if expected == got {
        DigestCheck::Verified(algorithm)
    } else {
        DigestCheck::Mismatch {
            algorithm,
            expected: format!("{}-{count}", show(expected)),
            got: format!("{}-{count}", show(got)),
        }
    })
}

/// Whether one side's stored digests agree with the bytes.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestCheck {
    /// By this one.
    Verified(Algorithm),
    /// The side stores no digest of the whole object that was computed here.
    NothingToCompare,
    /// They are not equal.
    Mismatch {
        algorithm: Algorithm,
        /// What the side stores, in the form that it writes it.
        expected: String,
        got: String,
    },
}

impl DigestCheck {
    /// Whether it proves that the bytes differ.
    pub fn is_mismatch(&self) -> bool {
        matches!(self, DigestCheck::Mismatch { .. })
    }
}

/// How far the chain of checksums reached, recorded per object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Grade {
    /// From the checksum that the source stores to the one that the destination stores.
    EndToEnd,
    /// The source stores none; the destination's equals what was read. Or the copy is in an archive of a service that stores
    /// none, and cannot be read back: it took the bytes with their digest.
    InTransit,
    /// The destination stores none of the whole; it has confirmed every part's MD5.
    Md5Parts,
}

impl Grade {
    /// The strongest first.
    pub const ALL: [Grade; 3] = [Grade::EndToEnd, Grade::InTransit, Grade::Md5Parts];

    /// As the ledger and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Grade::EndToEnd => "end-to-end",
            Grade::InTransit => "in-transit",
            Grade::Md5Parts => "md5-parts",
        }
    }

    /// The grade of this name.
    pub fn parse(name: &str) -> Option<Grade> {
        Self::ALL.into_iter().find(|grade| grade.name() == name)
    }

    /// The grade that two verdicts reach; `md5_parts`: the destination has confirmed the MD5 of everything that was sent.
    /// `None`: not proven, so not published as true.
    pub fn of(source: &DigestCheck, destination: &DigestCheck, md5_parts: bool) -> Option<Grade> {
        match (source, destination) {
            (DigestCheck::Mismatch { .. }, _) | (_, DigestCheck::Mismatch { .. }) => None,
            (DigestCheck::Verified(_), DigestCheck::Verified(_)) => Some(Grade::EndToEnd),
            (DigestCheck::NothingToCompare, DigestCheck::Verified(_)) => Some(Grade::InTransit),
            (_, DigestCheck::NothingToCompare) => md5_parts.then_some(Grade::Md5Parts),
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
