//! The model checker of the write protocol: every interleaving of two workers within bounds, with crashes before and
//! after each effect, late and lost answers, duplicated and reordered messages; and mutants that it has to catch.

mod actions;
mod effects;
mod explore;
mod ledger;
mod mutants;
mod names;
mod world;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use explore::{Report, explore, tell_story};
use mutants::Mutant;
use world::{Bounds, Faults, Version::*};

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

/// The space that is searched: what changes, and how often something goes wrong. It is 35 million states in 32 bounds.
/// Beside crashes, lost and late answers: failures that are counted and parked, messages that only kills end, uploads that
/// are still shown after their abort, and wrong bytes whose removal fails. Not searched: versions by name, several
/// destinations of one key, the fuse.
const SPACE: &[Bounds] = &[
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
const INTRUDER: Faults = Faults { intrusions: 1, ..LOSS };
const GARBLE: Faults = Faults { garbles: 1, ..CRASH };

fn run(bounds: &Bounds, mutant: Mutant) -> Report {
    let start = Instant::now();
    let report = explore(bounds, mutant);
    let (states, seconds) = (report.states, start.elapsed().as_secs_f32());
    eprintln!("{:32} {mutant:24?} {states:>9} states {:>6} at rest {seconds:5.1} s", bounds.name, report.quiet);
    report
}

/// All of the space, or by `SKYFERRY_MODEL` what bears that name, or with `wide` more of it (many minutes).
fn chosen() -> Vec<Bounds> {
    let space = SPACE.iter().chain(WITHOUT_THE_HOLD).cloned();
    match std::env::var("SKYFERRY_MODEL").as_deref() {
        Err(_) => space.collect(),
        Ok("wide") => space.map(wider).collect(),
        Ok(name) => space.filter(|bounds| bounds.name == name).collect(),
    }
}

fn wider(bounds: Bounds) -> Bounds {
    let (crashes, losses) = (bounds.faults.crashes.max(1), bounds.faults.losses.max(1));
    Bounds { waiting: bounds.waiting + 1, faults: Faults { crashes, losses, ..bounds.faults }, ..bounds }
}

fn holds(bounds: &Bounds) {
    let report = run(bounds, Mutant::None);
    if let Some((fault, trace)) = report.fault {
        panic!("{}: {fault}\n{}", bounds.name, tell_story(bounds, Mutant::None, &trace));
    }
    assert!(report.quiet > 0, "nothing came to rest: the model is broken");
}

#[test]
fn the_protocol_keeps_its_promises_in_every_interleaving() {
    let space = chosen();
    assert!(!space.is_empty(), "SKYFERRY_MODEL names no bounds");
    let space = Arc::new(Mutex::new(space));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let space = space.clone();
            let next = move || space.lock().expect("no thread dies with it").pop();
            std::thread::spawn(move || std::iter::from_fn(next).for_each(|bounds| holds(&bounds)))
        })
        .collect();
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Each with the bounds in which it does its harm.
const CAUGHT: &[(Mutant, &str)] = &[
    (Mutant::DropTheFence, "gcs, large, crash"),
    (Mutant::LedgerDoesNotFence, "gcs, large, loss"),
    (Mutant::TrustTheAbort, "gcs, large, loss"),
    (Mutant::DeleteWhileAnotherIsOpen, "gcs, small, deletes"),
    (Mutant::TrustALostComplete, "gcs, large, loss"),
    (Mutant::TrustALostPut, "gcs, small"),
    (Mutant::BeginAgainWhenFenced, "gcs, small"),
    (Mutant::ReapALiveRecord, "gcs, reaping"),
    (Mutant::UploadWithoutCheckpoint, "gcs, large, crash"),
    (Mutant::UnpinnedReads, "gcs, large, crash"),
    (Mutant::OneTokenAWriter, "gcs, two losses"),
    (Mutant::DeleteBeforeFinish, "gcs, small"),
    (Mutant::ForgetDoubt, "gcs, two losses"),
    (Mutant::CloseWithoutHold, "gcs, small, deletes"),
    (Mutant::CloseAllWhenReleased, "gcs, large, both"),
    (Mutant::AdoptAnything, "gcs, large, crash"),
    (Mutant::DeleteWhenFenced, "gcs, large, crash"),
    (Mutant::DeleteOnFailure, "gcs, small"),
    (Mutant::ClaimForeignObjects, "gcs, somebody else's object"),
    (Mutant::BelieveTheLedger, "gcs, large, crash"),
    (Mutant::BelieveAnyObject, "gcs, small"),
    (Mutant::TrustALostDelete, "gcs, small, deletes"),
    (Mutant::UnconditionalDelete, "gcs, an intruder"),
    (Mutant::TrustWhatIsStored, "gcs, wrong bytes"),
    (Mutant::TrustTheMetadata, "gcs, wrong bytes"),
    (Mutant::DistrustTheUnproven, "no checksums"),
    (Mutant::ParkWhenRemovalFails, "gcs, wrong twice"),
    (Mutant::TrustAnAbortThatIsNotSeen, "gcs, lingering uploads"),
    (Mutant::ParkKeepsFailures, "gcs, refused"),
    (Mutant::ParkBesideOpenUploads, "gcs, refused, large"),
    (Mutant::RenewOnlyAtRelease, "gcs, killed"),
    (Mutant::ReplaceAnothersCopy, "another's copy"),
    (Mutant::ReplaceAnothersCopy, "another's copy, plain"),
];

/// The order of the looks and the preconditions on one side and the hold on the other cover for each other: as long as no
/// message goes while a write may still land, whatever that write does is put right by the message. Without the hold
/// (and without deletes: where nothing is to be written, nothing can be compared) they hold alone, and then each of them
/// counts. They are what is left when a process sleeps longer than the hold.
const WITHOUT_THE_HOLD: &[Bounds] =
    &[Bounds { name: "no hold, small", versions: &[Small, Small, Small], hold: false, ..GCS }];
const CAUGHT_WITHOUT_THE_HOLD: &[(Mutant, &str)] = &[
    (Mutant::SourceBeforeDestination, "no hold, small"),
    (Mutant::ReuseBytes, "no hold, small"),
    (Mutant::UnconditionalPut, "no hold, small"),
];

#[test]
fn every_rule_that_is_taken_out_is_missed() {
    let mut survivors = Vec::new();
    for (mutant, name) in CAUGHT.iter().chain(CAUGHT_WITHOUT_THE_HOLD) {
        let bounds = SPACE.iter().chain(WITHOUT_THE_HOLD).find(|bounds| bounds.name == *name);
        let bounds = bounds.expect("the bounds that are named");
        match run(bounds, *mutant).fault {
            Some((fault, trace)) if std::env::var_os("SKYFERRY_MODEL_STORIES").is_some() => {
                eprintln!("  {fault}\n{}", tell_story(bounds, *mutant, &trace));
            }
            Some((fault, _)) => eprintln!("  caught: {fault}"),
            None => survivors.push((mutant, name)),
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
