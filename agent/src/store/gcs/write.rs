//! Publishing in one request, removing, and learning what was published. No write is sent twice: whether a lost one
//! took effect is the protocol's question.

use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::client::{Ask, Client};
use super::headers;
use super::read::Absence;
use crate::error::{CopyError, Kind};
use crate::object::{Expected, Location};
use crate::store::http::Effect;
use crate::store::{Attributes, Object, Payload, Pin, Published, Result};

const IF_GENERATION_MATCH: HeaderName = HeaderName::from_static("x-goog-if-generation-match");

impl Client {
    /// A whole payload goes with its CRC32C, so that the service refuses another body before it publishes; what a
    /// stream was is compared by the caller with the checksum in the answer.
    pub async fn put(
        &self,
        at: &Location,
        payload: Payload,
        with: &Attributes,
        expected: &Expected,
    ) -> Result<Published> {
        let mut ask = self.about("PutObject", at, Method::PUT, &[], Effect::Write)?;
        ask.headers = headers::outgoing(with).map_err(|why| ask.call.error(Kind::CannotHold, why))?;
        expect(&mut ask, expected)?;
        announce(&mut ask, &payload, with.provenance.crc32c);
        let answer = self.send(&ask, payload).await?;
        let revision = headers::generation(&answer.headers);
        let stored = headers::stored(&answer.headers);
        match revision {
            Some(revision) => Ok(Published { revision: Some(revision), stored }),
            None => {
                let etag = headers::etag(&answer.headers);
                let lost = |why: &str| ask.call.error(Kind::LostAnswer, why);
                self.published(at, |object| etag.as_deref() == Some(&object.identity.etag), lost).await
            }
        }
    }

    /// Nothing there is no error.
    pub async fn delete(&self, at: &Location, expected: &Expected) -> Result<()> {
        if *expected == Expected::Absent {
            return Ok(()); // only nothing may be removed
        }
        let mut ask = self.about("DeleteObject", at, Method::DELETE, &[], Effect::Write)?;
        expect(&mut ask, expected)?;
        match self.send_bare(&ask).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a success that does not say what was made: a look. If that shows an object of somebody else, or
    /// nothing, ours was there and is gone again. `Precondition` would then be a lie, as this call did write, so it
    /// is `LostAnswer`: the caller looks for its token, does not find it, and starts over from what is there.
    /// A look that fails is the same: published or not, the caller has to find out.
    pub async fn published(
        &self,
        at: &Location,
        is_ours: impl Fn(&Object) -> bool,
        lost: impl Fn(&str) -> CopyError,
    ) -> Result<Published> {
        match self.look(at, &Pin::Newest, Absence::Believed).await {
            Ok(Some(object)) if is_ours(&object) => {
                Ok(Published { revision: Some(object.revision), stored: object.stored })
            }
            Ok(Some(_)) => Err(lost("published, and another object was there when it was looked at")),
            Ok(None) => Err(lost("published, and nothing was there when it was looked at")),
            Err(error) => Err(lost(&format!("published, and the look at it failed: {}", error.answer))),
        }
    }
}

/// The precondition. A revision that is no generation was never here, so it cannot be what is there now.
fn expect(ask: &mut Ask, expected: &Expected) -> Result<()> {
    let generation = match expected {
        Expected::Any => return Ok(()),
        Expected::Absent => 0,
        Expected::Revision(revision) => match revision.0.parse::<u64>() {
            Ok(generation) if generation > 0 => generation,
            _ => return Err(ask.call.error(Kind::Precondition, "the expected revision is no generation")),
        },
    };
    ask.headers.insert(IF_GENERATION_MATCH, HeaderValue::from(generation));
    Ok(())
}

/// Says beforehand which bytes are to come, where that is known: by what was computed when they were read, so that what
/// has changed since is refused.
pub fn announce(ask: &mut Ask, payload: &Payload, known: Option<u32>) {
    if let Payload::Whole(bytes) = payload {
        ask.headers.insert(headers::HASH, headers::hash_of(known.unwrap_or_else(|| crc32c::crc32c(bytes))));
    }
}
