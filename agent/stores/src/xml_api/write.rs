//! Publishing in one request, and removing. No write is sent twice: whether a lost one took effect is the protocol's question.

use http::Method;

use super::answers::Asked;
use super::read::Absence;
use super::{Client, Outgoing, headers, refusal};
use skyferry_core::error::{CopyError, Kind};
use skyferry_core::object::{Expected, Location};
use skyferry_core::store::{Attributes, Payload, Pin, Published, Result};

impl Client {
    pub(super) async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &Attributes,
        expected: &Expected,
    ) -> Result<Published> {
        let enforced = self.facts().capabilities.conditional_put;
        let mut put = self.writing(Method::PUT, "PutObject", at, expected, enforced)?;
        self.attributes(&mut put, with)?;
        self.announce(&mut put, &payload, with.provenance.crc32c);
        put.payload = Some(payload);
        let (call, asked) = (put.call.clone(), put.asked);
        let answer = match self.send(put).await {
            Ok(answer) => answer,
            Err(error) => return Err(Box::pin(self.explained(at, expected, error)).await),
        };
        let headers = self.settled(&call, asked, answer).await.map_err(lost)?;
        let revision = self.dialect.revision(&headers, headers::etag(&headers));
        Ok(Published { revision, stored: self.dialect.stored(&headers) })
    }

    /// Nothing there is no error.
    pub(super) async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        if *expected == Expected::Absent {
            return Ok(()); // only nothing may be removed
        }
        let enforced = self.facts().capabilities.conditional_delete;
        let mut delete = self.writing(Method::DELETE, "DeleteObject", at, expected, enforced)?;
        delete.asked = Asked::Delete;
        let call = delete.call.clone();
        match self.send(delete).await {
            Ok(answer) => self.settled(&call, Asked::Delete, answer).await.map(drop).map_err(lost),
            // Gone already is what was wanted, if it is: a look and a listing have to agree.
            Err(error) if error.kind == Kind::NotFound => {
                match Box::pin(self.look(at, &Pin::Newest, Absence::Confirmed)).await? {
                    None => Ok(()),
                    Some(_) => {
                        let answer = format!("it is still there: {}", error.answer);
                        Err(CopyError { kind: Kind::Nonsense, answer, ..error })
                    }
                }
            }
            Err(error) => Err(Box::pin(self.explained(at, expected, error)).await),
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
    ) -> Result<Outgoing> {
        let mut write = self.object(method, operation, at, Asked::Write)?;
        if enforced {
            let condition = self.dialect.condition(expected);
            let condition = condition.map_err(|why| write.call.error(Kind::Precondition, why))?;
            if condition.is_some() {
                write.asked = Asked::WriteIf;
            }
            write.headers.extend(condition);
        }
        Ok(write)
    }

    pub(super) fn attributes(&self, write: &mut Outgoing, with: &Attributes) -> Result<()> {
        headers::outgoing(self.facts(), with, &mut write.headers).map_err(|why| write.call.error(Kind::CannotHold, why))
    }

    /// The digest before the bytes, where they are all here.
    pub(super) fn announce(&self, put: &mut Outgoing, payload: &Payload, known: Option<u32>) {
        if let Payload::Whole(bytes) = payload {
            put.headers.extend(self.dialect.announce(bytes, known));
        }
    }

    /// A condition that was refused though it holds: some services want it spelt in another way, and would refuse for ever.
    /// And one that was refused because a HEAD does not show what a listing does.
    pub(super) async fn explained(&self, at: &Location, expected: &Expected, error: CopyError) -> CopyError {
        if error.kind != Kind::Precondition || (self.facts().generations && *expected != Expected::Absent) {
            return error;
        }
        let looked = self.look(at, &Pin::Newest, Absence::Confirmed).await;
        match (looked, expected) {
            (Ok(Some(object)), Expected::Revision(revision)) if object.revision == *revision => {
                let answer = format!(
                    "{}; the object there still has the ETag \"{revision}\", so the service refuses a condition that holds: \
                     set profile = \"generic\"",
                    error.answer
                );
                let kind = if refusal::has_code(&error.answer) { Kind::Refused } else { Kind::Nonsense };
                CopyError { kind, answer, ..error }
            }
            (Err(look), _) if look.kind == Kind::Nonsense => {
                CopyError { answer: format!("{}; {}", error.answer, look.answer), ..look }
            }
            _ => error,
        }
    }
}

/// A success that was none: what it was asked to do may have been done.
pub(super) fn lost(error: CopyError) -> CopyError {
    match error.kind {
        Kind::Nonsense | Kind::Unavailable | Kind::Stalled => CopyError { kind: Kind::LostAnswer, ..error },
        _ => error,
    }
}
