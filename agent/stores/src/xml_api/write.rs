//! Publishing in one request, and removing. No write is sent twice: whether a lost one took effect is the protocol's question.

use http::Method;

use super::answers::RequestKind;
use super::read::Absence;
use super::{RequestDraft, XmlClient, error, headers};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::{Expected, Location};
use skyferry_core::store::{Encryption, Payload, Pin, Result, WriteAttributes, WriteResult};

impl XmlClient {
    pub(super) async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &WriteAttributes,
        expected: &Expected,
    ) -> Result<WriteResult> {
        let enforced = self.traits().capabilities.conditional_put;
        let mut put = self.writing(Method::PUT, "PutObject", at, expected, enforced)?;
        self.attributes(&mut put, with)?;
        self.announce(&mut put, &payload, with.provenance.crc32c);
        put.payload = Some(payload);
        let (call, asked) = (put.call.clone(), put.asked);
        let answer = match self.send(put).await {
            Ok(answer) => answer,
            Err(error) => return Err(Box::pin(self.explain_precondition(at, expected, error)).await),
        };
        let headers = self.settled(&call, asked, answer).await.map_err(as_lost_answer)?;
        let revision = self.dialect.revision(&headers, headers::etag(&headers));
        let mut stored = self.dialect.stored(&headers);
        let opaque = self.traits().md5_etags && with.options.encryption.as_ref().is_some_and(Encryption::hides_md5);
        if opaque {
            // Some servers encrypt as they are asked to and do not say so.
            stored.md5 = None;
        }
        Ok(WriteResult { revision, stored })
    }

    /// Nothing there is no error.
    pub(super) async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        if *expected == Expected::Absent {
            return Ok(()); // only nothing may be removed
        }
        let enforced = self.traits().capabilities.conditional_delete;
        let mut delete = self.writing(Method::DELETE, "DeleteObject", at, expected, enforced)?;
        delete.asked = RequestKind::Delete;
        let call = delete.call.clone();
        match self.send(delete).await {
            Ok(answer) => self.settled(&call, RequestKind::Delete, answer).await.map(drop).map_err(as_lost_answer),
            // Gone already is what was wanted, if it is: a look and a listing have to agree.
            Err(error) if error.kind == ErrorKind::NotFound => {
                match Box::pin(self.head_or_get(at, &Pin::Newest, Absence::Confirmed)).await? {
                    None => Ok(()),
                    Some(_) => {
                        let answer = format!("it still exists: {}", error.answer);
                        Err(CopyError { kind: ErrorKind::InvalidAnswer, answer, ..error })
                    }
                }
            }
            Err(error) => Err(Box::pin(self.explain_precondition(at, expected, error)).await),
        }
    }

    /// A request that publishes or removes under this condition, as far as the dialect enforces it.
    pub(super) fn writing(
        &self,
        method: Method,
        operation: &'static str,
        at: &Location,
        expected: &Expected,
        enforced: bool,
    ) -> Result<RequestDraft> {
        let mut write = self.object(method, operation, at, RequestKind::Write)?;
        if enforced {
            let condition = self.dialect.condition(expected);
            let condition = condition.map_err(|why| write.call.error(ErrorKind::Precondition, why))?;
            if condition.is_some() {
                write.asked = RequestKind::WriteIf;
            }
            write.headers.extend(condition);
        }
        Ok(write)
    }

    pub(super) fn attributes(&self, write: &mut RequestDraft, with: &WriteAttributes) -> Result<()> {
        headers::outgoing(self.traits(), with, &mut write.headers)
            .and_then(|()| self.dialect.option_headers(&mut write.headers, with))
            .map_err(|why| write.call.error(ErrorKind::CannotHold, why))
    }

    /// The digest before the bytes, where they are all here.
    pub(super) fn announce(&self, put: &mut RequestDraft, payload: &Payload, known: Option<u32>) {
        if let Payload::Whole(bytes) = payload {
            put.headers.extend(self.dialect.digest_header(bytes, known));
        }
    }

    /// A condition that was refused though it holds: some services want it spelt in another way, and would refuse for ever.
    /// And one that was refused because a HEAD does not show what a listing does.
    pub(super) async fn explain_precondition(&self, at: &Location, expected: &Expected, error: CopyError) -> CopyError {
        if error.kind != ErrorKind::Precondition || (self.traits().generations && *expected != Expected::Absent) {
            return error;
        }
        let looked = self.head_or_get(at, &Pin::Newest, Absence::Confirmed).await;
        match (looked, expected) {
            (Ok(Some(object)), Expected::Revision(revision)) if object.revision == *revision => {
                let answer = format!(
                    "{}; the object there still has the ETag \"{revision}\", so the service refuses a condition that holds: \
                     set profile = \"generic\"",
                    error.answer
                );
                let kind = if error::has_code(&error.answer) { ErrorKind::Refused } else { ErrorKind::InvalidAnswer };
                CopyError { kind, answer, ..error }
            }
            (Err(look), _) if look.kind == ErrorKind::InvalidAnswer => {
                CopyError { answer: format!("{}; {}", error.answer, look.answer), ..look }
            }
            _ => error,
        }
    }
}

/// A success that was none: what it was asked to do may have been done.
pub(super) fn as_lost_answer(error: CopyError) -> CopyError {
    match error.kind {
        ErrorKind::InvalidAnswer | ErrorKind::Unavailable | ErrorKind::Stalled => {
            CopyError { kind: ErrorKind::LostAnswer, ..error }
        }
        _ => error,
    }
}
