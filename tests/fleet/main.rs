//! A fleet in a box: up to twenty agents, with the library's own code, live through days of changes, outages, lost answers,
//! kills and freezes on simulated services, in simulated time. One seed decides everything, so a failure can be repeated:
//!
//! ```text
//! SKYFERRY_FLEET=SEED cargo nextest run --workspace --test fleet --no-capture
//! ```
//!
//! With `SKYFERRY_FORCE=long` a thousand days, else fifty.

mod agent;
mod check;
mod clock;
mod faults;
mod fleet;
mod ledger;
mod port;
mod queue;
mod rng;
mod scenario;
mod services;
mod sides;
mod source;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use fleet::{Report, live};

const SHORT: u64 = 50;
const LONG: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Days on two threads, as many as there are cores to count on.
fn days(first: u64, count: u64) -> Vec<Report> {
    let (next, reports) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= first + count {
                        return;
                    }
                    let report = live(seed, false);
                    // At once: whoever stops a long run has what it found.
                    eprint!("{}", failures(std::slice::from_ref(&report)));
                    reports.lock().expect("no panic").push(report);
                }
            });
        }
    });
    reports.into_inner().expect("no panic")
}

fn add<K: Ord + Clone>(sum: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *sum.entry(key.clone()).or_default() += count;
    }
}

/// The numbers of all days.
fn summary(reports: &[Report]) -> String {
    let mut sum = world::Seen::default();
    let mut largest = (0, 0);
    for Report { seen, largest: one, .. } in reports {
        add(&mut sum.requests, &seen.requests);
        add(&mut sum.faults, &seen.faults);
        add(&mut sum.known, &seen.known);
        for (total, more) in [
            (&mut sum.changes, seen.changes),
            (&mut sum.messages, seen.messages),
            (&mut sum.published, seen.published),
            (&mut sum.deleted, seen.deleted),
            (&mut sum.landed_late, seen.landed_late),
            (&mut sum.kills, seen.kills),
            (&mut sum.freezes, seen.freezes),
            (&mut sum.terminations, seen.terminations),
            (&mut sum.read, seen.read),
            (&mut sum.sent, seen.sent),
            (&mut sum.useful, seen.useful),
            (&mut sum.rests, seen.rests),
        ] {
            *total += more;
        }
        largest = (largest.0.max(one.0), largest.1.max(one.1));
    }
    format!("{sum:#?}\nlargest item {} bytes, most open writers {}", largest.0, largest.1)
}

fn failures(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports.iter().filter(|report| !report.violations.is_empty()) {
        text += &format!(
            "\nSKYFERRY_FLEET={} cargo nextest run --workspace --test fleet --no-capture  # {}",
            report.seed, report.violations[0]
        );
    }
    text
}

#[test]
fn a_fleet_keeps_its_promises_through_days_of_trouble() {
    if let Some(seed) = number("SKYFERRY_FLEET") {
        let report = live(seed, true);
        eprintln!("{}\ntrace {:016x}", report.scenario, report.trace);
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        return;
    }
    let long = std::env::var("SKYFERRY_FORCE").is_ok_and(|force| force == "long");
    let count = number("SKYFERRY_FLEET_DAYS").unwrap_or(if long { LONG } else { SHORT });
    let began = Instant::now();
    let reports = days(number("SKYFERRY_FLEET_FIRST").unwrap_or(1), count);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{}", summary(&reports));
    eprintln!("{count} fleet-days in {seconds:.1} s: {:.0} a minute", count as f64 / seconds * 60.0);
    let failures = failures(&reports);
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn one_seed_gives_one_day() {
    for seed in [3, 11] {
        let (first, second) = (live(seed, false), live(seed, false));
        assert_eq!(first.trace, second.trace, "seed {seed}: {}", first.scenario);
    }
}
