//! What a request asks for, told from its method, path and query alone, so that faults and counters can name it
//! before anything has been checked.

use http::Method;

use crate::call::Query;

/// The verbs of the XML API that the peers know. Counters and faults are kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// GET of an object, whole or a range.
    GetObject,
    /// HEAD of an object.
    HeadObject,
    /// PUT of a whole object.
    PutObject,
    /// PUT with a copy-source header.
    CopyObject,
    /// DELETE of an object.
    DeleteObject,
    /// POST `?delete`.
    DeleteObjects,
    /// POST `?uploads`.
    CreateUpload,
    /// PUT `?partNumber=…&uploadId=…`.
    UploadPart,
    /// The same with a copy-source header.
    UploadPartCopy,
    /// POST `?uploadId=…`.
    CompleteUpload,
    /// DELETE `?uploadId=…`.
    AbortUpload,
    /// POST `?restore`.
    RestoreObject,
    /// GET `?tagging`.
    GetTags,
    /// GET of a bucket.
    ListObjects,
    /// GET of a bucket with `?uploads`.
    ListUploads,
    /// GET `?uploadId=…`.
    ListParts,
    /// PUT of a bucket.
    CreateBucket,
    /// HEAD of a bucket.
    HeadBucket,
    /// Anything else: answered 501.
    Other,
}

/// How many operations there are: the length of the counters' table.
pub(crate) const OPERATIONS: usize = Operation::Other as usize + 1;

impl Operation {
    /// In their order.
    pub const ALL: [Operation; OPERATIONS] = [
        Operation::GetObject,
        Operation::HeadObject,
        Operation::PutObject,
        Operation::CopyObject,
        Operation::DeleteObject,
        Operation::DeleteObjects,
        Operation::CreateUpload,
        Operation::UploadPart,
        Operation::UploadPartCopy,
        Operation::CompleteUpload,
        Operation::AbortUpload,
        Operation::RestoreObject,
        Operation::GetTags,
        Operation::ListObjects,
        Operation::ListUploads,
        Operation::ListParts,
        Operation::CreateBucket,
        Operation::HeadBucket,
        Operation::Other,
    ];

    pub(crate) fn of(method: &Method, key: &str, query: &Query, copies: bool) -> Operation {
        if key.is_empty() { Self::of_bucket(method, query) } else { Self::of_object(method, query, copies) }
    }

    fn of_bucket(method: &Method, query: &Query) -> Operation {
        const SUBRESOURCES: [&str; 6] = ["versioning", "location", "notification", "acl", "policy", "lifecycle"];
        if SUBRESOURCES.iter().any(|name| query.has(name)) {
            return Operation::Other;
        }
        match *method {
            Method::GET if query.has("uploads") => Operation::ListUploads,
            Method::GET => Operation::ListObjects,
            Method::HEAD => Operation::HeadBucket,
            Method::PUT => Operation::CreateBucket,
            Method::POST if query.has("delete") => Operation::DeleteObjects,
            _ => Operation::Other,
        }
    }

    fn of_object(method: &Method, query: &Query, copies: bool) -> Operation {
        let upload = query.has("uploadId");
        match *method {
            Method::GET if upload => Operation::ListParts,
            Method::GET if query.has("tagging") => Operation::GetTags,
            Method::GET if query.has("acl") => Operation::Other,
            Method::GET => Operation::GetObject,
            Method::HEAD => Operation::HeadObject,
            Method::PUT if upload && copies => Operation::UploadPartCopy,
            Method::PUT if upload => Operation::UploadPart,
            Method::PUT if query.has("acl") || query.has("tagging") => Operation::Other,
            Method::PUT if copies => Operation::CopyObject,
            Method::PUT => Operation::PutObject,
            Method::POST if query.has("uploads") => Operation::CreateUpload,
            Method::POST if upload => Operation::CompleteUpload,
            Method::POST if query.has("restore") => Operation::RestoreObject,
            Method::DELETE if upload => Operation::AbortUpload,
            Method::DELETE => Operation::DeleteObject,
            _ => Operation::Other,
        }
    }

    /// Whether the effect, if any, changes the store.
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            Operation::GetObject
                | Operation::HeadObject
                | Operation::GetTags
                | Operation::ListObjects
                | Operation::ListUploads
                | Operation::ListParts
                | Operation::HeadBucket
        )
    }
}
