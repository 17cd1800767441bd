//! The model checker of the write protocol: every interleaving of two workers within bounds, with crashes before and
//! after each effect, late and lost answers, duplicated and reordered messages; and mutants that it has to catch.

mod explore;
mod mutants;
mod world;

use explore::{Report, explore, tell_story};
use mutants::Mutant;
use world::{Bounds, Version::*};

const GCS: Bounds = Bounds {
    name: "",
    versions: &[],
    conditional_put: true,
    conditional_finish: false,
    deletes: false,
    large_hint: false,
    foreign: None,
    duplicates: 0,
    crashes: 1,
    losses: 1,
    lease_losses: 0,
    reaps: 0,
};
const S3: Bounds = Bounds { conditional_finish: true, ..GCS };
/// No preconditions at all (OSS, generic): only what goes as multipart is promised.
const PLAIN: Bounds = Bounds { conditional_put: false, ..GCS };

/// The space that is searched: what changes, and how often something goes wrong.
const SPACE: &[Bounds] = &[
    Bounds { name: "gcs, small", versions: &[Small, Small, Small, Small], ..GCS },
    Bounds { name: "gcs, large", versions: &[Large, Large, Large], ..GCS },
    Bounds { name: "gcs, large and small", versions: &[Large, Small, Large], ..GCS },
    Bounds { name: "gcs, small, deletes", versions: &[Small, Absent, Small, Absent], deletes: true, ..GCS },
    Bounds { name: "gcs, large, deletes", versions: &[Large, Absent], deletes: true, ..GCS },
    Bounds { name: "gcs, two losses", versions: &[Small, Absent, Small], deletes: true, crashes: 0, losses: 2, ..GCS },
    Bounds {
        name: "gcs, lease lost",
        versions: &[Small, Absent],
        deletes: true,
        lease_losses: 1,
        duplicates: 1,
        ..GCS
    },
    Bounds { name: "gcs, large, lease lost", versions: &[Large, Large], lease_losses: 1, ..GCS },
    Bounds { name: "gcs, large, two crashes", versions: &[Large, Large], crashes: 2, losses: 0, ..GCS },
    Bounds { name: "gcs, reaping", versions: &[Large, Small], reaps: 1, duplicates: 1, ..GCS },
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
    Bounds { name: "s3, large", versions: &[Large, Large, Large], ..S3 },
    Bounds { name: "s3, large, deletes", versions: &[Large, Absent], deletes: true, duplicates: 1, ..S3 },
    Bounds { name: "plain, large", versions: &[Large, Large], duplicates: 1, ..PLAIN },
];

fn run(bounds: &Bounds, mutant: Mutant) -> Report {
    let report = explore(bounds, mutant);
    println!("{:32} {:28} {:>9} states {:>6} at rest", bounds.name, format!("{mutant:?}"), report.states, report.quiet);
    report
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
    let threads: Vec<_> =
        (0..2).map(|turn| std::thread::spawn(move || SPACE.iter().skip(turn).step_by(2).for_each(holds))).collect();
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

#[test]
#[ignore = "for looking at one configuration"]
fn one() {
    let name = std::env::var("ONE").unwrap();
    SPACE.iter().filter(|bounds| bounds.name == name).for_each(holds);
}
