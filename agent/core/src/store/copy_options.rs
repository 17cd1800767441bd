//! What an operator decides about the copies of a route, beside their bytes and what their sources gave them: what the
//! policy of a destination bucket demands, and what its lifecycle looks at.

use std::fmt;
use std::sync::Arc;

use super::Metadata;
use crate::model::Overwrite;

/// The storage class of each source object.
pub const SOURCE_CLASS: &str = "source";

/// How the copies of a route are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The destination's own word, or the other service's; the sink translates. [`SOURCE_CLASS`]: each object's own. `None`:
    /// the bucket's default.
    pub storage_class: Option<Arc<str>>,
    /// `None`: as the bucket encrypts by default.
    pub encryption: Option<Encryption>,
    /// A canned ACL of S3.
    pub acl: Option<Arc<str>>,
    /// Google's Custom-Time is the source's Last-Modified.
    pub custom_time: bool,
    /// The retention of the source object is the copy's.
    pub retention: bool,
    /// What a copy may replace.
    pub overwrite: Overwrite,
}

impl CopyOptions {
    /// The class of a copy of an object with this metadata, in either service's words.
    pub fn class_of(&self, source: &Metadata) -> Option<String> {
        let class = match self.storage_class.as_deref() {
            Some(SOURCE_CLASS) => match source.storage_class.as_deref() {
                // S3 shows none for STANDARD. What is only about where an object is says nothing about another place.
                None | Some("EXPRESS_ONEZONE" | "OUTPOSTS" | "SNOW" | "FSX_OPENZFS") => "STANDARD",
                Some(class) => class,
            },
            class => class?,
        };
        Some(class.to_owned())
    }
}

/// Until when an object can be neither replaced nor deleted, in the words that both services have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: String,
    /// As the service writes the time (ISO 8601).
    pub until: String,
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
        if let Some(acl) = &self.acl {
            write!(f, ", ACL {acl}")?;
        }
        if self.storage_class.as_deref() == Some(SOURCE_CLASS) {
            f.write_str(", storage class of the source")?;
        }
        if self.custom_time {
            f.write_str(", Custom-Time of the source's Last-Modified")?;
        }
        if self.retention {
            f.write_str(", retention of the source")?;
        }
        match self.overwrite {
            Overwrite::Always => {}
            Overwrite::IfOlder => f.write_str(", over older objects only")?,
            Overwrite::Never => f.write_str(", over no object")?,
        }
        Ok(())
    }
}
