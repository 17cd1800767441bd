//! Why a request was not done: an HTTP status with the XML API's code, or a connection dropped on purpose. Everything
//! wrong that comes from outside ends here and never as a panic.

use http::StatusCode;

/// An error answer: `<Error><Code/><Message/><Details/></Error>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {details}")]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: String,
    /// Seconds of a `Retry-After` header.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, details: impl Into<String>) -> Self {
        let message = format!("The request was refused: {code}.");
        Refusal { status, code: code.to_owned(), message, details: details.into(), retry_after: None }
    }

    pub(crate) fn bad(code: &str, details: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, details)
    }

    pub(crate) fn argument(details: impl Into<String>) -> Self {
        Self::bad("InvalidArgument", details)
    }

    pub(crate) fn forbidden(code: &str, details: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, details)
    }

    pub(crate) fn not_found(code: &str, details: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, details)
    }

    pub(crate) fn precondition(details: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", details)
    }

    pub(crate) fn not_implemented(details: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", details)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("the peer's spool: {error}"))
    }
}

/// How a request can end other than by its answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    /// The connection ends without an answer: a fault said so, or the client went away.
    Dropped,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Refused(error.into())
    }
}
