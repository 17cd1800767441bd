//! The bounds that are searched.

use skyferry_core::model::Overwrite;

use crate::bounds::{Bounds, Faults, Version::*};

const NONE: Faults =
    Faults { crashes: 0, losses: 0, lease_losses: 0, reaps: 0, garbles: 0, intrusions: 0, lingers: 0, refusals: 0 };
const CRASH: Faults = Faults { crashes: 1, ..NONE };
const LOSS: Faults = Faults { losses: 1, ..NONE };
const BOTH: Faults = Faults { crashes: 1, losses: 1, ..NONE };

const GCS: Bounds = Bounds {
    name: "",
    versions: &[],
    conditional_put: true,
    conditional_finish: false,
    deletes: false,
    large_hint: false,
    overwrite: Overwrite::Always,
    exact: false,
    requested: false,
    destinations: 1,
    foreign: None,
    others: false,
    shows: true,
    duplicates: 0,
    waiting: 1,
    attempts: 0,
    max_receives: 0,
    hold: true,
    faults: BOTH,
};
const S3: Bounds = Bounds { conditional_finish: true, ..GCS };
/// No preconditions at all (OSS, generic): only what goes as multipart is promised.
const PLAIN: Bounds = Bounds { conditional_put: false, ..GCS };
const SMALL_DELETES: Bounds =
    Bounds { name: "gcs, small, deletes", versions: &[Small, Absent, Small], deletes: true, ..GCS };

/// The events of three changes wait at once.
const EXACT: Bounds = Bounds { exact: true, waiting: 3, ..GCS };
const TWO: Bounds = Bounds { destinations: 2, ..GCS };
const NEVER: Bounds = Bounds { overwrite: Overwrite::Never, ..GCS };
const IF_OLDER: Bounds = Bounds { overwrite: Overwrite::IfOlder, ..GCS };

/// The space that is searched: what changes, and how often something goes wrong. It is 40 million states in 51 bounds.
/// Beside crashes, lost and late answers: failures that are counted and parked, messages that only kills end, uploads that
/// are still shown after their abort, wrong bytes whose removal fails, headers that change without the bytes within the
/// second that names a state, versions by name in any order and after their delete marker, and two destinations of a
/// key. The fuse on deletions has a search of its own (`fuse.rs`).
pub const SPACE: &[Bounds] = &[
    Bounds { name: "gcs, small", versions: &[Small, Small, Small, Small], ..GCS },
    SMALL_DELETES,
    Bounds { name: "gcs, two losses", versions: &[Small, Absent, Small], deletes: true, faults: TWO_LOSSES, ..GCS },
    Bounds { name: "gcs, lease lost", versions: &[Small, Absent], deletes: true, duplicates: 1, faults: LEASE, ..GCS },
    Bounds { name: "gcs, large, crash", versions: &[Large, Large, Large, Large], faults: CRASH, ..GCS },
    Bounds { name: "gcs, large, loss", versions: &[Large, Large, Large], faults: LOSS, ..GCS },
    Bounds { name: "gcs, large, both", versions: &[Large, Large], ..GCS },
    Bounds { name: "gcs, large, two crashes", versions: &[Large, Large], faults: Faults { crashes: 2, ..NONE }, ..GCS },
    Bounds { name: "gcs, large, lease lost", versions: &[Large, Large], faults: LEASE, ..GCS },
    Bounds { name: "gcs, large and small", versions: &[Large, Small, Large], faults: LOSS, ..GCS },
    Bounds { name: "gcs, large, deletes", versions: &[Large, Absent], deletes: true, ..GCS },
    Bounds { name: "gcs, reaping", versions: &[Large, Small], duplicates: 1, faults: REAP, ..GCS },
    Bounds { name: "gcs, wrong bytes", versions: &[Small, Large], faults: GARBLE, ..GCS },
    Bounds {
        name: "gcs, somebody else's object",
        versions: &[Small, Absent],
        foreign: Some(false),
        deletes: true,
        ..GCS
    },
    Bounds {
        name: "gcs, a predecessor's copy",
        versions: &[Large, Small],
        foreign: Some(true),
        large_hint: true,
        ..GCS
    },
    Bounds {
        name: "another's copy",
        versions: &[Small, Absent],
        foreign: Some(false),
        others: true,
        deletes: true,
        ..GCS
    },
    Bounds { name: "another's copy, large", versions: &[Large, Small], foreign: Some(false), others: true, ..GCS },
    Bounds { name: "another's copy, plain", versions: &[Small, Large], foreign: Some(false), others: true, ..PLAIN },
    Bounds { name: "no checksums", versions: &[Small, Large], shows: false, faults: TWO_LOSSES, ..GCS },
    Bounds { name: "gcs, an intruder", versions: &[Small, Absent], deletes: true, faults: INTRUDER, ..GCS },
    Bounds { name: "gcs, requested", versions: &[Small, Small], requested: true, faults: INTRUDER, ..GCS },
    Bounds { name: "gcs, requested, large", versions: &[Large, Large], requested: true, faults: REQUESTED, ..GCS },
    Bounds { name: "plain, small", versions: &[Small, Small, Small], ..PLAIN },
    Bounds { name: "s3, large", versions: &[Large, Large, Large], faults: LOSS, ..S3 },
    Bounds { name: "s3, large, deletes", versions: &[Large, Absent], deletes: true, ..S3 },
    Bounds { name: "gcs, wrong twice", versions: &[Small, Absent], faults: TWICE_WRONG, ..GCS },
    Bounds { name: "s3, wrong twice, large", versions: &[Large], faults: TWICE_WRONG, ..S3 },
    Bounds { name: "gcs, wrong and refused", versions: &[Small, Small], attempts: 2, faults: WRONG_REFUSED, ..GCS },
    Bounds { name: "gcs, lingering uploads", versions: &[Large, Large], faults: LINGER, ..GCS },
    Bounds { name: "gcs, refused", versions: &[Small, Small], attempts: 2, faults: REFUSED, ..GCS },
    Bounds { name: "gcs, refused, large", versions: &[Large, Large], attempts: 2, faults: REFUSED_LARGE, ..GCS },
    Bounds { name: "gcs, killed", versions: &[Small, Small], max_receives: 2, faults: KILLED, ..GCS },
    Bounds { name: "plain, large", versions: &[Large, Large], duplicates: 1, faults: LOSS, ..PLAIN },
    Bounds { name: "gcs, a slow Complete", versions: &[Large], faults: LOSS, ..GCS },
    Bounds { name: "headers, small", versions: &[Small, Headers, Headers], ..GCS },
    Bounds { name: "headers, deletes", versions: &[Small, Headers, Absent], deletes: true, faults: LOSS, ..GCS },
    Bounds { name: "headers, large", versions: &[Large, Headers], ..GCS },
    Bounds { name: "headers, s3, large", versions: &[Large, Headers], faults: LOSS, ..S3 },
    Bounds { name: "exact, small", versions: &[Small, Small, Small], faults: LOSS, ..EXACT },
    Bounds { name: "exact, deletes", versions: &[Small, Absent, Small], deletes: true, faults: CRASH, ..EXACT },
    Bounds { name: "exact, deletes, loss", versions: &[Small, Absent], deletes: true, faults: LOSS, ..EXACT },
    Bounds { name: "exact, large", versions: &[Large, Large], faults: CRASH, ..EXACT },
    Bounds { name: "exact, wrong bytes", versions: &[Small, Small], faults: GARBLE, ..EXACT },
    Bounds { name: "never, small", versions: &[Small, Small, Small], faults: LOSS, ..NEVER },
    Bounds { name: "never, large", versions: &[Large, Large], faults: CRASH, ..NEVER },
    Bounds { name: "never, somebody else's object", versions: &[Small, Large], foreign: Some(false), ..NEVER },
    Bounds { name: "never, an intruder", versions: &[Small, Small], faults: INTRUDER, ..NEVER },
    Bounds { name: "if older", versions: &[Small, Small, Large], foreign: Some(false), faults: LOSS, ..IF_OLDER },
    Bounds { name: "two destinations, small", versions: &[Small, Small], faults: LOSS, ..TWO },
    Bounds { name: "two destinations, large", versions: &[Large], faults: CRASH, ..TWO },
];
const TWICE_WRONG: Faults = Faults { garbles: 2, ..LOSS };
const WRONG_REFUSED: Faults = Faults { garbles: 1, refusals: 2, ..NONE };
const LINGER: Faults = Faults { lingers: 1, ..LOSS };
const REFUSED: Faults = Faults { refusals: 3, ..NONE };
const REFUSED_LARGE: Faults = Faults { refusals: 2, ..CRASH };
const KILLED: Faults = Faults { crashes: 3, ..NONE };
const TWO_LOSSES: Faults = Faults { losses: 2, ..NONE };
const LEASE: Faults = Faults { lease_losses: 1, ..LOSS };
const REAP: Faults = Faults { reaps: 1, ..LOSS };
const REQUESTED: Faults = Faults { intrusions: 1, ..CRASH };
const INTRUDER: Faults = Faults { intrusions: 1, ..LOSS };
const GARBLE: Faults = Faults { garbles: 1, ..CRASH };

/// The order of the looks and the preconditions on one side and the hold on the other cover for each other: as long as no
/// message goes while a write may still land, whatever that write does is put right by the message. Without the hold
/// (and without deletes: where nothing is to be written, nothing can be compared) they hold alone, and then each of them
/// counts. They are what is left when a process sleeps longer than the hold.
pub const WITHOUT_THE_HOLD: &[Bounds] =
    &[Bounds { name: "no hold, small", versions: &[Small, Small, Small], hold: false, ..GCS }];
