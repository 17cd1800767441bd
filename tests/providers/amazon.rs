//! Amazon's identities: the machine's role, a parameter of SSM, a role taken with Google's identity, a profile.

use std::time::{Duration, SystemTime};

use sandbox::{AwsKeysPeer, Ec2Peer, GcePeer, PeerFault};
use skyferry_providers::{Cached, Provider, WebIdentity};

use crate::{OnAmazon, id, pair, refused};

#[tokio::test]
async fn the_machines_role_is_read_by_version_2_only() {
    let amazon = OnAmazon::start();
    let credentials = amazon.instance().load().await.expect("a role");
    assert_eq!(id(&credentials), Ec2Peer::ACCESS_ID);
    assert_eq!(credentials.region.as_deref(), Some("us-west-2"));
    let left = credentials.expires.expect("a role's keys expire").duration_since(SystemTime::now()).expect("later");
    assert!(left > Duration::from_secs(5 * 3600));
    assert_eq!(amazon.metadata.refused(), 0, "version 1 was asked");
    assert!(amazon.metadata.count("PUT /latest/api/token") > 0);
}

#[tokio::test]
async fn regression_16_version_1_of_the_metadata_service_is_never_asked() {
    let amazon = OnAmazon::start();
    // Not even when version 2 fails, which is when others fall back.
    for weather in [PeerFault::Status(403), PeerFault::Status(404), PeerFault::Status(500), PeerFault::Drop] {
        amazon.metadata.inject("PUT /latest/api/token", weather, 100);
        assert!(amazon.instance().load().await.is_err());
        amazon.metadata.clear();
    }
    assert_eq!((amazon.metadata.refused(), amazon.metadata.count("GET ")), (0, 0));
    assert!(amazon.instance().load().await.is_ok());
    assert_eq!(amazon.metadata.refused(), 0);
}

#[tokio::test]
async fn a_parameter_is_read_decrypted_with_the_machines_role() {
    let amazon = OnAmazon::start();
    amazon.keys.put("s3_migration_credentials", &pair("AKIACHINA", "cn-northwest-1"));
    let credentials = amazon.parameter("s3_migration_credentials").load().await.expect("a key pair");
    assert_eq!((id(&credentials), credentials.region.as_deref()), ("AKIACHINA", Some("cn-northwest-1")));
    assert_eq!(credentials.expires, None, "so it is asked for again from time to time");
}

#[tokio::test]
async fn a_role_that_rotates_is_followed_by_who_reads_with_it() {
    let amazon = OnAmazon::start();
    amazon.keys.put("key", &pair("AKIA1", "cn-north-1"));
    let parameter = amazon.parameter("key");
    parameter.load().await.expect("read");
    amazon.metadata.set_key("ASIAROTATED", "other+secret");
    amazon.keys.admit("ASIAROTATED");
    assert!(parameter.load().await.is_ok(), "the old key still holds");
}

#[tokio::test]
async fn a_role_is_taken_with_googles_identity_and_no_key() {
    let (google, amazon) = (GcePeer::start().expect("a metadata server"), OnAmazon::start());
    let role = "arn:aws:iam::123456789012:role/reader";
    amazon.keys.trust(role);
    let provider = WebIdentity {
        role_arn: role.into(),
        region: Some("us-west-2".into()),
        endpoint: Some(amazon.keys.endpoint()),
        metadata: Some(google.endpoint()),
        ..WebIdentity::default()
    };
    let credentials = provider.load().await.expect("a role");
    assert_eq!((id(&credentials), credentials.region.as_deref()), (AwsKeysPeer::ACCESS_ID, Some("us-west-2")));
    assert!(credentials.expires.is_some_and(|expires| expires > SystemTime::now()));
    assert_eq!(google.count("service-accounts/default/identity"), 1);

    let other = WebIdentity { audience: Some("somebody-else".into()), ..provider.clone() };
    let error = refused(&other).await;
    assert!(!error.passing && error.problem.contains("InvalidIdentityToken"), "{error}");
    assert!(error.advice.contains("oaud"), "{error}");
    let untrusted = WebIdentity { role_arn: "arn:aws:iam::123456789012:role/other".into(), ..provider };
    let error = refused(&untrusted).await;
    assert!(error.from.contains("role/other") && error.advice.contains("trust policy"), "{error}");
}

#[tokio::test]
async fn a_refresh_that_hangs_does_not_stop_who_holds_keys() {
    let amazon = OnAmazon::start();
    // A life so short that the keys are due for renewal when they are asked for again.
    amazon.metadata.keys_live(Duration::from_secs(6));
    let cached = Cached::new(amazon.instance());
    let first = cached.get().await.expect("keys");
    amazon.metadata.inject("/latest/", PeerFault::Hang, 1000);
    let due = first.expires.expect("they expire") - Duration::from_secs(2);
    while SystemTime::now() < due {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = tokio::time::timeout(Duration::from_millis(500), cached.get()).await;
    assert_eq!(id(&asked.expect("at once").expect("keys")), id(&first));
}
