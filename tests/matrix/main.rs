//! The answer matrix: every request that the stores send meets every odd answer that services, gateways and load balancers
//! have been seen to give, once, ten times and for long, for all objects and for one, on S3, a generic S3 and GCS. The job
//! engine is the real one, the peers are the strict ones of the sandbox; connections are pipes in memory and time is paused,
//! so hours of retries cost milliseconds.
//!
//! In every cell: no outcome is recorded that is not true, no good copy is deleted or replaced by anything the source never
//! was, the number of requests is bounded, the log names object and cause, and when the fault ends everything is as it should
//! be; or the object is parked with the service's word, where it is the object's own.
//!
//! What happens once is tried on every service; what lasts, on one of them in turn. `MATRIX=text` runs all cells whose name
//! has the text in it, and prints each.

mod answers;
mod cell;
mod fixture;
mod ledger;
mod log;
mod queue;
mod requests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use answers::{ANSWERS, Answer};
use cell::{Cell, Lasts, Seen};
use fixture::Service;
use requests::{REQUESTS, Request};
use sandbox::Operation;

const SERVICES: [Service; 3] = [Service::Aws, Service::Generic, Service::Gcs];
const LASTS: [Lasts; 4] = [Lasts::Once, Lasts::Ten, Lasts::Long, Lasts::ForOne];
const THREADS: usize = 2;
/// A cell that takes longer is shown.
const SLOW: std::time::Duration = std::time::Duration::from_secs(3);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {} · {:?} · {:?}", self.request.name, self.answer.name, self.service, self.lasts)
    }
}

/// Whether this answer can come to that request of this service.
fn fits(service: Service, request: &Request, answer: &Answer) -> bool {
    // Tags are asked for by S3's clients only.
    let asked = !(request.tags && service == Service::Gcs);
    asked && request.answered.contains(&answer.fits)
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for request in REQUESTS {
        for answer in ANSWERS {
            for service in SERVICES.into_iter().filter(|service| fits(*service, request, answer)) {
                for lasts in LASTS {
                    // A listing is asked of no object.
                    let listing = matches!(request.operation, Operation::ListObjects | Operation::ListUploads);
                    if lasts != Lasts::ForOne || !listing {
                        cells.push(Cell { service, request, answer, lasts });
                    }
                }
            }
        }
    }
    cells
}

/// What lasts takes long and differs little between services: each row of answers takes the next one.
fn in_turn(cell: &Cell) -> bool {
    let row = ANSWERS.iter().position(|answer| answer.name == cell.answer.name).unwrap_or_default();
    let turn = SERVICES[(row + cell.lasts as usize) % SERVICES.len()];
    let turn = if cell.request.tags && turn == Service::Gcs { Service::Aws } else { turn };
    cell.lasts == Lasts::Once || cell.service == turn
}

/// Runs all of them on two threads.
fn run(cells: &[Cell]) -> Vec<(usize, Seen)> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let loud = std::env::var_os("MATRIX").is_some();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((at, cell)) = {
                    let at = next.fetch_add(1, Relaxed);
                    cells.get(at).map(|cell| (at, cell))
                } {
                    let one = cell.run();
                    if loud || !one.problems.is_empty() || one.took > SLOW {
                        eprintln!(
                            "{cell}: {} requests, {:?}, met {}, {:?}",
                            one.requests, one.took, one.met, one.problems
                        );
                    }
                    seen.lock().expect("no cell panics").push((at, one));
                }
            });
        }
    });
    let mut seen = seen.into_inner().expect("no cell panics");
    seen.sort_by_key(|(at, _)| *at);
    seen
}

#[test]
fn no_answer_passes_for_another() {
    let mut cells = cells();
    match std::env::var("MATRIX") {
        Ok(wanted) => cells.retain(|cell| cell.to_string().contains(&wanted)),
        Err(_) => cells.retain(in_turn),
    }
    let began = std::time::Instant::now();
    let seen = run(&cells);
    let red: Vec<_> = seen.iter().filter(|(_, seen)| !seen.problems.is_empty()).collect();
    let mut unmet = BTreeMap::new();
    for (at, _) in seen.iter().filter(|(_, seen)| !seen.met) {
        *unmet.entry(cells[*at].request.name).or_insert(0) += 1;
    }
    let requests: u64 = seen.iter().map(|(_, seen)| seen.requests).sum();
    eprintln!(
        "{} cells, {} red, {requests} requests, {:?}; never asked: {unmet:?}",
        seen.len(),
        red.len(),
        began.elapsed()
    );
    assert!(red.is_empty(), "{} of {} cells are red", red.len(), seen.len());
    assert!(unmet.is_empty(), "requests that were never sent: {unmet:?}");
}
