//! What an AWS service's refusal means: decided here, once, from its code and status.

use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
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
pub struct RequestFailure<E> {
    pub cause: FailureCause,
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

impl<E: ProvideErrorMetadata + std::error::Error + 'static> RequestFailure<E> {
    pub(super) fn from_sdk(error: SdkError<E, HttpResponse>, target: &str) -> RequestFailure<E> {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error {
            SdkError::ServiceError(context) => {
                let service = context.into_err();
                let (code, message) = (service.code().unwrap_or_default(), service.message().unwrap_or_default());
                let cause = cause(status.unwrap_or(0), code);
                let shown = format!("{} {code}: {message:.300}", status.unwrap_or(0));
                let unsure = cause == FailureCause::Unavailable;
                RequestFailure { cause, code: code.into(), answer: shown, unsure, service: Some(service) }
            }
            // Before anything is sent: the keys could not be had, or the settings make no request.
            SdkError::ConstructionFailure(_) => {
                let answer = skyferry_providers::error_chain(&error);
                RequestFailure::without_answer(FailureCause::Credentials, answer, false)
            }
            _ => RequestFailure::without_answer(FailureCause::Unavailable, no_answer(&error, target), true),
        }
    }

    fn without_answer(cause: FailureCause, answer: String, unsure: bool) -> RequestFailure<E> {
        RequestFailure { cause, code: String::new(), answer, unsure, service: None }
    }

    pub(super) fn unanswered(target: &str, limit: Duration) -> RequestFailure<E> {
        let answer = format!("no answer from {target} within {} s", limit.as_secs_f32());
        RequestFailure::without_answer(FailureCause::Unavailable, answer, true)
    }
}

impl<E> RequestFailure<E> {
    /// Some services put their name before the code.
    pub fn is(&self, code: &str) -> bool {
        self.code.rsplit(['.', '#']).next() == Some(code)
    }
}

/// The SDK wraps a cause in several layers of its own: a person needs the last one, and where it happened.
fn no_answer(error: &(dyn std::error::Error + 'static), target: &str) -> String {
    let chain: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    let connecting = chain.iter().any(|layer| layer.contains("(Connect)") || layer.contains("connect timeout"));
    let verb = if connecting { "no connection to " } else { "" };
    format!("{verb}{target}: {:.300}", chain.last().map_or("", String::as_str))
}

fn cause(status: u16, code: &str) -> FailureCause {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    if THROTTLED.contains(&code) || code.contains("Throttl") || status == 429 {
        FailureCause::Throttled
    } else if CREDENTIALS.contains(&code) {
        FailureCause::Credentials
    } else if code.contains("AccessDenied") || code.contains("NotAuthorized") {
        FailureCause::Denied
    } else if status >= 500 {
        FailureCause::Unavailable
    } else {
        FailureCause::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_there_is_named_by_host_port_and_cause_in_one_clause() {
        #[derive(Debug, thiserror::Error)]
        #[error("client error (Connect)")]
        struct Wrapped(#[source] std::io::Error);
        let refused = || std::io::Error::other("Connection refused (os error 111)");
        let said = no_answer(&Wrapped(refused()), "sqs.us-west-2.amazonaws.com:443");
        assert_eq!(said, "no connection to sqs.us-west-2.amazonaws.com:443: Connection refused (os error 111)");
        assert_eq!(no_answer(&refused(), "127.0.0.1:1"), "127.0.0.1:1: Connection refused (os error 111)");
    }

    #[test]
    fn codes_mean_what_the_services_say_they_mean() {
        for (status, code, expected) in [
            (400, "ThrottlingException", FailureCause::Throttled),
            (400, "ProvisionedThroughputExceededException", FailureCause::Throttled),
            (403, "RequestThrottled", FailureCause::Throttled),
            (503, "ServiceUnavailable", FailureCause::Unavailable),
            (500, "InternalServerError", FailureCause::Unavailable),
            (403, "InvalidClientTokenId", FailureCause::Credentials),
            (400, "com.amazonaws.dynamodb#UnrecognizedClientException", FailureCause::Credentials),
            (400, "AccessDeniedException", FailureCause::Denied),
            (400, "KMS.AccessDeniedException", FailureCause::Denied),
            (400, "AWS.SimpleQueueService.NonExistentQueue", FailureCause::Refused),
            (400, "ConditionalCheckFailedException", FailureCause::Refused),
        ] {
            assert_eq!(cause(status, code), expected, "{code}");
        }
    }
}
