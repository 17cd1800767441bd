//! What goes wrong between an agent and a service, and when: windows of trouble for a side or some of its verbs, and a
//! rate of single faults for everything.

use std::time::Duration;

use skyferry_core::error::{ErrorKind, Side};

use crate::clock::Time;
use crate::rng::Rng;

macro_rules! operations {
    ($($name:ident $side:ident $write:literal,)*) => {
        /// A request of an agent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Op { $($name),* }
        impl Op {
            pub fn side(self) -> Side {
                match self { $(Op::$name => Side::$side),* }
            }
            /// It changes something, so that a lost answer leaves a doubt.
            pub fn writes(self) -> bool {
                match self { $(Op::$name => $write),* }
            }
            pub fn name(self) -> &'static str {
                match self { $(Op::$name => stringify!($name)),* }
            }
        }
    };
}

operations! {
    Receive Queue true, Extend Queue true, Release Queue true, Renew Queue true, Park Queue true, Delete Queue true,
    Send Queue true, Depth Queue false,
    Begin Ledger true, Checkpoint Ledger true, Finish Ledger true, Lookup Ledger false, OpenUploads Ledger false,
    Note Ledger false, SetNote Ledger true,
    HeadSource Source false, GetSource Source false,
    HeadObject Destination false, GetObject Destination false, Put Destination true, Initiate Destination true,
    UploadPart Destination true, ListParts Destination false, Complete Destination true, Abort Destination true,
    ListUploads Destination false, DeleteObject Destination true,
}

/// A time during which some requests fail, or are slow.
#[derive(Clone, Debug)]
pub struct Window {
    pub from: Time,
    pub to: Time,
    pub side: Side,
    /// Only requests that write (`true`) or only those that read.
    pub writes: Option<bool>,
    /// `None`: they are slow.
    pub kind: Option<ErrorKind>,
}

/// How often single requests fail, per thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub refused: u32,
    pub lost: u32,
    pub slow: u32,
    /// A body that breaks off; a body that is read slowly.
    pub broken: u32,
    pub trickle: u32,
    /// The destination stores other bytes than were sent.
    pub garbled: u32,
    /// S3 answers 409 to a conditional write that nobody disputes.
    pub conflict: u32,
    /// An aborted upload is still listed for a while.
    pub lingering: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub windows: Vec<Window>,
    pub rates: Rates,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// Without effect.
    Refused(ErrorKind, Option<Duration>),
    /// Its effect comes, its answer does not.
    LostAfter,
    /// Its effect comes so much later.
    LostLate(Duration),
    LostBefore,
}

pub struct Course {
    pub before: Duration,
    pub after: Duration,
    pub fate: Fate,
}

/// What may still land of a request that its sender has given up: less than a sixth of the shortest hold.
pub const LATE: u64 = 6_000;

impl Faults {
    pub fn course(&self, op: Op, now: Time, dice: &mut Rng) -> Course {
        let (mut before, mut after) = (dice.millis(2, 60), dice.millis(0, 30));
        let mut fate = Fate::Fine;
        let hit = |window: &&Window| {
            let touched = window.side == op.side() && window.writes.is_none_or(|writes| writes == op.writes());
            touched && (window.from..window.to).contains(&now)
        };
        match self.windows.iter().find(hit) {
            Some(Window { kind: None, .. }) => before = dice.millis(500, 20_000),
            Some(Window { kind: Some(kind), .. }) => {
                if *kind == ErrorKind::Stalled {
                    after = Duration::from_secs(30);
                }
                let wait = (*kind == ErrorKind::Throttled && dice.chance(300)).then(|| dice.millis(1_000, 20_000));
                fate = Fate::Refused(*kind, wait);
            }
            None => {}
        }
        if fate == Fate::Fine && dice.chance(self.rates.refused) {
            let kinds = [
                ErrorKind::Unavailable,
                ErrorKind::Throttled,
                ErrorKind::InvalidAnswer,
                ErrorKind::Unavailable,
                ErrorKind::Stalled,
            ];
            fate = Fate::Refused(kinds[dice.below(kinds.len())], None);
        }
        if fate == Fate::Fine && op.writes() && dice.chance(self.rates.lost) {
            fate = match dice.below(3) {
                0 => Fate::LostAfter,
                1 => Fate::LostLate(dice.millis(1, LATE)),
                _ => Fate::LostBefore,
            };
            after += dice.millis(0, 10_000);
        }
        if dice.chance(self.rates.slow) {
            before += dice.millis(100, 15_000);
        }
        Course { before, after, fate }
    }
}
