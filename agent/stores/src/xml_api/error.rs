//! From an answer that is no success to an error: its code and words are read here, and nowhere else.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::super::http::{Call, HttpResponse};
use super::answers::{self, RequestKind};
use super::document::{self, ErrorDocument};
use skyferry_core::error::{CopyError, ErrorKind};

/// A far side that asks for more has a clock or a mind of its own.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// A refusal, and the region that its answer names.
pub struct ErrorResponse {
    /// What it is taken for.
    pub error: CopyError,
    /// The region that the service names instead.
    pub region: Option<String>,
}

/// Reads the body of an answer that is none of success.
pub async fn read(call: &Call, answer: HttpResponse, asked: RequestKind) -> ErrorResponse {
    let (status, headers) = (answer.status, answer.headers.clone());
    let body = answer.read_error().await;
    classify(call, status, &headers, &body, asked)
}

fn classify(call: &Call, status: StatusCode, headers: &HeaderMap, body: &Bytes, asked: RequestKind) -> ErrorResponse {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut document = document::read::<ErrorDocument>(body).unwrap_or_default();
    if matches!(status.as_u16(), 404 | 405) && text("x-amz-delete-marker") == Some("true") {
        document.code = "NoSuchKey".into();
    }
    if document.request_id.is_empty() {
        let id = text("x-amz-request-id").or(text("x-guploader-uploadid"));
        document.request_id = id.unwrap_or_default().to_owned();
    }
    let region = text("x-amz-bucket-region").unwrap_or(&document.region);
    let region = (!region.is_empty()).then(|| region.to_owned());
    let mut error = error(call, status, &document, body, asked);
    if error.kind == ErrorKind::WrongRegion
        && let Some(region) = &region
    {
        error.answer = format!("{}; it is in {region}", error.answer);
    }
    error.retry_after = text("retry-after").and_then(retry_after).or(error.retry_after);
    ErrorResponse { error, region }
}

/// The body of a success that is an `<Error>`: what it says, as if it had come with 500.
pub fn error_in_success(call: &Call, body: &Bytes, asked: RequestKind) -> Option<CopyError> {
    (document::root(body) == Some("Error")).then(|| {
        let mut document = document::read::<ErrorDocument>(body).unwrap_or_default();
        if document.code.is_empty() {
            document.code = "an error without a code".into();
        }
        error(call, StatusCode::OK, &document, body, asked)
    })
}

/// Status, code, message, and for a permission also the details, which name it. The details of a wrong signature repeat
/// the request's headers and stay out.
fn error(call: &Call, status: StatusCode, document: &ErrorDocument, body: &Bytes, asked: RequestKind) -> CopyError {
    let ErrorDocument { code, message, details, request_id, .. } = document;
    let retained = answers::is_retained(status.as_u16(), code, message);
    let kind = if retained { ErrorKind::NotAccepted } else { answers::kind(status.as_u16(), code, asked) };
    let page = if code.is_empty() { String::from_utf8_lossy(&body[..body.len().min(100)]) } else { "".into() };
    let details = if kind == ErrorKind::Denied { details.as_str() } else { "" };
    let mut words = status.as_u16().to_string();
    for (before, part) in [
        (" ", code.as_str()),
        (": ", message),
        (" without a code: ", &page),
        ("; ", details),
        (", request ", request_id),
    ] {
        if !part.is_empty() {
            words.push_str(before);
            words.extend(part.chars().filter(|c| !c.is_control()).take(200));
        }
    }
    let mut error = call.error(kind, words);
    if code == "OperationAborted" {
        error.retry_after = Some(Duration::from_secs(1));
    }
    error
}

/// Whether the service's own code is in these words, as they are made above, or a status alone, or a page.
pub fn has_code(answer: &str) -> bool {
    let (status, code) = answer.split_once(' ').unwrap_or((answer, ""));
    status.bytes().all(|b| b.is_ascii_digit()) && code.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Retry-After: seconds or an HTTP date.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) if text.trim().bytes().all(|b| b.is_ascii_digit()) => u64::MAX,
        Err(_) => {
            let at = super::headers::http_date(text)?;
            u64::try_from(at.saturating_sub(jiff::Timestamp::now().as_second())).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_core::error::Side;
    use skyferry_core::model::Location;

    fn call() -> Call {
        Call::new(Side::Source, "GetObject", &Location::new("b", "k"))
    }

    fn of(status: u16, headers: &[(&'static str, &str)], body: &str, asked: RequestKind) -> CopyError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        classify(&call(), status, &headers, &Bytes::copy_from_slice(body.as_bytes()), asked).error
    }

    #[test]
    fn an_error_inside_a_success_is_found_and_a_result_is_none() {
        let body = "\n  <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>a\nb</Message></Error>".into();
        let error = error_in_success(&call(), &body, RequestKind::Write).unwrap();
        assert_eq!((error.kind, error.answer.as_str()), (ErrorKind::Throttled, "200 SlowDown: ab"));
        let body = "<Error><Message>half".into();
        assert_eq!(error_in_success(&call(), &body, RequestKind::Control).unwrap().kind, ErrorKind::Unavailable);
        let body = "<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>".into();
        assert!(error_in_success(&call(), &body, RequestKind::Write).is_none());
    }

    #[test]
    fn an_error_s_words_leave_the_signature_s_ingredients_out() {
        let of = |code: &str| {
            let body = format!(
                "<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>AKID</AWSAccessKeyId>\
                <StringToSign>secret scope</StringToSign><Details>secret words</Details></Error>"
            );
            of(403, &[], &body, RequestKind::Read).answer
        };
        assert_eq!(of("SignatureDoesNotMatch"), "403 SignatureDoesNotMatch: no");
        assert_eq!(of("AccessDenied"), "403 AccessDenied: no; secret words");
    }

    #[test]
    fn fault_a2_a_page_without_the_service_s_word_is_no_absence_and_is_shown() {
        for page in ["<html><body>not found</body></html>", "{\"error\":404}", ""] {
            let error = of(404, &[], page, RequestKind::Read);
            assert_eq!(error.kind, ErrorKind::InvalidAnswer, "{page}");
            assert!(error.answer.contains(page));
        }
        for status in [404, 405] {
            let error = of(status, &[("x-amz-delete-marker", "true")], "", RequestKind::Read);
            assert_eq!(error.kind, ErrorKind::NotFound, "a delete marker is the service's word");
        }
    }

    #[test]
    fn a_code_is_told_from_a_status_and_a_page() {
        let body = |code: &str| format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
        for (headers, body, expected) in [
            (&[][..], body("PreconditionFailed"), true),
            (&[], body(""), false),
            (&[], String::new(), false),
            (&[], "<html>No</html>".into(), false),
            (&[("x-amz-request-id", "R1")], String::new(), false),
        ] {
            assert_eq!(has_code(&of(412, headers, &body, RequestKind::WriteIf).answer), expected, "{body}");
        }
    }

    #[test]
    fn fault_a9_retry_after_is_read_as_seconds_or_date_and_never_trusted_beyond_a_quarter_of_an_hour() {
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(40);
        let soon = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        for (text, least, most) in [
            ("7", 7, 7),
            ("86400", 900, 900),
            ("100000000000000000000000000", 900, 900),
            (soon.as_str(), 30, 40),
            ("Tue, 14 Nov 2023 22:13:20 GMT", 0, 0),
            ("Fri, 31 Dec 9998 23:59:59 GMT", 900, 900),
        ] {
            let got = of(503, &[("retry-after", text)], "", RequestKind::Write).retry_after.unwrap().as_secs();
            assert!((least..=most).contains(&got), "{text}: {got}");
        }
        assert_eq!(of(503, &[("retry-after", "soon")], "", RequestKind::Write).retry_after, None);
    }
}
