//! What can happen next, and what the world is after it.
//!
//! Not every moment is tried for everything, only those that make a difference to somebody:
//! - The source changes right after it was looked at (or before all): a change moves past everything else, and an event
//!   that waits longer takes nothing away.
//! - A worker crashes, or notices that its lease is lost, right after something that others can see. What it only reads
//!   before it goes leaves no trace.
//! - A message ends as soon as its job does, a lease is lost as soon as the message is received, and a worker that
//!   has received takes its first step at once: a message that waits instead does the same.
//! - Whether a hold has passed, and a settled record been removed, is decided when somebody asks the ledger.

use skyferry_core::protocol::{Answer, Effect, EffectFailure};

use crate::bounds::Bounds;
use crate::mutants::Mutant;
use crate::names::{FOREIGN, GARBLED};
use crate::world::{Late, Message, World, Write};

/// Two workers, and whoever crashed or lost an answer: more open writers than these mean that somebody never leaves.
const MOST_WRITERS: usize = 6;

/// In the `turn` of a step that asks the ledger: the record was removed just before. The other bits: whose hold passed.
const REAPED: u8 = 1 << 7;

/// What happens next, as a counterexample prints it. `turn` is what the step leaves open: how often the source changes
/// right after it, whether a Complete wins over an abort, whose hold has passed.
#[derive(Clone, Debug)]
pub enum Action {
    Start {
        changes: u8,
        duplicates: u8,
    },
    Receive {
        slot: usize,
        message: Message,
    },
    /// The effect is carried out and answered.
    Step {
        slot: usize,
        turn: u8,
    },
    /// Carried out; the answer is lost.
    LoseAnswer {
        slot: usize,
        turn: u8,
    },
    /// The write is delayed, or never arrives; the worker hears nothing.
    Delay {
        slot: usize,
    },
    /// Fails without effect, by nobody's fault.
    Refuse {
        slot: usize,
    },
    /// Fails without effect, by the object's own fault.
    Fail {
        slot: usize,
    },
    /// The far side stores other bytes; with `crash`, the worker does not live to hear of it.
    Garble {
        slot: usize,
        crash: bool,
    },
    CrashBefore {
        slot: usize,
    },
    CrashAfter {
        slot: usize,
        turn: u8,
    },
    /// The write is on its way; the worker is gone.
    CrashDuring {
        slot: usize,
    },
    LoseLease {
        slot: usize,
    },
    /// A worker whose lease is lost notices, after its effect or in the middle of its write.
    NoticeAfter {
        slot: usize,
        turn: u8,
    },
    NoticeDuring {
        slot: usize,
    },
    Land {
        index: usize,
        complete_wins: bool,
    },
    /// Where a mutant looks at the source out of turn.
    ChangeSource,
    Intrude,
}

impl Action {
    /// Of the worker whose step it is.
    pub fn slot(&self) -> Option<usize> {
        match *self {
            Action::Step { slot, .. }
            | Action::LoseAnswer { slot, .. }
            | Action::Delay { slot }
            | Action::Refuse { slot }
            | Action::Fail { slot }
            | Action::Garble { slot, .. }
            | Action::CrashBefore { slot }
            | Action::CrashAfter { slot, .. }
            | Action::CrashDuring { slot }
            | Action::LoseLease { slot }
            | Action::NoticeAfter { slot, .. }
            | Action::NoticeDuring { slot } => Some(slot),
            Action::Start { .. }
            | Action::Receive { .. }
            | Action::Land { .. }
            | Action::ChangeSource
            | Action::Intrude => None,
        }
    }
}

/// Every action that is possible now.
pub fn actions(world: &World, bounds: &Bounds, mutant: Mutant) -> Vec<Action> {
    let mut actions = Vec::new();
    if !world.started {
        let starts = (0..=bounds.duplicates).flat_map(|duplicates| {
            let changes = changes_left(world, bounds).min(bounds.waiting.saturating_sub(duplicates + 1));
            (0..=changes).map(move |changes| Action::Start { changes, duplicates })
        });
        return starts.collect();
    }
    let new = world.workers.iter().position(|worker| worker.as_ref().is_some_and(|worker| worker.new));
    if let Some(slot) = new {
        worker_actions(world, bounds, mutant, slot, &mut actions);
        return actions;
    }
    // Workers are alike: a message goes to the first free one.
    if let Some(slot) = world.workers.iter().position(Option::is_none) {
        let mut messages = world.messages.clone();
        messages.dedup();
        actions.extend(messages.into_iter().map(|message| Action::Receive { slot, message }));
    }
    for slot in (0..2).filter(|&slot| world.workers[slot].is_some()) {
        worker_actions(world, bounds, mutant, slot, &mut actions);
    }
    for (index, late) in world.late.iter().enumerate() {
        actions.push(Action::Land { index, complete_wins: false });
        if world.is_aborting(&late.write) {
            actions.push(Action::Land { index, complete_wins: true });
        }
    }
    if mutant != Mutant::None && changes_left(world, bounds) > 0 {
        actions.push(Action::ChangeSource);
    }
    if world.faults.intrusions > 0 {
        actions.push(Action::Intrude);
    }
    actions
}

fn worker_actions(world: &World, bounds: &Bounds, mutant: Mutant, slot: usize, actions: &mut Vec<Action>) {
    let worker = world.worker(slot);
    let write = World::as_write(worker, &worker.effect);
    let sends = matches!(write, Some(Write::Put { .. } | Write::Complete { .. }));
    let looks = is_look(&worker.effect) || matches!(worker.effect, Effect::HeadDestination | Effect::Lookup);
    let reads = looks || matches!(worker.effect, Effect::CheckUpload(_));
    let parts = matches!(worker.effect, Effect::Parts(_));
    let (crashes, losses) = (world.faults.crashes > 0, world.faults.losses > 0);
    for turn in turns(world, bounds, mutant, slot, write.as_ref()) {
        actions.push(Action::Step { slot, turn });
        // Nobody hears whose hold has passed.
        if reads || worker.effect == Effect::Begin && turn & !REAPED != 0 {
            continue;
        }
        actions.extend(crashes.then_some(Action::CrashAfter { slot, turn }));
        actions.extend(worker.stale.then_some(Action::NoticeAfter { slot, turn }));
        actions.extend((losses && !parts).then_some(Action::LoseAnswer { slot, turn }));
    }
    actions.extend(losses.then_some(Action::Refuse { slot }));
    // Who may never look cannot repair what was stored wrong, nor see an upload end.
    let blind = matches!(worker.effect, Effect::HeadDestination) && bounds.faults.garbles > 0
        || matches!(worker.effect, Effect::Abort(_) | Effect::CheckUpload(_));
    let at_the_ledger =
        matches!(worker.effect, Effect::Lookup | Effect::Begin | Effect::Checkpoint(_) | Effect::Finish { .. });
    let at_a_store = !blind && !at_the_ledger;
    actions.extend((at_a_store && world.faults.refusals > 0).then_some(Action::Fail { slot }));
    if write.is_some() {
        actions.extend(losses.then_some(Action::Delay { slot }));
        actions.extend(crashes.then_some(Action::CrashDuring { slot }));
        actions.extend(worker.stale.then_some(Action::NoticeDuring { slot }));
    }
    if sends && world.faults.garbles > 0 {
        actions.push(Action::Garble { slot, crash: false });
        actions.extend(crashes.then_some(Action::Garble { slot, crash: true }));
    }
    if worker.new && !worker.stale {
        actions.extend(crashes.then_some(Action::CrashBefore { slot }));
        actions.extend((world.faults.lease_losses > 0).then_some(Action::LoseLease { slot }));
    }
}

/// At the source.
fn is_look(effect: &Effect) -> bool {
    matches!(effect, Effect::HeadSource | Effect::OpenSource | Effect::HeadNewest)
}

fn changes_left(world: &World, bounds: &Bounds) -> u8 {
    let versions = bounds.versions.len() as u8 - 1 - world.source as u8;
    versions.min(bounds.waiting.saturating_sub(world.fresh()))
}

/// The ways in which a step can turn out.
fn turns(world: &World, bounds: &Bounds, mutant: Mutant, slot: usize, write: Option<&Write>) -> Vec<u8> {
    let reapable = |world: &World| {
        let record = world.record.as_ref();
        let idle = record.is_some_and(|record| record.settled && record.writers.is_empty());
        world.faults.reaps > 0 && (idle || record.is_some() && mutant == Mutant::ReapALiveRecord)
    };
    match &world.worker(slot).effect {
        effect if is_look(effect) => (0..=changes_left(world, bounds)).collect(),
        Effect::Parts(_) => (0..=changes_left(world, bounds)).collect(),
        Effect::Lookup if reapable(world) => vec![0, REAPED],
        Effect::Begin => {
            let ripe = if bounds.hold { world.ripe(slot, mutant.shares_records()) } else { 0 };
            let mut subsets: Vec<u8> = (0..=ripe).filter(|subset| subset & !ripe == 0).collect();
            subsets.extend(reapable(world).then_some(REAPED));
            subsets
        }
        Effect::CheckUpload(id) if world.faults.lingers > 0 && world.is_ending(id) => vec![0, 1],
        _ if write.is_some_and(|write| world.is_aborting(write)) => vec![0, 1],
        _ => vec![0],
    }
}

/// The world after an action; an error says which promise it broke.
pub fn apply(world: &World, action: &Action, bounds: &Bounds, mutant: Mutant) -> Result<World, String> {
    let (mut next, shared) = (world.clone(), mutant.shares_records());
    next.turn_to(place_of(world, action), shared);
    happen(&mut next, action, bounds, mutant);
    for slot in 0..2 {
        if let Some(worker) = &next.workers[slot]
            && let Effect::End(end) = worker.effect
            && let Some(fault) = next.end(slot, mutant.end(end), bounds)
        {
            return Err(fault);
        }
    }
    next.turn_to(0, shared);
    let foreign = world.destination.as_ref().is_some_and(|object| object.identity == FOREIGN);
    if foreign && next.destination.is_none() {
        return Err("somebody else's object was deleted".to_string());
    }
    next.forget(bounds);
    if next.record.as_ref().is_some_and(|record| record.writers.len() > MOST_WRITERS) {
        return Err("the record grows with every attempt".to_string());
    }
    next.fault().map_or(Ok(next), Err)
}

/// The destination that an action is about.
fn place_of(world: &World, action: &Action) -> u8 {
    match *action {
        Action::Land { index, .. } => world.late[index].place,
        _ => action.slot().and_then(|slot| world.workers[slot].as_ref()).map_or(0, |worker| worker.place),
    }
}

fn happen(next: &mut World, action: &Action, bounds: &Bounds, mutant: Mutant) {
    match *action {
        Action::Start { changes, duplicates } => {
            next.started = true;
            (0..=duplicates).for_each(|_| next.send_event(bounds));
            (0..changes).for_each(|_| next.change_source(bounds));
        }
        Action::Receive { slot, message } => {
            next.receive(slot, bounds, message, mutant);
        }
        Action::Step { slot, turn } => {
            if let Some(answer) = carry_out(next, slot, bounds, mutant, turn) {
                mutant.tell(next, slot, answer);
            }
        }
        Action::LoseAnswer { slot, turn } => {
            next.faults.losses -= 1;
            carry_out(next, slot, bounds, mutant, turn);
            mutant.tell(next, slot, Answer::Lost);
        }
        Action::Delay { slot } => {
            next.faults.losses -= 1;
            delay(next, slot, mutant);
            mutant.tell(next, slot, Answer::Lost);
        }
        Action::Refuse { slot } => {
            next.faults.losses -= 1;
            mutant.tell(next, slot, Answer::Failed(EffectFailure::Retry { counted: false }));
        }
        Action::Fail { slot } => {
            next.faults.refusals -= 1;
            next.refused += 1;
            let trouble = match next.worker(slot).failures + 1 >= bounds.attempts {
                true => EffectFailure::Park,
                false => EffectFailure::Retry { counted: true },
            };
            mutant.tell(next, slot, Answer::Failed(trouble));
        }
        Action::Garble { slot, crash } => garble(next, slot, crash, bounds, mutant),
        Action::CrashBefore { slot } => next.crash(slot),
        Action::CrashAfter { slot, turn } => {
            carry_out(next, slot, bounds, mutant, turn);
            next.crash(slot);
        }
        Action::CrashDuring { slot } => {
            delay(next, slot, mutant);
            next.crash(slot);
        }
        Action::LoseLease { slot } => next.lose_lease(slot),
        Action::NoticeAfter { slot, turn } => {
            carry_out(next, slot, bounds, mutant, turn);
            mutant.tell(next, slot, Answer::Failed(EffectFailure::LeaseLost));
        }
        Action::NoticeDuring { slot } => {
            delay(next, slot, mutant);
            mutant.tell(next, slot, Answer::Failed(EffectFailure::LeaseLost));
        }
        Action::Land { index, complete_wins } => {
            let late = next.late.remove(index);
            next.land(&late.write, bounds, complete_wins);
        }
        Action::ChangeSource => next.change_source(bounds),
        Action::Intrude => next.intrude(bounds),
    }
}

fn carry_out(world: &mut World, slot: usize, bounds: &Bounds, mutant: Mutant, turn: u8) -> Option<Answer> {
    let effect = mutant.effect(world, slot);
    let looks = is_look(&effect) || matches!(effect, Effect::Parts(_));
    if matches!(effect, Effect::Lookup | Effect::Begin) && turn & REAPED != 0 {
        world.faults.reaps -= 1;
        world.record = None;
    }
    let answer = match (mutant.skips(world, slot, &effect), World::as_write(world.worker(slot), &effect)) {
        (Some(answer), _) => Some(answer),
        (None, Some(write)) => {
            world.check_headers(slot, &write, bounds);
            Some(world.land(&write, bounds, turn == 1))
        }
        (None, None) => world.carry_out(slot, &effect, bounds, turn & !REAPED),
    };
    if looks {
        (0..turn).for_each(|_| world.change_source(bounds));
    }
    answer
}

fn delay(world: &mut World, slot: usize, mutant: Mutant) {
    let effect = mutant.effect(world, slot);
    let worker = world.worker(slot);
    let (writer, place, write) = (worker.writer, worker.place, World::as_write(worker, &effect));
    world.late.push(Late { writer, place, write: write.expect("only writes are delayed") });
}

fn garble(world: &mut World, slot: usize, crash: bool, bounds: &Bounds, mutant: Mutant) {
    world.faults.garbles -= 1;
    let mut answer = carry_out(world, slot, bounds, mutant, 0).expect("a write is answered");
    if let (Answer::Published(revision), Some(object)) = (&answer, &mut world.destination) {
        object.content = GARBLED;
        answer = Answer::PublishedCorrupt(revision.clone());
    }
    if crash {
        return world.crash(slot);
    }
    mutant.tell(world, slot, answer);
}
