//! Multipart uploads.

use sandbox::{Fault, GcsOptions, Operation, Rule};
use skyferry_core::digest::{Checksum, DigestSelection, Digests};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, UploadId};
use skyferry_core::store::{CompletedPart, Sink};
use skyferry_stores::gcs::Gcs;

use crate::{BUCKET, Rig, at, attributes, noise, streamed, whole};

const PART: usize = 5 << 20;

/// An upload of two parts, ready to finish; the second goes first.
async fn uploaded(gcs: &Gcs, key: &str) -> (UploadId, Vec<CompletedPart>, Digests) {
    let bodies = [noise(PART, 1), noise(1000, 2)];
    let all = bodies.concat();
    let upload = gcs.begin(&at(key), &attributes(all.len() as u64)).await.unwrap();
    let [first, second] = bodies;
    let sums = [crc32c::crc32c(&first), crc32c::crc32c(&second)];
    let (location, id) = (at(key), &upload);
    let second = gcs.part(&location, id, 2, streamed(second, 300));
    let first = gcs.part(&location, id, 1, streamed(first, 100_000));
    let (second, first) = tokio::join!(second, first);
    let mut parts = Vec::new();
    for (part, sum) in [first.unwrap(), second.unwrap()].into_iter().zip(sums) {
        assert_eq!(part.stored.crc32c, Some(Checksum::Full(sum)));
        parts.push(CompletedPart { number: part.number, etag: part.etag, crc32c: sum });
    }
    (upload, parts, Digests::of(&all, DigestSelection::default()))
}

#[tokio::test]
async fn parts_in_any_order_become_one_object() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let (upload, parts, whole) = uploaded(&gcs, "a/../large").await;
    let held = gcs.parts(&at("a/../large"), &upload).await.unwrap().unwrap();
    assert_eq!(held.iter().map(|part| (part.number, part.size)).collect::<Vec<_>>(), [(1, PART as u64), (2, 1000)]);
    for (held, sent) in held.iter().zip(&parts) {
        assert_eq!(held.etag, sent.etag, "the listing and the answer name a part alike");
    }
    assert!(rig.peer.object(BUCKET, "a/../large").is_none(), "nothing is visible before the end");
    let done = gcs.finish(&at("a/../large"), &upload, &parts, &whole, &Expected::Any).await.unwrap();
    let object = rig.peer.object(BUCKET, "a/../large").unwrap();
    assert_eq!(done.revision.unwrap().to_string(), object.generation.to_string());
    assert_eq!(done.stored.crc32c, Some(Checksum::Full(whole.crc32c)));
    assert_eq!((object.size, object.crc32c), (whole.length, whole.crc32c));
    assert_eq!(object.attributes.metadata["skyferry-size"], whole.length.to_string());
    assert_eq!(rig.peer.counts().of(Operation::HeadObject), 0, "the answer said all");
}

#[tokio::test]
async fn a_finish_whose_answer_says_little_claims_no_more() {
    let rig = Rig::with(GcsOptions { opaque_part_etags: true, ..GcsOptions::default() });
    let gcs = rig.gcs();
    for header in ["x-goog-generation", "x-goog-hash"] {
        let (upload, parts, whole) = uploaded(&gcs, header).await;
        rig.peer.faults().add(Rule::on(Operation::CompleteUpload, Fault::WithoutHeader(header)));
        let done = gcs.finish(&at(header), &upload, &parts, &whole, &Expected::Any).await.unwrap();
        assert_eq!(done.revision.is_some(), header == "x-goog-hash");
        assert_eq!(done.stored.crc32c.is_some(), header == "x-goog-generation");
    }
}

#[tokio::test]
async fn a_finish_that_fails_after_its_200_may_have_published() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let (upload, parts, whole) = uploaded(&gcs, "k").await;
    rig.peer.faults().add(Rule::on(Operation::CompleteUpload, Fault::ErrorInOk { code: "InternalError".into() }));
    let error = gcs.finish(&at("k"), &upload, &parts, &whole, &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LostAnswer);
    rig.peer.faults().add(Rule::on(Operation::CompleteUpload, Fault::LostAnswer));
    let error = gcs.finish(&at("k"), &upload, &parts, &whole, &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LostAnswer);
    assert_eq!(rig.peer.counts().of(Operation::CompleteUpload), 2, "none of them was sent twice");
    let error = gcs.finish(&at("k"), &upload, &parts, &whole, &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UploadGone, "the lost one took effect");
    assert!(rig.peer.object(BUCKET, "k").is_some());
}

#[tokio::test]
async fn an_upload_that_has_ended_is_gone_and_ends_again_without_complaint() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let upload = gcs.begin(&at("k"), &attributes(3)).await.unwrap();
    assert_eq!(gcs.parts(&at("k"), &upload).await.unwrap(), Some(Vec::new()));
    gcs.abort(&at("k"), &upload).await.unwrap();
    gcs.abort(&at("k"), &upload).await.unwrap();
    assert_eq!(gcs.parts(&at("k"), &upload).await.unwrap(), None);
    let error = gcs.part(&at("k"), &upload, 1, whole(b"abc")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UploadGone);
    gcs.abort(&at("k"), &UploadId("never/was+there=".into())).await.unwrap();
}

#[tokio::test]
async fn a_part_whose_bytes_were_changed_on_the_way_is_refused() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let upload = gcs.begin(&at("k"), &attributes(3)).await.unwrap();
    rig.peer.faults().add(Rule::on(Operation::UploadPart, Fault::FlipRequest(0)));
    let error = gcs.part(&at("k"), &upload, 1, whole(b"abc")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert_eq!(gcs.parts(&at("k"), &upload).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn open_uploads_are_found_by_prefix_with_their_keys_as_they_are() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let mut ids = Vec::new();
    for key in ["p/a b+é", "p/a b+é", "p/../x", "q"] {
        ids.push((Key::from(key), gcs.begin(&at(key), &attributes(3)).await.unwrap()));
    }
    let mut found = gcs.uploads(BUCKET, &Key::from("p/")).await.unwrap();
    found.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    ids.pop();
    ids.sort();
    assert_eq!(found.iter().map(|upload| (upload.key.clone(), upload.id.clone())).collect::<Vec<_>>(), ids);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!(found.iter().all(|upload| (now - upload.initiated).abs() < 60));
}
