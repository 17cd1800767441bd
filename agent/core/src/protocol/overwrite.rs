//! What the operator lets a copy replace. A copy's own wrong bytes, and the state that it is of, are never in its way.

use crate::model::Overwrite;

use super::*;

/// Whether what is at the destination may be replaced.
pub(super) enum Replacement {
    Allowed,
    /// It has to be seen first: the ledger's word is not enough.
    Unclear,
    Refused,
}

impl Protocol {
    pub(super) fn replacement(&self, source: &ObservedSource) -> Replacement {
        match &self.destination {
            _ if self.facts.overwrite == Overwrite::Always => Replacement::Allowed,
            DestinationState::Seen(Some(there)) if self.keeps(there, source) => Replacement::Refused,
            DestinationState::Seen(_) => Replacement::Allowed,
            // A large object is not sent in order to learn that something is there.
            DestinationState::Assumed(Expected::Absent) if !source.large && self.facts.conditional_put => {
                Replacement::Allowed
            }
            DestinationState::Assumed(_) | DestinationState::Nothing => Replacement::Unclear,
        }
    }

    fn keeps(&self, there: &ObservedDestination, source: &ObservedSource) -> bool {
        let older = match &there.ours {
            Some(mark) if mark.integrity == Integrity::Corrupt || mark.identity == source.identity => return false,
            // A copy is as old as what it is of, and times have whole seconds.
            Some(mark) => mark.identity.last_modified <= source.identity.last_modified,
            None => there.last_modified < source.identity.last_modified,
        };
        self.facts.overwrite == Overwrite::Never || !older
    }
}
