//! Versions that were asked for by name (`versions = "exact"`): an older one never replaces a newer, and one that comes after
//! its delete marker is nothing.

use std::cmp::Ordering;

use super::*;

/// What a version is to its key.
pub(super) enum VersionOrder {
    /// The destination holds a newer one.
    Older,
    /// Only the newest state can tell.
    Unclear,
    Newer,
}

impl Protocol {
    pub(super) fn version_order(&self, source: &ObservedSource) -> VersionOrder {
        match self.age_of(source) {
            _ if !source.by_version => VersionOrder::Newer,
            Some(Ordering::Less) => VersionOrder::Older,
            // Services tell times in whole seconds.
            Some(Ordering::Equal) => VersionOrder::Unclear,
            // The key may have ended since.
            _ if self.facts.deletes && !self.is_recorded(source) => VersionOrder::Unclear,
            _ => VersionOrder::Newer,
        }
    }

    /// The ledger has this very state as the last that was published, and it is there: an event that comes again costs no
    /// further look. (What only its metadata proves may have been published behind the back of a job that found the key ended.)
    fn is_recorded(&self, source: &ObservedSource) -> bool {
        let there = self.current_revision(source).map(|revision| (source.identity.clone(), revision));
        there.is_some() && there == self.published
    }

    /// Of versions within one second only the newest continues: the others have been or will be replaced. With deletions carried
    /// over, a key that has ended holds nothing, whichever version of it an event names.
    pub(super) fn decide_by_newest(&mut self, newest: Option<SourceIdentity>, opened: bool) -> Effect {
        let Some(source) = self.source.clone() else { return self.release(false) };
        if newest.is_none() && self.facts.deletes {
            self.source = None;
            return self.source_is_gone();
        }
        let is_newest = newest.is_some_and(|newest| newest == source.identity);
        match self.age_of(&source) {
            Some(Ordering::Equal) if !is_newest => self.keep_destination(SettledOutcome::Unchanged),
            _ => self.copy_source(source, opened),
        }
    }

    /// Compared with another version that the destination is known to hold.
    fn age_of(&self, source: &ObservedSource) -> Option<Ordering> {
        let there = match &self.destination {
            DestinationState::Seen(Some(ObservedDestination { ours: Some(mark), .. })) => &mark.identity,
            _ => self.published.as_ref().map(|(identity, _)| identity)?,
        };
        (*there != source.identity).then(|| source.identity.last_modified.cmp(&there.last_modified))
    }

    /// What is not known to be right is the job's who wrote it, and is not recorded as if it were.
    pub(super) fn keep_destination(&mut self, outcome: SettledOutcome) -> Effect {
        let there = match &self.destination {
            DestinationState::Seen(Some(ObservedDestination { revision, ours: Some(mark), .. })) => {
                (mark.integrity == Integrity::Verified).then(|| (mark.identity.clone(), revision.clone()))
            }
            _ => self.published.clone(),
        };
        self.settled(outcome, there)
    }
}
