//! The checksums that S3 stores: which one a request names, whether its body agrees, how parts make a whole's.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use crate::{
    body::RequestBody,
    call::Call,
    refusal::Refusal,
    store::{
        StoredChecksum,
        data::{Digests, Wanted},
        uploads::Part,
    },
};

/// The algorithms that the peer knows; SHA-1 is answered 501.
const ALGORITHMS: [&str; 4] = ["crc32", "crc32c", "crc64nvme", "sha256"];

/// The algorithm that a text names, in any case.
pub(super) fn algorithm(text: &str) -> Result<&'static str, Refusal> {
    let known = ALGORITHMS.into_iter().find(|known| known.eq_ignore_ascii_case(text));
    known.ok_or_else(|| Refusal::not_implemented(format!("checksum algorithm {text}")))
}

/// The algorithm that a request's headers name: by a value, by a trailer announced, or by the SDK's header.
pub(super) fn named(call: &Call) -> Result<Option<&'static str>, Refusal> {
    for known in ALGORITHMS {
        let header = format!("x-amz-checksum-{known}");
        if call.header(&header).is_some() || call.header("x-amz-trailer") == Some(header.as_str()) {
            return Ok(Some(known));
        }
    }
    call.header("x-amz-sdk-checksum-algorithm").map(algorithm).transpose()
}

pub(super) fn wanted(named: Option<&str>) -> Wanted {
    Wanted {
        md5: false,
        crc32: named == Some("crc32"),
        crc64: named == Some("crc64nvme"),
        sha256: named == Some("sha256"),
    }
}

/// The raw value of an algorithm, where it was taken. CRCs in big-endian order.
pub(super) fn value(algorithm: &str, digests: &Digests) -> Option<Vec<u8>> {
    match algorithm {
        "crc32" => digests.crc32.map(|crc| crc.to_be_bytes().to_vec()),
        "crc32c" => Some(digests.crc32c.to_be_bytes().to_vec()),
        "crc64nvme" => digests.crc64.map(|crc| crc.to_be_bytes().to_vec()),
        "sha256" => digests.sha256.map(|sha| sha.to_vec()),
        _ => None,
    }
}

/// The checksum of a body that has been read, after comparing it with the value in the headers or the trailers.
/// Without a named algorithm: CRC64NVME where the peer takes it.
pub(super) fn checked(
    call: &Call,
    body: &RequestBody,
    named: Option<&'static str>,
    digests: &Digests,
) -> Result<Option<StoredChecksum>, Refusal> {
    let algorithm = named.unwrap_or("crc64nvme");
    let Some(own) = value(algorithm, digests).map(|raw| BASE64_STANDARD.encode(raw)) else { return Ok(None) };
    let header = format!("x-amz-checksum-{algorithm}");
    let claimed = call.header(&header).or_else(|| body.trailer(&header));
    if claimed.is_none() && call.header("x-amz-trailer") == Some(header.as_str()) {
        return Err(Refusal::bad("MalformedTrailerError", format!("{header} was announced and did not come")));
    }
    match claimed {
        Some(claimed) if claimed != own => Err(Refusal::bad("BadDigest", format!("{header}: {claimed}, not {own}"))),
        _ => Ok(Some(StoredChecksum { algorithm, composite: false, value: own })),
    }
}

/// The checksum of an object made of parts: COMPOSITE over their values with `-N`, or FULL_OBJECT by combining.
pub(super) fn of_parts(
    algorithm: &'static str,
    composite: bool,
    parts: &[Part],
    whole: &Digests,
) -> Option<StoredChecksum> {
    let raw = if composite {
        let values: Option<Vec<Vec<u8>>> = parts.iter().map(|part| value(algorithm, &part.digests)).collect();
        hash(algorithm, &values?.concat())?
    } else {
        value(algorithm, whole)?
    };
    let text = BASE64_STANDARD.encode(raw);
    let value = if composite { format!("{text}-{}", parts.len()) } else { text };
    Some(StoredChecksum { algorithm, composite, value })
}

fn hash(algorithm: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        "crc32" => Some(crc_fast::crc32_iso_hdlc(bytes).to_be_bytes().to_vec()),
        "crc32c" => Some(crc32c::crc32c(bytes).to_be_bytes().to_vec()),
        "sha256" => Some(Sha256::digest(bytes).to_vec()),
        _ => None,
    }
}

/// `FULL_OBJECT` or `COMPOSITE`.
pub(super) fn kind(composite: bool) -> &'static str {
    if composite { "COMPOSITE" } else { "FULL_OBJECT" }
}
