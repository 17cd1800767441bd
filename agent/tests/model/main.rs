//! The model checker of the write protocol: every interleaving of two workers within bounds, with crashes before and
//! after each effect, late and lost answers, duplicated and reordered messages; and mutants that it has to catch.

mod actions;
mod effects;
mod explore;
mod ledger;
mod mutants;
mod names;
mod world;

use std::time::Instant;

use explore::{Report, explore, tell_story};
use mutants::Mutant;
use world::{Bounds, Faults, Version::*};

const NONE: Faults = Faults { crashes: 0, losses: 0, lease_losses: 0, reaps: 0, garbles: 0 };
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
    duplicates: 0,
    waiting: 1,
    faults: BOTH,
};
const S3: Bounds = Bounds { conditional_finish: true, ..GCS };
/// No preconditions at all (OSS, generic): only what goes as multipart is promised.
const PLAIN: Bounds = Bounds { conditional_put: false, ..GCS };

/// The space that is searched: what changes, and how often something goes wrong.
const SPACE: &[Bounds] = &[
    Bounds { name: "gcs, small", versions: &[Small, Small, Small, Small], ..GCS },
    Bounds { name: "gcs, small, deletes", versions: &[Small, Absent, Small], deletes: true, ..GCS },
    Bounds { name: "gcs, two losses", versions: &[Small, Absent], deletes: true, faults: TWO_LOSSES, ..GCS },
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
    Bounds { name: "gcs, somebody else's object", versions: &[Small, Absent], foreign: Some(false), deletes: true, ..GCS },
    Bounds { name: "gcs, a predecessor's copy", versions: &[Large, Small], foreign: Some(true), large_hint: true, ..GCS },
    Bounds { name: "s3, large", versions: &[Large, Large, Large], faults: LOSS, ..S3 },
    Bounds { name: "s3, large, deletes", versions: &[Large, Absent], deletes: true, ..S3 },
    Bounds { name: "plain, large", versions: &[Large, Large], duplicates: 1, faults: LOSS, ..PLAIN },
];
const TWO_LOSSES: Faults = Faults { losses: 2, ..NONE };
const LEASE: Faults = Faults { lease_losses: 1, ..LOSS };
const REAP: Faults = Faults { reaps: 1, ..LOSS };
const GARBLE: Faults = Faults { garbles: 1, ..CRASH };

fn run(bounds: &Bounds, mutant: Mutant) -> Report {
    let start = Instant::now();
    let report = explore(bounds, mutant);
    let (states, seconds) = (report.states, start.elapsed().as_secs_f32());
    println!("{:32} {mutant:24?} {states:>9} states {:>6} at rest {seconds:5.1} s", bounds.name, report.quiet);
    report
}

fn chosen(bounds: &Bounds) -> bool {
    std::env::var("SKYFERRY_MODEL").map_or(true, |name| name == bounds.name)
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
    let threads: Vec<_> = (0..2)
        .map(|turn| {
            std::thread::spawn(move || SPACE.iter().filter(|b| chosen(b)).skip(turn).step_by(2).for_each(holds))
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
    (Mutant::DropTheFence, "gcs, large"),
    (Mutant::LedgerDoesNotFence, "gcs, large"),
    (Mutant::TrustTheAbort, "gcs, large"),
    (Mutant::SourceBeforeDestination, "gcs, small"),
    (Mutant::DeleteWhileAnotherIsOpen, "gcs, small, deletes"),
    (Mutant::TrustALostComplete, "gcs, large"),
    (Mutant::TrustALostPut, "gcs, small"),
    (Mutant::ReuseBytes, "gcs, small"),
    (Mutant::BeginAgainWhenFenced, "gcs, small"),
    (Mutant::ReapALiveRecord, "gcs, reaping"),
    (Mutant::UploadWithoutCheckpoint, "gcs, large"),
    (Mutant::UnpinnedReads, "gcs, large"),
    (Mutant::OneTokenAWriter, "gcs, two losses"),
    (Mutant::UnconditionalPut, "gcs, small"),
    (Mutant::UnconditionalDelete, "gcs, small, deletes"),
    (Mutant::DeleteBeforeFinish, "gcs, small"),
    (Mutant::ForgetDoubt, "gcs, two losses"),
    (Mutant::CloseWithoutHold, "gcs, small, deletes"),
    (Mutant::AdoptAnything, "gcs, large"),
    (Mutant::DeleteWhenFenced, "gcs, large"),
    (Mutant::DeleteOnFailure, "gcs, small"),
    (Mutant::ClaimForeignObjects, "gcs, somebody else's object"),
    (Mutant::BelieveTheLedger, "gcs, large"),
    (Mutant::BelieveAnyObject, "gcs, small"),
    (Mutant::TrustALostDelete, "gcs, small, deletes"),
];

#[test]
fn every_rule_that_is_taken_out_is_missed() {
    let mut survivors = Vec::new();
    for (mutant, name) in CAUGHT {
        let bounds = SPACE.iter().find(|bounds| bounds.name == *name).expect("the bounds that are named");
        let report = run(bounds, *mutant);
        match report.fault {
            Some((fault, trace)) if std::env::var_os("STORIES").is_some() => {
                println!("  {fault}\n{}", tell_story(bounds, *mutant, &trace));
            }
            Some((fault, _)) => println!("  caught: {fault}"),
            None => survivors.push((mutant, name)),
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
