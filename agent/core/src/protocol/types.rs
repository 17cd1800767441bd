//! What the write protocol is given, asks for and hears: its vocabulary, without behaviour.

use crate::model::{Expected, Overwrite, Revision, SourceIdentity, Token, UploadId, Writer};

/// Whether a message was received so often that the queue may give it up with the next time: then a copy with a fresh count
/// takes its place, before anything else is tried (it may be kills alone that bring it back) and where a job ends.
pub fn is_last_chance(received: u32, most: Option<u32>) -> bool {
    most.is_some_and(|most| received + 1 >= most)
}

/// What is known before the first effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobFacts {
    /// The message was delivered before: something may have been done already.
    pub received_before: bool,
    /// The event speaks of an object that will go as a multipart upload: worth a look at the destination first.
    pub large_hint: bool,
    /// No event: somebody who compared both sides asks. So what the ledger says of the destination may be wrong.
    pub requested: bool,
    /// Deletions at the source are carried over.
    pub deletes: bool,
    /// What a copy may replace.
    pub overwrite: Overwrite,
    /// The sink's single PUT (and DELETE) honours `Expected`.
    pub conditional_put: bool,
    /// The sink's Complete honours `Expected`.
    pub conditional_finish: bool,
}

/// A state of the source as an upload of it was begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceState {
    /// Which state it is.
    pub identity: SourceIdentity,
    /// A digest of its headers, where they are known and travel.
    pub headers: Option<u32>,
}

impl SourceState {
    /// Whether the upload would publish what was seen: the bytes of two states with one identity are the same, and their
    /// headers need not be.
    pub(super) fn matches(&self, seen: &ObservedSource) -> bool {
        let other_headers = self.headers.zip(seen.headers).is_some_and(|(held, seen)| held != seen);
        self.identity == seen.identity && !other_headers
    }
}

/// A source object as a look shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedSource {
    /// Which state it is.
    pub identity: SourceIdentity,
    /// A digest of its headers, where they travel.
    pub headers: Option<u32>,
    /// It will go as a multipart upload.
    pub large: bool,
    /// Size and a comparable checksum agree with the destination object seen last.
    pub equal: bool,
    /// This version was asked for by name: it need not be the newest.
    pub by_version: bool,
    /// The destination object seen last does not have the headers that this state has: equal bytes are not enough.
    pub other_headers: bool,
}

/// A destination object as a look shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedDestination {
    /// A condition can name it.
    pub revision: Revision,
    /// Seconds since the epoch, by the destination's clock.
    pub last_modified: i64,
    /// Skyferry's metadata for this very source key, where it is there.
    pub ours: Option<CopyMark>,
    /// Skyferry's metadata names another source key: the object is that one's copy, and stays.
    pub others: bool,
}

/// The part of Skyferry's metadata that decisions need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopyMark {
    /// The source state that it says it is of.
    pub identity: SourceIdentity,
    /// Of the attempt that wrote it.
    pub token: Token,
    /// A process may have died between publishing and checking.
    pub integrity: Integrity,
}

/// What is known of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// The ledger recorded this revision, or the checksums prove it.
    Verified,
    /// A checksum or the size differs from what was sent.
    Corrupt,
    /// There is nothing to compare: neither kept as done nor taken away.
    Unknown,
}

/// A writer that began earlier and is still open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenWriter {
    /// Its id.
    pub writer: Writer,
    /// It was fenced at least one hold ago, or ended by itself and left only its upload. So the driver sends no write
    /// that could still be in progress a hold after the writer was fenced: each is given up in time, counted from when
    /// the ledger last knew this writer as its own.
    pub closable: bool,
    /// What it recorded of its upload.
    pub upload: Option<EarlierUpload>,
}

/// An upload of an earlier writer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EarlierUpload {
    /// As the service named it.
    pub id: UploadId,
    /// Of its attempt.
    pub token: Token,
    /// The source state that it would publish, if a resume is safe: same part plan, digests recorded.
    pub resumable: Option<SourceState>,
}

/// What the ledger knew when this writer began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriterHistory {
    /// The ledger has a record.
    pub known: bool,
    /// What was published last, and its revision.
    pub published: Option<(SourceIdentity, Revision)>,
    /// Writers that have not ended, the oldest first.
    pub earlier: Vec<OpenWriter>,
}

/// What the driver is asked to do next.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Ledger: is the key settled, with nobody open? → `SettledOutcome`
    Lookup,
    /// Ledger: add this writer. → `WriterHistory`
    Begin,
    /// HEAD at the source. → `Source`
    HeadSource,
    /// GET at the source; the body stays open for `Put`. → `Source`
    OpenSource,
    /// HEAD of the newest state at the source, beside the version that was looked at; an open body stays open. → `Newest`
    HeadNewest,
    /// HEAD at the destination. → `Destination`
    HeadDestination,
    /// Abort an upload. → `Done`, `Lost`
    Abort(UploadId),
    /// List an upload's parts. → `UploadOpen`, `UploadGone`
    CheckUpload(UploadId),
    /// Wait before another look, the longer the more there were; an agent that drains does not. → `Done`
    Wait { looks: u32 },
    /// The opened body as one PUT. → `Published`, `PublishedCorrupt`, `Precondition`, `SourceChanged`, `Lost`
    Put { token: Token, expected: Expected },
    /// Begin a multipart upload. → `Initiated`, `Lost`
    Initiate { token: Token },
    /// Ledger: record this upload as ours. → `Done`, `Fenced`, `Lost`
    Checkpoint(UploadId),
    /// Read and send all parts that are missing. → `Done`, `UploadGone`, `SourceChanged`
    Parts(UploadId),
    /// → `Published`, `PublishedCorrupt`, `Precondition`, `UploadGone`, `Lost`
    Complete { upload: UploadId, expected: Expected },
    /// Delete at the destination. → `Done`, `Precondition`, `Lost`
    Delete { expected: Expected },
    /// Ledger: end this writer and the `closed` ones; with `in_doubt` this one stays open. A fenced writer's ending is not
    /// recorded, but it is closed all the same: it says that nothing of its own is in progress. → `Finished`, `Fenced`, `Lost`
    Finish { ending: FinishRequest, closed: Vec<Writer>, in_doubt: bool },
    /// Nothing more to do on this key but to the message.
    End(Disposition),
}

/// What the ledger is given at the end.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FinishRequest {
    /// The outcome, and what the destination now holds of this source key, where that is known.
    Settled { outcome: SettledOutcome, published: Option<(SourceIdentity, Revision)> },
    /// With the reason that the driver holds.
    Parked,
    /// To be tried again. `upload_left`: the recorded upload waits for the successor.
    Released { counted: bool, upload_left: bool },
}

/// How a key was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettledOutcome {
    /// Copied.
    Copied,
    /// It was there already.
    Unchanged,
    /// The copy was deleted.
    Deleted,
    /// There is nothing at the source.
    Gone,
    /// What is at the destination may not be replaced.
    Skipped,
}

/// What becomes of the message.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Settled and recorded: delete it.
    Settled(SettledOutcome),
    /// Recorded as parked: hand it to the dead letters, then delete it.
    Parked,
    /// Release it for one hold, then look again: another writer may still land something.
    Hold,
    /// Release it: a later writer has this key.
    Fenced,
    /// Release it: to be tried again.
    Retry { counted: bool },
    /// The lease is lost: the message is somebody else's.
    Abandon,
}

/// What came of an effect.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// `None`: not settled, or somebody is open.
    Settled(Option<(SourceIdentity, Revision)>),
    /// The writer has begun.
    Begun(WriterHistory),
    /// What a look at the source has seen.
    Source(Option<ObservedSource>),
    /// What a look at the newest version has seen.
    Newest(Option<SourceIdentity>),
    /// What a look at the destination has seen.
    Destination(Option<ObservedDestination>),
    /// It is done.
    Done,
    /// The upload is open.
    UploadOpen,
    /// The upload is gone.
    UploadGone,
    /// The upload has begun.
    Initiated(UploadId),
    /// Published, and the stored checksum is right.
    Published(Revision),
    /// Published, but the far side stored other bytes.
    PublishedCorrupt(Revision),
    /// The condition did not hold: nothing was written.
    Precondition,
    /// It is another state than the one that was looked at.
    SourceChanged,
    /// Another writer has begun.
    Fenced,
    /// The ending is recorded.
    Finished { others_open: bool },
    /// Sent, and no answer came: it may have taken effect, or may yet.
    Lost,
    /// It failed without effect.
    Failed(EffectFailure),
}

/// What went wrong with an effect.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EffectFailure {
    /// To be tried again; `counted`: by the object's own fault.
    Retry { counted: bool },
    /// It will never work; the driver holds the reason.
    Park,
    /// The lease is lost.
    LeaseLost,
}

/// What is known of the destination in this attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DestinationState {
    Nothing,
    /// By the ledger, without a look.
    Assumed(Expected),
    Seen(Option<ObservedDestination>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Lookup,
    /// The quick way of a message that came again: are both ends as the ledger says?
    QuickDestination(SourceIdentity, Revision),
    QuickSource(SourceIdentity),
    Begin,
    /// Does the source still hold what an earlier upload was reading?
    AdoptionLook(Vec<EarlierUpload>),
    Aborting(UploadTeardown),
    CheckingUpload(UploadTeardown),
    /// Its abort was taken, and it is there all the same: waiting before the next.
    UploadStillOpen(UploadTeardown),
    Destination,
    SourceHead,
    SourceOpen,
    /// A version was looked at, and what it is to the key says the newest state.
    Newest {
        opened: bool,
    },
    Put,
    Initiate,
    Checkpoint,
    Parts,
    Complete,
    /// The answer of a Complete was lost, which may take minutes yet: the n-th look for its object, then for its upload, and
    /// the wait before the next.
    LostObject(u32),
    LostUpload(u32),
    LostWait(u32),
    /// Was it this attempt that published? After a lost answer, a 412, an upload that is gone.
    Settle {
        put_lost: bool,
    },
    Delete,
    /// Taking away what was stored wrong.
    Remove,
    Finish(Disposition),
    Ended,
}

/// Uploads that are ended, the last of the list first: aborted, then seen to be gone. `aborts`: how often the last was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct UploadTeardown {
    /// Uploads still to be ended.
    pub left: Vec<UploadId>,
    /// What follows.
    pub then: AfterTeardown,
    /// How often the first was aborted.
    pub aborts: u32,
}

/// What follows when uploads have ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum AfterTeardown {
    Look,
    NextAttempt,
    Settle,
    Finish(FinishRequest),
    Release,
}
