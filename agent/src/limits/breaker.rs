//! An outage or the object's own trouble: a failure is an outage's while nothing succeeds where it happened, and the
//! object's own when others pass.
//!
//! Jobs report every answer by its [`RequestVerb`]: what they asked for, of which side. Success of one verb proves nothing about
//! another, so whom to blame is decided by what others of the same verb met. The breaker itself is coarser: it opens after
//! some failures in a row of more than one object in one [`Channel`], and the first success there closes it. While it is
//! open the drain receives nothing but a probe now and then. What is decided here is decided by [`BreakerState`], which knows no
//! clock.

mod state;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hash, RandomState};
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use skyferry_core::error::{CopyError, Side};
use skyferry_core::model::{Token, UploadId};
use skyferry_core::protocol::Effect;
use state::BreakerState;

/// What may fail while the rest is well, and what the drain rests for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    SourceLooks,
    /// The objects' bytes and tags.
    SourceReads,
    DestinationReads,
    DestinationWrites,
    Queue,
    Ledger,
}

const CHANNELS: [Channel; 6] = [
    Channel::SourceLooks,
    Channel::SourceReads,
    Channel::DestinationReads,
    Channel::DestinationWrites,
    Channel::Queue,
    Channel::Ledger,
];

impl Channel {
    /// Where an effect asks this side.
    fn of(effect: &Effect, side: Side) -> Channel {
        match (side, effect) {
            (Side::Source, Effect::HeadSource | Effect::HeadNewest) => Channel::SourceLooks,
            (Side::Source, _) => Channel::SourceReads,
            (Side::Destination, Effect::HeadDestination | Effect::CheckUpload(_)) => Channel::DestinationReads,
            (Side::Destination, _) => Channel::DestinationWrites,
            (Side::Queue, _) => Channel::Queue,
            (Side::Ledger, _) => Channel::Ledger,
        }
    }

    pub fn side(self) -> Side {
        match self {
            Channel::SourceLooks | Channel::SourceReads => Side::Source,
            Channel::DestinationReads | Channel::DestinationWrites => Side::Destination,
            Channel::Queue => Side::Queue,
            Channel::Ledger => Side::Ledger,
        }
    }

    /// What of the side it is, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Channel::SourceReads | Channel::DestinationReads => "reads",
            Channel::SourceLooks => "looks",
            Channel::DestinationWrites => "writes",
            Channel::Queue | Channel::Ledger => "requests",
        }
    }
}

/// What is asked for: an effect's part at one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestVerb {
    channel: Channel,
    step: Discriminant<Effect>,
}

impl RequestVerb {
    pub fn of(effect: &Effect, side: Side) -> RequestVerb {
        match (effect, side) {
            // Beside the ledger's: an upload that is taken over is listed, and its object looked at.
            (Effect::Checkpoint(_), Side::Destination) => RequestVerb::see_upload(),
            (Effect::Checkpoint(_), Side::Source) => RequestVerb::of(&Effect::HeadSource, side),
            // Beside the source's look: a copy that is recorded is looked at.
            (Effect::HeadSource | Effect::OpenSource, Side::Destination) => {
                RequestVerb::of(&Effect::HeadDestination, side)
            }
            _ => RequestVerb { channel: Channel::of(effect, side), step: discriminant(effect) },
        }
    }

    /// An upload's parts are listed.
    pub fn see_upload() -> RequestVerb {
        RequestVerb::of(&Effect::CheckUpload(UploadId("".into())), Side::Destination)
    }

    /// An object's tags are read.
    pub fn tags() -> RequestVerb {
        RequestVerb::of(&Effect::Initiate { token: Token(0) }, Side::Source)
    }

    /// A body that begins may break off yet: that proves nothing about those that are read whole.
    fn proves_its_channel(self) -> bool {
        self.step != discriminant(&Effect::OpenSource)
    }

    /// The sides that an effect has asked for something, and got it, when it has succeeded.
    pub fn proved_by(effect: &Effect) -> impl Iterator<Item = RequestVerb> {
        let sides: &[Side] = match effect {
            Effect::Lookup | Effect::Begin | Effect::Checkpoint(_) | Effect::Finish { .. } => &[Side::Ledger],
            Effect::HeadSource | Effect::OpenSource | Effect::HeadNewest => &[Side::Source],
            Effect::HeadDestination | Effect::Abort(_) | Effect::CheckUpload(_) => &[Side::Destination],
            Effect::Complete { .. } | Effect::Delete { .. } => &[Side::Destination],
            Effect::Initiate { .. } => &[Side::Destination],
            Effect::Put { .. } | Effect::Parts(_) => &[Side::Source, Side::Destination],
            Effect::Wait { .. } | Effect::End(_) => &[],
        };
        sides.iter().map(|side| RequestVerb::of(effect, *side))
    }
}

/// An object, by a hash of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectHash(u64);

/// Shared by all jobs of an agent.
#[derive(Default)]
pub struct Breaker {
    book: Mutex<BreakerState>,
    closed: Notify,
    hasher: RandomState,
}

/// Trouble of a whole channel, as the status page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    pub channel: Channel,
    /// The last failure's kind.
    pub cause: &'static str,
    /// When the first failure of the row was seen.
    pub since: Instant,
    pub failures: u32,
}

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nothing succeeds there: it says nothing about the object.
    Outage,
    /// Others pass while this object fails.
    Object,
    /// Nothing else is tried there, so nobody knows.
    Unknown,
}

impl Breaker {
    pub fn object(&self, names: &impl Hash) -> ObjectHash {
        ObjectHash(self.hasher.hash_one(names))
    }

    /// `channel` did what it was asked, for nobody in particular.
    pub fn succeeded(&self, channel: Channel) {
        if self.book().succeeded(channel) {
            self.closed.notify_waiters();
        }
    }

    /// `channel` refused, hung or was not there. `cause`: one word of ours.
    pub fn failed(&self, channel: Channel, cause: &'static str) {
        let mut book = self.book();
        let nobody = ObjectHash(u64::from(book.consecutive_failures(channel)));
        book.failed(channel, nobody, cause, Instant::now());
    }

    /// What was asked for this object was done; also a "not found", for it is an answer.
    pub fn object_succeeded(&self, verb: RequestVerb, object: ObjectHash) {
        if self.book().object_succeeded(verb, object, Instant::now()) {
            self.closed.notify_waiters();
        }
    }

    /// It was not. Returns whose trouble it is.
    pub fn object_failed(
        &self,
        verb: RequestVerb,
        object: ObjectHash,
        error: &CopyError,
        cause: &'static str,
    ) -> Blame {
        self.book().object_failed(verb, object, error, cause, Instant::now())
    }

    /// It met something that says nothing about anybody: only to be repeated when somebody asks.
    pub fn note_error(&self, object: ObjectHash, error: &CopyError) {
        self.book().note_error(object, error, Instant::now());
    }

    /// The object has ended: what it met before counts no more.
    pub fn forget(&self, object: ObjectHash) {
        self.book().forget(object);
    }

    /// Somebody has ended it, at that time: what it met before counts no more.
    pub fn object_ended(&self, object: ObjectHash, at: Instant) {
        self.book().object_ended(object, at);
    }

    /// The last error of each object that has failed and not ended since, the newest last.
    pub fn unsettled_errors(&self) -> Vec<CopyError> {
        self.book().unsettled_errors()
    }

    /// The last error of a channel that has not succeeded since, and when its failures began: the longest lasting one.
    pub fn last_error(&self) -> Option<(CopyError, Instant)> {
        self.book().last_error()
    }

    /// The channel that the breaker is open for.
    pub fn outage(&self) -> Option<Outage> {
        self.book().outage()
    }

    /// Every channel that nothing succeeds in, each with its last error where that is known.
    pub fn outages(&self) -> Vec<(Outage, Option<CopyError>)> {
        self.book().outages()
    }

    /// How many failures in a row there are in `channel`: unchanged after a probe, it showed nothing.
    pub fn consecutive_failures(&self, channel: Channel) -> u32 {
        self.book().consecutive_failures(channel)
    }

    /// Waits until the breaker is closed.
    pub async fn wait_until_closed(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.outage().is_none() {
                return;
            }
            closed.await;
        }
    }

    fn book(&self) -> MutexGuard<'_, BreakerState> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
