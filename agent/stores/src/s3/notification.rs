//! A bucket's notification configuration, as the document that it is. S3 has one for a bucket and replaces it whole: what a
//! typed reading would not know, the next writing would lose. So it is carried as text, and only what is ours is read in it.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::super::http::retry_idempotent;
use super::super::xml_api::answers::RequestKind;
use super::S3;
use skyferry_core::model::Location;
use skyferry_core::store::{Payload, Result};

/// What a bucket tells whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// XML, as the service gave it.
    pub document: String,
    /// Where the bucket is, if that is known and not only assumed.
    pub region: Option<Arc<str>>,
}

impl S3 {
    /// Reads it. Needs `s3:GetBucketNotification`.
    pub async fn notification(&self, bucket: &str) -> Result<Notification> {
        let at = Location::new(bucket, "");
        let (region, document) = retry_idempotent(|| async {
            let mut get = self.client.bucket(Method::GET, "GetBucketNotificationConfiguration", &at);
            get.query("notification", "");
            let call = get.call.clone();
            let answer = self.client.send(get).await?;
            let region = answer.header("x-amz-bucket-region").map(Arc::from);
            let document = self.client.raw_document(&call, "NotificationConfiguration", answer).await?;
            Ok((region, document))
        })
        .await?;
        Ok(Notification { document, region: region.or_else(|| self.known_region(bucket)) })
    }

    /// Replaces all of it.
    pub async fn put_notification(&self, bucket: &str, document: &str) -> Result<()> {
        let at = Location::new(bucket, "");
        let body = Bytes::copy_from_slice(document.as_bytes());
        retry_idempotent(|| async {
            let mut put = self.client.bucket(Method::PUT, "PutBucketNotificationConfiguration", &at);
            put.query("notification", "");
            put.payload = Some(Payload::Whole(body.clone()));
            let call = put.call.clone();
            let answer = self.client.send(put).await?;
            self.client.settled(&call, RequestKind::Control, answer).await.map(drop)
        })
        .await
    }

    /// AWS answers for a bucket in its own region only. Elsewhere a region is a word in the signature.
    fn known_region(&self, bucket: &str) -> Option<Arc<str>> {
        if self.is_fixed { self.region.clone() } else { self.client.region_of(bucket) }
    }
}
