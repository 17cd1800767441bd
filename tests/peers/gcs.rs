//! The GCS peer is as strict as docs/gcs-xml.md says of the cloud.

mod access;
mod multipart;
mod objects;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use md5::{Digest as _, Md5};
use sandbox::{Access, Fault, GcsOptions, GcsPeer, Operation, Rule};

use crate::client::{Ask, Client, Reply, Sign, ask};

const MIB: usize = 1 << 20;

fn peer_with(options: GcsOptions) -> GcsPeer {
    GcsPeer::start(GcsOptions { buckets: vec!["b".to_owned()], ..options }).unwrap()
}

fn peer() -> GcsPeer {
    peer_with(GcsOptions::default())
}

fn client(peer: &GcsPeer, sign: Sign) -> Client {
    Client {
        endpoint: peer.endpoint(),
        sign,
        access_id: GcsPeer::ACCESS_ID.to_owned(),
        secret: GcsPeer::SECRET.to_owned(),
        authority: peer.authority().map(|authority| authority.pem().to_owned()),
    }
}

fn goog(peer: &GcsPeer) -> Client {
    client(peer, Sign::Goog4)
}

fn aws(peer: &GcsPeer) -> Client {
    client(peer, Sign::Aws4)
}

fn crc(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 253) as u8).collect()
}

async fn put(client: &Client, path: &str, body: &[u8]) -> Reply {
    client.send(ask("PUT", path).body(body)).await
}
