//! What an operator decides about how copies are stored.

use std::sync::Arc;

use bytes::Bytes;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Location};
use skyferry_core::store::{CompletedPart, CopyOptions, Encryption, Object, Payload, WriteResult};

use super::{AtRest, Subject, attributes, bytes, digests};

const CLOUD_KEY: &str = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";

/// The object in one request and in parts; what the writes were answered, and what a look shows.
async fn stored(on: &Subject, content: &Bytes, options: CopyOptions) -> [(WriteResult, Object); 2] {
    let mut with = attributes(content.len());
    with.options = Arc::new(options);
    let at: [Location; 2] = [on.at("single"), on.at("parts")];
    let single = on.sink.put(&at[0], Payload::Whole(content.clone()), &with, &Expected::Any).await.expect("written");
    let upload = on.sink.begin(&at[1], &with).await.expect("begun");
    let part = on.sink.part(&at[1], &upload, 1, Payload::Whole(content.clone())).await.expect("sent");
    assert!(!part.stored.compare(&digests(content)).is_mismatch(), "{part:?}");
    let whole = digests(content);
    let parts = [CompletedPart { number: 1, etag: part.etag, crc32c: whole.crc32c }];
    let parts = on.sink.finish(&at[1], &upload, &parts, &whole, &Expected::Any).await.expect("finished");
    [(single, on.head("single").await.expect("there")), (parts, on.head("parts").await.expect("there"))]
}

fn with(encryption: Encryption) -> CopyOptions {
    CopyOptions { encryption: Some(encryption), ..CopyOptions::default() }
}

pub async fn objects_are_encrypted_by_the_service_s_own_keys_where_that_is_asked_for(on: Subject) {
    let encryption =
        if on.can.at_rest == AtRest::Google { Encryption::Cmek(CLOUD_KEY.into()) } else { Encryption::SseS3 };
    let shown = match on.can.at_rest {
        AtRest::Nothing => None,
        AtRest::Amazon => Some("AES256".to_owned()),
        AtRest::Google => Some(format!("{CLOUD_KEY}/cryptoKeyVersions/1")),
    };
    for (_, object) in stored(&on, &bytes(1000, 1), with(encryption)).await {
        assert_eq!(object.metadata.encryption, shown);
    }
}

/// The ETag of such an object is none of its bytes; what is stored is proven all the same.
pub async fn under_a_key_of_kms_an_etag_is_never_taken_for_an_md5(on: Subject) {
    let (key, content) = (Some("arn:aws:kms:us-east-1:111122223333:key/0af1".into()), bytes(1000, 2));
    let encryption = match on.can.at_rest {
        AtRest::Google => Encryption::Cmek(CLOUD_KEY.into()),
        _ => Encryption::SseKms { key, bucket_key: Some(true) },
    };
    for (written, object) in stored(&on, &content, with(encryption)).await {
        assert_eq!(object.metadata.encryption.is_some(), on.can.at_rest != AtRest::Nothing, "{object:?}");
        let amazon = on.can.at_rest == AtRest::Amazon;
        for stored in [&written.stored, &object.stored] {
            assert!(!stored.compare(&digests(&content)).is_mismatch(), "{stored:?}");
            assert!(!amazon || stored.md5.as_ref().is_none_or(|sum| !sum.is_full()), "{stored:?}");
        }
    }
}

/// What it does to readers is the service's matter: no answer shows it.
pub async fn a_canned_acl_is_taken_with_small_and_large_objects(on: Subject) {
    if on.can.at_rest == AtRest::Google {
        let mut with = attributes(3);
        with.options = Arc::new(acl());
        let refused = on.sink.put(&on.at("a"), Payload::Whole("abc".into()), &with, &Expected::Any).await;
        assert_eq!(super::kind(refused), ErrorKind::CannotHold, "and none is sent");
        return;
    }
    stored(&on, &bytes(1000, 3), acl()).await;
}

fn acl() -> CopyOptions {
    CopyOptions { acl: Some("bucket-owner-full-control".into()), ..CopyOptions::default() }
}
