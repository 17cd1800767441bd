//! What an answer that is no success means. Read once, here: code before status, as the status alone says too little
//! (403 is a wrong signature, a missing permission, and a retention rule that will never yield).

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

use super::xml;
use crate::error::{CopyError, Kind};
use crate::store::http::{Call, Effect};

/// The words of an answer.
pub struct Refusal {
    status: StatusCode,
    error: xml::Error,
    request: Option<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// `body` may be anything: front ends answer in HTML or not at all.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Refusal {
            status,
            error: xml::read(body).unwrap_or_default(),
            request: text("x-guploader-uploadid").map(|id| id.chars().take(60).collect()),
            retry_after: text("retry-after")
                .and_then(|s| s.parse().ok())
                .map(|s: u64| Duration::from_secs(s.min(3600))),
        }
    }

    /// An `<Error>` inside an answer that began as a success: the request ran and failed on the way.
    pub fn within(headers: &HeaderMap, body: &Bytes) -> Self {
        Refusal::read(StatusCode::INTERNAL_SERVER_ERROR, headers, body)
    }

    /// For an `Effect::Write`, 500, 502 and 504 leave open whether the write took effect, now or later. 503, 429 and
    /// 408 say that it was not begun.
    pub fn kind(&self, effect: Effect) -> Kind {
        self.by_code().unwrap_or_else(|| self.by_status(effect))
    }

    fn by_code(&self) -> Option<Kind> {
        Some(match self.error.code.as_str() {
            "NoSuchKey" => Kind::NotFound,
            "NoSuchBucket" => Kind::BucketMissing,
            "NoSuchUpload" => Kind::UploadGone,
            "SignatureDoesNotMatch"
            | "InvalidAccessKeyId"
            | "InvalidSecurity"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "RequestTimeTooSkewed"
            | "RequestExpired"
            | "AuthenticationRequired" => Kind::Credentials,
            "SlowDown" | "TooManyRequests" | "RateLimitExceeded" => Kind::Throttled,
            "ServiceUnavailable" | "RequestTimeout" | "IncompleteBody" => Kind::Unavailable,
            "PreconditionFailed" | "ConditionalRequestConflict" => Kind::Precondition,
            "BadDigest" | "InvalidPart" | "InvalidPartOrder" => Kind::Corrupt,
            "EntityTooLarge" | "KeyTooLong" | "InvalidObjectName" | "MetadataTooLarge" => Kind::CannotHold,
            "PermanentRedirect" | "TemporaryRedirect" => Kind::WrongRegion,
            _ if self.is_retained() => Kind::CannotHold,
            "AccessDenied" | "UserProjectAccountProblem" | "UserProjectMissing" => Kind::Denied,
            _ => return None,
        })
    }

    /// A retention policy, a lock or a hold: 403 like a missing permission, but nothing that an operator grants or
    /// waiting brings (not within a message's life) changes it.
    fn is_retained(&self) -> bool {
        let says = |text: &str, words: &[&str]| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        self.status == StatusCode::FORBIDDEN
            && (says(&self.error.code, &["retention", "retained", "hold", "objectlocked"])
                || says(&self.error.message, &["retention polic", "retained until", "retention config", "active hold"])
                || says(&self.error.message, &["event-based hold", "temporary hold"]))
    }

    fn by_status(&self, effect: Effect) -> Kind {
        match self.status.as_u16() {
            401 => Kind::Credentials,
            403 => Kind::Denied,
            404 => Kind::NotFound,
            408 => Kind::Unavailable,
            409 | 412 => Kind::Precondition,
            413 => Kind::CannotHold,
            // Only a ranged read asks for one: the object is shorter than it was.
            416 => Kind::SourceChanged,
            429 => Kind::Throttled,
            301 | 302 | 307 | 308 => Kind::WrongRegion,
            503 => Kind::Unavailable,
            500 | 502 | 504 if effect == Effect::Write => Kind::LostAnswer,
            500..=599 => Kind::Unavailable,
            400..=499 => Kind::Refused,
            _ => Kind::Nonsense,
        }
    }

    pub fn into_error(self, call: &Call, effect: Effect) -> CopyError {
        let kind = self.kind(effect);
        let mut error = call.error(kind, self.words(kind));
        error.retry_after = self.retry_after;
        error
    }

    /// Status, code, message, and for a permission also the details, which name it. The details of a wrong signature
    /// repeat the request's headers and stay out.
    fn words(&self, kind: Kind) -> String {
        let xml::Error { code, message, details } = &self.error;
        let mut words = self.status.as_u16().to_string();
        if !code.is_empty() {
            words.push(' ');
            words.extend(code.chars().take(60));
        }
        if !message.is_empty() {
            words.push_str(": ");
            words.extend(message.chars().filter(|c| !c.is_control()).take(160));
        }
        if kind == Kind::Denied && !details.is_empty() {
            words.push_str("; ");
            words.extend(details.chars().filter(|c| !c.is_control()).take(160));
        }
        if let Some(request) = &self.request {
            words.push_str("; request ");
            words.push_str(request);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Side;
    use crate::object::Location;

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        let body =
            format!("<Error><Code>{code}</Code><Message>{message}</Message><Details>secret words</Details></Error>");
        let body = if code.is_empty() { Bytes::new() } else { Bytes::from(body) };
        Refusal::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &body)
    }

    #[test]
    fn every_refusal_has_its_kind() {
        for (status, code, kind) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "", Kind::NotFound),
            (404, "NoSuchBucket", Kind::BucketMissing),
            (404, "NoSuchUpload", Kind::UploadGone),
            (403, "AccessDenied", Kind::Denied),
            (403, "", Kind::Denied),
            (403, "SignatureDoesNotMatch", Kind::Credentials),
            (403, "InvalidSecurity", Kind::Credentials),
            (403, "RequestTimeTooSkewed", Kind::Credentials),
            (400, "ExpiredToken", Kind::Credentials),
            (401, "", Kind::Credentials),
            (429, "", Kind::Throttled),
            (429, "SlowDown", Kind::Throttled),
            (503, "SlowDown", Kind::Throttled),
            (503, "", Kind::Unavailable),
            (408, "", Kind::Unavailable),
            (400, "RequestTimeout", Kind::Unavailable),
            (400, "BadDigest", Kind::Corrupt),
            (400, "EntityTooLarge", Kind::CannotHold),
            (413, "", Kind::CannotHold),
            (412, "PreconditionFailed", Kind::Precondition),
            (409, "", Kind::Precondition),
            (400, "EntityTooSmall", Kind::Refused),
            (400, "InvalidArgument", Kind::Refused),
            (411, "MissingContentLength", Kind::Refused),
        ] {
            for effect in [Effect::Idempotent, Effect::Write] {
                assert_eq!(refusal(status, code, "").kind(effect), kind, "{status} {code}");
            }
        }
    }

    #[test]
    fn a_write_whose_answer_is_a_broken_server_may_have_taken_effect() {
        for status in [500, 502, 504] {
            assert_eq!(refusal(status, "", "").kind(Effect::Write), Kind::LostAnswer);
            assert_eq!(refusal(status, "InternalError", "").kind(Effect::Write), Kind::LostAnswer);
            assert_eq!(refusal(status, "", "").kind(Effect::Idempotent), Kind::Unavailable);
        }
    }

    #[test]
    fn retention_and_holds_are_permanent() {
        for (code, message) in [
            ("RetentionPolicyNotMet", ""),
            ("ObjectUnderActiveHold", ""),
            ("AccessDenied", "Object 'b/k' is subject to bucket's retention policy and cannot be overwritten"),
            ("AccessDenied", "Object 'b/k' is under active Temporary hold and cannot be deleted"),
        ] {
            assert_eq!(refusal(403, code, message).kind(Effect::Write), Kind::CannotHold, "{code} {message}");
        }
        assert_eq!(refusal(403, "AccessDenied", "Access denied.").kind(Effect::Write), Kind::Denied);
    }

    #[test]
    fn the_details_of_a_wrong_signature_are_not_repeated() {
        let call = Call::new(Side::Destination, "PUT Object", &Location::new("b", "k"));
        let error = refusal(403, "SignatureDoesNotMatch", "no").into_error(&call, Effect::Write);
        assert!(!error.to_string().contains("secret words"), "{error}");
        let error = refusal(403, "AccessDenied", "no").into_error(&call, Effect::Write);
        assert!(error.to_string().contains("403 AccessDenied: no; secret words"), "{error}");
    }

    #[test]
    fn retry_after_is_kept_within_reason() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", http::HeaderValue::from_static("99999999999"));
        let refusal = Refusal::read(StatusCode::SERVICE_UNAVAILABLE, &headers, &Bytes::from_static(b"<html>"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3600)));
    }
}
