//! What a refusal means. The only place where an S3 answer becomes a `Kind`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::super::http::{Answer, Call};
use crate::error::{CopyError, Kind};

/// What was asked, as far as the meaning of a refusal depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Read,
    /// Part of an upload or control: sent again, it ends the same.
    Control,
    /// Publishes or removes; `conditional`: it named what it may replace.
    Publish {
        conditional: bool,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Document {
    code: String,
    message: String,
    region: String,
    request_id: String,
}

/// A refusal, and the region that its answer names.
pub(super) struct Refusal {
    pub error: CopyError,
    pub region: Option<String>,
}

pub(super) async fn read(call: &Call, answer: Answer, asked: Asked) -> Refusal {
    let (status, headers) = (answer.status, answer.headers.clone());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut document = parse(&answer.read_error().await);
    if document.code.is_empty() && text("x-amz-delete-marker").as_deref() == Some("true") {
        document.code = "NoSuchKey".into();
    }
    if document.request_id.is_empty() {
        document.request_id = text("x-amz-request-id").unwrap_or_default();
    }
    let region = text("x-amz-bucket-region").or(Some(document.region.clone())).filter(|region| !region.is_empty());
    let mut error = refuse(call, status, &document, asked);
    if error.kind == Kind::WrongRegion
        && let Some(region) = &region
    {
        error.answer = format!("{}; it is in {region}", error.answer);
    }
    error.retry_after = error.retry_after.or_else(|| text("retry-after")?.parse().ok().map(Duration::from_secs));
    Refusal { error, region }
}

/// An `<Error>` in the body of a 200, as CompleteMultipartUpload may answer.
pub(super) fn in_success(call: &Call, body: &Bytes, asked: Asked) -> Option<CopyError> {
    let document = parse(body);
    (!document.code.is_empty()).then(|| refuse(call, StatusCode::OK, &document, asked))
}

fn parse(body: &Bytes) -> Document {
    std::str::from_utf8(body).ok().and_then(|text| quick_xml::de::from_str(text).ok()).unwrap_or_default()
}

fn refuse(call: &Call, status: StatusCode, document: &Document, asked: Asked) -> CopyError {
    let Document { code, message, request_id, .. } = document;
    let mut words = status.as_u16().to_string();
    for (before, part) in [(" ", code), (": ", message), (", request ", request_id)] {
        if !part.is_empty() {
            words.push_str(before);
            words.extend(part.chars().filter(|c| !c.is_control()).take(200));
        }
    }
    let mut error = call.error(kind(status.as_u16(), code, asked), words);
    if code == "OperationAborted" {
        error.retry_after = Some(Duration::from_secs(1));
    }
    error
}

fn kind(status: u16, code: &str, asked: Asked) -> Kind {
    let publishes = matches!(asked, Asked::Publish { .. });
    let conditional = asked == Asked::Publish { conditional: true };
    match code {
        // A conditional write of a key that is gone meanwhile answers 404.
        "NoSuchKey" | "NoSuchVersion" if conditional => Kind::Precondition,
        "NoSuchKey" | "NoSuchVersion" => Kind::NotFound,
        "NoSuchBucket" => Kind::BucketMissing,
        "NoSuchUpload" => Kind::UploadGone,
        "PreconditionFailed" | "ConditionalRequestConflict" if asked == Asked::Read => Kind::SourceChanged,
        "PreconditionFailed" | "ConditionalRequestConflict" => Kind::Precondition,
        "InvalidRange" => Kind::SourceChanged,
        "InvalidObjectState" => Kind::Archived,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidPayer" | "NotSignedUp" => Kind::Denied,
        "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "InvalidSecurity" => Kind::Credentials,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Kind::WrongRegion,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "Throttling"
        | "ThrottlingException"
        | "KMS.ThrottlingException"
        | "OperationAborted"
        | "ServiceUnavailable" => Kind::Throttled,
        "RequestTimeout" => Kind::Stalled,
        "EntityTooLarge"
        | "KeyTooLong"
        | "KeyTooLongError"
        | "MetadataTooLarge"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "RequestHeaderSectionTooLarge"
        | "MaxMessageLengthExceeded" => Kind::CannotHold,
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" | "InvalidPart" => {
            Kind::Corrupt
        }
        "IncompleteBody" => Kind::Unavailable,
        "InternalError" if publishes => Kind::LostAnswer,
        "InternalError" => Kind::Unavailable,
        code if code.starts_with("KMS.") => Kind::Denied,
        _ => kind_of_status(status, asked),
    }
}

/// Where there is no body (HEAD) or an unknown code.
fn kind_of_status(status: u16, asked: Asked) -> Kind {
    match status {
        200..=299 => Kind::Nonsense,
        301 | 302 | 307 | 308 => Kind::WrongRegion,
        401 => Kind::Credentials,
        403 => Kind::Denied,
        404 if asked == (Asked::Publish { conditional: true }) => Kind::Precondition,
        404 => Kind::NotFound,
        408 => Kind::Stalled,
        409 => Kind::Precondition,
        412 | 416 if asked == Asked::Read => Kind::SourceChanged,
        412 => Kind::Precondition,
        413 | 414 | 431 => Kind::CannotHold,
        429 | 503 | 509 => Kind::Throttled,
        // The far side broke while it worked, or a gateway in between: it may yet have done it.
        500 | 502 | 504 if matches!(asked, Asked::Publish { .. }) => Kind::LostAnswer,
        501 | 505 => Kind::Refused,
        500.. => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Side;
    use crate::object::Location;

    const PUT: Asked = Asked::Publish { conditional: false };
    const PUT_IF: Asked = Asked::Publish { conditional: true };

    #[test]
    fn a_refusal_means_what_its_code_says() {
        for (status, code, asked, expected) in [
            (404, "NoSuchKey", Asked::Read, Kind::NotFound),
            (404, "NoSuchKey", PUT_IF, Kind::Precondition),
            (404, "NoSuchBucket", PUT_IF, Kind::BucketMissing),
            (403, "AccessDenied", Asked::Read, Kind::Denied),
            (400, "ExpiredToken", Asked::Read, Kind::Credentials),
            (403, "SignatureDoesNotMatch", PUT, Kind::Credentials),
            (403, "RequestTimeTooSkewed", PUT, Kind::Credentials),
            (400, "AuthorizationHeaderMalformed", Asked::Read, Kind::WrongRegion),
            (301, "PermanentRedirect", Asked::Read, Kind::WrongRegion),
            (503, "SlowDown", PUT, Kind::Throttled),
            (412, "PreconditionFailed", Asked::Read, Kind::SourceChanged),
            (412, "PreconditionFailed", PUT_IF, Kind::Precondition),
            (409, "ConditionalRequestConflict", PUT_IF, Kind::Precondition),
            (404, "NoSuchUpload", Asked::Control, Kind::UploadGone),
            (403, "InvalidObjectState", Asked::Read, Kind::Archived),
            (400, "EntityTooLarge", PUT, Kind::CannotHold),
            (400, "XAmzContentChecksumMismatch", PUT, Kind::Corrupt),
            (400, "RequestTimeout", PUT, Kind::Stalled),
            (500, "InternalError", Asked::Read, Kind::Unavailable),
            (500, "InternalError", PUT, Kind::LostAnswer),
            (200, "InternalError", PUT, Kind::LostAnswer),
            (400, "SomethingNew", PUT, Kind::Refused),
        ] {
            assert_eq!(kind(status, code, asked), expected, "{status} {code}");
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, asked, expected) in [
            (403, Asked::Read, Kind::Denied),
            (404, Asked::Read, Kind::NotFound),
            (412, Asked::Read, Kind::SourceChanged),
            (429, PUT, Kind::Throttled),
            (502, PUT, Kind::LostAnswer),
            (502, Asked::Control, Kind::Unavailable),
            (501, PUT, Kind::Refused),
        ] {
            assert_eq!(kind(status, "", asked), expected, "{status}");
        }
    }

    #[test]
    fn an_error_inside_a_200_is_found_and_a_result_is_none() {
        let call = Call::new(Side::Destination, "CompleteMultipartUpload", &Location::new("b", "k"));
        let body =
            "\n  <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>a\nb</Message></Error>".trim().into();
        let error = in_success(&call, &body, PUT).unwrap();
        assert_eq!((error.kind, error.answer.as_str()), (Kind::Throttled, "200 SlowDown: ab"));
        let body = "<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>".into();
        assert!(in_success(&call, &body, PUT).is_none());
    }

    #[test]
    fn an_error_s_words_leave_the_signature_s_ingredients_out() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><AWSAccessKeyId>AKID</AWSAccessKeyId>\
            <StringToSign>secret scope</StringToSign></Error>";
        let call = Call::new(Side::Source, "GetObject", &Location::new("b", "k"));
        let error = refuse(&call, StatusCode::FORBIDDEN, &parse(&Bytes::from(body)), Asked::Read);
        assert_eq!(error.answer, "403 SignatureDoesNotMatch: no");
    }
}
