//! `[source]` and `[destination]`: a store of either side, from its table and back to it.

use std::path::PathBuf;

use skyferry_core::store::StoreKind;
use toml::Table;

use super::endpoint::Endpoint;
use super::put::{Put as _, text};
use super::raw::{self, RawValue};
use super::reader::SettingsReader;
use super::words::{Words as _, words};

const GCS_ENDPOINT: &str = "https://storage.googleapis.com";

/// One side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    S3(S3Settings),
    Gcs {
        endpoint: Endpoint,
    },
    Directory {
        path: PathBuf,
        /// Where metadata is kept, if not in the directory. `copy` sets it; no setting does.
        metadata: Option<PathBuf>,
    },
}

impl StoreSettings {
    /// The row of its kind.
    pub fn kind(&self) -> &'static StoreKind {
        match self {
            StoreSettings::S3(_) => &StoreKind::S3,
            StoreSettings::Gcs { .. } => &StoreKind::GCS,
            StoreSettings::Directory { .. } => &StoreKind::DIRECTORY,
        }
    }

    /// Where it is, if the settings say so.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            StoreSettings::S3(s3) => s3.endpoint.as_ref(),
            StoreSettings::Gcs { endpoint } => Some(endpoint),
            StoreSettings::Directory { .. } => None,
        }
    }

    /// A line for people: the service, and where it is.
    pub fn describe(&self) -> String {
        let service = self.kind().service;
        match self {
            StoreSettings::S3(s3) => match (&s3.endpoint, &s3.region) {
                (Some(endpoint), _) => format!("{service} at {endpoint}"),
                (None, Some(region)) => format!("{service} in {region}"),
                (None, None) => format!("{service} in the region of its credentials"),
            },
            StoreSettings::Gcs { endpoint } => format!("{service} at {endpoint}"),
            StoreSettings::Directory { path, .. } => format!("{service} {}", path.display()),
        }
    }

    /// A name for the space that bucket names are unique in.
    pub fn namespace(&self, region_of_keys: Option<String>) -> String {
        match self {
            StoreSettings::Directory { path, .. } => path.display().to_string(),
            StoreSettings::Gcs { endpoint } => endpoint.as_str().to_ascii_lowercase(),
            StoreSettings::S3(s3) => match &s3.endpoint {
                Some(own) if !own.host().contains(".amazonaws.com") => own.as_str().to_ascii_lowercase(),
                Some(own) if own.host().ends_with(".cn") => "aws-cn".into(),
                Some(_) => "aws".into(),
                None => {
                    let region = s3.region.clone().or(region_of_keys).unwrap_or_default();
                    if region.starts_with("cn-") { "aws-cn" } else { "aws" }.into()
                }
            },
        }
    }

    /// Listings come in the order of the keys' bytes. The services promise it; listings of other servers that speak S3 may
    /// follow their directories.
    pub fn lists_in_order(&self) -> bool {
        let known = |host: &str| host.contains(".amazonaws.com") || host.ends_with(".aliyuncs.com");
        let own = self.kind().others_speak_it && self.endpoint().is_some_and(|endpoint| !known(endpoint.host()));
        !own
    }
}

/// S3 and what speaks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// `None`: the credential's.
    pub region: Option<String>,
    pub endpoint: Option<Endpoint>,
    pub profile: S3Dialect,
    pub path_style: bool,
    /// Sources only.
    pub request_payer: bool,
    /// Account id, sent as `x-amz-expected-bucket-owner`.
    pub expected_owner: Option<String>,
}

/// Which row of capabilities an S3 endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Dialect {
    Aws,
    AliyunOss,
    Generic,
}

words! { S3Dialect: "aws" Aws, "aliyun-oss" AliyunOss, "generic" Generic; }

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
            Some(StoreSettings::Directory { path: r.base.join(path), metadata: None })
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

/// As `--print-config` shows it.
pub(super) fn to_table(store: &StoreSettings, source: bool) -> Table {
    let mut table = Table::new();
    match store {
        StoreSettings::S3(s3) => {
            table.put("kind", "s3");
            table.put_some("region", s3.region.as_deref());
            table.put_endpoint(s3.endpoint.as_ref());
            table.put("profile", s3.profile.keyword());
            table.put("path_style", s3.path_style);
            if source {
                table.put("request_payer", s3.request_payer);
            }
            table.put_some("expected_owner", s3.expected_owner.as_deref());
        }
        StoreSettings::Gcs { endpoint } => {
            table.put("kind", "gcs");
            table.put_endpoint(Some(endpoint));
        }
        StoreSettings::Directory { path, .. } => {
            table.put("kind", "directory");
            table.put("path", text(path));
        }
    }
    table
}
