//! How copies are stored, read and refused.

use skyferry_core::model::Overwrite;
use skyferry_core::store::Encryption;

use super::*;

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
        ("gcs", "acl = \"private\"", "acl", "where access is uniform"),
        ("s3", "acl = \"mine\"", "acl", "one of private, public-read"),
        ("directory", "path = \"d\"\nacl = \"private\"", "acl", "does not belong"),
        ("s3", "custom_time = \"modified\"", "custom_time", "is a property of Google Cloud Storage"),
        ("gcs", "custom_time = \"created\"", "custom_time", "one of none, modified"),
        ("s3", "overwrite = \"older\"", "overwrite", "one of always, if-older, never"),
        ("directory", "path = \"d\"\nretention = \"source\"", "retention", "nothing that a directory has"),
        ("directory", "path = \"d\"\nencryption = \"sse-s3\"", "encryption", "does not belong"),
    ] {
        let error = with(&destination(kind, lines), &[]).expect_err(lines).to_string();
        assert!(error.contains(&format!("destination.{setting}")) && error.contains(reason), "{lines}: {error}");
    }
}

#[test]
fn what_else_is_asked_for_is_the_destination_s_too_and_is_printed() {
    let text = destination(
        "s3",
        "acl = \"bucket-owner-full-control\"\noverwrite = \"never\"\nretention = \"source\"\nstorage_class = \"source\"\n\
         [[routes]]\nsource_bucket = \"s\"\n[[routes]]\nsource_bucket = \"t\"\nbucket = \"u\"\nacl = \"\"\n\
         overwrite = \"if-older\"\nretention = \"none\"\nstorage_class = \"STANDARD_IA\"\n",
    );
    let settings = read(&text);
    let [first, second] = &settings.routes[..] else { panic!("{:?}", settings.routes) };
    let found = |route: &RouteSettings| (route.options.acl.is_some(), route.options.overwrite, route.options.retention);
    assert_eq!(found(first), (true, Overwrite::Never, true));
    assert_eq!(found(second), (false, Overwrite::IfOlder, false));
    assert_eq!(reread(&settings), settings);
    let line = first.options.to_string();
    for words in ["ACL bucket-owner-full-control", "storage class of the source", "over no object"] {
        assert!(line.contains(words), "{line}");
    }
    let settings = read(&destination("gcs", "custom_time = \"modified\"\n"));
    assert!(settings.routes[0].options.custom_time && reread(&settings) == settings);
}
