//! The stores that speak HTTP, against loopback peers as strict as the clouds' documents. (Foreign servers are less than
//! that, each in its own way: `foreign`.)

use std::sync::Arc;

use fixture::PeerKeys;
use sandbox::{GcsPeer, S3Peer};
use skyferry_core::error::Side;
use skyferry_core::store::{Capabilities, Sink, Source};
use skyferry_providers::Cached;
use skyferry_stores::gcs::{Gcs, GcsOptions};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

use crate::store::{AtRest, Can, Subject};

/// What S3 and GCS demand of every part but the last.
const PART: usize = 5 << 20;

fn transport() -> Transport {
    Transport::new(&TransportOptions { allow_http: true, ..TransportOptions::default() }).expect("a transport")
}

/// One client for each end, as in a copy.
fn both<S: Source + Sink + 'static>(client: impl Fn(Side) -> S) -> (Arc<dyn Source>, Arc<dyn Sink>) {
    (Arc::new(client(Side::Source)), Arc::new(client(Side::Destination)))
}

pub async fn gcs() -> Subject {
    let options = sandbox::GcsOptions { buckets: vec!["bucket".into()], ..sandbox::GcsOptions::default() };
    let peer = GcsPeer::start(options).expect("started");
    let endpoint = GcsOptions { endpoint: Some(peer.endpoint()) };
    let (source, sink) = both(|side| {
        let keys = Arc::new(Cached::new(PeerKeys::new(GcsPeer::ACCESS_ID, GcsPeer::SECRET)));
        Gcs::new(&endpoint, keys, side, transport()).expect("a client")
    });
    Subject {
        source,
        sink,
        bucket: "bucket".into(),
        can: Can {
            // A precondition on multipart is refused at the beginning and ignored at the end.
            capabilities: Capabilities {
                conditional_put: true,
                conditional_finish: false,
                conditional_delete: true,
                checksums: true,
                metadata: true,
            },
            refused_keys: &[],
            checks_whole: false,
            all_headers: true,
            at_rest: AtRest::Google,
            part: PART,
        },
        _keep: Box::new(peer),
    }
}

pub fn s3(endpoint: &str, profile: &str, keys: (&'static str, &'static str)) -> (Arc<dyn Source>, Arc<dyn Sink>) {
    both(|side| {
        let options = S3Options {
            profile: S3Profile::named(profile).expect("a profile"),
            endpoint: Some(endpoint.into()),
            ..S3Options::default()
        };
        S3::new(options, Arc::new(Cached::new(PeerKeys::new(keys.0, keys.1))), side, transport()).expect("a client")
    })
}

pub const S3_CAN: Can = Can {
    capabilities: Capabilities {
        conditional_put: true,
        conditional_finish: true,
        conditional_delete: true,
        checksums: true,
        metadata: true,
    },
    refused_keys: &[],
    checks_whole: true,
    all_headers: true,
    at_rest: AtRest::Amazon,
    part: PART,
};

pub async fn s3_peer() -> Subject {
    let options =
        sandbox::S3Options { buckets: vec!["bucket".into()], check_signatures: true, ..sandbox::S3Options::default() };
    let peer = S3Peer::start(options).expect("started");
    let (source, sink) = s3(&peer.endpoint(), "aws", (S3Peer::ACCESS_ID, S3Peer::SECRET));
    Subject { source, sink, bucket: "bucket".into(), can: S3_CAN, _keep: Box::new(peer) }
}
