//! A bucket's notification configuration: its entries read, the rest kept word for word.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::entry::{FilterEncoding, KeyFilter, TriggerEntry};
use super::xml::{RawDocument, XmlNode};

/// The elements that can be entries, each with the names of what holds its target.
const KINDS: [(&str, &[&str]); 4] = [
    ("QueueConfiguration", &["Queue"]),
    ("TopicConfiguration", &["Topic"]),
    ("CloudFunctionConfiguration", &["CloudFunction", "LambdaFunctionArn", "Function"]),
    ("LambdaFunctionConfiguration", &["LambdaFunctionArn", "CloudFunction", "Function"]),
];

#[derive(Clone, Debug)]
pub struct Configuration {
    document: RawDocument,
    /// Of each element of the document, where it is an entry.
    entries: Vec<Option<TriggerEntry>>,
    spelling: FilterEncoding,
}

impl Configuration {
    pub fn read(text: &str, spelling: FilterEncoding) -> Result<Configuration, String> {
        let document = RawDocument::read(text)?;
        let entries = document.elements.iter().map(|(_, node)| entry(node, spelling)).collect();
        Ok(Configuration { document, entries, spelling })
    }

    /// The document.
    pub fn text(&self) -> &str {
        &self.document.text
    }

    pub fn entries(&self) -> impl Iterator<Item = &TriggerEntry> {
        self.entries.iter().flatten()
    }

    /// The names of what is no entry: `EventBridgeConfiguration`, and what S3 may come to have.
    pub fn other_elements(&self) -> Vec<&str> {
        let both = self.document.elements.iter().zip(&self.entries);
        both.filter(|(_, entry)| entry.is_none()).map(|((_, node), _)| node.name.as_str()).collect()
    }

    /// The same without some entries and with others. What is new stands where S3's schema has queues: behind the last
    /// of them, else behind the topics.
    pub fn with(&self, removed: &[TriggerEntry], added: &[TriggerEntry]) -> Result<Configuration, String> {
        let RawDocument { text, elements, inside, .. } = &self.document;
        let last = |kind: &str| elements.iter().rev().find(|(_, node)| node.name == kind).map(|(at, _)| at.end);
        let place = last(KINDS[0].0).or_else(|| last(KINDS[1].0)).unwrap_or(inside.start);
        let mut edits = vec![(place..place, added.iter().map(|entry| self.written(entry)).collect::<String>())];
        for ((at, _), entry) in elements.iter().zip(&self.entries) {
            if entry.as_ref().is_some_and(|entry| removed.contains(entry)) {
                edits.push((at.clone(), String::new()));
            }
        }
        // From the back, so that what is still to be done stays where it was found.
        edits.sort_by_key(|(at, _)| std::cmp::Reverse((at.start, at.end)));
        let mut changed = text.clone();
        for (at, with) in edits {
            changed.replace_range(at, &with);
        }
        Configuration::read(&changed, self.spelling)
    }

    /// What this one says and the other does not, a line each.
    pub fn missing_in(&self, other: &Configuration) -> Vec<String> {
        let mut theirs: Vec<String> = other.document.elements.iter().map(|(_, node)| node.canonical()).collect();
        let both = self.document.elements.iter().zip(&self.entries);
        let missing = both.filter(|((_, node), _)| {
            let same = theirs.iter().position(|canonical| *canonical == node.canonical());
            same.map(|place| theirs.swap_remove(place)).is_none()
        });
        missing
            .map(|((_, node), entry)| entry.as_ref().map_or_else(|| node.name.clone(), TriggerEntry::to_string))
            .collect()
    }

    pub fn is_same(&self, other: &Configuration) -> bool {
        self.missing_in(other).is_empty() && other.missing_in(self).is_empty()
    }

    /// In the order of S3's schema.
    fn written(&self, entry: &TriggerEntry) -> String {
        let ns = &self.document.namespace;
        let element = |name: &str, text: &str| format!("<{ns}{name}>{}</{ns}{name}>", escape(text));
        let around = |names: [&str; 2], inside: String| {
            let [outer, inner] = names;
            format!("<{ns}{outer}><{ns}{inner}>{inside}</{ns}{inner}></{ns}{outer}>")
        };
        let mut text = element("Id", &entry.id) + &element("Queue", &entry.target);
        for event in &entry.events {
            text.push_str(&element("Event", event));
        }
        let KeyFilter { prefix, suffix } = &entry.filter;
        let mut rules = String::new();
        for (name, value) in [("prefix", prefix), ("suffix", suffix)].into_iter().filter(|(_, value)| !value.is_empty())
        {
            let value = self.spelling.write(value);
            let _ =
                write!(rules, "<{ns}FilterRule>{}{}</{ns}FilterRule>", element("Name", name), element("Value", &value));
        }
        if !rules.is_empty() {
            text.push_str(&around(["Filter", "S3Key"], rules));
        }
        format!("<{ns}QueueConfiguration>{text}</{ns}QueueConfiguration>")
    }
}

fn entry(node: &XmlNode, spelling: FilterEncoding) -> Option<TriggerEntry> {
    let (_, targets) = KINDS.iter().find(|(kind, _)| *kind == node.name)?;
    let target = targets.iter().find_map(|name| node.child(name))?;
    let events = node.children.iter().filter(|child| child.name == "Event");
    let rules = node.child("Filter").and_then(|filter| filter.child("S3Key"));
    let rule = |name: &str| {
        let named =
            |rule: &&XmlNode| rule.child("Name").is_some_and(|message| message.text.trim().eq_ignore_ascii_case(name));
        let value = rules.and_then(|rules| rules.children.iter().find(named)).and_then(|rule| rule.child("Value"));
        value.map(|value| spelling.read(&value.text)).unwrap_or_default()
    };
    Some(TriggerEntry {
        id: node.child("Id").map(|id| id.text.trim().to_owned()).unwrap_or_default(),
        target: target.text.trim().to_owned(),
        filter: KeyFilter { prefix: rule("prefix"), suffix: rule("suffix") },
        events: events.map(|event| event.text.trim().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::entry::events;

    const THEIRS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <TopicConfiguration><Id>t</Id><Topic>arn:aws:sns:us-east-1:1:t</Topic><Event>s3:ObjectRemoved:*</Event></TopicConfiguration>
  <QueueConfiguration><Id>q</Id><Queue>arn:aws:sqs:us-east-1:1:other</Queue><Event>s3:ObjectCreated:Put</Event>
    <Filter><S3Key><FilterRule><Name>Prefix</Name><Value>dt%3D1/a+b</Value></FilterRule></S3Key></Filter></QueueConfiguration>
  <CloudFunctionConfiguration><Id>f</Id><CloudFunction>arn:aws:lambda:us-east-1:1:function:f</CloudFunction>
    <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>suffix</Name><Value>.z&amp;p</Value></FilterRule></S3Key></Filter>
  </CloudFunctionConfiguration>
  <EventBridgeConfiguration></EventBridgeConfiguration><!-- kept --><Newer kind="1"><Thing/></Newer>
</NotificationConfiguration>
"#;

    fn ours(prefix: &str) -> TriggerEntry {
        let created = events(&["s3:ObjectCreated:*".into()]).unwrap();
        TriggerEntry::ours("arn:aws:sqs:us-east-1:1:q", KeyFilter::new(prefix, "<&>").unwrap(), created)
    }

    #[test]
    fn entries_of_every_kind_are_read() {
        let read = Configuration::read(THEIRS, FilterEncoding::Form).unwrap();
        let message: Vec<String> = read.entries().map(|entry| format!("{} {}", entry.id, entry.filter)).collect();
        assert_eq!(message, ["t *", "q dt=1/a b*", "f *.z&p"]);
        assert_eq!(read.other_elements(), ["EventBridgeConfiguration", "Newer"]);
    }

    #[test]
    fn what_is_not_ours_stays_word_for_word_when_entries_come_and_go() {
        let before = Configuration::read(THEIRS, FilterEncoding::Form).unwrap();
        let (one, two) = (ours("photos=1/"), ours("ä b/"));
        let with = before.with(&[], &[one.clone(), two.clone()]).unwrap();
        assert_eq!(
            with.entries().filter(|entry| entry.is_ours()).cloned().collect::<Vec<_>>(),
            [one.clone(), two.clone()]
        );
        assert!(with.text().contains("<Value>photos%3D1/</Value>"), "{}", with.text());
        let at = with.text().find("<QueueConfiguration><Id>skyferry-").unwrap();
        assert!(with.text()[..at].ends_with("</QueueConfiguration>"), "behind the queues that are there");
        let less = with.with(std::slice::from_ref(&one), &[]).unwrap();
        assert_eq!(less.entries().filter(|entry| entry.is_ours()).count(), 1);
        assert_eq!(less.with(&[two], &[]).unwrap().text(), THEIRS);
    }

    #[test]
    fn an_entry_takes_the_place_of_another() {
        let (one, two) = (ours("a/"), ours("b/"));
        let first =
            Configuration::read("", FilterEncoding::Plain).unwrap().with(&[], std::slice::from_ref(&one)).unwrap();
        let second = first.with(std::slice::from_ref(&one), std::slice::from_ref(&two)).unwrap();
        assert_eq!(second.entries().cloned().collect::<Vec<_>>(), [two]);
        assert_eq!(first.missing_in(&second), [one.to_string()]);
    }

    #[test]
    fn what_is_lost_or_new_is_told() {
        let before = Configuration::read(THEIRS, FilterEncoding::Form).unwrap();
        let spaced = THEIRS
            .replace(
                "<Topic>", "
<Topic>",
            )
            .replace("Prefix", "prefix");
        assert!(before.is_same(&Configuration::read(&spaced, FilterEncoding::Form).unwrap()));
        let lost = THEIRS.replace("<EventBridgeConfiguration></EventBridgeConfiguration>", "");
        let lost = Configuration::read(&lost, FilterEncoding::Form).unwrap();
        assert_eq!(before.missing_in(&lost), ["EventBridgeConfiguration"]);
        assert!(lost.missing_in(&before).is_empty() && !lost.is_same(&before));
    }
}
