//! Sources that store digests of their parts only: cut at the same borders, what was read is compared with those.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sandbox::{Fault, Operation, Rule, S3Options, StoredChecksum};

use crate::running::{Fixture, SINK, SOURCE, created};
use fixture::{bytes, only_ever_showed};

const PART: usize = 6 << 20;
/// Other parts than the source's, were it not for its digests.
const SETTINGS: &str = "[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"";

/// An object as a multipart upload with CRC32C, type COMPOSITE, left it.
fn put_in_parts(fixture: &Fixture, body: &[u8], of: &[u8]) {
    fixture.s3.set_object(SOURCE, "k", body).expect("an object");
    let sums: Vec<u8> = of.chunks(PART).flat_map(|part| crc32c::crc32c(part).to_be_bytes()).collect();
    let parts = of.len().div_ceil(PART);
    let value = format!("{}-{parts}", BASE64_STANDARD.encode(crc32c::crc32c(&sums).to_be_bytes()));
    let known = fixture.s3.amend(SOURCE, "k", |info| {
        info.etag = format!("9b2cf535f27731c974343645a3985328-{parts}");
        info.md5 = None;
        info.parts = u32::try_from(parts).ok();
        info.part_size = Some(PART as u64);
        info.checksum = Some(StoredChecksum { algorithm: "crc32c", composite: true, value });
    });
    assert!(known);
}

#[tokio::test]
async fn digests_of_parts_are_compared_at_the_source_s_own_borders() {
    let fixture = Fixture::with(SETTINGS).await;
    let body = bytes(20 << 20, 4);
    put_in_parts(&fixture, &body, &body);
    fixture.s3.faults().add(Rule::on(Operation::GetObject, Fault::FlipResponse(1234)).nth(2));
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&body], "a flip in one part");
    assert!(fixture.copy("k") == Some(body));
    // Four parts of the source's six MiB; none of five.
    assert!(fixture.gcs.counts().of(Operation::UploadPart) >= 8, "all were sent again after the flip");
    assert_eq!(fixture.gcs.object(SINK, "k").expect("a copy").parts, Some(4));
}

#[tokio::test]
async fn a_source_whose_parts_are_not_what_it_stores_of_them_is_never_published() {
    let fixture = Fixture::with(SETTINGS).await;
    let (body, other) = (bytes(20 << 20, 5), bytes(20 << 20, 6));
    put_in_parts(&fixture, &body, &other);
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let run = agent.run(skyferry_agent::wiring::RunUntil::Empty, skyferry_agent::shutdown::Shutdown::default());
    // It is tried again and again, and would be parked in the end.
    assert!(tokio::time::timeout(std::time::Duration::from_secs(4), run).await.is_err());
    assert!(fixture.gcs.history(SINK, "k").is_empty());
}

/// A source as it was before services stored checksums of their own: an MD5 of the whole, and nothing else.
async fn with_md5_alone() -> (Fixture, Vec<u8>) {
    let old = S3Options { default_checksum: false, ..S3Options::default() };
    let fixture = Fixture::of(old, &format!("{SETTINGS}\nverify = \"md5\"")).await;
    let body = bytes(12 << 20, 7);
    fixture.put("k", &body);
    (fixture, body)
}

#[tokio::test]
async fn fault_b12_a_bit_that_flips_in_a_large_object_is_caught_by_its_md5_before_it_is_published() {
    let (fixture, body) = with_md5_alone().await;
    fixture.s3.faults().add(Rule::on(Operation::GetObject, Fault::FlipResponse(1234)).nth(3));
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.parked, fixture.s3.faults().met()), (1, 0, 1));
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&body], "a flip in one part");
    assert_eq!(fixture.gcs.history(SINK, "k").len(), 1, "the wrong one was never completed");
    assert!(fixture.copy("k") == Some(body));
}

#[tokio::test]
async fn a_large_object_is_read_in_order_also_when_its_upload_goes_on() {
    let (fixture, body) = with_md5_alone().await;
    let denied = Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None };
    fixture.gcs.faults().add(Rule::on(Operation::UploadPart, denied).nth(2));
    assert_eq!(fixture.drain(&[created("k")]).await.copied, 1);
    assert!(fixture.copy("k") == Some(body));
    assert_eq!(fixture.gcs.counts().of(Operation::UploadPart), 4, "what was sent is read again, not sent");
}

#[tokio::test]
async fn a_large_object_that_is_not_what_its_md5_says_is_never_published() {
    let (fixture, _) = with_md5_alone().await;
    fixture.s3.amend(SOURCE, "k", |info| info.etag = "9b2cf535f27731c974343645a3985328".into());
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let run = agent.run(skyferry_agent::wiring::RunUntil::Empty, skyferry_agent::shutdown::Shutdown::default());
    // It is tried again and again, and would be parked in the end.
    assert!(tokio::time::timeout(std::time::Duration::from_secs(4), run).await.is_err());
    assert!(fixture.gcs.history(SINK, "k").is_empty());
}
