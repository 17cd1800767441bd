//! Headers and metadata are part of an object's state: they change without its bytes, and another program may have lost them.

use std::collections::BTreeMap;

use fixture::{AgentFolder, AgentSettings};
use sandbox::{Attributes, GcsOptions, GcsPeer, ObjectInfo, S3Options, S3Peer, StorePeer};
use skyferry_agent::wiring::Agent;
use skyferry_core::metrics::Summary;

use crate::running::{SINK, SOURCE, created, finish};

enum Cloud {
    Gcs(GcsPeer),
    S3(S3Peer),
}

/// A source, and a bucket at one of the clouds.
struct Pair {
    s3: S3Peer,
    to: Cloud,
    folder: AgentFolder,
}

impl Pair {
    fn both() -> [Pair; 2] {
        let buckets = vec![SINK.to_owned()];
        let gcs = GcsPeer::start(GcsOptions { buckets: buckets.clone(), ..GcsOptions::default() }).expect("a GCS peer");
        let s3 = S3Peer::start(S3Options { buckets, ..S3Options::default() }).expect("an S3 peer");
        [Cloud::Gcs(gcs), Cloud::S3(s3)].map(|to| {
            let buckets = vec![SOURCE.to_owned()];
            let s3 = S3Peer::start(S3Options { buckets, ..S3Options::default() }).expect("an S3 peer");
            Pair { s3, to, folder: AgentFolder::default() }
        })
    }

    fn there(&self) -> &StorePeer {
        match &self.to {
            Cloud::Gcs(peer) => peer,
            Cloud::S3(peer) => peer,
        }
    }

    fn name(&self) -> &'static str {
        match self.to {
            Cloud::Gcs(_) => "gcs",
            Cloud::S3(_) => "s3",
        }
    }

    async fn agent(&self) -> Agent {
        let settings = match &self.to {
            Cloud::Gcs(peer) => AgentSettings::s3_to_gcs(&self.s3, peer),
            Cloud::S3(peer) => AgentSettings::s3_to_s3(&self.s3, &peer.endpoint()),
        };
        let parts = "transfer = { multipart_threshold = \"5MiB\", part_size = \"5MiB\" }";
        self.folder.agent(&settings.embedded().with(parts)).await
    }

    async fn drain(&self, key: &str) -> Summary {
        let agent = self.agent().await;
        agent.queue().send(&[created(key)]).await.expect("sent");
        finish(agent).await
    }

    fn copy(&self, key: &str) -> ObjectInfo {
        self.there().object(SINK, key).expect("a copy").as_ref().clone()
    }

    /// States that ever became visible at the destination.
    fn states(&self) -> usize {
        self.there().publications().len()
    }
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn with(content: &BTreeMap<String, String>, metadata: &BTreeMap<String, String>) -> Attributes {
    Attributes {
        content: content.clone(),
        metadata: metadata.clone(),
        storage_class: "STANDARD".into(),
        ..Attributes::default()
    }
}

/// Each header that travels, and metadata.
fn dressed() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let content = pairs([
        ("content-type", "text/css"),
        ("content-encoding", "br"),
        ("content-language", "fr"),
        ("content-disposition", "inline; filename=\"a  b\""),
        ("cache-control", "max-age=60"),
    ]);
    (content, pairs([("owner", "me"), ("name", "=?UTF-8?B?w7xiZXI=?=")]))
}

fn has(copy: &ObjectInfo, content: &BTreeMap<String, String>, metadata: &BTreeMap<String, String>) -> bool {
    let own = |name: &str| name.starts_with("skyferry-");
    let kept: BTreeMap<String, String> =
        copy.attributes.metadata.clone().into_iter().filter(|(name, _)| !own(name)).collect();
    copy.attributes.content == *content && kept == *metadata
}

#[tokio::test]
async fn fault_b8_the_same_bytes_with_other_headers_within_a_second_end_with_the_newest() {
    for pair in Pair::both() {
        for body in [&b"small"[..], &vec![7; 6 << 20]] {
            let key = format!("k{}", body.len());
            let (content, metadata) = dressed();
            pair.s3.set_object_with(SOURCE, &key, body, with(&pairs([]), &pairs([]))).expect("an object");
            let first = pair.s3.object(SOURCE, &key).expect("there").modified;
            assert_eq!(pair.drain(&key).await.copied, 1, "{}", pair.name());
            pair.s3.set_object_with(SOURCE, &key, body, with(&content, &metadata)).expect("the same bytes");
            pair.s3.amend(SOURCE, &key, |object| object.modified = first);
            assert_eq!(pair.drain(&key).await.copied, 1, "{}", pair.name());
            assert!(has(&pair.copy(&key), &content, &metadata), "{:?}", pair.copy(&key));
            // And back: what the source no longer has goes, too.
            for less in [with(&content, &pairs([])), with(&pairs([]), &pairs([]))] {
                pair.s3.amend(SOURCE, &key, |object| object.attributes = less);
                assert_eq!(pair.drain(&key).await.copied, 1, "{}", pair.name());
            }
            assert!(pair.copy(&key).attributes.metadata.contains_key("skyferry-headers"));
            let states = pair.states();
            for _ in 0..2 {
                assert_eq!(pair.drain(&key).await.unchanged, 1, "{}", pair.name());
            }
            assert_eq!(pair.states(), states, "nothing is written twice");
        }
    }
}

#[tokio::test]
async fn fault_b9_a_copy_by_another_program_ends_with_the_headers_of_the_source() {
    for pair in Pair::both() {
        let (content, metadata) = dressed();
        for (n, lost) in content.keys().chain(metadata.keys()).enumerate() {
            let key = format!("k{n}");
            let (mut less, mut user) = (content.clone(), metadata.clone());
            less.remove(lost);
            user.remove(lost);
            user.insert("mtime".into(), "1700000000.5".into());
            pair.s3.set_object_with(SOURCE, &key, b"body", with(&content, &metadata)).expect("an object");
            pair.there().set_object_with(SINK, &key, b"body", with(&less, &user)).expect("a copy");
            assert_eq!(pair.drain(&key).await.copied, 1, "{} without {lost}", pair.name());
            assert!(has(&pair.copy(&key), &content, &metadata), "{lost}: {:?}", pair.copy(&key));
            let states = pair.states();
            assert_eq!(pair.drain(&key).await.unchanged, 1, "{}", pair.name());
            assert_eq!(pair.states(), states, "once is enough");
        }
    }
}

#[tokio::test]
async fn a_copy_by_another_program_that_lost_nothing_is_not_sent_again() {
    for pair in Pair::both() {
        let (content, mut metadata) = dressed();
        pair.s3.set_object_with(SOURCE, "all", b"body", with(&content, &metadata)).expect("an object");
        metadata.insert("mtime".into(), "1700000000.5".into());
        pair.there().set_object_with(SINK, "all", b"body", with(&content, &metadata)).expect("a copy");
        // Without a type at the source, the one that a service gives it is as good.
        let untyped = |name: &str| with(&pairs([("content-type", name)]), &pairs([]));
        pair.s3.set_object_with(SOURCE, "none", b"body", untyped("binary/octet-stream")).expect("an object");
        pair.there().set_object_with(SINK, "none", b"body", untyped("application/octet-stream")).expect("a copy");
        let states = pair.states();
        for key in ["all", "none"] {
            for _ in 0..2 {
                assert_eq!(pair.drain(key).await.unchanged, 1, "{} {key}", pair.name());
            }
        }
        assert_eq!(pair.states(), states);
    }
}
