//! What an operator decides about the copies of a route, beside their bytes and what their sources gave them: what the
//! policy of a destination bucket demands, and what its lifecycle looks at.

use std::fmt;
use std::sync::Arc;

/// How the copies of a route are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The destination's own word, or S3's; the sink translates. `None`: the bucket's default.
    pub storage_class: Option<Arc<str>>,
    /// `None`: as the bucket encrypts by default.
    pub encryption: Option<Encryption>,
}

/// How an object is encrypted at rest, by keys that the service itself reaches. (Of a key that comes with each request the
/// service keeps nothing: a copy under one could be neither compared nor proven without it.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3: keys of S3's own.
    SseS3,
    /// SSE-KMS: a key of AWS KMS.
    SseKms {
        /// Its ARN, id or alias; `None`: AWS's own key for S3.
        key: Option<Arc<str>>,
        /// One data key for many objects; `None`: as the bucket has it.
        bucket_key: Option<bool>,
    },
    /// CMEK: a key of Cloud KMS, by its full name.
    Cmek(Arc<str>),
}

impl Encryption {
    /// The ETag of such an object is no digest of its bytes, whatever it looks like.
    pub fn hides_md5(&self) -> bool {
        !matches!(self, Encryption::SseS3)
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encryption::SseS3 => f.write_str("sse-s3"),
            Encryption::SseKms { key, .. } => match key {
                Some(key) => write!(f, "sse-kms by {key}"),
                None => f.write_str("sse-kms by AWS's key for S3"),
            },
            Encryption::Cmek(key) => write!(f, "cmek by {key}"),
        }
    }
}

/// Where something is asked for, as a route's line shows it: `, encrypted with sse-s3`.
impl fmt::Display for CopyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(encryption) = &self.encryption {
            write!(f, ", encrypted with {encryption}")?;
        }
        Ok(())
    }
}
