//! An item of the table, read and written. Theirs: `Key` `instanceID` `tryTimes` `startTime_f` `lastTimeProgress` `Size`
//! `desBucket` `desKey` `firstTime` `versionId` `jobStatus` `totalSpentTime` `endTime` `endTime_f`. Ours:
//!
//! | attribute | type | what it holds |
//! |---|---|---|
//! | `sfVersion` | N | the schema of ours |
//! | `sfWriter` | S | the last writer to begin: every other is fenced |
//! | `sfOpen_<writer>` | M | an open writer: `b`egan (µs), `f`enced (ms, the service's clock), `s`topped, `e`nded in doubt, its `d`estination, its `u`pload's id and `h`ead, the `n`umber of its last checkpoint |
//! | `sfParts` | B | the parts of the upload that was checkpointed last, with its token: one such list an item, or two uploads of 10,000 parts would burst it. The list of another upload is not needed once a writer has begun one of its own |
//! | `sfPublished` | M | what is at the destination: `to`, `etag`, `size`, `modified`, `version`, `revision` |
//! | `sfProof` | B | its digests and grade, with a hash of what they prove |
//! | `sfParker` | S | the writer that parked it: while it is the last to begin, nobody comes for the uploads |
//! | `sfOutcome` `sfReason` `sfFailures` `sfBegan` | S S N N | as they say |

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};

use super::update_expression::{UpdateExpression, number, text};
use super::{LastPublished, LedgerRecord, Subject, UploadRecord};
use skyferry_core::ambient;
use skyferry_core::digest::{Digests, Grade};
use skyferry_core::ledger::codec;
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, Revision, SourceIdentity, UploadId, Writer};

pub(super) const OPEN: &str = "sfOpen_";
/// How much of a hash tells two states apart.
const HASH: usize = 16;

pub(super) type ItemAttributes = HashMap<String, AttributeValue>;

pub(super) struct Item(ItemAttributes);

/// A writer that has begun and is not closed.
#[derive(Clone, Debug)]
pub(super) struct OpenWriterEntry {
    pub writer: Writer,
    pub attribute: String,
    began: i64,
    pub fenced: Option<i64>,
    pub stopped: bool,
    doubt: bool,
    destination: Vec<u8>,
    pub upload: Option<UploadId>,
    head: Option<Vec<u8>>,
}

impl OpenWriterEntry {
    /// It has said how it ended.
    pub fn finished(&self) -> bool {
        self.stopped || self.doubt
    }

    pub fn is_of(&self, subject: &Subject) -> bool {
        self.destination == subject.destination.to_bytes()
    }

    pub fn is_to(&self, bucket: &str) -> bool {
        self.destination.strip_prefix(bucket.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

impl Item {
    pub fn new(attributes: ItemAttributes) -> Item {
        Item(attributes)
    }

    pub fn attributes(&self) -> &ItemAttributes {
        &self.0
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    pub fn exists(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn schema(&self) -> u64 {
        read_number(&self.0, "sfVersion").unwrap_or(0).unsigned_abs()
    }

    pub fn last_writer(&self) -> Option<Writer> {
        Writer::parse(read_text(&self.0, "sfWriter")?)
    }

    /// Parked, and nobody has begun since.
    pub fn is_abandoned(&self) -> bool {
        read_text(&self.0, "sfParker").is_some_and(|parker| read_text(&self.0, "sfWriter") == Some(parker))
    }

    pub fn failures(&self, subject: &Subject) -> u32 {
        let failures = read_number(&self.0, "sfFailures").filter(|_| self.names(subject));
        failures.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// By `endTime_f` and this machine's clock, in whole seconds: at least so long.
    pub fn ended_for(&self, subject: &Subject) -> Option<Duration> {
        read_text(&self.0, "sfOutcome").filter(|_| self.names(subject))?;
        let end = TimeFormat::moment(read_text(&self.0, "endTime_f")?)?;
        let second = end.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        let its_end = Duration::from_secs(second.unsigned_abs() + 1);
        Some(Duration::from_secs(ambient::since_epoch().saturating_sub(its_end).as_secs()))
    }

    /// Whether the destination that the record names is the subject's: what it says of outcome and failures is of that one.
    pub fn names(&self, subject: &Subject) -> bool {
        let Location { bucket, key } = &subject.destination;
        let named = ["desBucket", "desKey"].map(|name| read_text(&self.0, name).unwrap_or_default());
        named == [&**bucket, &key.to_string()]
    }

    /// Whether it has anything to tell of this destination.
    pub fn has_data_for(&self, subject: &Subject) -> bool {
        self.names(subject) || self.published(subject).is_some()
    }

    /// What was put into it, and is to be seen as part of it.
    pub fn with(mut self, attributes: ItemAttributes) -> Item {
        self.0.extend(attributes);
        self
    }

    pub fn expires(&self) -> bool {
        self.0.contains_key("endTime")
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        self.0.get(name).and_then(|value| value.as_ss().ok()).cloned().unwrap_or_default()
    }

    /// Oldest first.
    pub fn open(&self) -> Vec<OpenWriterEntry> {
        let mut open: Vec<OpenWriterEntry> = self.0.iter().filter_map(|(name, value)| read_open(name, value)).collect();
        open.sort_by_key(|open| (open.began, open.writer));
        open
    }

    /// What is published at the subject's destination. Of another destination, which a route may have had before, it
    /// tells nothing.
    pub fn published(&self, subject: &Subject) -> Option<LastPublished> {
        let map = self.0.get("sfPublished")?.as_m().ok()?;
        let to = map.get("to")?.as_b().ok()?;
        if to.as_ref() != subject.destination.to_bytes() {
            return None;
        }
        let identity = SourceIdentity {
            etag: read_text(map, "etag")?.into(),
            size: u64::try_from(read_number(map, "size")?).ok()?,
            last_modified: read_number(map, "modified")?,
            version: read_text(map, "version").map(Into::into),
        };
        Some(LastPublished { identity, revision: Revision(read_text(map, "revision")?.into()) })
    }

    /// An open writer's upload, if it is to the subject's destination.
    pub fn upload(&self, subject: &Subject, of: &OpenWriterEntry) -> Option<UploadRecord> {
        if !of.is_of(subject) {
            return None;
        }
        let mut record = codec::decode_head(of.upload.clone()?, of.head.as_deref()?)?;
        let parts = self.0.get("sfParts").and_then(|value| value.as_b().ok());
        record.parts = parts.and_then(|parts| codec::decode_parts(parts.as_ref(), record.token)).unwrap_or_default();
        Some(record)
    }

    pub fn record(&self, subject: &Subject) -> LedgerRecord {
        let published = self.published(subject);
        let proof = published.as_ref().and_then(|published| self.proof(published));
        let (digests, grade) = proof.unwrap_or_default();
        // An older version's record of several destinations names one of them.
        let own_text = |name| read_text(&self.0, name).filter(|_| self.names(subject));
        let outcome = own_text("sfOutcome").and_then(Outcome::parse);
        let open_writers = self.open().len();
        LedgerRecord {
            outcome,
            reason: own_text("sfReason").map(str::to_owned),
            published,
            digests,
            grade,
            open_writers,
            failures: self.failures(subject),
            ended_for: self.ended_for(subject),
            ended: outcome.is_some() && self.expires() && open_writers == 0,
        }
    }

    fn proof(&self, of: &LastPublished) -> Option<(Option<Digests>, Option<Grade>)> {
        let bytes = self.0.get("sfProof")?.as_b().ok()?.as_ref();
        let (hash, rest) = bytes.split_at_checked(HASH)?;
        (hash == hash_of(of)).then(|| codec::decode_proof(rest)).flatten()
    }
}

/// The destination as the predecessors' attributes name it; where there is none, nothing does.
pub(super) fn destination_attributes(subject: &Subject) -> ItemAttributes {
    let Location { bucket, key } = &subject.destination;
    let named = [("desBucket", text(bucket)), ("desKey", text(&key.to_string()))];
    named.into_iter().filter(|_| !bucket.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn attribute(writer: Writer) -> String {
    format!("{OPEN}{writer}")
}

/// `sfOpen_…` of a writer that begins.
pub(super) fn open_attribute(subject: &Subject) -> AttributeValue {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let fields = [("b", number(began)), ("d", binary(subject.destination.to_bytes()))];
    AttributeValue::M(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

pub(super) fn published(subject: &Subject, of: &LastPublished) -> AttributeValue {
    let LastPublished { identity, revision } = of;
    let mut map = ItemAttributes::from([
        ("to".to_owned(), binary(subject.destination.to_bytes())),
        ("etag".to_owned(), text(&identity.etag)),
        ("size".to_owned(), number(identity.size)),
        ("modified".to_owned(), number(identity.last_modified)),
        ("revision".to_owned(), text(&revision.0)),
    ]);
    if let Some(version) = &identity.version {
        map.insert("version".to_owned(), text(version));
    }
    AttributeValue::M(map)
}

pub(super) fn proof(of: &LastPublished, digests: Option<&Digests>, grade: Option<Grade>) -> AttributeValue {
    let mut bytes = hash_of(of).to_vec();
    bytes.extend(codec::encode_proof(digests, grade));
    binary(bytes)
}

/// As the predecessors write it.
pub(super) fn version(identity: &SourceIdentity) -> &str {
    identity.version.as_deref().unwrap_or("null")
}

pub(super) fn binary(bytes: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// How `startTime_f` and `endTime_f` are written: in UTC, which is what the predecessors' machines were set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-11-21 15:04:05`
    #[default]
    Sortable,
    /// `Sat Nov 21 15:04:05 2026`, as the predecessors had them.
    Asctime,
}

impl TimeFormat {
    const ALL: [TimeFormat; 2] = [TimeFormat::Sortable, TimeFormat::Asctime];

    fn format(self) -> &'static str {
        match self {
            TimeFormat::Sortable => "%Y-%m-%d %H:%M:%S",
            TimeFormat::Asctime => "%a %b %e %H:%M:%S %Y",
        }
    }

    /// When it was, whichever way it is written.
    pub(super) fn moment(text: &str) -> Option<jiff::civil::DateTime> {
        TimeFormat::ALL.iter().find_map(|times| jiff::civil::DateTime::strptime(times.format(), text).ok())
    }
}

/// A moment as the predecessors' attributes have it.
pub(super) struct TimeStamps {
    pub epoch: u64,
    pub text: String,
}

impl TimeStamps {
    /// By this machine's clock, as theirs: what a writer began and ended is measured by one.
    pub fn now(times: TimeFormat) -> TimeStamps {
        TimeStamps::at(jiff::Timestamp::now(), times)
    }

    fn at(at: jiff::Timestamp, times: TimeFormat) -> TimeStamps {
        TimeStamps { epoch: at.as_second().unsigned_abs(), text: at.strftime(times.format()).to_string() }
    }

    pub fn mark_ended(&self, change: &mut UpdateExpression) {
        change.set(&["endTime_f"], text(&self.text));
        change.set_difference("totalSpentTime", number(self.epoch), "sfBegan");
    }
}

fn hash_of(of: &LastPublished) -> [u8; HASH] {
    let LastPublished { identity, revision } = of;
    let mut hash = Sha256::new();
    for text in [&*identity.etag, identity.version.as_deref().unwrap_or("\0"), &revision.0] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(identity.size.to_le_bytes());
    hash.update(identity.last_modified.to_le_bytes());
    let mut short = [0; HASH];
    short.copy_from_slice(&hash.finalize()[..HASH]);
    short
}

fn read_open(name: &str, value: &AttributeValue) -> Option<OpenWriterEntry> {
    let writer = Writer::parse(name.strip_prefix(OPEN)?)?;
    let map = value.as_m().ok()?;
    let flag = |field: &str| map.get(field).and_then(|value| value.as_bool().ok()).copied().unwrap_or(false);
    let bytes = |field: &str| map.get(field).and_then(|value| value.as_b().ok()).map(|blob| blob.as_ref().to_vec());
    Some(OpenWriterEntry {
        writer,
        attribute: name.to_owned(),
        began: read_number(map, "b").unwrap_or(0),
        fenced: read_number(map, "f"),
        stopped: flag("s"),
        doubt: flag("e"),
        destination: bytes("d").unwrap_or_default(),
        upload: read_text(map, "u").map(|id| UploadId(id.into())),
        head: bytes("h"),
    })
}

fn read_text<'a>(map: &'a ItemAttributes, name: &str) -> Option<&'a str> {
    map.get(name)?.as_s().ok().map(String::as_str)
}

fn read_number(map: &ItemAttributes, name: &str) -> Option<i64> {
    map.get(name)?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_each_program_has_them_and_read_either_way() {
        let at = jiff::Timestamp::from_second(1_793_545_445).unwrap();
        let texts = TimeFormat::ALL.map(|times| TimeStamps::at(at, times).text);
        assert_eq!(texts, ["2026-11-01 15:04:05", "Sun Nov  1 15:04:05 2026"]);
        assert_eq!(TimeFormat::moment(&texts[0]), TimeFormat::moment(&texts[1]));
        assert!(TimeFormat::moment(&texts[0]).is_some() && TimeFormat::moment("i-0abc").is_none());
    }
}
