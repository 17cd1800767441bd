//! One error for everything that can go wrong between two stores, and its one `verdict()`.
//!
//! An error says what was tried, at which side, on which bucket and key, what the far side answered, and what to
//! do about it. Stores classify once, where the answer is read (`ErrorKind`); everything above asks only for the verdict.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::model::{Key, Location};
use crate::permissions::{self, Role};

/// How the two verbs end that need rights of their own.
const NOTIFICATION: &str = "NotificationConfiguration";

/// Whose answer it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// What is read.
    Source,
    /// What is written.
    Destination,
    /// The queue of events.
    Queue,
    /// The ledger.
    Ledger,
}

impl Side {
    /// Each of them.
    pub const ALL: [Side; 4] = [Side::Source, Side::Destination, Side::Queue, Side::Ledger];

    /// As errors and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Destination => "destination",
            Side::Queue => "queue",
            Side::Ledger => "ledger",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of failure it was: a closed set, so that the verdict is exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such object. At the source this is an answer rather than a failure.
    NotFound,
    /// There is no such bucket.
    BucketMissing,
    /// 403: no permission, for this object or for all; the breaker tells which.
    Denied,
    /// The keys themselves are refused: unknown, expired, a wrong signature, a clock too far off.
    Credentials,
    /// The bucket lives in another region or at another endpoint.
    WrongRegion,
    /// 429, 503 SlowDown and their like.
    Throttled,
    /// 5xx, a refused or broken connection before an answer began, DNS, TLS.
    Unavailable,
    /// No progress for the stall time-out.
    Stalled,
    /// The request was sent and the answer was lost: it may have taken effect.
    LostAnswer,
    /// A conditional request found another state than expected (412, 409).
    Precondition,
    /// A pinned read found another state of the source.
    SourceChanged,
    /// No such upload: completed, aborted or expired.
    UploadGone,
    /// Bytes or checksums that do not agree: nothing wrong may stay published.
    Corrupt,
    /// Published, and nothing that the destination shows proves it right or wrong: it stays, and is tried again.
    Unproven,
    /// The destination's object is the copy of another source object: it is never replaced.
    OtherSource,
    /// In an archive class: readable after a restore.
    Archived,
    /// A file or a directory whose permissions keep it from being read.
    Unreadable,
    /// What the destination cannot hold: too large, a key or metadata that it refuses, a file where a folder must be.
    CannotHold,
    /// The service does not accept this object: too large, a key or metadata that it refuses, a retention policy.
    NotAccepted,
    /// The request was refused as wrong: a defect of ours or a dialect that the settings do not name.
    Refused,
    /// The answer could not be understood.
    InvalidAnswer,
    /// Local trouble: disk full, permission on a file.
    Local,
    /// This agent is stopping, or the lease was lost.
    Cancelled,
}

impl ErrorKind {
    /// For people, and to count by.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not found",
            ErrorKind::BucketMissing => "no such bucket",
            ErrorKind::Denied => "access denied",
            ErrorKind::Credentials => "credentials refused",
            ErrorKind::WrongRegion => "the bucket is in another region",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Stalled => "no progress",
            ErrorKind::LostAnswer => "the answer was lost",
            ErrorKind::Precondition => "changed at the destination meanwhile",
            ErrorKind::SourceChanged => "changed at the source meanwhile",
            ErrorKind::UploadGone => "the upload is gone",
            ErrorKind::Corrupt => "bytes do not agree",
            ErrorKind::Unproven => "published, and not proven",
            ErrorKind::OtherSource => "another source object has this key at the destination",
            ErrorKind::Archived => "archived",
            ErrorKind::Unreadable => "no permission to read it",
            ErrorKind::CannotHold => "the destination cannot hold it",
            ErrorKind::NotAccepted => "the service does not accept it",
            ErrorKind::Refused => "request refused",
            ErrorKind::InvalidAnswer => "answer not understood",
            ErrorKind::Local => "local trouble",
            ErrorKind::Cancelled => "cancelled",
        }
    }
}

/// What the job does about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The object's own trouble, likely to pass: parked after its attempts.
    Retry,
    /// Trouble of a whole side unless others succeed against it meanwhile: the message is kept.
    Outage,
    /// The service says no, and does not say that it is because of the object: parked if others pass.
    Refused,
    /// Never to pass by itself: kept in the ledger and the dead letters with this reason.
    Park(String),
    /// Nobody's fault: touch nothing more.
    Cancelled,
}

/// One failed request or check.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct CopyError {
    /// Whose failure it is.
    pub side: Side,
    /// What it is taken for.
    pub kind: ErrorKind,
    /// The verb as the service names it: `GetObject`, `UploadPart`, `rename`.
    pub operation: &'static str,
    /// Empty where it is about no bucket.
    pub bucket: String,
    /// Empty where it is about no key.
    pub key: Key,
    /// What the far side answered: status, code, message, request id. Never a secret, at most some hundred characters.
    pub answer: String,
    /// When the far side said how long to wait (Retry-After).
    pub retry_after: Option<Duration>,
}

impl CopyError {
    /// Of an operation at a place; `answer` is what the service said, without secrets.
    pub fn new(side: Side, kind: ErrorKind, operation: &'static str, at: &Location, answer: impl Into<String>) -> Self {
        let mut answer: String = answer.into();
        if answer.len() > 500 {
            let cut = (0..=500).rev().find(|&i| answer.is_char_boundary(i)).unwrap_or(0);
            answer.truncate(cut);
            answer.push('…');
        }
        CopyError {
            side,
            kind,
            operation,
            bucket: at.bucket.to_string(),
            key: at.key.clone(),
            answer,
            retry_after: None,
        }
    }

    /// What becomes of the message.
    pub fn verdict(&self) -> Verdict {
        use ErrorKind::*;
        match self.kind {
            Cancelled => Verdict::Cancelled,
            NotFound | BucketMissing | Denied | Credentials | WrongRegion | Unavailable | Local | Throttled
            | Stalled | LostAnswer | InvalidAnswer | Precondition | SourceChanged | UploadGone => Verdict::Outage,
            Corrupt | Unproven => Verdict::Retry,
            // An item of the ledger is the object's own trouble, whatever others do.
            Refused if self.side == Side::Ledger => Verdict::Park(self.to_string()),
            Refused | NotAccepted => Verdict::Refused,
            Archived | Unreadable | CannotHold | OtherSource => Verdict::Park(self.to_string()),
        }
    }

    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        // A whole word: an answer that never came may begin with the service's address.
        let status = self.answer.split(' ').next()?;
        status.parse().ok().filter(|status| (100..600).contains(status))
    }

    /// What a person can do about it; empty where waiting is the only thing.
    pub fn advice(&self) -> Cow<'static, str> {
        if self.kind == ErrorKind::Denied && self.is_about_a_key() {
            return match self.side {
                Side::Source => "grant the source credentials kms:Decrypt on the key that the answer names".into(),
                _ => "grant the destination credentials kms:GenerateDataKey and kms:Decrypt on the key, and see that it is \
                      enabled and in the bucket's region (on Google Cloud Storage: \
                      roles/cloudkms.cryptoKeyEncrypterDecrypter, to the service agent of Cloud Storage)"
                    .into(),
            };
        }
        if self.kind == ErrorKind::Denied && !self.operation.ends_with(NOTIFICATION) {
            return match self.side {
                Side::Source => match permissions::missing_for(Role::Source, self.operation) {
                    Some(action) => format!("grant the source credentials {action} on it").into(),
                    None => "grant s3:GetObject (and s3:ListBucket) on it to the source credentials".into(),
                },
                Side::Destination => {
                    let [s3, google] = [Role::Destination, Role::Google]
                        .map(|role| permissions::missing_for(role, self.operation).unwrap_or("write, read and delete"));
                    format!("grant the destination credentials {s3} on it (on Google Cloud Storage {google})").into()
                }
                _ => "grant the identity the missing permission".into(),
            };
        }
        Cow::Borrowed(self.fixed_advice())
    }

    /// The request itself is allowed, the key that encrypts the object is not.
    fn is_about_a_key(&self) -> bool {
        ["kms:", " KMS.", "Cloud KMS"].iter().any(|word| self.answer.contains(word))
    }

    fn fixed_advice(&self) -> &'static str {
        use ErrorKind::*;
        match (self.kind, self.side) {
            (BucketMissing, _) if self.operation.ends_with(NOTIFICATION) => "check its name, and whose keys these are",
            (BucketMissing, Side::Source) => "check the bucket's name in the event or the route, and the region",
            (BucketMissing, _) => "create the bucket, or correct [destination] bucket or the route",
            (Denied, _) if self.operation.ends_with(NOTIFICATION) => {
                "grant s3:GetBucketNotification and s3:PutBucketNotification on it to these credentials"
            }
            (Refused, _) if self.operation.ends_with(NOTIFICATION) => "change what S3 names there",
            (Credentials, _) => "check the key, its expiry and this machine's clock",
            (WrongRegion, _) => "set region (and endpoint) of this side to the bucket's own",
            (Archived, _) => "restore the object; its ObjectRestore:Completed event brings it back",
            (Unreadable, _) => "grant permission to read it, or exclude it",
            (CannotHold | NotAccepted, _) => "rename, shrink or exclude this object (ignore list)",
            (Corrupt | Unproven, Side::Destination) => {
                "if this persists, the service's checksums differ from Amazon's: set [destination] profile = \"generic\""
            }
            (OtherSource, _) => "give the two sources different prefixes at the destination, or remove that copy",
            // The answer says it.
            (Refused, Side::Ledger) => "",
            (Refused, _) => "check [source] and [destination] profile; if they are right, please report this",
            (Local, _) => "check the disk's space and the permissions",
            _ => "",
        }
    }

    fn message(&self) -> String {
        let mut text = format!("{} {} {}/{}", self.side, self.operation, self.bucket, self.key);
        text.push_str(": ");
        text.push_str(self.kind.as_str());
        if !self.answer.is_empty() {
            text.push_str(" (");
            text.push_str(&self.answer);
            text.push(')');
        }
        let advice = self.advice();
        if !advice.is_empty() {
            text.push_str("; ");
            text.push_str(&advice);
        }
        text
    }
}
