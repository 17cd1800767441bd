//! One entry of a notification configuration: which events of which keys go where.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use crate::prefixes;
use crate::usage::UsageError;

/// How the Ids of our entries begin.
const OURS: &str = "skyferry-";
const LONGEST: usize = 1024;

/// What S3 knows. A star takes all of its family.
const EVENTS: [&str; 26] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:Replication:OperationNotTracked",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerEntry {
    pub id: String,
    /// The ARN of a queue, a topic or a function.
    pub target: String,
    #[serde(flatten)]
    pub filter: KeyFilter,
    pub events: BTreeSet<String>,
}

/// Which keys, as plain text. Empty: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyFilter {
    pub prefix: String,
    pub suffix: String,
}

impl TriggerEntry {
    /// Ours. Its Id follows from queue and filter, so that the same entry has the same one every time.
    pub fn ours(queue: &str, filter: KeyFilter, events: BTreeSet<String>) -> TriggerEntry {
        let KeyFilter { prefix, suffix } = &filter;
        let digest = Md5::digest(format!("{}:{prefix}{}:{suffix}{queue}", prefix.len(), suffix.len()));
        let id = digest[..8].iter().fold(OURS.to_owned(), |id, byte| format!("{id}{byte:02x}"));
        TriggerEntry { id, target: queue.to_owned(), filter, events }
    }

    pub fn is_ours(&self) -> bool {
        self.id.starts_with(OURS)
    }

    /// Whoever made it.
    pub fn is_equivalent(&self, other: &TriggerEntry) -> bool {
        self.target == other.target && self.filter == other.filter && self.events == other.events
    }

    /// Whether all that the other sends is sent by this one already, to the same place.
    pub fn covers(&self, other: &TriggerEntry) -> bool {
        let sent = |event: &String| {
            let takes =
                |ours: &String| ours == event || ours.strip_suffix('*').is_some_and(|family| event.starts_with(family));
            self.events.iter().any(takes)
        };
        self.target == other.target && self.filter.covers(&other.filter) && other.events.iter().all(sent)
    }

    /// Whether an event could go to both, which S3 refuses.
    pub fn overlaps(&self, other: &TriggerEntry) -> bool {
        let common = |event: &String| other.events.iter().any(|theirs| same_family(event, theirs));
        self.filter.overlaps(&other.filter) && self.events.iter().any(common)
    }
}

impl fmt::Display for TriggerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TriggerEntry { id, target, filter, events } = self;
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        write!(f, "{:<16} {}  to {target}  (Id {id})", filter.to_string(), events.join(", "))
    }
}

impl KeyFilter {
    /// One for each prefix of a file. Two of which one begins with the other are refused before S3 does.
    pub fn of_file(file: &Path, suffix: &str) -> Result<Vec<KeyFilter>, UsageError> {
        let wrong = |what: &str| UsageError(format!("the prefix file {}: {what}", file.display()));
        let mut filters: Vec<KeyFilter> = Vec::new();
        for prefix in prefixes::read(file).map_err(|error| UsageError(format!("{error:#}")))? {
            let filter = KeyFilter::new(&prefix, suffix).map_err(|UsageError(what)| wrong(&what))?;
            if let Some(other) = filters.iter().find(|other| other.overlaps(&filter)) {
                let both = format!("{} and {prefix} overlap, which S3 refuses: leave the longer one out", other.prefix);
                return Err(wrong(&both));
            }
            filters.push(filter);
        }
        Ok(filters)
    }

    /// Refuses what no filter can say.
    pub fn new(prefix: &str, suffix: &str) -> Result<KeyFilter, UsageError> {
        for (name, text) in [("prefix", prefix), ("suffix", suffix)] {
            let wrong = if text.contains('*') {
                "has a *, which is not a wildcard in S3; a prefix needs none"
            } else if text.chars().any(char::is_control) {
                "has a control character"
            } else if text.chars().count() > LONGEST {
                "is longer than the 1024 characters that S3 accepts"
            } else {
                continue;
            };
            return Err(UsageError(format!("the {name} {text:?} {wrong}")));
        }
        Ok(KeyFilter { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
    }

    /// Whether it takes every key that the other takes.
    fn covers(&self, other: &KeyFilter) -> bool {
        other.prefix.starts_with(&self.prefix) && other.suffix.ends_with(&self.suffix)
    }

    /// Whether there are keys that both take.
    pub fn overlaps(&self, other: &KeyFilter) -> bool {
        let (prefix, suffix) = (&other.prefix, &other.suffix);
        (self.prefix.starts_with(prefix) || prefix.starts_with(&self.prefix))
            && (self.suffix.ends_with(suffix) || suffix.ends_with(&self.suffix))
    }
}

impl fmt::Display for KeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.prefix, self.suffix)
    }
}

/// Events by their names, with or without `s3:`.
pub fn events(names: &[String]) -> Result<BTreeSet<String>, UsageError> {
    let read = names.iter().flat_map(|names| names.split(',')).map(str::trim).map(|name| {
        let known = EVENTS.iter().find(|event| **event == name || event.strip_prefix("s3:") == Some(name));
        known.map(|event| (*event).to_owned()).ok_or_else(|| {
            let families: Vec<&str> = EVENTS.into_iter().filter(|event| event.ends_with('*')).collect();
            UsageError(format!("S3 has no event {name:?}; it has {}, and their members", families.join(", ")))
        })
    });
    read.collect()
}

fn same_family(one: &str, other: &str) -> bool {
    let takes = |wide: &str, event: &str| wide.strip_suffix('*').is_some_and(|family| event.starts_with(family));
    one == other || takes(one, other) || takes(other, one)
}

/// How a server wants the text of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterEncoding {
    /// As in a form: AWS compares it with the key as its events spell it, so `=` is `%3D` and a blank is `+`.
    Form,
    /// As the key is.
    Plain,
}

/// All but what AWS calls safe, and the blank.
const SPELT: AsciiSet = NON_ALPHANUMERIC
    .remove(b' ')
    .remove(b'/')
    .remove(b'!')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

impl FilterEncoding {
    pub fn write(self, text: &str) -> String {
        match self {
            FilterEncoding::Plain => text.to_owned(),
            FilterEncoding::Form => utf8_percent_encode(text, &SPELT).to_string().replace(' ', "+"),
        }
    }

    pub fn read(self, text: &str) -> String {
        match self {
            FilterEncoding::Plain => text.to_owned(),
            FilterEncoding::Form => percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, suffix: &str, event: &str) -> TriggerEntry {
        let events = events(&[event.to_owned()]).unwrap();
        TriggerEntry::ours("arn:aws:sqs:us-east-1:1:q", KeyFilter::new(prefix, suffix).unwrap(), events)
    }

    #[test]
    fn entries_overlap_where_one_event_could_go_to_both() {
        let all = "s3:ObjectCreated:*";
        let put = "s3:ObjectCreated:Put";
        for (one, other, overlap) in [
            (("a/", "", all), ("a/b/", "", put), true),
            (("a/", "", all), ("", "", all), true),
            (("a/", "", all), ("b/", "", all), false),
            (("a/", ".jpg", all), ("a/", ".png", all), false),
            (("a/", ".jpg", all), ("a/", "g", put), true),
            (("a/", ".jpg", all), ("b/", ".jpg", all), false),
            (("a/", "", put), ("a/", "", "s3:ObjectCreated:Copy"), false),
            (("a/", "", all), ("a/", "", "s3:ObjectRemoved:*"), false),
        ] {
            let (a, b) = (entry(one.0, one.1, one.2), entry(other.0, other.1, other.2));
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (overlap, overlap), "{a} and {b}");
        }
    }

    #[test]
    fn an_id_follows_from_queue_and_filter_alone() {
        assert_eq!(entry("a/", "", "ObjectCreated:*").id, entry("a/", "", "ObjectRemoved:*").id);
        assert_ne!(entry("a/", "b", "ObjectCreated:*").id, entry("a/b", "", "ObjectCreated:*").id);
        assert!(entry("a/", "", "ObjectCreated:*").is_ours());
    }

    #[test]
    fn aws_has_filters_spelt_as_in_a_form() {
        for (plain, spelt) in [("a/b-c_(1).x", "a/b-c_(1).x"), ("dt=1/ä +", "dt%3D1/%C3%A4+%2B"), ("50%", "50%25")] {
            assert_eq!(FilterEncoding::Form.write(plain), spelt);
            assert_eq!(FilterEncoding::Form.read(spelt), plain);
            assert_eq!(FilterEncoding::Plain.write(plain), plain);
        }
    }

    #[test]
    fn what_no_filter_and_no_event_can_be_is_refused() {
        for wrong in ["a/*", "a\nb", &"x".repeat(1025)] {
            assert!(KeyFilter::new(wrong, "").is_err() && KeyFilter::new("", wrong).is_err(), "{wrong:.20}");
        }
        assert!(events(&["s3:ObjectCreate:*".into()]).is_err());
        assert_eq!(events(&["ObjectCreated:Put, s3:ObjectRemoved:*".into()]).unwrap().len(), 2);
    }
}
