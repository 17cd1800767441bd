//! What an answer is taken for: the one table, for every service and verb. The code decides where it is known, the status
//! where it is not; an answer without the service's own code proves less than one with it.
//!
//! A table of data, so that the documentation's is made from it.

use skyferry_core::error::Kind;

/// What was asked, as far as the meaning of an answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// HEAD: its answer has no body, so no code.
    Head,
    Read,
    /// Part of an upload, a listing or a control request: sent again, it ends the same.
    Control,
    /// Publishes, whatever is there.
    Write,
    /// Publishes under a condition.
    WriteIf,
    Delete,
}

impl Asked {
    /// A lost answer may hide a change that was made.
    pub fn changes(self) -> bool {
        matches!(self, Asked::Write | Asked::WriteIf | Asked::Delete)
    }
}

const READS: &[Asked] = &[Asked::Head, Asked::Read];
const WRITES: &[Asked] = &[Asked::Write, Asked::WriteIf, Asked::Delete];
const CONDITIONS: &[Asked] = &[Asked::WriteIf, Asked::Delete];

/// A kind for each of what can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken([Kind; 6]);

impl Taken {
    const fn of(kind: Kind) -> Self {
        Taken([kind; 6])
    }

    const fn when(mut self, asked: &[Asked], kind: Kind) -> Self {
        let mut n = 0;
        while n < asked.len() {
            self.0[asked[n] as usize] = kind;
            n += 1;
        }
        self
    }

    pub fn kind(&self, asked: Asked) -> Kind {
        self.0[asked as usize]
    }
}

/// One row: answers that mean the same.
#[derive(Debug)]
pub struct Row<T: 'static> {
    pub answers: &'static [T],
    pub taken: Taken,
    /// In one line, for people.
    pub meaning: &'static str,
}

const fn row<T>(answers: &'static [T], taken: Taken, meaning: &'static str) -> Row<T> {
    Row { answers, taken, meaning }
}

/// Codes of an `<Error>`, whatever the status is, a success included.
pub static CODES: &[Row<&str>] = &[
    row(
        &["NoSuchKey", "NoSuchVersion"],
        Taken::of(Kind::NotFound).when(&[Asked::WriteIf], Kind::Precondition),
        "no such object; what a conditional write was to replace is gone",
    ),
    row(&["NoSuchBucket"], Taken::of(Kind::BucketMissing), "no such bucket"),
    row(&["NoSuchUpload"], Taken::of(Kind::UploadGone), "the upload has ended"),
    row(
        &["PreconditionFailed", "ConditionalRequestConflict"],
        Taken::of(Kind::Precondition).when(READS, Kind::SourceChanged),
        "another state than the one that the request named",
    ),
    row(&["InvalidRange"], Taken::of(Kind::SourceChanged), "the object is shorter than it was"),
    row(&["InvalidObjectState"], Taken::of(Kind::Archived), "archived: it can be read after a restore"),
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
        Taken::of(Kind::Denied),
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
        Taken::of(Kind::Credentials),
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
        Taken::of(Kind::WrongRegion),
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
        Taken::of(Kind::Throttled),
        "too many requests; nothing was done",
    ),
    row(&["RequestTimeout"], Taken::of(Kind::Stalled).when(READS, Kind::Unavailable), "the body came too slowly"),
    row(&["IncompleteBody"], Taken::of(Kind::Unavailable), "the body broke off"),
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
        Taken::of(Kind::NotTaken).when(READS, Kind::Refused),
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
        Taken::of(Kind::Corrupt),
        "the bytes or parts are not what their checksums say",
    ),
    row(
        &["InternalError"],
        Taken::of(Kind::Unavailable).when(WRITES, Kind::LostAnswer),
        "the service broke while it worked; a write may yet have been made",
    ),
];

/// Statuses with an `<Error>` whose code is not in the table. A success with one counts as 500.
pub static UNKNOWN_CODES: &[Row<u16>] = &[
    row(&[301, 307], Taken::of(Kind::WrongRegion), "the bucket is in another region"),
    row(&[401], Taken::of(Kind::Credentials), "the credentials are refused"),
    row(&[403], Taken::of(Kind::Denied), "no permission"),
    row(&[404], Taken::of(Kind::Nonsense), "not there, and not the service's word for it: never taken for an absence"),
    row(&[408], Taken::of(Kind::Stalled).when(READS, Kind::Unavailable), "the request came too slowly"),
    row(
        &[412],
        Taken::of(Kind::Precondition).when(READS, Kind::SourceChanged),
        "another state than the one that the request named",
    ),
    row(&[416], Taken::of(Kind::Refused).when(READS, Kind::SourceChanged), "the object is shorter than it was"),
    row(&[413, 414, 431], Taken::of(Kind::NotTaken).when(READS, Kind::Refused), "too large for the service"),
    row(&[429, 503, 509], Taken::of(Kind::Throttled), "too many requests; nothing was done"),
    row(
        &[500, 502, 504],
        Taken::of(Kind::Unavailable).when(WRITES, Kind::LostAnswer),
        "the service broke while it worked; a write may yet have been made",
    ),
    row(&[501, 505], Taken::of(Kind::Refused), "the service does not do this"),
];

/// Statuses without the service's code: an empty answer, a page of a load balancer, JSON.
pub static NO_CODE: &[Row<u16>] = &[
    row(
        &[404],
        Taken::of(Kind::Nonsense).when(&[Asked::Head], Kind::NotFound),
        "no word of the service; after HEAD, which has none, another request asks whether the object is there",
    ),
    row(&[405], Taken::of(Kind::Refused), "the service does not do this"),
    row(&[409], Taken::of(Kind::Nonsense).when(CONDITIONS, Kind::Precondition), "a conflict with the condition"),
    row(
        &[412],
        Taken::of(Kind::Nonsense).when(CONDITIONS, Kind::Precondition).when(READS, Kind::SourceChanged),
        "another state than the one that the request named",
    ),
];

/// Where neither the code nor the status has a row.
fn by_class(status: u16, coded: bool, asked: Asked) -> Kind {
    match status {
        500.. => Kind::Unavailable,
        // The refusal itself may be the service's; a GET gets its words.
        400..=499 if coded || asked == Asked::Head => Kind::Refused,
        _ => Kind::Nonsense,
    }
}

/// What an answer that is no success, or a success with an `<Error>`, is taken for. `code` may be empty.
pub fn kind(status: u16, code: &str, asked: Asked) -> Kind {
    // A success that says it is none broke while it worked.
    let status = if status < 300 && !code.is_empty() { 500 } else { status };
    let known = CODES.iter().find(|row| row.answers.contains(&code));
    if let Some(row) = known {
        return row.taken.kind(asked);
    }
    if code.starts_with("KMS.") {
        return Kind::Denied;
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
            (404, "NoSuchKey", Asked::Read, Kind::NotFound),
            (404, "NoSuchKey", Asked::WriteIf, Kind::Precondition),
            (404, "NoSuchKey", Asked::Delete, Kind::NotFound),
            (404, "NoSuchBucket", Asked::WriteIf, Kind::BucketMissing),
            (404, "NoSuchUpload", Asked::Control, Kind::UploadGone),
            (403, "AccessDenied", Asked::Read, Kind::Denied),
            (400, "ExpiredToken", Asked::Read, Kind::Credentials),
            (403, "InvalidSecurity", Asked::Write, Kind::Credentials),
            (400, "AuthorizationHeaderMalformed", Asked::Read, Kind::WrongRegion),
            (503, "SlowDown", Asked::Write, Kind::Throttled),
            (429, "SlowDown", Asked::Write, Kind::Throttled),
            (412, "PreconditionFailed", Asked::Read, Kind::SourceChanged),
            (412, "PreconditionFailed", Asked::WriteIf, Kind::Precondition),
            (409, "ConditionalRequestConflict", Asked::WriteIf, Kind::Precondition),
            (403, "InvalidObjectState", Asked::Read, Kind::Archived),
            (400, "EntityTooLarge", Asked::Write, Kind::NotTaken),
            (400, "BadDigest", Asked::Write, Kind::Corrupt),
            (400, "RequestTimeout", Asked::Write, Kind::Stalled),
            (500, "InternalError", Asked::Read, Kind::Unavailable),
            (500, "InternalError", Asked::Write, Kind::LostAnswer),
            (200, "InternalError", Asked::Write, Kind::LostAnswer),
            (200, "SlowDown", Asked::Write, Kind::Throttled),
            (200, "SlowDown", Asked::Control, Kind::Throttled),
            (409, "XMinioObjectExistsAsDirectory", Asked::Write, Kind::NotTaken),
        ] {
            assert_eq!(kind(status, code, asked), expected, "{status} {code} {asked:?}");
        }
    }

    #[test]
    fn an_unknown_code_is_read_by_its_status() {
        for (status, asked, expected) in [
            (200, Asked::Control, Kind::Unavailable),
            (200, Asked::Write, Kind::LostAnswer),
            (400, Asked::Write, Kind::Refused),
            (404, Asked::Read, Kind::Nonsense),
            (409, Asked::WriteIf, Kind::Refused),
            (409, Asked::Write, Kind::Refused),
            (405, Asked::Write, Kind::Refused),
            (501, Asked::Write, Kind::Refused),
            (503, Asked::Write, Kind::Throttled),
        ] {
            assert_eq!(kind(status, "SomethingNew", asked), expected, "{status} {asked:?}");
        }
    }

    #[test]
    fn an_answer_without_the_service_s_code_proves_little() {
        for (status, asked, expected) in [
            (400, Asked::Read, Kind::Nonsense),
            (403, Asked::Read, Kind::Denied),
            (404, Asked::Read, Kind::Nonsense),
            (404, Asked::Control, Kind::Nonsense),
            (404, Asked::Delete, Kind::Nonsense),
            (404, Asked::Head, Kind::NotFound),
            (409, Asked::Write, Kind::Nonsense),
            (409, Asked::WriteIf, Kind::Precondition),
            (412, Asked::Read, Kind::SourceChanged),
            (412, Asked::Write, Kind::Nonsense),
            (302, Asked::Read, Kind::Nonsense),
            (429, Asked::Write, Kind::Throttled),
            (503, Asked::Write, Kind::Throttled),
            (502, Asked::Write, Kind::LostAnswer),
            (502, Asked::Control, Kind::Unavailable),
            (501, Asked::Write, Kind::Refused),
            (405, Asked::Write, Kind::Refused),
            (413, Asked::Write, Kind::NotTaken),
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
