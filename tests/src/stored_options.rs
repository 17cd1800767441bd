//! What a writer decides about how an object is stored: encryption, access, retention, times of its own. The headers of both
//! services, what each refuses of them, and how a HEAD shows them.

use jiff::Timestamp;

use crate::{call::Call, refusal::Refusal, server::Answer, store::Attributes};

/// Of S3, without `x-amz-`.
pub(crate) const AMAZON: &[&str] = &[SSE, KEY_ID, BUCKET_KEY, "acl", MODE, UNTIL];
/// Of Google Cloud Storage, without `x-goog-`.
pub(crate) const GOOGLE: &[&str] = &["encryption-kms-key-name", "custom-time", MODE, UNTIL];

const SSE: &str = "server-side-encryption";
const KEY_ID: &str = "server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "server-side-encryption-bucket-key-enabled";
const MODE: &str = "object-lock-mode";
const UNTIL: &str = "object-lock-retain-until-date";
const ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

fn of<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.options.get(name).map(String::as_str)
}

/// The ETag of what is under a key of KMS is no digest of its bytes.
pub(crate) fn hides_md5(attributes: &Attributes) -> bool {
    of(attributes, SSE).is_some_and(|kind| kind.starts_with("aws:kms"))
}

/// As S3 refuses them.
pub(crate) fn allowed_by_amazon(attributes: &Attributes) -> Result<(), Refusal> {
    let wrong = |what: &str| Err(Refusal::argument(what.to_owned()));
    match of(attributes, SSE) {
        None | Some("AES256" | "aws:kms" | "aws:kms:dsse") => {}
        Some(_) => return wrong("The encryption method specified is not supported"),
    }
    if !hides_md5(attributes) && (of(attributes, KEY_ID).is_some() || of(attributes, BUCKET_KEY).is_some()) {
        return wrong("a KMS key with another encryption than aws:kms");
    }
    if of(attributes, "acl").is_some_and(|acl| !ACLS.contains(&acl)) {
        return wrong("no such canned ACL");
    }
    retention(attributes)
}

/// As Google refuses them.
pub(crate) fn allowed_by_google(attributes: &Attributes) -> Result<(), Refusal> {
    if let Some(key) = of(attributes, "encryption-kms-key-name") {
        let parts: Vec<&str> = key.split('/').collect();
        let named = parts.iter().step_by(2).copied().collect::<Vec<_>>();
        if named != ["projects", "locations", "keyRings", "cryptoKeys"] || parts.len() != 8 {
            return Err(Refusal::argument(format!("not a Cloud KMS key: {key}")));
        }
    }
    if let Some(time) = of(attributes, "custom-time") {
        time.parse::<Timestamp>().map_err(|_| Refusal::argument(format!("x-goog-custom-time: {time}")))?;
    }
    retention(attributes)
}

fn retention(attributes: &Attributes) -> Result<(), Refusal> {
    let (mode, until) = (of(attributes, MODE), of(attributes, UNTIL));
    let (mode, until) = match (mode, until) {
        (None, None) => return Ok(()),
        (Some(mode), Some(until)) => (mode, until),
        _ => return Err(Refusal::argument("a retention needs its mode and its date")),
    };
    let until: Timestamp = until.parse().map_err(|_| Refusal::argument(format!("not a time: {until}")))?;
    match mode {
        "GOVERNANCE" | "COMPLIANCE" if until > Timestamp::now() => Ok(()),
        "GOVERNANCE" | "COMPLIANCE" => Err(Refusal::argument("The retain until date must be in the future!")),
        _ => Err(Refusal::argument(format!("no such mode: {mode}"))),
    }
}

/// On the answer to a HEAD, GET or write. `all`: a HEAD or GET; a write's answer shows the encryption alone.
pub(crate) fn show(answer: &mut Answer, attributes: &Attributes, family: &str, all: bool) {
    for (name, value) in &attributes.options {
        match name.as_str() {
            "acl" => {}
            // The version that encrypted it.
            "encryption-kms-key-name" => {
                answer.add(&format!("{family}{name}"), format!("{value}/cryptoKeyVersions/1"));
            }
            name if all || name.starts_with(SSE) => answer.add(&format!("{family}{name}"), value),
            _ => {}
        }
    }
}

/// The bucket's policy demands this header on every write, as `name: value`.
pub(crate) fn demanded(call: &Call, demand: Option<&str>) -> Result<(), Refusal> {
    let Some((name, value)) = demand.and_then(|demand| demand.split_once(": ")) else { return Ok(()) };
    match call.header(name) == Some(value) {
        true => Ok(()),
        false => Err(Refusal::forbidden(
            "AccessDenied",
            "User: arn:aws:iam::111122223333:user/sandbox is not authorized to perform: s3:PutObject with an explicit deny \
             in a resource-based policy",
        )),
    }
}
