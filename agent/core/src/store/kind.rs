//! The kinds of stores: a row each, for whatever has to know about a kind without opening a store.

use crate::plan::SinkLimits;

/// What is true of every store of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreKind {
    /// The service, for people.
    pub service: &'static str,
    /// What it takes as a destination.
    pub limits: SinkLimits,
    /// Servers of others speak it too, whose listings may come in another order than that of the keys' bytes.
    pub others_speak_it: bool,
    /// The section of its prices in `config/prices.toml`; `None`: its requests cost nothing.
    pub price_class: Option<&'static str>,
    /// Requests are made with credentials.
    pub needs_keys: bool,
}

impl StoreKind {
    /// Amazon S3 and its dialects.
    pub const S3: StoreKind = StoreKind {
        service: "S3",
        limits: SinkLimits::S3,
        others_speak_it: true,
        price_class: Some("s3"),
        needs_keys: true,
    };

    /// Google Cloud Storage by its XML API.
    pub const GCS: StoreKind = StoreKind {
        service: "Google Cloud Storage",
        limits: SinkLimits::GCS,
        others_speak_it: false,
        price_class: Some("gcs"),
        needs_keys: true,
    };

    /// A directory of this machine.
    pub const DIRECTORY: StoreKind = StoreKind {
        service: "the directory",
        limits: SinkLimits::DIRECTORY,
        others_speak_it: false,
        price_class: None,
        needs_keys: false,
    };
}
