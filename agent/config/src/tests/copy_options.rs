//! How copies are stored, read and refused.

use super::*;
use skyferry_core::store::Encryption;

fn destination(kind: &str, lines: &str) -> String {
    let keys = format!("[credentials]\nsource = {{ resource = {SECRET:?} }}\n");
    format!("{keys}[destination]\nkind = \"{kind}\"\nbucket = \"b\"\n{lines}")
}

#[test]
fn encryption_is_the_destination_s_and_a_route_may_have_its_own() {
    let kms = |key: &str, bucket_key| Some(Encryption::SseKms { key: Some(key.into()), bucket_key });
    let own = "[[routes]]\nsource_bucket = \"s\"\n[[routes]]\nsource_bucket = \"t\"\nbucket = \"u\"\nencryption = \"sse-s3\"\n\
               [[routes]]\nsource_bucket = \"v\"\nbucket = \"w\"\nkms_key = \"alias/x\"\n\
               [[routes]]\nsource_bucket = \"x\"\nbucket = \"y\"\nencryption = \"\"\n";
    let text = destination("s3", &format!("encryption = \"sse-kms\"\nkms_key = \"k\"\nbucket_key = true\n{own}"));
    let settings = read(&text);
    let found: Vec<_> = settings.routes.iter().map(|route| route.options.encryption.clone()).collect();
    assert_eq!(found, [kms("k", Some(true)), Some(Encryption::SseS3), kms("alias/x", None), None]);
    assert_eq!(reread(&settings), settings);

    let key = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
    let settings = read(&destination("gcs", &format!("kms_key = \"{key}\"\n")));
    assert_eq!(settings.routes[0].options.encryption, Some(Encryption::Cmek(key.into())));
    assert_eq!(reread(&settings), settings);
}

#[test]
fn what_a_destination_cannot_do_is_refused_with_the_reason() {
    for (kind, lines, setting, reason) in [
        ("s3", "encryption = \"sse-c\"", "encryption", "no copy could be compared or proven"),
        ("s3", "encryption = \"aes\"", "encryption", "one of sse-s3, sse-kms, cmek"),
        ("s3", "encryption = \"cmek\"", "encryption", "S3 takes sse-s3 or sse-kms"),
        ("gcs", "encryption = \"sse-s3\"", "encryption", "Google Cloud Storage takes cmek"),
        ("gcs", "encryption = \"cmek\"", "kms_key", "cmek needs the key"),
        ("gcs", "kms_key = \"k\"", "kms_key", "projects/P/locations/L"),
        ("s3", "encryption = \"sse-s3\"\nkms_key = \"k\"", "kms_key", "take it out"),
        ("s3", "encryption = \"sse-s3\"\nbucket_key = true", "bucket_key", "take it out"),
        ("directory", "path = \"d\"\nencryption = \"sse-s3\"", "encryption", "does not belong"),
    ] {
        let error = with(&destination(kind, lines), &[]).expect_err(lines).to_string();
        assert!(error.contains(&format!("destination.{setting}")) && error.contains(reason), "{lines}: {error}");
    }
}
