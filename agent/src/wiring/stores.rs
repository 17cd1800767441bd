//! From the settings' two sides to a source and a sink over one pool of connections.

use std::path::Path;
use std::sync::Arc;

use super::WiringError;
use super::keys::RoleCredentials;
use skyferry_config as config;
use skyferry_config::{S3Dialect, Settings, StoreSettings};
use skyferry_core::error::Side;
use skyferry_core::store::{Sink, Source};
use skyferry_stores::directory::{Directory, DirectoryOptions};
use skyferry_stores::gcs::{Gcs, GcsOptions};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

/// One pool of connections for both sides.
pub(super) fn transport(settings: &Settings) -> Result<Transport, WiringError> {
    let plain = |store: &StoreSettings| store.endpoint().is_some_and(|endpoint| !endpoint.is_https());
    // The settings took plain http only where it is allowed, and every request goes to an endpoint of theirs.
    let allow_http = plain(&settings.source) || plain(&settings.destination);
    let stall_timeout = settings.transfer.stall_timeout;
    let options = TransportOptions { allow_http, stall_timeout, ..TransportOptions::default() };
    Ok(Transport::new(&options.with_environment())?)
}

/// A store of either side.
pub(super) enum OpenedStore {
    S3(Arc<S3>),
    Gcs(Arc<Gcs>),
    Directory(Arc<Directory>),
}

impl OpenedStore {
    /// As jobs see it. A decorator would be stacked here.
    pub(super) fn source(self) -> Arc<dyn Source> {
        match self {
            OpenedStore::S3(store) => store,
            OpenedStore::Gcs(store) => store,
            OpenedStore::Directory(store) => store,
        }
    }

    /// As jobs see it. A decorator would be stacked here.
    pub(super) fn sink(self) -> Arc<dyn Sink> {
        match self {
            OpenedStore::S3(store) => store,
            OpenedStore::Gcs(store) => store,
            OpenedStore::Directory(store) => store,
        }
    }
}

/// A side's store, with that side's settings and keys.
pub(super) fn open(
    settings: &Settings,
    side: Side,
    keys: Option<RoleCredentials>,
    transport: &Transport,
) -> Result<OpenedStore, WiringError> {
    let store = if side == Side::Source { &settings.source } else { &settings.destination };
    Ok(match store {
        StoreSettings::S3(store) => OpenedStore::S3(Arc::new(s3(store, keys, side, transport)?)),
        StoreSettings::Gcs { endpoint } => OpenedStore::Gcs(Arc::new(gcs(endpoint, keys, side, transport)?)),
        StoreSettings::Directory { path, metadata } => {
            let route = settings.routes.first();
            let bucket = match side {
                Side::Source => route.and_then(|route| route.source_bucket.as_deref()),
                _ => route.map(|route| route.bucket.as_str()),
            };
            OpenedStore::Directory(Arc::new(directory(path, metadata.as_deref(), bucket, side)?))
        }
    })
}

/// A directory has one bucket's worth of keys, called as the (first) route calls it. A sink makes its root.
fn directory(path: &Path, metadata: Option<&Path>, bucket: Option<&str>, side: Side) -> Result<Directory, WiringError> {
    let options = DirectoryOptions {
        root: path.to_owned(),
        bucket: bucket.unwrap_or("directory").into(),
        create: side == Side::Destination,
        metadata: metadata.map(Path::to_owned),
    };
    Directory::open(options).map_err(|error| WiringError::Section { section: section(side), reason: error.to_string() })
}

pub(super) fn s3(
    settings: &config::S3Settings,
    keys: Option<RoleCredentials>,
    side: Side,
    transport: &Transport,
) -> Result<S3, WiringError> {
    let section = section(side);
    let name = match settings.profile {
        S3Dialect::Aws => "aws",
        S3Dialect::AliyunOss => "aliyun-oss",
        S3Dialect::Generic => "generic",
    };
    let wrong = |reason: String| WiringError::Section { section, reason };
    let options = S3Options {
        profile: S3Profile::named(name).ok_or_else(|| wrong(format!("no profile {name}")))?,
        endpoint: settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        region: settings.region.clone(),
        path_style: Some(settings.path_style),
        request_payer: settings.request_payer,
        expected_owner: settings.expected_owner.clone(),
    };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    S3::new(options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn gcs(
    endpoint: &config::Endpoint,
    keys: Option<RoleCredentials>,
    side: Side,
    transport: &Transport,
) -> Result<Gcs, WiringError> {
    let wrong = |reason: String| WiringError::Section { section: section(side), reason };
    let options = GcsOptions { endpoint: Some(endpoint.as_str().to_owned()) };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    Gcs::new(&options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn section(side: Side) -> &'static str {
    if side == Side::Source { "[source]" } else { "[destination]" }
}
