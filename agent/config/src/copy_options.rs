//! How copies are stored: in `[destination]` for all routes, in a route for its own.

use std::sync::Arc;

use skyferry_core::model::Overwrite;
use skyferry_core::store::{CopyOptions, Encryption};
use toml::Table;

use super::put::Put as _;
use super::raw::{self, RawValue};
use super::reader::SettingsReader;
use super::words::{Words as _, words};

/// Why there is none of it, for whoever looks for it.
const SSE_C: &str = "sse-c is not supported: S3 keeps nothing of the key, so without it no copy could be compared or proven; \
                     use sse-kms";

/// What `[destination]` and a route have in common.
#[derive(Default)]
pub(super) struct RawOptions {
    storage_class: RawValue,
    encryption: RawValue,
    kms_key: RawValue,
    bucket_key: RawValue,
    acl: RawValue,
    custom_time: RawValue,
    retention: RawValue,
    overwrite: RawValue,
}

macro_rules! options_of {
    ($($section:ty),+) => {$(
        impl From<&$section> for RawOptions {
            fn from(raw: &$section) -> Self {
                RawOptions {
                    storage_class: raw.storage_class.clone(),
                    encryption: raw.encryption.clone(),
                    kms_key: raw.kms_key.clone(),
                    bucket_key: raw.bucket_key.clone(),
                    acl: raw.acl.clone(),
                    custom_time: raw.custom_time.clone(),
                    retention: raw.retention.clone(),
                    overwrite: raw.overwrite.clone(),
                }
            }
        }
    )+};
}

options_of!(raw::Destination, raw::Route);

#[derive(Clone, Copy, PartialEq)]
enum EncryptionKind {
    SseS3,
    SseKms,
    Cmek,
}

/// Where a property of the copy comes from.
#[derive(Clone, Copy, PartialEq)]
enum CustomTime {
    None,
    Modified,
}

#[derive(Clone, Copy, PartialEq)]
enum RetentionFrom {
    None,
    Source,
}

words! {
    EncryptionKind: "sse-s3" SseS3, "sse-kms" SseKms, "cmek" Cmek;
    CustomTime: "none" None, "modified" Modified;
    RetentionFrom: "none" None, "source" Source;
    Overwrite: "always" Always, "if-older" IfOlder, "never" Never;
}

/// S3's canned ACLs for objects.
const ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

/// Reads the options of the section `at`, for a destination of this kind. What it does not set is `default`'s.
pub(super) fn read(
    r: &mut SettingsReader,
    at: &str,
    raw: impl Into<RawOptions>,
    kind: &str,
    default: &CopyOptions,
) -> CopyOptions {
    let raw = raw.into();
    // Written as "": no word at all, so the bucket's own default.
    let class = raw.storage_class.clone().map(|class| Some(class).filter(|class| !class.is_empty()));
    CopyOptions {
        storage_class: class.map_or_else(|| default.storage_class.clone(), |class| class.map(Arc::from)),
        encryption: encryption(r, at, &raw, kind, default),
        acl: acl(r, &format!("{at}.acl"), raw.acl, kind, default),
        custom_time: {
            let name = format!("{at}.custom_time");
            let default = if default.custom_time { CustomTime::Modified } else { CustomTime::None };
            let wanted = r.keyword(&name, raw.custom_time, default) == CustomTime::Modified;
            if wanted && kind != "gcs" {
                r.invalid(
                    &name,
                    format!("is a property of Google Cloud Storage, and the destination is of the kind {kind}"),
                );
            }
            wanted
        },
        retention: {
            let name = format!("{at}.retention");
            let default = if default.retention { RetentionFrom::Source } else { RetentionFrom::None };
            let wanted = r.keyword(&name, raw.retention, default) == RetentionFrom::Source;
            if wanted && kind == "directory" {
                r.invalid(&name, "is nothing that a directory has: take it out".into());
            }
            wanted
        },
        overwrite: r.keyword(&format!("{at}.overwrite"), raw.overwrite, default.overwrite),
    }
}

fn acl(r: &mut SettingsReader, name: &str, given: RawValue, kind: &str, default: &CopyOptions) -> Option<Arc<str>> {
    let Some(given) = given else { return default.acl.clone() };
    let acl = Some(given.trim()).filter(|acl| !acl.is_empty())?;
    match kind {
        "s3" if ACLS.contains(&acl) => {}
        "s3" => r.refuse(name, acl, &format!("one of {}", ACLS.join(", "))),
        "gcs" => r.invalid(
            name,
            "is S3's: Google Cloud Storage answers an ACL with 400 where access is uniform, as it is by default; grant access \
             to the bucket by IAM"
                .into(),
        ),
        _ => r.invalid(name, format!("does not belong to kind = {kind:?}: take it out")),
    }
    Some(acl.into())
}

fn encryption(
    r: &mut SettingsReader,
    at: &str,
    raw: &RawOptions,
    kind: &str,
    default: &CopyOptions,
) -> Option<Encryption> {
    let setting = |name: &str| format!("{at}.{name}");
    if kind == "directory" {
        let given = |raw: &RawValue| raw.clone().filter(|text| !text.is_empty());
        let [kind_of, key, bucket_key] = [&raw.encryption, &raw.kms_key, &raw.bucket_key].map(given);
        let fields = [("encryption", &kind_of), ("kms_key", &key), ("bucket_key", &bucket_key)];
        r.refuse_foreign_fields(at, kind, &fields);
        return None;
    }
    let key = raw.kms_key.as_deref().map(str::trim).filter(|key| !key.is_empty());
    let name = setting("encryption");
    let wanted = match raw.encryption.as_deref().map(str::trim) {
        Some("sse-c") => {
            r.invalid(&name, SSE_C.into());
            return None;
        }
        Some("") => None,
        Some(text) => match EncryptionKind::read(text) {
            Ok(kind) => Some(kind),
            Err(wanted) => {
                r.refuse(&name, text, &wanted);
                return None;
            }
        },
        // A key says which it is.
        None if key.is_some() => Some(if kind == "gcs" { EncryptionKind::Cmek } else { EncryptionKind::SseKms }),
        None if raw.bucket_key.is_some() => None,
        None => return default.encryption.clone(),
    };
    let foreign = wanted.filter(|wanted| (*wanted == EncryptionKind::Cmek) != (kind == "gcs"));
    if let Some(foreign) = foreign {
        let other = if kind == "gcs" { "Google Cloud Storage takes cmek" } else { "S3 takes sse-s3 or sse-kms" };
        r.invalid(&name, format!("is {} and the destination is of the kind {kind}: {other}", foreign.keyword()));
        return None;
    }
    if wanted != Some(EncryptionKind::SseKms) && raw.bucket_key.is_some() {
        r.invalid(&setting("bucket_key"), "is for encryption = \"sse-kms\": take it out".into());
    }
    if matches!(wanted, None | Some(EncryptionKind::SseS3)) && key.is_some() {
        r.invalid(&setting("kms_key"), "is for encryption = \"sse-kms\" or \"cmek\": take it out".into());
    }
    Some(match wanted? {
        EncryptionKind::SseS3 => Encryption::SseS3,
        EncryptionKind::SseKms => {
            if let Some(wrong) = key.filter(|key| !key.bytes().all(|b| b.is_ascii_graphic())) {
                r.refuse(&setting("kms_key"), wrong, "the ARN, id or alias of a key of AWS KMS");
            }
            let bucket_key = raw.bucket_key.clone().filter(|flag| !flag.is_empty());
            let bucket_key = bucket_key.map(|flag| r.flag(&setting("bucket_key"), Some(flag), false));
            Encryption::SseKms { key: key.map(Arc::from), bucket_key }
        }
        EncryptionKind::Cmek => {
            let key = r.required(&setting("kms_key"), key.map(str::to_owned), "cmek needs the key of Cloud KMS")?;
            if !is_cloud_key(&key) {
                r.refuse(
                    &setting("kms_key"),
                    &key,
                    "projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version",
                );
            }
            Encryption::Cmek(key.into())
        }
    })
}

fn is_cloud_key(name: &str) -> bool {
    let mut parts = name.split('/');
    let mut named = |kind: &str| parts.next() == Some(kind) && parts.next().is_some_and(|part| !part.is_empty());
    let names = ["projects", "locations", "keyRings", "cryptoKeys"];
    names.into_iter().all(&mut named) && parts.next().is_none() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// As `--print-config` shows them: all, for what a route does not say is `[destination]`'s.
pub(super) fn put(options: &CopyOptions, table: &mut Table) {
    table.put("storage_class", options.storage_class.as_deref().unwrap_or_default());
    table.put("acl", options.acl.as_deref().unwrap_or_default());
    table.put("custom_time", if options.custom_time { CustomTime::Modified } else { CustomTime::None }.keyword());
    table.put("retention", if options.retention { RetentionFrom::Source } else { RetentionFrom::None }.keyword());
    table.put("overwrite", options.overwrite.keyword());
    let (kind, key, bucket_key) = match &options.encryption {
        None => (None, None, None),
        Some(Encryption::SseS3) => (Some(EncryptionKind::SseS3), None, None),
        Some(Encryption::SseKms { key, bucket_key }) => (Some(EncryptionKind::SseKms), key.as_deref(), *bucket_key),
        Some(Encryption::Cmek(key)) => (Some(EncryptionKind::Cmek), Some(&**key), None),
    };
    table.put("encryption", kind.map_or("", EncryptionKind::keyword));
    table.put_some("kms_key", key);
    if let Some(flag) = bucket_key {
        table.put("bucket_key", flag);
    }
}
