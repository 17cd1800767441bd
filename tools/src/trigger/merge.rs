//! What is to change in a configuration for what somebody wants, or why it cannot be. No I/O.

use super::configuration::Configuration;
use super::entry::{KeyFilter, TriggerEntry};

/// S3 takes so many entries a bucket.
const MOST: usize = 100;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct EntryChange {
    pub removed: Vec<TriggerEntry>,
    pub added: Vec<TriggerEntry>,
    /// Wanted, and there already.
    pub kept: usize,
}

/// What S3 would refuse, in words of more use.
#[derive(Debug, PartialEq, Eq)]
pub struct MergeError(pub String);

impl std::error::Error for MergeError {}

impl std::fmt::Display for MergeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl EntryChange {
    /// All that is wanted is there afterwards; with `prune` nothing else of ours.
    pub fn add(current: &Configuration, wanted: &[TriggerEntry], prune: bool) -> Result<EntryChange, MergeError> {
        let mut change = EntryChange::default();
        for entry in wanted {
            // A broader one that pruning would take away is of no use.
            let suffices = |there: &TriggerEntry| {
                there.is_equivalent(entry)
                    || (there.covers(entry) && there.id != entry.id && !(prune && there.is_ours()))
            };
            if current.entries().any(suffices) {
                change.kept += 1;
            } else if !change.added.contains(entry) {
                change.added.push(entry.clone());
            }
        }
        let renewed = |there: &TriggerEntry| change.added.iter().any(|entry| entry.id == there.id);
        let wanted = |there: &TriggerEntry| wanted.iter().any(|entry| entry.is_equivalent(there));
        let gone = |there: &&TriggerEntry| renewed(there) || (prune && there.is_ours() && !wanted(there));
        change.removed = current.entries().filter(gone).cloned().collect();
        change.check(current)?;
        Ok(change)
    }

    /// What the selection takes is gone afterwards.
    pub fn remove(current: &Configuration, selection: &EntrySelection) -> EntryChange {
        let removed = current.entries().filter(|entry| selection.matches(entry)).cloned().collect();
        EntryChange { removed, ..EntryChange::default() }
    }

    fn check(&self, current: &Configuration) -> Result<(), MergeError> {
        let staying = current.entries().filter(|entry| !self.removed.contains(entry));
        let after: Vec<&TriggerEntry> = staying.chain(&self.added).collect();
        for (place, entry) in after.iter().enumerate() {
            // What overlaps without us, S3 has taken.
            let other = after[place + 1..].iter().find(|other| self.added.contains(other) && entry.overlaps(other));
            if let Some(other) = other {
                let way = match entry.is_ours() {
                    true => "remove the first (`skyferry trigger remove`)",
                    false => "ask the owner of the first to remove it",
                };
                return Err(MergeError(format!(
                    "S3 sends an event to one target only, and these two overlap:\n  {entry}\n  {other}\n\
                     narrow a prefix or a suffix, or {way}"
                )));
            }
        }
        if after.len() > MOST && !self.added.is_empty() {
            return Err(MergeError(format!(
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
pub struct EntrySelection {
    pub queue: Option<String>,
    /// Empty: any.
    pub filters: Vec<KeyFilter>,
    /// What `add` would have made of the same words: such an entry is taken whoever made it.
    pub exactly: Vec<TriggerEntry>,
}

impl EntrySelection {
    fn matches(&self, entry: &TriggerEntry) -> bool {
        let queue = self.queue.as_ref().is_none_or(|queue| *queue == entry.target);
        let filter = self.filters.is_empty() || self.filters.contains(&entry.filter);
        (entry.is_ours() && queue && filter) || self.exactly.iter().any(|same| same.is_equivalent(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::entry::{FilterEncoding, events};

    const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";
    const THEIRS: &str = "<NotificationConfiguration><TopicConfiguration><Id>topic</Id><Topic>arn:aws:sns:us-east-1:1:t</Topic>\
        <Event>s3:ObjectCreated:Put</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>theirs/</Value></FilterRule>\
        </S3Key></Filter></TopicConfiguration></NotificationConfiguration>";

    fn ours(prefix: &str, event: &str) -> TriggerEntry {
        TriggerEntry::ours(QUEUE, KeyFilter::new(prefix, "").unwrap(), events(&[event.into()]).unwrap())
    }

    fn created(prefix: &str) -> TriggerEntry {
        ours(prefix, "s3:ObjectCreated:*")
    }

    fn bucket_of(entries: &[TriggerEntry]) -> Configuration {
        Configuration::read("<NotificationConfiguration/>", FilterEncoding::Plain).unwrap().with(&[], entries).unwrap()
    }

    fn bucket(entries: &[TriggerEntry]) -> Configuration {
        Configuration::read(THEIRS, FilterEncoding::Plain).unwrap().with(&[], entries).unwrap()
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let wanted = [created("a/"), created("b/"), created("a/")];
        let change = EntryChange::add(&bucket(&wanted[..1]), &wanted, false).unwrap();
        assert_eq!((change.added, change.removed, change.kept), (vec![created("b/")], vec![], 2));
        let theirs = TriggerEntry { id: "by-hand".into(), ..created("a/") };
        let change = EntryChange::add(&bucket(&[theirs]), &wanted[..1], false).unwrap();
        assert_eq!(change, EntryChange { kept: 1, ..EntryChange::default() }, "somebody's that does it");
    }

    #[test]
    fn fault_c12_what_a_broader_entry_sends_to_the_same_queue_already_is_nothing_to_do() {
        let all = TriggerEntry { id: "by-hand".into(), ..created("") };
        let before = bucket_of(std::slice::from_ref(&all));
        for wanted in [created("photos/"), ours("", "s3:ObjectCreated:Put")] {
            let change = EntryChange::add(&before, &[wanted], false).unwrap();
            assert_eq!(change, EntryChange { kept: 1, ..EntryChange::default() });
        }
        assert!(EntryChange::add(&before, &[ours("photos/", "s3:ObjectRemoved:*")], false).unwrap().kept == 0);
        let elsewhere = TriggerEntry { target: "arn:aws:sqs:us-east-1:1:other".into(), ..created("photos/") };
        assert!(EntryChange::add(&before, &[elsewhere], false).is_err(), "another queue would share its events");
    }

    #[test]
    fn other_events_of_the_same_filter_take_the_entrys_place() {
        let (old, new) = (created("a/"), ours("a/", "s3:ObjectRemoved:*"));
        let change = EntryChange::add(&bucket(std::slice::from_ref(&old)), std::slice::from_ref(&new), false).unwrap();
        assert_eq!((change.removed, change.added), (vec![old], vec![new]));
    }

    #[test]
    fn pruning_takes_away_what_is_ours_and_not_wanted() {
        let before = bucket(&[created("a/"), created("b/")]);
        let change = EntryChange::add(&before, &[created("b/")], true).unwrap();
        assert_eq!((change.removed, change.added, change.kept), (vec![created("a/")], vec![], 1));
        let broader = EntryChange::add(&bucket(&[created("a/b/")]), &[created("a/")], true).unwrap();
        assert_eq!(broader.removed, [created("a/b/")], "it makes room for a broader one");
    }

    #[test]
    fn overlap_is_refused_with_both_entries() {
        for wanted in [&[created("theirs/of/")][..], &[created("")], &[created("a/"), created("a/b/")]] {
            let MergeError(text) = EntryChange::add(&bucket(&[]), wanted, false).unwrap_err();
            assert!(wanted.iter().any(|entry| text.contains(&entry.id)), "{text}");
        }
        let MergeError(text) = EntryChange::add(&bucket(&[]), &[created("theirs/of/")], false).unwrap_err();
        assert!(text.contains("Id topic") && text.contains("arn:aws:sns"), "{text}");
        assert!(EntryChange::add(&bucket(&[]), &[ours("theirs/", "s3:ObjectRemoved:*")], false).is_ok());
    }

    #[test]
    fn a_hundred_and_first_entry_is_refused_with_advice() {
        let prefixes = |count: usize| (0..count).map(|n| created(&format!("{n:03}/"))).collect::<Vec<_>>();
        assert!(EntryChange::add(&bucket(&[]), &prefixes(99), false).is_ok());
        let MergeError(text) = EntryChange::add(&bucket(&[]), &prefixes(100), false).unwrap_err();
        assert!(text.contains("101 entries") && text.contains("EventBridge") && text.contains("broader"), "{text}");
    }

    #[test]
    fn removing_takes_ours_by_what_is_said_and_others_only_if_they_are_just_that() {
        let by_hand = TriggerEntry { id: "by-hand".into(), ..created("c/") };
        let before = bucket(&[created("a/"), created("b/"), by_hand.clone()]);
        let ids = |selection: EntrySelection| {
            EntryChange::remove(&before, &selection).removed.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        let filters = vec![KeyFilter::new("a/", "").unwrap()];
        assert_eq!(ids(EntrySelection { filters, ..EntrySelection::default() }), [created("a/").id]);
        assert_eq!(ids(EntrySelection { queue: Some(QUEUE.into()), ..EntrySelection::default() }).len(), 2);
        assert!(ids(EntrySelection { queue: Some("another".into()), ..EntrySelection::default() }).is_empty());
        let filters = vec![KeyFilter::new("c/", "").unwrap()];
        assert_eq!(ids(EntrySelection { exactly: vec![created("c/")], filters, queue: None }), ["by-hand"]);
    }
}
