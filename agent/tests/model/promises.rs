//! What may never be, at rest or on the way.

use skyferry_core::model::Overwrite;

use crate::bounds::{Bounds, Version};
use crate::ledger::Record;
use crate::names::*;
use crate::world::{Object, Phase, Place, World};

impl World {
    /// What is wrong at the end of everything.
    pub fn fault_at_rest(&self, bounds: &Bounds) -> Option<String> {
        let second = || self.fault_at(&self.elsewhere.destination, self.elsewhere.record.as_ref(), bounds);
        let fault = self.fault_at(&self.destination, self.record.as_ref(), bounds);
        fault.or_else(|| if bounds.destinations > 1 { second() } else { None }).or_else(|| {
            let left = self.uploads.iter().find(|upload| upload.phase == Phase::Open && upload.parts > 0)?;
            Some(format!("an upload with parts is left over: {left:?}"))
        })
    }

    fn fault_at(&self, destination: &Option<Object>, record: Option<&Record>, bounds: &Bounds) -> Option<String> {
        let version = bounds.kind(self.source);
        let holds = destination.as_ref().map(|object| object.content);
        let parked = record.is_some_and(|record| record.parked);
        let newest = bounds.headers_of(self.source);
        let right = match version {
            _ if holds == Some(GARBLED) => false,
            // Whatever it held before; this was reported.
            _ if parked && (bounds.attempts > 0 || bounds.faults.garbles > 1) => true,
            _ if bounds.others => bounds.foreign.is_none() || holds == Some(FOREIGN),
            Version::Small | Version::Large | Version::Headers if bounds.overwrite == Overwrite::Never => {
                holds.is_some()
            }
            Version::Absent if bounds.deletes => holds.is_none_or(|content| content == FOREIGN),
            Version::Absent => true,
            _ if !bounds.requested && self.faults.intrusions < bounds.faults.intrusions && holds == Some(FOREIGN) => {
                true
            }
            _ if bounds.overwrite == Overwrite::IfOlder && holds == Some(FOREIGN) => {
                identity(self.source).last_modified <= FOREIGN_TIME
            }
            _ => destination.as_ref().is_some_and(|object| {
                object.content == bounds.bytes_of(self.source) && (object.headers == newest || parked)
            }),
        };
        (!right).then(|| format!("source at version {} ({version:?}), destination holds {destination:?}", self.source))
    }

    /// What may never be, at rest or not.
    pub fn fault(&self) -> Option<String> {
        if self.early {
            return Some("an object was parked before it had all its attempts".to_string());
        }
        if self.dead {
            return Some("kills alone sent a message to the dead letters".to_string());
        }
        if let Some(rule) = self.broken {
            return Some(rule.to_string());
        }
        let Place { destination, record } = &self.elsewhere;
        let wrong = World::wrong_object(&self.destination, self.record.as_ref());
        wrong.or_else(|| World::wrong_object(destination, record.as_ref()))
    }

    fn wrong_object(destination: &Option<Object>, record: Option<&Record>) -> Option<String> {
        let object = destination.as_ref()?;
        let recorded = record.and_then(|record| record.published);
        match object.content {
            content if recorded.is_some_and(|(version, at)| at == object.generation && version != content) => {
                Some(format!("the ledger has {recorded:?}, and what stands there is {object:?}"))
            }
            MIXED => Some("a mixture of two versions was published".to_string()),
            GARBLED => None,
            content if object.identity != content && object.identity != FOREIGN => {
                Some(format!("an object names version {} and holds {content}", object.identity))
            }
            _ => None,
        }
    }
}
