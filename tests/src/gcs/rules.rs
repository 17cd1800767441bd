//! What GCS refuses before it looks at any bucket, and its preconditions.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;

use crate::{
    call::Call,
    object::{metadata_size, needs_length},
    operation::Operation,
    refusal::Refusal,
    signature::{Identity, Payload, Scheme, signs},
    store::{Attributes, ObjectInfo, data::Digests},
    stored_options,
};

const STORAGE_CLASSES: [&str; 6] = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL"];
/// The most user metadata in bytes: 8 KiB.
const MOST_METADATA: usize = 8 << 10;
/// The longest key in bytes.
const LONGEST_KEY: usize = 1024;

/// One family of extension headers a request.
pub(super) fn families(call: &Call) -> Result<(), Refusal> {
    if call.speaks("x-goog-") && call.speaks("x-amz-") {
        return Err(Refusal::bad("ExcessHeaderValues", "x-goog- and x-amz- headers in one request"));
    }
    Ok(())
}

/// Everything else that needs no bucket.
pub(super) fn request(call: &Call, identity: &Identity) -> Result<(), Refusal> {
    if signs(call, "accept-encoding") {
        return Err(Refusal::forbidden("SignatureDoesNotMatch", "the front end rewrites accept-encoding"));
    }
    let chunked = call.header("content-encoding").is_some_and(|value| value.contains("aws-chunked"));
    if chunked || identity.payload == Payload::Streaming {
        return Err(Refusal::argument("aws-chunked bodies are not taken"));
    }
    if matches!(call.method, http::Method::PUT | http::Method::POST) {
        needs_length(call)?;
    }
    let acl = |name: &str| name.ends_with("-acl") || name.contains("-grant-");
    if call.headers.keys().any(|name| name.as_str().starts_with("x-") && acl(name.as_str())) {
        return Err(Refusal::argument("uniform bucket-level access is on: no ACLs"));
    }
    let writes_key = matches!(call.operation, Operation::PutObject | Operation::CopyObject | Operation::CreateUpload);
    if writes_key { key(&call.key) } else { Ok(()) }
}

fn key(key: &str) -> Result<(), Refusal> {
    if key.len() > LONGEST_KEY {
        return Err(Refusal::bad("KeyTooLong", format!("{} bytes; 1024 at most", key.len())));
    }
    let reserved = key == "." || key == ".." || key.starts_with(".well-known/acme-challenge/");
    if reserved || key.contains(['\r', '\n']) {
        return Err(Refusal::bad("InvalidObjectName", format!("not a name for an object: {key:?}")));
    }
    Ok(())
}

pub(super) fn attributes_allowed(attributes: &Attributes) -> Result<(), Refusal> {
    if !STORAGE_CLASSES.contains(&attributes.storage_class.as_str()) {
        return Err(Refusal::bad("InvalidStorageClass", attributes.storage_class.clone()));
    }
    if metadata_size(attributes) > MOST_METADATA {
        return Err(Refusal::bad("MetadataTooLarge", "more than 8 KiB of custom metadata"));
    }
    stored_options::allowed_by_google(attributes)
}

/// The generation a request is conditional on; 0: there must be none. AWS4-signed requests have no preconditions.
pub(super) fn generation_match(call: &Call, identity: &Identity, name: &str) -> Result<Option<u64>, Refusal> {
    match call.header(name) {
        Some(text) if identity.scheme != Scheme::Aws4 => {
            text.parse().map(Some).map_err(|_| Refusal::argument(format!("{name}: {text}")))
        }
        _ => Ok(None),
    }
}

pub(super) fn same_generation(wanted: Option<u64>, present: Option<&ObjectInfo>) -> Result<(), Refusal> {
    let generation = present.map_or(0, |info| info.generation);
    match wanted {
        Some(wanted) if wanted != generation => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            format!("the generation is {generation}, not {wanted}"),
        )),
        _ => Ok(()),
    }
}

/// `x-goog-hash` of a request against the body's own.
pub(super) fn hashes_agree(call: &Call, digests: &Digests) -> Result<(), Refusal> {
    let values = call.headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
    for claim in values.flat_map(|value| value.split(',')) {
        let Some((algorithm, text)) = claim.trim().split_once('=') else {
            return Err(Refusal::bad("InvalidDigest", format!("x-goog-hash: {claim}")));
        };
        let invalid = |_| Refusal::bad("InvalidDigest", format!("x-goog-hash: {claim}"));
        let claimed = BASE64_STANDARD.decode(text).map_err(invalid)?;
        let agrees = match algorithm {
            "crc32c" => claimed == digests.crc32c.to_be_bytes(),
            "md5" => digests.md5.is_some_and(|md5| claimed == md5),
            _ => {
                return Err(Refusal::bad("InvalidDigest", format!("x-goog-hash: {algorithm}")));
            }
        };
        if !agrees {
            return Err(Refusal::bad("BadDigest", format!("the body does not have {claim}")));
        }
    }
    Ok(())
}
