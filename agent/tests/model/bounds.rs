//! What may happen in one search, and what the sink can do.

use skyferry_core::model::Overwrite;

use crate::names::{Name, Newest};
use crate::world::World;

/// What the source holds at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    Absent,
    Small,
    Large,
    /// The bytes of the one before, put again within its second with other headers: its identity is the same.
    Headers,
}

/// One run's bounds and the sink's abilities.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub name: &'static str,
    /// The source's states in their order; each change sends one event.
    pub versions: &'static [Version],
    pub conditional_put: bool,
    pub conditional_finish: bool,
    pub deletes: bool,
    pub large_hint: bool,
    /// What a copy may replace; what is not Skyferry's was modified at the time 0.
    pub overwrite: Overwrite,
    /// Events name their version, and that is what is read.
    pub exact: bool,
    /// Every message is a job of somebody who compared both sides, and an intrusion is followed by one.
    pub requested: bool,
    /// To how many destinations the source goes, each with its own events.
    pub destinations: u8,
    /// The destination holds somebody else's object from the start; `true`: equal to the first version.
    pub foreign: Option<bool>,
    /// Somebody else's objects are copies of another source object.
    pub others: bool,
    /// The destination shows checksums.
    pub shows: bool,
    pub duplicates: u8,
    /// So many events wait at most, never delivered: the source does not change faster.
    pub waiting: u8,
    /// So many failures by the object's own fault park it; 0: none is counted.
    pub attempts: u8,
    /// The queue gives a message up after so many receives; 0: never.
    pub max_receives: u8,
    /// A writer in doubt is waited for; `false`: closed by whoever comes next.
    pub hold: bool,
    pub faults: Faults,
}

/// How often something may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    pub crashes: u8,
    /// Lost answers, late requests and refusals.
    pub losses: u8,
    pub lease_losses: u8,
    /// A settled record is removed.
    pub reaps: u8,
    /// The destination stores other bytes than were sent.
    pub garbles: u8,
    /// Somebody else writes to the destination.
    pub intrusions: u8,
    /// An upload is still shown after its abort was taken.
    pub lingers: u8,
    /// Failures by the object's own fault.
    pub refusals: u8,
}

impl Bounds {
    /// The version that has the bytes of this one.
    pub fn bytes_of(&self, version: Name) -> Name {
        let mut version = version;
        while self.versions[version as usize] == Version::Headers {
            version -= 1;
        }
        version
    }

    pub fn kind(&self, version: Name) -> Version {
        self.versions[self.bytes_of(version) as usize]
    }

    /// A digest of a version's headers, where they ever change.
    pub fn headers_of(&self, version: Name) -> Option<u32> {
        self.versions.contains(&Version::Headers).then_some(version as u32)
    }

    /// The version that alone matters, where one does.
    pub fn newest(&self, world: &World) -> Newest {
        let ordered = self.exact || self.overwrite != Overwrite::Always || self.headers_of(0).is_some();
        (!ordered).then_some(world.source)
    }
}
