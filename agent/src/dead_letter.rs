//! A dead letter, read: whose it is and why it is here, in words that are the same for all of a kind. For the command and
//! for the status page.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use skyferry_core::event::{self, ParsedMessage, ParsedRecord};
use skyferry_core::model::Location;
use skyferry_core::queue::DeadLetter;
use skyferry_core::route::glob;

pub struct ParsedLetter {
    pub letter: DeadLetter,
    /// None, if the body cannot be read or asks for nothing.
    keys: Vec<Location>,
    pub reason: String,
}

impl ParsedLetter {
    /// `max_receives`: after how many deliveries its queue gives up.
    pub fn new(letter: DeadLetter, max_receives: Option<u32>) -> ParsedLetter {
        let keys = match event::parse(letter.body.as_bytes()) {
            ParsedMessage::Records(entries) => entries.into_iter().filter_map(|entry| match entry {
                ParsedRecord::Record(record) => Some(record.source),
                ParsedRecord::Malformed(_) => None,
            }),
            _ => return ParsedLetter { reason: reason(&letter, max_receives), letter, keys: Vec::new() },
        };
        ParsedLetter { keys: keys.collect(), reason: reason(&letter, max_receives), letter }
    }

    /// Patterns of the reason and of the key, with its bucket or without.
    pub fn matches(&self, reason: Option<&str>, key: Option<&str>) -> bool {
        let by_reason = reason.is_none_or(|pattern| glob(pattern, self.reason.as_bytes()));
        by_reason && key.is_none_or(|pattern| self.has_key(|name| glob(pattern, name)))
    }

    /// By its id, or by a key with its bucket or without.
    pub fn is(&self, wanted: &str) -> bool {
        *self.letter.id == *wanted || self.has_key(|name| name == wanted.as_bytes())
    }

    fn has_key(&self, fits: impl Fn(&[u8]) -> bool) -> bool {
        self.keys.iter().any(|at| fits(&at.to_bytes()) || fits(at.key.as_bytes()))
    }

    /// The first key, and how many more there are.
    pub fn name(&self) -> String {
        match &self.keys[..] {
            [] => "(no key in it)".into(),
            [at] => format!("{}/{}", at.bucket, at.key),
            [at, more @ ..] => format!("{}/{} and {} more", at.bucket, at.key, more.len()),
        }
    }

    pub fn age(&self) -> String {
        let age = SystemTime::now().duration_since(self.letter.sent).unwrap_or_default().as_secs();
        match age {
            0..120 => format!("{age} s"),
            120..7200 => format!("{} min", age / 60),
            7200..172_800 => format!("{} h", age / 3600),
            _ => format!("{} d", age / 86_400),
        }
    }

    pub fn json(&self) -> Value {
        let sent = self.letter.sent.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let keys: Vec<String> = self.keys.iter().map(|at| format!("{}/{}", at.bucket, at.key)).collect();
        json!({ "id": &*self.letter.id, "keys": keys, "reason": self.reason, "sent": sent })
    }

    /// The reason without what is only this letter's: the object's name and the request's id.
    pub fn kind(&self) -> String {
        let general = match self.reason.splitn(3, ' ').collect::<Vec<_>>()[..] {
            [side @ ("source" | "destination" | "queue" | "ledger"), operation, rest] => {
                rest.split_once(": ").map(|(_, why)| format!("{side} {operation}: {why}"))
            }
            _ => None,
        };
        let mut kind = general.unwrap_or_else(|| self.reason.clone());
        for at in &self.keys {
            kind = kind.replace(&format!("{}/{}", at.bucket, at.key), "…");
        }
        if let Some((before, id)) = kind.split_once(", request ") {
            let end = id.find([')', ' ', ';']).unwrap_or(id.len());
            kind = format!("{before}{}", &id[end..]);
        }
        kind
    }
}

fn reason(letter: &DeadLetter, max_receives: Option<u32>) -> String {
    match (&letter.reason, max_receives) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(1)) => "received 1 time without success".into(),
        (None, Some(most)) => format!("received {most} times without success"),
        (None, None) => "received too often without success".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_core::queue::Receipt;

    fn known(key: &str, reason: Option<&str>) -> ParsedLetter {
        let body = json!({ "Src_bucket": "photos", "Src_key": key, "Size": 1, "versionId": "null" });
        let letter = DeadLetter {
            id: "1".into(),
            receipt: Receipt("1".into()),
            body: body.to_string().into(),
            reason: reason.map(Into::into),
            sent: SystemTime::now(),
        };
        ParsedLetter::new(letter, Some(5))
    }

    #[test]
    fn letters_of_one_kind_have_one_reason() {
        let denied = |side: &str, key: &str, id: &str| {
            let at = format!("{side} photos/{key}");
            known(key, Some(&format!("{at}: access denied (403 AccessDenied: no, request {id}); grant it"))).kind()
        };
        let kind = "source GetObject: access denied (403 AccessDenied: no); grant it";
        assert_eq!([denied("source GetObject", "a", "R1"), denied("source GetObject", "b c", "R2")], [kind, kind]);
        assert_eq!(known("a", Some("no route takes photos/a")).kind(), "no route takes …");
        assert_eq!(known("a", None).kind(), "received 5 times without success");
    }

    #[test]
    fn a_letter_is_known_by_its_key_with_its_bucket_or_without() {
        let letter = known("2026/a.jpg", Some("because"));
        assert!(letter.is("photos/2026/a.jpg") && letter.is("2026/a.jpg") && letter.is("1") && !letter.is("a.jpg"));
        let matches = |reason: &str, key: &str| letter.matches(Some(reason), Some(key));
        assert!(matches("be*", "photos/*.jpg") && matches("*", "2026/?.jpg"));
        assert!(!matches("be*", "*.png") && !matches("why", "*"));
    }
}
