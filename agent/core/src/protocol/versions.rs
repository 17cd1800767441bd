//! Versions that were asked for by name (`versions = "exact"`): an older one never replaces a newer, and one that comes after
//! its delete marker is nothing.

use std::cmp::Ordering;

use super::*;

/// What a version is to its key.
pub(super) enum VersionIs {
    /// The destination holds a newer one.
    Older,
    /// Only the newest state can tell.
    Unclear,
    Due,
}

impl Protocol {
    pub(super) fn standing_of(&self, source: &SourceSeen) -> VersionIs {
        match self.age_of(source) {
            _ if !source.by_version => VersionIs::Due,
            Some(Ordering::Less) => VersionIs::Older,
            // Services tell times in whole seconds.
            Some(Ordering::Equal) => VersionIs::Unclear,
            // The key may have ended since.
            _ if self.facts.deletes && !self.is_recorded(source) => VersionIs::Unclear,
            _ => VersionIs::Due,
        }
    }

    /// The ledger has this very state as the last that was published, and it is there: an event that comes again costs no
    /// further look. (What only its metadata proves may have been published behind the back of a job that found the key ended.)
    fn is_recorded(&self, source: &SourceSeen) -> bool {
        let there = self.current_revision(source).map(|revision| (source.identity.clone(), revision));
        there.is_some() && there == self.published
    }

    /// Of versions within one second only the newest goes on: the others have been or will be replaced. With deletions carried
    /// over, a key that has ended holds nothing, whichever version of it an event names.
    pub(super) fn decide_by_newest(&mut self, newest: Option<SourceIdentity>, opened: bool) -> Effect {
        let Some(source) = self.source.clone() else { return self.release(false) };
        if newest.is_none() && self.facts.deletes {
            self.source = None;
            return self.source_is_gone();
        }
        let is_newest = newest.is_some_and(|newest| newest == source.identity);
        match self.age_of(&source) {
            Some(Ordering::Equal) if !is_newest => self.leave_what_is_there(),
            _ => self.bring(source, opened),
        }
    }

    /// Compared with another version that the destination is known to hold.
    fn age_of(&self, source: &SourceSeen) -> Option<Ordering> {
        let there = match &self.destination {
            Known::Seen(Some(DestinationSeen { ours: Some(mark), .. })) => &mark.identity,
            _ => self.published.as_ref().map(|(identity, _)| identity)?,
        };
        (*there != source.identity).then(|| source.identity.last_modified.cmp(&there.last_modified))
    }

    /// What is not known to be right is the job's who wrote it, and is not recorded as if it were.
    pub(super) fn leave_what_is_there(&mut self) -> Effect {
        let there = match &self.destination {
            Known::Seen(Some(DestinationSeen { revision, ours: Some(mark), .. })) => {
                (mark.proof == Proof::Right).then(|| (mark.identity.clone(), revision.clone()))
            }
            _ => self.published.clone(),
        };
        self.settled(Settled::Unchanged, there)
    }
}
