//! Object stores behind `skyferry_core::store`: S3 and its dialects, Google Cloud Storage, directories. The two clouds
//! share one XML API ([`xml_api`]) and one HTTP client ([`http`]); they differ in signatures and in what they promise.
#![warn(missing_docs)]

pub mod directory;
pub mod gcs;
pub mod http;
mod rfc2047;
pub mod s3;
mod signature;
pub mod xml_api;
