//! What an AWS service's refusal means, told once from its code and status.

use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too much at once.
    Throttled,
    /// No answer, or one of a service that has trouble of its own.
    Unavailable,
    /// The keys themselves are refused, or there are none.
    Credentials,
    /// The keys are known, and not allowed to do this.
    Denied,
    /// The request is wrong, or what it asks for is not there: the code says.
    Refused,
}

/// A request that was not carried out, as far as is known.
#[derive(Debug)]
pub struct Failure<E> {
    pub cause: Cause,
    /// The service's word for it; empty without an answer.
    pub code: String,
    /// For people: status, code, message, request id.
    pub answer: String,
    /// An attempt was sent and its answer is not known: it may have taken effect.
    pub unsure: bool,
    pub service: Option<E>,
}

const CREDENTIALS: [&str; 14] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
];
const THROTTLED: [&str; 6] = [
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "TooManyRequestsException",
    "SlowDown",
    "OverLimit",
    "LimitExceededException",
];

impl<E: ProvideErrorMetadata + std::error::Error + 'static> Failure<E> {
    pub(super) fn of(error: SdkError<E, HttpResponse>) -> Failure<E> {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error {
            SdkError::ServiceError(context) => {
                let service = context.into_err();
                let (code, message) = (service.code().unwrap_or_default(), service.message().unwrap_or_default());
                let cause = cause(status.unwrap_or(0), code);
                let shown = format!("{} {code}: {message:.300}", status.unwrap_or(0));
                let unsure = cause == Cause::Unavailable;
                Failure { cause, code: code.into(), answer: shown, unsure, service: Some(service) }
            }
            // Before anything is sent: the keys could not be had, or the settings make no request.
            SdkError::ConstructionFailure(_) => Failure::without_answer(Cause::Credentials, &error, false),
            _ => Failure::without_answer(Cause::Unavailable, &error, true),
        }
    }

    fn without_answer(cause: Cause, error: &dyn std::error::Error, unsure: bool) -> Failure<E> {
        Failure { cause, code: String::new(), answer: skyferry_providers::because(error), unsure, service: None }
    }

    pub(super) fn unanswered(limit: Duration) -> Failure<E> {
        let answer = format!("no answer within {} s", limit.as_secs_f32());
        Failure { cause: Cause::Unavailable, code: String::new(), answer, unsure: true, service: None }
    }
}

impl<E> Failure<E> {
    /// Some services put their name before the code.
    pub fn is(&self, code: &str) -> bool {
        self.code.rsplit(['.', '#']).next() == Some(code)
    }
}

fn cause(status: u16, code: &str) -> Cause {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    if THROTTLED.contains(&code) || code.contains("Throttl") || status == 429 {
        Cause::Throttled
    } else if CREDENTIALS.contains(&code) {
        Cause::Credentials
    } else if code.contains("AccessDenied") || code.contains("NotAuthorized") {
        Cause::Denied
    } else if status >= 500 {
        Cause::Unavailable
    } else {
        Cause::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_services_say_they_mean() {
        for (status, code, expected) in [
            (400, "ThrottlingException", Cause::Throttled),
            (400, "ProvisionedThroughputExceededException", Cause::Throttled),
            (403, "RequestThrottled", Cause::Throttled),
            (503, "ServiceUnavailable", Cause::Unavailable),
            (500, "InternalServerError", Cause::Unavailable),
            (403, "InvalidClientTokenId", Cause::Credentials),
            (400, "com.amazonaws.dynamodb#UnrecognizedClientException", Cause::Credentials),
            (400, "AccessDeniedException", Cause::Denied),
            (400, "KMS.AccessDeniedException", Cause::Denied),
            (400, "AWS.SimpleQueueService.NonExistentQueue", Cause::Refused),
            (400, "ConditionalCheckFailedException", Cause::Refused),
        ] {
            assert_eq!(cause(status, code), expected, "{code}");
        }
    }
}
