//! What is to change in a configuration for what somebody wants, or why it cannot be. No I/O.

use super::configuration::Configuration;
use super::entry::{Entry, Filter};

/// S3 takes so many entries a bucket.
const MOST: usize = 100;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub removed: Vec<Entry>,
    pub added: Vec<Entry>,
    /// Wanted, and there already.
    pub kept: usize,
}

/// What S3 would refuse, in words of more use.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Change {
    /// All that is wanted is there afterwards; with `prune` nothing else of ours.
    pub fn add(current: &Configuration, wanted: &[Entry], prune: bool) -> Result<Change, Refusal> {
        let mut change = Change::default();
        for entry in wanted {
            // A broader one that pruning would take away is of no use.
            let suffices = |there: &Entry| {
                there.does_the_same(entry)
                    || (there.covers(entry) && there.id != entry.id && !(prune && there.is_ours()))
            };
            if current.entries().any(suffices) {
                change.kept += 1;
            } else if !change.added.contains(entry) {
                change.added.push(entry.clone());
            }
        }
        let renewed = |there: &Entry| change.added.iter().any(|entry| entry.id == there.id);
        let wanted = |there: &Entry| wanted.iter().any(|entry| entry.does_the_same(there));
        let gone = |there: &&Entry| renewed(there) || (prune && there.is_ours() && !wanted(there));
        change.removed = current.entries().filter(gone).cloned().collect();
        change.check(current)?;
        Ok(change)
    }

    /// What the selection takes is gone afterwards.
    pub fn remove(current: &Configuration, selection: &Selection) -> Change {
        let removed = current.entries().filter(|entry| selection.takes(entry)).cloned().collect();
        Change { removed, ..Change::default() }
    }

    fn check(&self, current: &Configuration) -> Result<(), Refusal> {
        let staying = current.entries().filter(|entry| !self.removed.contains(entry));
        let after: Vec<&Entry> = staying.chain(&self.added).collect();
        for (place, entry) in after.iter().enumerate() {
            // What overlaps without us, S3 has taken.
            let other = after[place + 1..].iter().find(|other| self.added.contains(other) && entry.overlaps(other));
            if let Some(other) = other {
                let way = match entry.is_ours() {
                    true => "take the first away (`skyferry trigger remove`)",
                    false => "ask whoever made the first to take it away",
                };
                return Err(Refusal(format!(
                    "S3 sends an event to one place only, and these two would share some:\n  {entry}\n  {other}\n\
                     narrow a prefix or a suffix, or {way}"
                )));
            }
        }
        if after.len() > MOST && !self.added.is_empty() {
            return Err(Refusal(format!(
                "that makes {} entries, and S3 takes {MOST} a bucket: use broader prefixes; or let the bucket send all its \
                 events to EventBridge, and a rule there those of your prefixes to the queue (Skyferry reads both)",
                after.len()
            )));
        }
        Ok(())
    }
}

/// Which entries to take away. What is not said is any.
#[derive(Debug, Default)]
pub struct Selection {
    pub queue: Option<String>,
    /// Empty: any.
    pub filters: Vec<Filter>,
    /// What `add` would have made of the same words: such an entry is taken whoever made it.
    pub exactly: Vec<Entry>,
}

impl Selection {
    fn takes(&self, entry: &Entry) -> bool {
        let queue = self.queue.as_ref().is_none_or(|queue| *queue == entry.target);
        let filter = self.filters.is_empty() || self.filters.contains(&entry.filter);
        (entry.is_ours() && queue && filter) || self.exactly.iter().any(|same| same.does_the_same(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::entry::{Spelling, events};

    const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";
    const THEIRS: &str = "<NotificationConfiguration><TopicConfiguration><Id>topic</Id><Topic>arn:aws:sns:us-east-1:1:t</Topic>\
        <Event>s3:ObjectCreated:Put</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>theirs/</Value></FilterRule>\
        </S3Key></Filter></TopicConfiguration></NotificationConfiguration>";

    fn ours(prefix: &str, event: &str) -> Entry {
        Entry::ours(QUEUE, Filter::new(prefix, "").unwrap(), events(&[event.into()]).unwrap())
    }

    fn created(prefix: &str) -> Entry {
        ours(prefix, "s3:ObjectCreated:*")
    }

    fn bucket_of(entries: &[Entry]) -> Configuration {
        Configuration::read("<NotificationConfiguration/>", Spelling::Plain).unwrap().with(&[], entries).unwrap()
    }

    fn bucket(entries: &[Entry]) -> Configuration {
        Configuration::read(THEIRS, Spelling::Plain).unwrap().with(&[], entries).unwrap()
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let wanted = [created("a/"), created("b/"), created("a/")];
        let change = Change::add(&bucket(&wanted[..1]), &wanted, false).unwrap();
        assert_eq!((change.added, change.removed, change.kept), (vec![created("b/")], vec![], 2));
        let theirs = Entry { id: "by-hand".into(), ..created("a/") };
        let change = Change::add(&bucket(&[theirs]), &wanted[..1], false).unwrap();
        assert_eq!(change, Change { kept: 1, ..Change::default() }, "somebody's that does it");
    }

    #[test]
    fn fault_c12_what_a_broader_entry_sends_to_the_same_queue_already_is_nothing_to_do() {
        let all = Entry { id: "by-hand".into(), ..created("") };
        let before = bucket_of(std::slice::from_ref(&all));
        for wanted in [created("photos/"), ours("", "s3:ObjectCreated:Put")] {
            let change = Change::add(&before, &[wanted], false).unwrap();
            assert_eq!(change, Change { kept: 1, ..Change::default() });
        }
        assert!(Change::add(&before, &[ours("photos/", "s3:ObjectRemoved:*")], false).unwrap().kept == 0);
        let elsewhere = Entry { target: "arn:aws:sqs:us-east-1:1:other".into(), ..created("photos/") };
        assert!(Change::add(&before, &[elsewhere], false).is_err(), "another queue would share its events");
    }

    #[test]
    fn other_events_of_the_same_filter_take_the_entrys_place() {
        let (old, new) = (created("a/"), ours("a/", "s3:ObjectRemoved:*"));
        let change = Change::add(&bucket(std::slice::from_ref(&old)), std::slice::from_ref(&new), false).unwrap();
        assert_eq!((change.removed, change.added), (vec![old], vec![new]));
    }

    #[test]
    fn pruning_takes_away_what_is_ours_and_not_wanted() {
        let before = bucket(&[created("a/"), created("b/")]);
        let change = Change::add(&before, &[created("b/")], true).unwrap();
        assert_eq!((change.removed, change.added, change.kept), (vec![created("a/")], vec![], 1));
        let broader = Change::add(&bucket(&[created("a/b/")]), &[created("a/")], true).unwrap();
        assert_eq!(broader.removed, [created("a/b/")], "it makes room for a broader one");
    }

    #[test]
    fn overlap_is_refused_with_both_entries() {
        for wanted in [&[created("theirs/of/")][..], &[created("")], &[created("a/"), created("a/b/")]] {
            let Refusal(text) = Change::add(&bucket(&[]), wanted, false).unwrap_err();
            assert!(wanted.iter().any(|entry| text.contains(&entry.id)), "{text}");
        }
        let Refusal(text) = Change::add(&bucket(&[]), &[created("theirs/of/")], false).unwrap_err();
        assert!(text.contains("Id topic") && text.contains("arn:aws:sns"), "{text}");
        assert!(Change::add(&bucket(&[]), &[ours("theirs/", "s3:ObjectRemoved:*")], false).is_ok());
    }

    #[test]
    fn a_hundred_and_first_entry_is_refused_with_advice() {
        let prefixes = |count: usize| (0..count).map(|n| created(&format!("{n:03}/"))).collect::<Vec<_>>();
        assert!(Change::add(&bucket(&[]), &prefixes(99), false).is_ok());
        let Refusal(text) = Change::add(&bucket(&[]), &prefixes(100), false).unwrap_err();
        assert!(text.contains("101 entries") && text.contains("EventBridge") && text.contains("broader"), "{text}");
    }

    #[test]
    fn removing_takes_ours_by_what_is_said_and_others_only_if_they_are_just_that() {
        let by_hand = Entry { id: "by-hand".into(), ..created("c/") };
        let before = bucket(&[created("a/"), created("b/"), by_hand.clone()]);
        let ids = |selection: Selection| {
            Change::remove(&before, &selection).removed.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        let filters = vec![Filter::new("a/", "").unwrap()];
        assert_eq!(ids(Selection { filters, ..Selection::default() }), [created("a/").id]);
        assert_eq!(ids(Selection { queue: Some(QUEUE.into()), ..Selection::default() }).len(), 2);
        assert!(ids(Selection { queue: Some("another".into()), ..Selection::default() }).is_empty());
        let filters = vec![Filter::new("c/", "").unwrap()];
        assert_eq!(ids(Selection { exactly: vec![created("c/")], filters, queue: None }), ["by-hand"]);
    }
}
