//! What an answer is taken for: the one table, for every service and verb. The code decides where it is known, the status
//! where it is not; an answer without the service's own code proves less than one with it.
//!
//! A table of data, so that the documentation's is made from it.

use skyferry_core::error::ErrorKind;

/// What was asked, as far as the meaning of an answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// HEAD: its answer has no body, so no code.
    Head,
    /// HEAD and GET of an object or a document.
    Read,
    /// Part of an upload, a listing or a control request: sent again, it ends the same.
    Control,
    /// Publishes, whatever is there.
    Write,
    /// Publishes under a condition.
    WriteIf,
    /// DELETE of an object.
    Delete,
}

impl RequestKind {
    /// A lost answer may hide a change that was made.
    pub fn changes(self) -> bool {
        matches!(self, RequestKind::Write | RequestKind::WriteIf | RequestKind::Delete)
    }
}

const READS: &[RequestKind] = &[RequestKind::Head, RequestKind::Read];
const WRITES: &[RequestKind] = &[RequestKind::Write, RequestKind::WriteIf, RequestKind::Delete];
const CONDITIONS: &[RequestKind] = &[RequestKind::WriteIf, RequestKind::Delete];

/// A kind for each of what can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindByRequest([ErrorKind; 6]);

impl KindByRequest {
    const fn of(kind: ErrorKind) -> Self {
        KindByRequest([kind; 6])
    }

    const fn when(mut self, asked: &[RequestKind], kind: ErrorKind) -> Self {
        let mut n = 0;
        while n < asked.len() {
            self.0[asked[n] as usize] = kind;
            n += 1;
        }
        self
    }

    /// What this answer to that request is taken for.
    pub fn kind(&self, asked: RequestKind) -> ErrorKind {
        self.0[asked as usize]
    }
}

/// One row: answers that mean the same.
#[derive(Debug)]
pub struct AnswerRow<T: 'static> {
    /// Statuses or codes.
    pub answers: &'static [T],
    /// What they are taken for.
    pub taken: KindByRequest,
    /// In one line, for people.
    pub meaning: &'static str,
}

const fn row<T>(answers: &'static [T], taken: KindByRequest, meaning: &'static str) -> AnswerRow<T> {
    AnswerRow { answers, taken, meaning }
}

/// Codes of an `<Error>`, whatever the status is, a success included.
pub static CODES: &[AnswerRow<&str>] = &[
    row(
        &["NoSuchKey", "NoSuchVersion"],
        KindByRequest::of(ErrorKind::NotFound).when(&[RequestKind::WriteIf], ErrorKind::Precondition),
        "no such object; what a conditional write was to replace is gone",
    ),
    row(&["NoSuchBucket"], KindByRequest::of(ErrorKind::BucketMissing), "no such bucket"),
    row(&["NoSuchUpload"], KindByRequest::of(ErrorKind::UploadGone), "the upload has ended"),
    row(
        &["PreconditionFailed", "ConditionalRequestConflict"],
        KindByRequest::of(ErrorKind::Precondition).when(READS, ErrorKind::SourceChanged),
        "a different state than the request named",
    ),
    row(&["InvalidRange"], KindByRequest::of(ErrorKind::SourceChanged), "the object is shorter than it was"),
    row(&["InvalidObjectState"], KindByRequest::of(ErrorKind::Archived), "archived: it can be read after a restore"),
    row(
        &[
            "AccessDenied",
            "AllAccessDisabled",
            "AccountProblem",
            "InvalidPayer",
            "NotSignedUp",
            "UserProjectAccountProblem",
            "UserProjectMissing",
        ],
        KindByRequest::of(ErrorKind::Denied),
        "no permission",
    ),
    row(
        &[
            "ExpiredToken",
            "InvalidToken",
            "TokenRefreshRequired",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "RequestTimeTooSkewed",
            "RequestExpired",
            "InvalidSecurity",
            "AuthenticationRequired",
        ],
        KindByRequest::of(ErrorKind::Credentials),
        "the credentials themselves are refused; tried once more with fresh ones",
    ),
    row(
        &[
            "PermanentRedirect",
            "TemporaryRedirect",
            "Redirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ],
        KindByRequest::of(ErrorKind::WrongRegion),
        "the bucket is in another region",
    ),
    row(
        &[
            "SlowDown",
            "SlowDownRead",
            "SlowDownWrite",
            "RequestLimitExceeded",
            "RateLimitExceeded",
            "TooManyRequests",
            "Throttling",
            "ThrottlingException",
            "KMS.ThrottlingException",
            "OperationAborted",
            "ServiceUnavailable",
        ],
        KindByRequest::of(ErrorKind::Throttled),
        "too many requests; nothing was done",
    ),
    row(
        &["RequestTimeout"],
        KindByRequest::of(ErrorKind::Stalled).when(READS, ErrorKind::Unavailable),
        "the body came too slowly",
    ),
    row(&["IncompleteBody"], KindByRequest::of(ErrorKind::Unavailable), "the body broke off"),
    row(
        &[
            "EntityTooLarge",
            "KeyTooLong",
            "KeyTooLongError",
            "MetadataTooLarge",
            "InvalidObjectName",
            "XMinioInvalidObjectName",
            "XMinioObjectExistsAsDirectory",
            "XMinioParentIsObject",
            "RequestHeaderSectionTooLarge",
            "MaxMessageLengthExceeded",
            "ObjectUnderRetention",
        ],
        KindByRequest::of(ErrorKind::NotAccepted).when(READS, ErrorKind::Refused),
        "the service does not accept this object, or keeps what is there",
    ),
    row(
        &[
            "BadDigest",
            "InvalidDigest",
            "XAmzContentChecksumMismatch",
            "XAmzContentSHA256Mismatch",
            "InvalidPart",
            "InvalidPartOrder",
        ],
        KindByRequest::of(ErrorKind::Corrupt),
        "the bytes or parts do not match their checksums",
    ),
    row(
        &["InternalError"],
        KindByRequest::of(ErrorKind::Unavailable).when(WRITES, ErrorKind::LostAnswer),
        "the service failed during the request; a write may have taken effect",
    ),
];

/// Statuses with an `<Error>` whose code is not in the table. A success with one counts as 500.
pub static UNKNOWN_CODES: &[AnswerRow<u16>] = &[
    row(&[301, 307], KindByRequest::of(ErrorKind::WrongRegion), "the bucket is in another region"),
    row(&[401], KindByRequest::of(ErrorKind::Credentials), "the credentials are refused"),
    row(&[403], KindByRequest::of(ErrorKind::Denied), "no permission"),
    row(
        &[404],
        KindByRequest::of(ErrorKind::InvalidAnswer),
        "not found, but not in the service's own format: never treated as an absence",
    ),
    row(
        &[408],
        KindByRequest::of(ErrorKind::Stalled).when(READS, ErrorKind::Unavailable),
        "the request came too slowly",
    ),
    row(
        &[412],
        KindByRequest::of(ErrorKind::Precondition).when(READS, ErrorKind::SourceChanged),
        "a different state than the request named",
    ),
    row(
        &[416],
        KindByRequest::of(ErrorKind::Refused).when(READS, ErrorKind::SourceChanged),
        "the object is shorter than it was",
    ),
    row(
        &[413, 414, 431],
        KindByRequest::of(ErrorKind::NotAccepted).when(READS, ErrorKind::Refused),
        "too large for the service",
    ),
    row(&[429, 503, 509], KindByRequest::of(ErrorKind::Throttled), "too many requests; nothing was done"),
    row(
        &[500, 502, 504],
        KindByRequest::of(ErrorKind::Unavailable).when(WRITES, ErrorKind::LostAnswer),
        "the service failed during the request; a write may have taken effect",
    ),
    row(&[501, 505], KindByRequest::of(ErrorKind::Refused), "the service does not support this"),
];

/// Statuses without the service's code: an empty answer, a page of a load balancer, JSON.
pub static NO_CODE: &[AnswerRow<u16>] = &[
    row(
        &[404],
        KindByRequest::of(ErrorKind::InvalidAnswer).when(&[RequestKind::Head], ErrorKind::NotFound),
        "no error from the service itself; after HEAD, whose answer has no body, another request checks whether the object exists",
    ),
    row(&[405], KindByRequest::of(ErrorKind::Refused), "the service does not support this"),
    row(
        &[409],
        KindByRequest::of(ErrorKind::InvalidAnswer).when(CONDITIONS, ErrorKind::Precondition),
        "a conflict with the condition",
    ),
    row(
        &[412],
        KindByRequest::of(ErrorKind::InvalidAnswer)
            .when(CONDITIONS, ErrorKind::Precondition)
            .when(READS, ErrorKind::SourceChanged),
        "a different state than the request named",
    ),
];

/// Where neither the code nor the status has a row.
fn by_class(status: u16, coded: bool, asked: RequestKind) -> ErrorKind {
    match status {
        500.. => ErrorKind::Unavailable,
        // The refusal itself may be the service's; a GET gets its words.
        400..=499 if coded || asked == RequestKind::Head => ErrorKind::Refused,
        _ => ErrorKind::InvalidAnswer,
    }
}

/// What an answer that is no success, or a success with an `<Error>`, is taken for. `code` may be empty.
pub fn kind(status: u16, code: &str, asked: RequestKind) -> ErrorKind {
    // A success that says it is none broke while it worked.
    let status = if status < 300 && !code.is_empty() { 500 } else { status };
    let known = CODES.iter().find(|row| row.answers.contains(&code));
    if let Some(row) = known {
        return row.taken.kind(asked);
    }
    if code.starts_with("KMS.") {
        return ErrorKind::Denied;
    }
    let bare = if code.is_empty() { NO_CODE } else { &[] };
    let row = bare.iter().chain(UNKNOWN_CODES).find(|row| row.answers.contains(&status));
    row.map_or_else(|| by_class(status, !code.is_empty(), asked), |row| row.taken.kind(asked))
}

/// A retention policy, a lock or a hold: refused like a missing permission or a conflict, but nothing that an operator
/// grants, nor waiting within a message's life, changes it.
pub(super) fn is_retained(status: u16, code: &str, message: &str) -> bool {
    let says = |text: &str, words: &[&str]| {
        let text = text.to_ascii_lowercase();
        words.iter().any(|word| text.contains(word))
    };
    matches!(status, 403 | 409)
        && (says(code, &["retention", "retained", "hold", "objectlocked"])
            || says(message, &["retention polic", "retained until", "retention config", "active hold", "object lock"])
            || says(message, &["event-based hold", "temporary hold"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_means_the_same_on_every_service() {
        for (status, code, asked, expected) in [
            (404, "NoSuchKey", RequestKind::Read, ErrorKind::NotFound),
            (404, "NoSuchKey", RequestKind::WriteIf, ErrorKind::Precondition),
            (404, "NoSuchKey", RequestKind::Delete, ErrorKind::NotFound),
            (404, "NoSuchBucket", RequestKind::WriteIf, ErrorKind::BucketMissing),
            (404, "NoSuchUpload", RequestKind::Control, ErrorKind::UploadGone),
            (403, "AccessDenied", RequestKind::Read, ErrorKind::Denied),
            (400, "ExpiredToken", RequestKind::Read, ErrorKind::Credentials),
            (403, "InvalidSecurity", RequestKind::Write, ErrorKind::Credentials),
            (400, "AuthorizationHeaderMalformed", RequestKind::Read, ErrorKind::WrongRegion),
            (503, "SlowDown", RequestKind::Write, ErrorKind::Throttled),
            (429, "SlowDown", RequestKind::Write, ErrorKind::Throttled),
            (412, "PreconditionFailed", RequestKind::Read, ErrorKind::SourceChanged),
            (412, "PreconditionFailed", RequestKind::WriteIf, ErrorKind::Precondition),
            (409, "ConditionalRequestConflict", RequestKind::WriteIf, ErrorKind::Precondition),
            (403, "InvalidObjectState", RequestKind::Read, ErrorKind::Archived),
            (400, "EntityTooLarge", RequestKind::Write, ErrorKind::NotAccepted),
            (400, "BadDigest", RequestKind::Write, ErrorKind::Corrupt),
            (400, "RequestTimeout", RequestKind::Write, ErrorKind::Stalled),
            (500, "InternalError", RequestKind::Read, ErrorKind::Unavailable),
            (500, "InternalError", RequestKind::Write, ErrorKind::LostAnswer),
            (200, "InternalError", RequestKind::Write, ErrorKind::LostAnswer),
            (200, "SlowDown", RequestKind::Write, ErrorKind::Throttled),
            (200, "SlowDown", RequestKind::Control, ErrorKind::Throttled),
            (409, "XMinioObjectExistsAsDirectory", RequestKind::Write, ErrorKind::NotAccepted),
        ] {
            assert_eq!(kind(status, code, asked), expected, "{status} {code} {asked:?}");
        }
    }

    #[test]
    fn an_unknown_code_is_read_by_its_status() {
        for (status, asked, expected) in [
            (200, RequestKind::Control, ErrorKind::Unavailable),
            (200, RequestKind::Write, ErrorKind::LostAnswer),
            (400, RequestKind::Write, ErrorKind::Refused),
            (404, RequestKind::Read, ErrorKind::InvalidAnswer),
            (409, RequestKind::WriteIf, ErrorKind::Refused),
            (409, RequestKind::Write, ErrorKind::Refused),
            (405, RequestKind::Write, ErrorKind::Refused),
            (501, RequestKind::Write, ErrorKind::Refused),
            (503, RequestKind::Write, ErrorKind::Throttled),
        ] {
            assert_eq!(kind(status, "SomethingNew", asked), expected, "{status} {asked:?}");
        }
    }

    #[test]
    fn an_answer_without_the_service_s_code_proves_little() {
        for (status, asked, expected) in [
            (400, RequestKind::Read, ErrorKind::InvalidAnswer),
            (403, RequestKind::Read, ErrorKind::Denied),
            (404, RequestKind::Read, ErrorKind::InvalidAnswer),
            (404, RequestKind::Control, ErrorKind::InvalidAnswer),
            (404, RequestKind::Delete, ErrorKind::InvalidAnswer),
            (404, RequestKind::Head, ErrorKind::NotFound),
            (409, RequestKind::Write, ErrorKind::InvalidAnswer),
            (409, RequestKind::WriteIf, ErrorKind::Precondition),
            (412, RequestKind::Read, ErrorKind::SourceChanged),
            (412, RequestKind::Write, ErrorKind::InvalidAnswer),
            (302, RequestKind::Read, ErrorKind::InvalidAnswer),
            (429, RequestKind::Write, ErrorKind::Throttled),
            (503, RequestKind::Write, ErrorKind::Throttled),
            (502, RequestKind::Write, ErrorKind::LostAnswer),
            (502, RequestKind::Control, ErrorKind::Unavailable),
            (501, RequestKind::Write, ErrorKind::Refused),
            (405, RequestKind::Write, ErrorKind::Refused),
            (413, RequestKind::Write, ErrorKind::NotAccepted),
        ] {
            assert_eq!(kind(status, "", asked), expected, "{status} {asked:?}");
        }
    }

    #[test]
    fn no_code_and_no_status_stands_in_two_rows() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|row| row.answers).copied().collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        for table in [UNKNOWN_CODES, NO_CODE] {
            let mut statuses: Vec<u16> = table.iter().flat_map(|row| row.answers).copied().collect();
            let count = statuses.len();
            statuses.sort_unstable();
            statuses.dedup();
            assert_eq!(statuses.len(), count);
        }
    }

    #[test]
    fn retention_and_holds_are_seen_by_code_or_words() {
        for (code, message) in [
            ("RetentionPolicyNotMet", ""),
            ("ObjectUnderActiveHold", ""),
            ("AccessDenied", "Object 'b/k' is subject to bucket's retention policy and cannot be overwritten"),
            ("AccessDenied", "Object 'b/k' is under active Temporary hold and cannot be deleted"),
            ("AccessDenied", "Access Denied because object protected by object lock."),
        ] {
            assert!(is_retained(403, code, message), "{code} {message}");
        }
        assert!(!is_retained(403, "AccessDenied", "Access denied."));
    }
}
