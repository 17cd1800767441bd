//! The fuse on deletions, which is the fleet's: every order in which three agents' requests can reach the ledger, with an
//! agent that is killed and starts again, or an answer that is lost, at any of them. They run the fuse itself, a request at a
//! time; its note is nearly at its limit, and no more deletions are carried over than one agent alone would.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use skyferry_agent::fuse::Fuse;
use skyferry_core::ledger::*;
use skyferry_core::model::{UploadId, Writer};

const AGENTS: usize = 3;
/// Deletions that the fuse lets pass at once, whatever their share.
const ALWAYS: u32 = 100;
/// How many of them are left.
const LEFT: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// Each agent counts for itself.
    NoteOfEachAgent,
    /// The last one to write the note wins.
    SetWithoutComparing,
}

/// A ledger of notes alone. Each request waits once, so that the others come first or not.
struct Notes {
    note: Arc<Mutex<Option<Vec<u8>>>>,
    mutant: Mutant,
    /// The next change is made, and nobody hears of it.
    loses: Arc<AtomicBool>,
}

/// Pending once.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[async_trait]
impl Ledger for Notes {
    fn name(&self) -> &str {
        "notes"
    }
    async fn begin(&self, _: &Subject, _: Writer) -> Result<BeginResult, LedgerError> {
        unreachable!("notes alone")
    }
    async fn checkpoint(&self, _: &Subject, _: Writer, _: Option<&UploadRecord>) -> Result<(), LedgerError> {
        unreachable!("notes alone")
    }
    async fn finish(
        &self,
        _: &Subject,
        _: Writer,
        _: &WriterEnd,
        _: Leftover,
        _: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        unreachable!("notes alone")
    }
    async fn lookup(&self, _: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        unreachable!("notes alone")
    }
    async fn open_uploads(&self, _: &str) -> Result<Vec<UploadId>, LedgerError> {
        unreachable!("notes alone")
    }
    async fn note(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        turn().await;
        Ok(self.note.lock().expect("whole").clone())
    }
    async fn set_note(&self, _: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        turn().await;
        let mut note = self.note.lock().expect("whole");
        let set = note.as_deref() == old || self.mutant == Mutant::SetWithoutComparing;
        if set {
            *note = new.map(<[u8]>::to_vec);
        }
        if self.loses.swap(false, Relaxed) {
            let answer = "the answer was lost".to_owned();
            return Err(LedgerError::Unavailable { ledger: "notes".to_owned(), operation: "set", answer });
        }
        Ok(set)
    }
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// Carries out one deletion, if it may.
async fn agent(fuse: Arc<Fuse>, deleted: Arc<AtomicU32>) {
    if fuse.allow_deletion().await.is_ok() {
        deleted.fetch_add(1, Relaxed);
    }
}

fn poll(running: &mut Running) -> bool {
    running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The note as the only agent before these left it.
fn nearly_full() -> Vec<u8> {
    let note = Arc::new(Mutex::new(None));
    let ledger = Notes { note: note.clone(), mutant: Mutant::None, loses: Arc::default() };
    let (fuse, deleted) = (Arc::new(Fuse::new(0.5, Some(Arc::new(ledger)))), Arc::new(AtomicU32::new(0)));
    for _ in LEFT..ALWAYS {
        let mut running: Running = Box::pin(agent(fuse.clone(), deleted.clone()));
        while !poll(&mut running) {}
    }
    assert_eq!(deleted.load(Relaxed), ALWAYS - LEFT);
    note.lock().expect("whole").clone().expect("a note")
}

struct Fleet {
    ledgers: Vec<Arc<Notes>>,
    agents: Vec<Option<Running>>,
    deleted: Arc<AtomicU32>,
    loses: Arc<AtomicBool>,
}

impl Fleet {
    fn start(note: &[u8], mutant: Mutant) -> Fleet {
        let (shared, loses) = (Arc::new(Mutex::new(Some(note.to_vec()))), Arc::new(AtomicBool::new(false)));
        let ledger = |_| {
            let own = Arc::new(Mutex::new(Some(note.to_vec())));
            let note = if mutant == Mutant::NoteOfEachAgent { own } else { shared.clone() };
            Arc::new(Notes { note, mutant, loses: loses.clone() })
        };
        let ledgers: Vec<_> = (0..AGENTS).map(ledger).collect();
        let mut fleet = Fleet { ledgers, agents: Vec::new(), deleted: Arc::default(), loses };
        fleet.agents = (0..AGENTS).map(|at| Some(fleet.run(at))).collect();
        fleet
    }

    /// A process that has just started, at its first request.
    fn run(&self, at: usize) -> Running {
        let fuse = Arc::new(Fuse::new(0.5, Some(self.ledgers[at].clone())));
        let mut running: Running = Box::pin(agent(fuse, self.deleted.clone()));
        assert!(!poll(&mut running), "it asks the ledger");
        running
    }
}

/// One order, as the choices name it; what is not chosen yet is the first. Back come the deletions, and how many ways there
/// were at each choice.
fn play(note: &[u8], mutant: Mutant, chosen: &[usize]) -> (u32, Vec<usize>) {
    let mut fleet = Fleet::start(note, mutant);
    let mut faults = 1_usize;
    let mut ways = Vec::new();
    loop {
        let busy: Vec<usize> = (0..AGENTS).filter(|&at| fleet.agents[at].is_some()).collect();
        if busy.is_empty() {
            return (fleet.deleted.load(Relaxed), ways);
        }
        let choice = chosen.get(ways.len()).copied().unwrap_or(0);
        // One more request, or a kill, or an answer that is lost.
        ways.push(busy.len() * (1 + 2 * faults));
        let (at, kind) = (busy[choice % busy.len()], choice / busy.len());
        if kind == 1 {
            faults -= 1;
            fleet.agents[at] = Some(fleet.run(at));
            continue;
        }
        fleet.loses.store(kind == 2, Relaxed);
        if fleet.agents[at].as_mut().is_some_and(poll) {
            fleet.agents[at] = None;
        }
        // Only a change can be lost, not a look.
        faults -= usize::from(kind == 2 && !fleet.loses.swap(false, Relaxed));
    }
}

/// Every order, and the most deletions in any.
fn search(mutant: Mutant) -> (u32, u32, usize) {
    let note = nearly_full();
    let (mut least, mut most, mut orders) = (u32::MAX, 0, 0);
    let mut chosen: Vec<usize> = Vec::new();
    loop {
        let (deleted, ways) = play(&note, mutant, &chosen);
        (least, most, orders) = (least.min(deleted), most.max(deleted), orders + 1);
        chosen.resize(ways.len(), 0);
        while chosen.last().is_some_and(|choice| choice + 1 == ways[chosen.len() - 1]) {
            chosen.pop();
        }
        match chosen.last_mut() {
            Some(choice) => *choice += 1,
            None => return (least, most, orders),
        }
    }
}

#[test]
fn fault_b11_in_every_order_three_agents_and_a_restart_delete_no_more_than_one() {
    let (least, most, orders) = search(Mutant::None);
    eprintln!("the fuse: {orders} orders, {least} to {most} deletions of {AGENTS} with {LEFT} left");
    assert_eq!(most, LEFT);
    for mutant in [Mutant::NoteOfEachAgent, Mutant::SetWithoutComparing] {
        assert!(search(mutant).1 > LEFT, "{mutant:?} is not caught");
    }
}
