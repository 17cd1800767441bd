//! What is refused, lost or answered in other words, and that no secret is among the words.

use std::sync::Arc;
use std::time::Duration;

use sandbox::{Access, Fault, GcsOptions, GcsPeer, Operation, Rule};
use skyferry_core::error::{ErrorKind, Side, Verdict};
use skyferry_core::model::Expected;
use skyferry_core::store::{Metadata, Sink, WriteAttributes};
use skyferry_providers::{Cached, Grant, Secret};
use skyferry_stores::gcs::{Gcs, GcsOptions as GcsClientOptions};
use skyferry_stores::http::{Transport, TransportOptions};

use crate::{BUCKET, InTurn, Rig, at, attributes, keys, noise, streamed, whole};

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse { status, code: code.into(), retry_after: None }
}

#[tokio::test]
async fn a_lost_answer_is_told_apart_from_a_refusal_and_sent_once() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let effect_and_500 = Fault::RefuseAfterEffect { status: 500, code: "InternalError".into() };
    for (fault, kind) in [
        (Fault::LostAnswer, ErrorKind::LostAnswer),
        (Fault::NoEffect, ErrorKind::LostAnswer),
        (effect_and_500, ErrorKind::LostAnswer),
        (refuse(502, ""), ErrorKind::LostAnswer),
        (refuse(503, "ServiceUnavailable"), ErrorKind::Throttled),
        (refuse(503, "SlowDown"), ErrorKind::Throttled),
        (refuse(429, "TooManyRequests"), ErrorKind::Throttled),
        (refuse(408, "RequestTimeout"), ErrorKind::Stalled),
        (refuse(403, "RetentionPolicyNotMet"), ErrorKind::NotAccepted),
        (refuse(403, "ObjectUnderActiveHold"), ErrorKind::NotAccepted),
        (refuse(412, "PreconditionFailed"), ErrorKind::Precondition),
        (refuse(400, "EntityTooLarge"), ErrorKind::NotAccepted),
    ] {
        let before = rig.peer.counts().of(Operation::PutObject);
        rig.peer.faults().add(Rule::on(Operation::PutObject, fault.clone()));
        let error = gcs.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert_eq!(rig.peer.counts().of(Operation::PutObject), before + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_body_that_was_cut_off_published_nothing_and_is_no_lost_answer() {
    let rig = Rig::start();
    rig.peer.faults().add(Rule::on(Operation::PutObject, Fault::CutRequest(1_000_000)));
    let body = streamed(noise(20 << 20, 3), 100_000);
    let error = rig.gcs().put(&at("k"), body, &attributes(20 << 20), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(rig.peer.object(BUCKET, "k").is_none());
}

#[tokio::test]
async fn retry_after_is_told() {
    let rig = Rig::start();
    let fault = Fault::Refuse { status: 429, code: "SlowDown".into(), retry_after: Some(7) };
    rig.peer.faults().add(Rule::on(Operation::PutObject, fault));
    let error = rig.gcs().put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!((error.verdict(), error.retry_after), (Verdict::Outage, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_denied_write_and_a_missing_bucket_are_told() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    rig.peer.set_access(BUCKET, Access::ReadOnly);
    let error = gcs.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!((error.kind, error.side), (ErrorKind::Denied, Side::Destination));
    assert_eq!(gcs.delete(&at("k"), &Expected::Any).await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(gcs.begin(&at("k"), &attributes(3)).await.unwrap_err().kind, ErrorKind::Denied);
    let elsewhere = skyferry_core::model::Location::new("not-there", "k");
    let error = gcs.put(&elsewhere, whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BucketMissing);
}

#[tokio::test]
async fn refused_credentials_are_named_and_no_secret_is_shown() {
    let rig = Rig::start();
    let stranger = Grant::Keys {
        access_key_id: "GOOG1ESTRANGER".into(),
        secret_access_key: Secret::new("wrong-secret"),
        session_token: None,
    };
    for grant in [keys("wrong-secret"), stranger, Grant::Bearer(Secret::new("wrong-secret"))] {
        let gcs = rig.client(Side::Destination, vec![grant]);
        let error = gcs.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Credentials);
        assert!(!format!("{error} {error:?}").contains("wrong-secret"));
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_matter_of_credentials() {
    let rig = Rig::with(GcsOptions { clock_ahead: 3600, ..GcsOptions::default() });
    let error = rig.gcs().put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    assert!(error.to_string().contains("RequestTimeTooSkewed") && error.to_string().contains("clock"), "{error}");
}

/// The cache asks the provider again ten seconds after it did at the earliest: hence the wait, with credentials that
/// nobody has refused yet (a 503 comes before they are looked at).
#[tokio::test]
async fn a_key_that_was_rotated_away_is_replaced_and_a_body_at_hand_is_sent_again() {
    let (whole_rig, stream_rig) = (Rig::start(), Rig::start());
    let rotated = |rig: &Rig| rig.client(Side::Destination, vec![keys("rotated away"), keys(GcsPeer::SECRET)]);
    let (with_whole, with_stream) = (rotated(&whole_rig), rotated(&stream_rig));
    for (rig, gcs) in [(&whole_rig, &with_whole), (&stream_rig, &with_stream)] {
        rig.peer.faults().add(Rule::on(Operation::PutObject, refuse(503, "")));
        let error = gcs.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Throttled);
    }
    tokio::time::sleep(Duration::from_millis(10_200)).await;
    with_whole.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap();
    assert_eq!(whole_rig.peer.counts().of(Operation::PutObject), 3, "refused, then taken");

    let body = || streamed(b"abc".to_vec(), 1);
    let error = with_stream.put(&at("k"), body(), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "a stream is gone once it was sent");
    assert_eq!(stream_rig.peer.counts().of(Operation::PutObject), 2);
    with_stream.put(&at("k"), body(), &attributes(3), &Expected::Any).await.unwrap();
}

#[tokio::test]
async fn the_same_credentials_are_not_tried_twice() {
    let rig = Rig::start();
    let gcs = rig.client(Side::Destination, vec![keys("wrong")]);
    let error = gcs.put(&at("k"), whole(b"abc"), &attributes(3), &Expected::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    assert_eq!(rig.peer.counts().total(), 1);
}

#[tokio::test]
async fn what_the_service_cannot_hold_costs_no_request() {
    let rig = Rig::start();
    let gcs = rig.gcs();
    let unknown = Metadata { storage_class: Some("SNOW".into()), ..Metadata::default() };
    let long = Metadata { user: [("n".to_owned(), "v".repeat(9000))].into(), ..Metadata::default() };
    for metadata in [unknown, long] {
        let with = WriteAttributes { metadata, ..attributes(3) };
        let error = gcs.put(&at("k"), whole(b"abc"), &with, &Expected::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotHold);
        assert_eq!(gcs.begin(&at("k"), &with).await.unwrap_err().kind, ErrorKind::CannotHold);
    }
    assert_eq!(rig.peer.counts().total(), 0);
}

#[tokio::test]
async fn neither_a_client_nor_a_wrong_endpoint_shows_a_secret() {
    let rig = Rig::start();
    let shown = format!("{:?}", rig.gcs());
    assert!(shown.contains("127.0.0.1") && !shown.contains(GcsPeer::SECRET), "{shown}");
    let options = GcsClientOptions { endpoint: Some("https://id:hunter2@host/path".into()) };
    let credentials = Arc::new(Cached::new(InTurn::of(vec![keys("secret")])));
    let transport = Transport::new(&TransportOptions::default()).unwrap();
    let error = Gcs::new(&options, credentials, Side::Source, transport).unwrap_err();
    assert!(error.to_string().contains("host/path") && !format!("{error} {error:?}").contains("hunter2"));
}
