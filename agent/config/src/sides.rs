//! The two sides, the routes between them, and how bytes travel: the part of resolving that is about stores.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::raw::{self, RawValue};
use super::reader::SettingsReader;
use super::settings::*;
use super::units;

const GCS_ENDPOINT: &str = "https://storage.googleapis.com";
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What `[source]` and `[destination]` have in common.
struct Side {
    at: &'static str,
    kind: RawValue,
    region: RawValue,
    endpoint: RawValue,
    allow_http: RawValue,
    path_style: RawValue,
    request_payer: RawValue,
    expected_owner: RawValue,
    profile: RawValue,
    path: RawValue,
}

pub(super) fn source(r: &mut SettingsReader, raw: raw::Source) -> Option<StoreSettings> {
    let side = Side {
        at: "source",
        kind: Some(raw.kind.unwrap_or_else(|| "s3".into())),
        region: raw.region,
        endpoint: raw.endpoint,
        allow_http: raw.allow_http,
        path_style: raw.path_style,
        request_payer: raw.request_payer,
        expected_owner: raw.expected_owner,
        profile: raw.profile,
        path: raw.path,
    };
    store(r, side)
}

pub(super) fn destination(r: &mut SettingsReader, raw: &raw::Destination) -> Option<StoreSettings> {
    let raw = raw.clone();
    let side = Side {
        at: "destination",
        kind: Some(raw.kind.unwrap_or_else(|| "gcs".into())),
        region: raw.region,
        endpoint: raw.endpoint,
        allow_http: raw.allow_http,
        path_style: raw.path_style,
        request_payer: None,
        expected_owner: raw.expected_owner,
        profile: raw.profile,
        path: raw.path,
    };
    store(r, side)
}

fn store(r: &mut SettingsReader, side: Side) -> Option<StoreSettings> {
    let at = side.at;
    let name = |field: &str| format!("{at}.{field}");
    let allow = r.flag(&name("allow_http"), side.allow_http.clone(), false);
    let only_s3 = [
        ("path_style", &side.path_style),
        ("request_payer", &side.request_payer),
        ("expected_owner", &side.expected_owner),
        ("profile", &side.profile),
        ("region", &side.region),
    ];
    match side.kind.as_deref().unwrap_or_default() {
        "s3" => {
            r.refuse_foreign_fields(at, "s3", &[("path", &side.path)]);
            Some(StoreSettings::S3(s3(r, side, allow)))
        }
        "gcs" => {
            // A region is harmless: the listing of the settings shows it for every kind.
            r.refuse_foreign_fields(at, "gcs", &only_s3[..4]);
            r.refuse_foreign_fields(at, "gcs", &[("path", &side.path)]);
            let given = r.endpoint(&name("endpoint"), side.endpoint, allow, None);
            let endpoint = given.or_else(|| Endpoint::parse(GCS_ENDPOINT, false).ok())?;
            Some(StoreSettings::Gcs { endpoint })
        }
        "directory" => {
            r.refuse_foreign_fields(at, "directory", &only_s3);
            r.refuse_foreign_fields(at, "directory", &[("endpoint", &side.endpoint)]);
            let path = r.required(&name("path"), side.path, "the directory's name")?;
            Some(StoreSettings::Directory { path: r.base.join(path) })
        }
        other => {
            r.refuse(&name("kind"), other, "one of s3, gcs, directory");
            None
        }
    }
}

fn s3(r: &mut SettingsReader, side: Side, allow_http: bool) -> S3Settings {
    let name = |field: &str| format!("{}.{field}", side.at);
    let endpoint = r.endpoint(&name("endpoint"), side.endpoint, allow_http, Some("S3"));
    let oss = endpoint.as_ref().is_some_and(|e| e.host().ends_with(".aliyuncs.com"));
    let profile = r.keyword(&name("profile"), side.profile, if oss { S3Dialect::AliyunOss } else { S3Dialect::Aws });
    let implied = endpoint.as_ref().is_some_and(Endpoint::implies_path_style) || profile == S3Dialect::Generic;
    let path_style = r.flag(&name("path_style"), side.path_style, implied);
    let owner = side.expected_owner.inspect(|owner| {
        if owner.len() != 12 || !owner.bytes().all(|b| b.is_ascii_digit()) {
            r.refuse(&name("expected_owner"), owner, "an account's id of 12 digits, in quotes");
        }
    });
    S3Settings {
        region: side.region.filter(|region| !region.is_empty()),
        endpoint,
        profile,
        path_style,
        request_payer: r.flag(&name("request_payer"), side.request_payer, false),
        expected_owner: owner,
    }
}

/// What a route does not say is `[destination]`'s. `paired`: bucket pairs name destinations, so that none need be here.
pub(super) fn routes(
    r: &mut SettingsReader,
    raw: Vec<raw::Route>,
    to: raw::Destination,
    in_files: bool,
    paired: bool,
) -> Vec<RouteSettings> {
    // A directory's bucket is only a word in names.
    let bucket = to.bucket.filter(|b| !b.is_empty()).or_else(|| in_files.then(|| "directory".into()));
    let prefix = to.prefix.unwrap_or_default();
    // Written as "": no word at all, so the bucket's own default.
    let given = |class: RawValue, default: RawValue| class.or(default).filter(|class| !class.is_empty());
    let class = given(to.storage_class, (!in_files).then(|| "STANDARD".into()));
    if raw.is_empty() {
        if bucket.is_none() && paired {
            return Vec::new();
        }
        let bucket = r.required("destination.bucket", bucket, "the bucket to write to (or give each route one)");
        return bucket
            .map(|bucket| RouteSettings {
                source_bucket: None,
                source_prefix: String::new(),
                bucket,
                prefix,
                strip_prefix: false,
                storage_class: class,
            })
            .into_iter()
            .collect();
    }
    let mut routes = Vec::new();
    for (index, route) in raw.into_iter().enumerate() {
        let name = |field: &str| format!("routes[{index}].{field}");
        let source_bucket =
            r.required(&name("source_bucket"), route.source_bucket, "the bucket that this route allows");
        let bucket = route.bucket.or_else(|| bucket.clone());
        let bucket = r.required(&name("bucket"), bucket, "neither the route nor [destination] names a bucket");
        let strip_prefix = r.flag(&name("strip_prefix"), route.strip_prefix, false);
        let (Some(source_bucket), Some(bucket)) = (source_bucket, bucket) else { continue };
        routes.push(RouteSettings {
            source_bucket: Some(source_bucket),
            source_prefix: route.source_prefix.unwrap_or_default(),
            bucket,
            prefix: route.prefix.unwrap_or_else(|| prefix.clone()),
            strip_prefix,
            storage_class: given(route.storage_class, class.clone()),
        });
    }
    routes
}

pub(super) fn transfer(r: &mut SettingsReader, raw: raw::Transfer, in_files: bool) -> TransferSettings {
    let least_part = if in_files { MIB } else { 5 * MIB };
    let count = |text: &str| text.parse::<u32>().map_err(|_| "a number of objects, 0 for adaptive".to_string());
    let percent = |text: &str| match text.trim_end_matches('%').trim_end().parse::<u32>() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("a share like \"50%\"".to_string()),
    };
    let seconds = |s| Duration::from_secs(s);
    TransferSettings {
        multipart_threshold: r.size("transfer.multipart_threshold", raw.multipart_threshold, 50 * MIB, 0, u64::MAX),
        part_size: r.size("transfer.part_size", raw.part_size, 16 * MIB, least_part, 5 * GIB),
        max_objects: Some(r.value("transfer.max_objects", raw.max_objects, 0, count)).filter(|n| *n > 0),
        // An object of up to 1 MiB is held whole, and something else has to move beside it.
        memory_budget: r.size("transfer.memory_budget", raw.memory_budget, 64 * MIB, 2 * MIB, 1 << 40),
        max_bandwidth: Some(r.size("transfer.max_bandwidth", raw.max_bandwidth, 0, 0, u64::MAX)).filter(|n| *n > 0),
        stall_timeout: r.value(
            "transfer.stall_timeout",
            raw.stall_timeout,
            seconds(120),
            |text| match units::duration(text)? {
                time if (seconds(1)..=seconds(3600)).contains(&time) => Ok(time),
                _ => Err("between 1s and 1h".into()),
            },
        ),
        verify: r.keyword("transfer.verify", raw.verify, VerifyMode::Auto),
        deletes: r.flag("transfer.deletes", raw.deletes, false),
        max_delete_share: r.value("transfer.max_delete_share", raw.max_delete_share, 50, percent),
        versions: r.keyword("transfer.versions", raw.versions, VersionMode::Latest),
        metadata: r.flag("transfer.metadata", raw.metadata, true),
        tags: r.flag("transfer.tags", raw.tags, false),
        restore: r.flag("transfer.restore", raw.restore, false),
    }
}
