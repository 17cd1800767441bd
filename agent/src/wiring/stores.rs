//! From the settings' two sides to a source and a sink over one pool of connections.

use std::path::Path;
use std::sync::Arc;

use super::WiringError;
use super::keys::Keys;
use crate::config::{self, Dialect, Settings, Store};
use crate::error::Side;
use crate::store::directory::{Directory, DirectoryOptions};
use crate::store::gcs::{Gcs, GcsOptions};
use crate::store::http::{Transport, TransportOptions};
use crate::store::s3::{Profile, S3, S3Options};
use crate::store::{Sink, Source};

/// One pool of connections for both sides.
pub(super) fn transport(settings: &Settings) -> Result<Transport, WiringError> {
    let plain = |store: &Store| match store {
        Store::S3(s3) => s3.endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_https()),
        Store::Gcs { endpoint } => !endpoint.is_https(),
        Store::Directory { .. } => false,
    };
    // The settings took plain http only where it is allowed, and every request goes to an endpoint of theirs.
    let allow_http = plain(&settings.source) || plain(&settings.destination);
    let stall_timeout = settings.transfer.stall_timeout;
    let options = TransportOptions { allow_http, stall_timeout, ..TransportOptions::default() };
    Ok(Transport::new(&options.with_environment())?)
}

/// The source as jobs see it. A decorator would be stacked here.
pub(super) fn source(
    settings: &Settings,
    keys: Option<Keys>,
    transport: &Transport,
) -> Result<Arc<dyn Source>, WiringError> {
    Ok(match &settings.source {
        Store::S3(store) => Arc::new(s3(store, keys, Side::Source, transport)?),
        Store::Gcs { endpoint } => Arc::new(gcs(endpoint, keys, Side::Source, transport)?),
        Store::Directory { path } => {
            let bucket = settings.routes.first().and_then(|route| route.source_bucket.as_deref());
            Arc::new(directory(path, bucket, Side::Source)?)
        }
    })
}

/// The source as one that is written to: for a probe of its events.
pub(super) fn source_written(
    settings: &Settings,
    keys: Option<Keys>,
    transport: &Transport,
) -> Result<Arc<dyn Sink>, WiringError> {
    Ok(match &settings.source {
        Store::S3(store) => Arc::new(s3(store, keys, Side::Source, transport)?),
        Store::Gcs { endpoint } => Arc::new(gcs(endpoint, keys, Side::Source, transport)?),
        Store::Directory { path } => {
            let bucket = settings.routes.first().and_then(|route| route.source_bucket.as_deref());
            Arc::new(directory(path, bucket, Side::Source)?)
        }
    })
}

/// The sink as jobs see it. A decorator would be stacked here.
pub(super) fn sink(
    settings: &Settings,
    keys: Option<Keys>,
    transport: &Transport,
) -> Result<Arc<dyn Sink>, WiringError> {
    Ok(match &settings.destination {
        Store::S3(store) => Arc::new(s3(store, keys, Side::Destination, transport)?),
        Store::Gcs { endpoint } => Arc::new(gcs(endpoint, keys, Side::Destination, transport)?),
        Store::Directory { path } => {
            let bucket = settings.routes.first().map(|route| route.bucket.as_str());
            Arc::new(directory(path, bucket, Side::Destination)?)
        }
    })
}

/// A directory has one bucket's worth of keys, called as the (first) route calls it. A sink makes its root.
fn directory(path: &Path, bucket: Option<&str>, side: Side) -> Result<Directory, WiringError> {
    let options = DirectoryOptions {
        root: path.to_owned(),
        bucket: bucket.unwrap_or("directory").into(),
        create: side == Side::Destination,
    };
    Directory::open(options).map_err(|error| WiringError::Section { section: section(side), reason: error.to_string() })
}

pub(super) fn s3(
    settings: &config::S3,
    keys: Option<Keys>,
    side: Side,
    transport: &Transport,
) -> Result<S3, WiringError> {
    let section = section(side);
    let name = match settings.profile {
        Dialect::Aws => "aws",
        Dialect::AliyunOss => "aliyun-oss",
        Dialect::Generic => "generic",
    };
    let wrong = |reason: String| WiringError::Section { section, reason };
    let options = S3Options {
        profile: Profile::named(name).ok_or_else(|| wrong(format!("no profile {name}")))?,
        endpoint: settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        region: settings.region.clone(),
        path_style: Some(settings.path_style),
        request_payer: settings.request_payer,
        expected_owner: settings.expected_owner.clone(),
    };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    S3::new(options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn gcs(endpoint: &config::Endpoint, keys: Option<Keys>, side: Side, transport: &Transport) -> Result<Gcs, WiringError> {
    let wrong = |reason: String| WiringError::Section { section: section(side), reason };
    let options = GcsOptions { endpoint: Some(endpoint.as_str().to_owned()) };
    let keys = keys.ok_or_else(|| wrong("needs credentials".into()))?;
    Gcs::new(&options, keys.cached, side, transport.clone()).map_err(|error| wrong(error.to_string()))
}

fn section(side: Side) -> &'static str {
    if side == Side::Source { "[source]" } else { "[destination]" }
}
