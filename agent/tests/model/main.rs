//! The model checker of the write protocol: every interleaving of two workers within bounds, with crashes before and
//! after each effect, late and lost answers, duplicated and reordered messages; and mutants that it has to catch.

mod actions;
mod bounds;
mod effects;
mod explore;
mod fuse;
mod ledger;
mod mutants;
mod names;
mod promises;
mod space;
mod world;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bounds::{Bounds, Faults};
use explore::{Report, explore, tell_story};
use mutants::Mutant;
use space::{SPACE, WITHOUT_THE_HOLD};

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

fn holds(bounds: &Bounds) -> usize {
    let report = run(bounds, Mutant::None);
    if let Some((fault, trace)) = report.fault {
        panic!("{}: {fault}\n{}", bounds.name, tell_story(bounds, Mutant::None, &trace));
    }
    assert!(report.quiet > 0, "nothing came to rest: the model is broken");
    report.states
}

#[test]
fn the_protocol_keeps_its_promises_in_every_interleaving() {
    let space = chosen();
    assert!(!space.is_empty(), "SKYFERRY_MODEL names no bounds");
    let searches = space.len();
    let space = Arc::new(Mutex::new(space));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let space = space.clone();
            let next = move || space.lock().expect("no thread dies with it").pop();
            std::thread::spawn(move || std::iter::from_fn(next).map(|bounds| holds(&bounds)).sum::<usize>())
        })
        .collect();
    let states: usize =
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum();
    eprintln!("{states} states in {searches} searches");
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
    (Mutant::IgnoreHeaders, "headers, small"),
    (Mutant::TrustRecordedHeaders, "headers, small"),
    (Mutant::TrustTheLedgerWhenAsked, "gcs, requested"),
    (Mutant::ResumeWhateverTheHeaders, "headers, large"),
    (Mutant::OlderReplacesNewer, "exact, small"),
    (Mutant::LastOfASecondStays, "exact, small"),
    (Mutant::CopyDeletedVersions, "exact, deletes"),
    (Mutant::RecordUnproven, "exact, wrong bytes"),
    (Mutant::AbortALostComplete, "gcs, a slow Complete"),
    (Mutant::ReplaceWhatIsKept, "never, small"),
    (Mutant::ReplaceWhatIsKept, "if older"),
    (Mutant::EverythingIsOlder, "if older"),
    (Mutant::UnconditionalPut, "never, an intruder"),
    (Mutant::OneRecordForAll, "two destinations, small"),
];

const CAUGHT_WITHOUT_THE_HOLD: &[(Mutant, &str)] = &[
    (Mutant::SourceBeforeDestination, "no hold, small"),
    (Mutant::ReuseBytes, "no hold, small"),
    (Mutant::UnconditionalPut, "no hold, small"),
];

#[test]
fn the_page_lists_every_search_and_every_mutant() {
    let page = include_str!("../../../docs/model.md");
    let names = SPACE.iter().chain(WITHOUT_THE_HOLD).map(|bounds| format!("| {} |", bounds.name));
    let mutants = CAUGHT.iter().chain(CAUGHT_WITHOUT_THE_HOLD).map(|(mutant, _)| format!("| `{mutant:?}` |"));
    let missing: Vec<_> = names.chain(mutants).filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "docs/model.md lacks {missing:?}");
}

#[test]
fn every_rule_that_is_taken_out_is_missed() {
    let mut survivors = Vec::new();
    let only = std::env::var("SKYFERRY_MODEL").ok().filter(|only| only != "wide");
    let caught = CAUGHT.iter().chain(CAUGHT_WITHOUT_THE_HOLD);
    for (mutant, name) in caught.filter(|(_, name)| only.as_deref().is_none_or(|only| only == *name)) {
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
