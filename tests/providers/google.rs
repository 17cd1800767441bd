//! Google's identities: Secret Manager read with the machine's account, a Bearer token, federation from Amazon.

use sandbox::{SecretsPeer, VersionState};
use skyferry_providers::{Google, Grant, Provider};

use crate::{OnAmazon, OnGoogle, SECRET, id, pair};

fn both() -> String {
    format!(r#"{{"source":{},"destination":{}}}"#, pair("AKIASOURCE", "us-west-2"), pair("GOOG1EDEST", "auto"))
}

#[tokio::test]
async fn both_sides_are_read_from_one_secret() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, both());
    let source = google.secret("latest", Some("source")).load().await.expect("a key pair");
    assert_eq!((id(&source), source.region.as_deref()), ("AKIASOURCE", Some("us-west-2")));
    let destination = google.secret("1", Some("destination")).load().await.expect("a key pair");
    assert_eq!(id(&destination), "GOOG1EDEST");
    assert_eq!(google.secrets.count(":access"), 2, "one request each");
}

#[tokio::test]
async fn latest_is_the_newest_version() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, pair("AKIAOLD", "us-west-2"));
    google.secrets.add(SECRET, pair("AKIANEW", "us-west-2"));
    assert_eq!(id(&google.secret("latest", None).load().await.expect("a key pair")), "AKIANEW");
    assert_eq!(id(&google.secret("1", None).load().await.expect("a key pair")), "AKIAOLD");
}

#[tokio::test]
async fn a_byte_order_mark_and_a_missing_checksum_do_not_matter() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, format!("\u{feff}{}\r\n", pair("AKIABOM", "us-west-2")));
    google.secrets.set_state(SECRET, 1, VersionState::Unsummed);
    assert_eq!(id(&google.secret("latest", None).load().await.expect("a key pair")), "AKIABOM");
}

#[tokio::test]
async fn a_token_of_the_machine_is_asked_for_anew_after_a_revocation() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, pair("AKIA", "us-west-2"));
    let provider = google.secret("latest", None);
    provider.load().await.expect("read");
    google.metadata.revoke();
    provider.load().await.expect("read with a new token");
}

#[tokio::test]
async fn the_machines_account_gives_a_bearer_token() {
    let google = OnGoogle::start();
    let credentials = google.identity().load().await.expect("a token");
    let Grant::Bearer(token) = &credentials.grant else { panic!("no token") };
    assert!(token.expose().starts_with("ya29."));
    assert!(!format!("{credentials:?}").contains("ya29"));
}

#[tokio::test]
async fn an_amazon_role_is_exchanged_for_a_bearer_token_and_no_key() {
    let (google, amazon) = (OnGoogle::start(), OnAmazon::start());
    let federated = |audience: &str| Google {
        audience: Some(audience.into()),
        endpoint: Some(google.secrets.endpoint()),
        amazon: Some(amazon.metadata.endpoint()),
    };
    let credentials = federated(SecretsPeer::POOL).load().await.expect("a token");
    assert!(matches!(credentials.grant, Grant::Bearer(_)));
    assert_eq!(amazon.metadata.refused(), 0, "version 1 was asked");
    let error = federated("//iam.googleapis.com/other").load().await.expect_err("another pool");
    assert!(!error.passing && error.advice.contains("audience"), "{error}");
}
