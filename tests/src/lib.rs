//! Loopback peers as strict as the clouds, with faults, for the tests and for `skyferry demo`. In process, on free ports of
//! 127.0.0.1 only; a peer ends when it is dropped.
//!
//! - [`GcsPeer`]: Google Cloud Storage's XML API, as far as a mover of objects meets it.
//! - [`S3Peer`]: a light S3 whose objects may be made up on the fly, of any size.
//! - [`Faults`]: scripted faults inside either. [`Proxy`]: faults on the wire in front of anything.
//! - [`SeaweedFs`], [`JuiceFs`], [`S3Files`]: SeaweedFS, the gateway of JuiceFS and s3s-fs, S3 by other people.
//!   [`Rclone`], [`Moto`]: `rclone serve s3` and moto, laxer ones that many people have.
//!   [`Ministack`]: a foreign S3 with events, SQS and DynamoDB. [`InterceptingProxy`]: refusals and pauses in front of such a one.
//! - [`ScriptedPeer`]: a server whose every answer a test writes.
//! - [`LambdaPeer`]: the Runtime API around a program that is a Lambda function. [`EventSource`]: what brings it a queue's
//!   messages.
//! - [`GcePeer`], [`Ec2Peer`]: the metadata servers of machines. [`SecretsPeer`]: Google's Secret Manager.
//!   [`MonitoringPeer`]: its Cloud Monitoring.
//!   [`AwsKeysPeer`]: SSM and STS.
//!
//! Inside: `server` runs a `Dialect` (gcs, s3source) over a `store`; `call`, `signature`, `body`, `chunked`, `xml` read what
//! comes in; `refusal` is the only way out for what is wrong.

mod awskeys;
mod body;
mod call;
mod cargo_lambda;
mod chunked;
mod counters;
mod dynamodb;
mod ec2;
mod event_source;
mod faults;
#[cfg(feature = "s3s")]
mod files;
mod foreign;
mod gce;
mod gcs;
mod google_tokens;
mod http_peer;
mod intercepting_proxy;
mod juicefs;
mod lambda;
mod listings;
mod ministack;
mod monitoring;
mod moto;
mod object;
mod operation;
mod proxy;
mod rclone;
mod refusal;
mod resident;
mod s3source;
mod scripted;
mod seaweedfs;
mod secrets;
mod server;
mod signature;
mod store;
mod store_peer;
mod stored_options;
mod tls;
mod xml;

pub use awskeys::AwsKeysPeer;
pub use cargo_lambda::CargoLambda;
pub use counters::Counts;
pub use dynamodb::{DynamoProxy, Largest};
pub use ec2::Ec2Peer;
pub use event_source::{Delivered, EventSource, Function};
pub use faults::{Fault, Faults, Reply, Rule};
#[cfg(feature = "s3s")]
pub use files::S3Files;
pub use foreign::peers_directory;
pub use gce::GcePeer;
pub use gcs::{GcsOptions, GcsPeer};
pub use google_tokens::GoogleTokens;
pub use http_peer::{HttpPeer, PeerFault};
pub use intercepting_proxy::{Hold, InterceptingProxy};
pub use juicefs::JuiceFs;
pub use lambda::{LambdaError, LambdaOptions, LambdaPeer};
pub use ministack::Ministack;
pub use monitoring::{MonitoringPeer, PointTaken};
pub use moto::Moto;
pub use operation::Operation;
pub use proxy::{Direction, Proxy, Wire, WireCounts};
pub use rclone::Rclone;
pub use resident::peak_resident;
pub use s3source::{S3Options, S3Peer};
pub use scripted::{Received, Scripted, ScriptedPeer};
pub use seaweedfs::SeaweedFs;
pub use secrets::{SecretsPeer, VersionState};
pub use store::{Access, Attributes, ObjectInfo, Publication, StoredChecksum, uploads::UploadInfo};
pub use store_peer::StorePeer;
pub use tls::Authority;
