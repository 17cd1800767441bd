//! Depth-first through every state that the bounds allow, each visited once.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use skyferry_agent::protocol::{Answer, Effect, Ending, Trouble};

use crate::mutants::Mutant;
use crate::world::{Bounds, Late, MIXED, World};

/// Two workers, and whoever crashed or lost an answer: more open writers than these mean that somebody never leaves.
const MOST_WRITERS: usize = 6;

/// What happens next, as a counterexample prints it.
#[derive(Clone, Debug)]
pub enum Action {
    Receive {
        slot: usize,
        again: bool,
    },
    /// The effect is carried out and answered.
    Step {
        slot: usize,
        complete_wins: bool,
    },
    /// Carried out; the answer is lost.
    LoseAnswer {
        slot: usize,
    },
    /// The write is delayed, or never arrives; the worker hears nothing.
    Delay {
        slot: usize,
    },
    /// Fails without effect, by nobody's fault.
    Refuse {
        slot: usize,
    },
    CrashBefore {
        slot: usize,
    },
    CrashAfter {
        slot: usize,
    },
    /// The write is on its way; the worker is gone.
    CrashDuring {
        slot: usize,
    },
    LoseLease {
        slot: usize,
    },
    /// A worker whose lease is lost notices.
    Notice {
        slot: usize,
    },
    Land {
        index: usize,
        complete_wins: bool,
    },
    Drop {
        index: usize,
    },
    ChangeSource,
    Duplicate,
    Unhold,
    /// A fenced writer's hold has passed.
    Ripen {
        index: usize,
    },
    Reap,
}

pub struct Report {
    pub states: usize,
    pub quiet: usize,
    pub fault: Option<(String, Vec<Action>)>,
}

#[derive(Default)]
struct Fingerprint(u64, u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.1 = (self.1 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31);
        self.1 ^= self.1 >> 29;
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

fn print_of(value: &impl Hash) -> (u64, u64) {
    let mut hasher = Fingerprint::default();
    value.hash(&mut hasher);
    (hasher.0, hasher.1)
}

/// 128 bits of a state: two different states meet with a chance of 2⁻⁸⁰ in ten million. The order of workers, of
/// uploads and of requests under way has no meaning, so it has none here.
pub fn fingerprint(world: &World) -> u128 {
    let sorted = |mut prints: Vec<(u64, u64)>| {
        prints.sort_unstable();
        prints
    };
    let mut hasher = Fingerprint::default();
    (world.source, &world.destination, &world.record).hash(&mut hasher);
    (world.fresh, world.again, world.held).hash(&mut hasher);
    (world.duplicates, world.crashes, world.losses, world.lease_losses, world.reaps).hash(&mut hasher);
    sorted(world.workers.iter().map(print_of).collect()).hash(&mut hasher);
    sorted(world.uploads.iter().map(print_of).collect()).hash(&mut hasher);
    sorted(world.late.iter().map(print_of).collect()).hash(&mut hasher);
    (hasher.0 as u128) << 64 | hasher.1 as u128
}

/// Every action that is possible now.
pub fn actions(world: &World, bounds: &Bounds, mutant: Mutant) -> Vec<Action> {
    let mut actions = Vec::new();
    // Workers are alike: a message goes to the first free one.
    if let Some(slot) = world.workers.iter().position(Option::is_none) {
        if world.fresh > 0 {
            actions.push(Action::Receive { slot, again: false });
        }
        if world.again > 0 {
            actions.push(Action::Receive { slot, again: true });
        }
    }
    for (slot, worker) in world.workers.iter().enumerate() {
        let Some(worker) = worker else { continue };
        let write = World::as_late(worker, &worker.effect);
        actions.push(Action::Step { slot, complete_wins: false });
        if write.as_ref().is_some_and(|write| world.is_aborting(write)) {
            actions.push(Action::Step { slot, complete_wins: true });
        }
        let ends = matches!(worker.effect, Effect::End(_));
        let reads = matches!(
            worker.effect,
            Effect::Lookup | Effect::HeadSource | Effect::OpenSource | Effect::HeadDestination | Effect::SeeUpload(_)
        );
        if world.losses > 0 && !ends {
            actions.push(Action::Refuse { slot });
            if !reads && !matches!(worker.effect, Effect::Parts(_)) {
                actions.push(Action::LoseAnswer { slot });
            }
            if write.is_some() {
                actions.push(Action::Delay { slot });
            }
        }
        if world.crashes > 0 {
            actions.push(Action::CrashBefore { slot });
            if !reads && !ends {
                actions.push(Action::CrashAfter { slot });
            }
            if write.is_some() {
                actions.push(Action::CrashDuring { slot });
            }
        }
        if world.lease_losses > 0 && !worker.stale {
            actions.push(Action::LoseLease { slot });
        }
        if worker.stale && !ends {
            actions.push(Action::Notice { slot });
        }
    }
    for (index, late) in world.late.iter().enumerate() {
        actions.push(Action::Land { index, complete_wins: false });
        if world.is_aborting(late) {
            actions.push(Action::Land { index, complete_wins: true });
        }
        actions.push(Action::Drop { index });
    }
    if (world.source as usize) + 1 < bounds.versions.len() {
        actions.push(Action::ChangeSource);
    }
    if world.duplicates > 0 {
        actions.push(Action::Duplicate);
    }
    if world.held > 0 {
        actions.push(Action::Unhold);
    }
    let writers = world.record.iter().flat_map(|record| record.writers.iter().enumerate());
    for (index, writer) in writers {
        let in_flight = world.late.iter().any(|late: &Late| late.writer() == writer.id);
        let stale = world.workers.iter().flatten().any(|worker| worker.writer == writer.id && worker.stale);
        if writer.fenced && !writer.past_hold && !in_flight && !stale {
            actions.push(Action::Ripen { index });
        }
    }
    let reapable =
        world.record.as_ref().is_some_and(|r| r.settled && r.writers.is_empty() || mutant == Mutant::ReapALiveRecord);
    if world.reaps > 0 && reapable {
        actions.push(Action::Reap);
    }
    actions
}

/// The world after an action; an error says which promise it broke.
pub fn apply(world: &World, action: &Action, bounds: &Bounds, mutant: Mutant) -> Result<World, String> {
    let mut next = world.clone();
    match *action {
        Action::Receive { slot, again } => next.receive(slot, bounds, again),
        Action::Step { slot, complete_wins } => {
            if let Effect::End(end) = worker_effect(&next, slot) {
                if let Some(fault) = next.end(slot, mutant.end(end)) {
                    return Err(fault);
                }
            } else if let Some(answer) = carry_out(&mut next, slot, bounds, mutant, complete_wins) {
                mutant.tell(&mut next, slot, answer);
            }
        }
        Action::LoseAnswer { slot } => {
            next.losses -= 1;
            carry_out(&mut next, slot, bounds, mutant, false);
            mutant.tell(&mut next, slot, Answer::Lost);
        }
        Action::Delay { slot } => {
            next.losses -= 1;
            delay(&mut next, slot);
            mutant.tell(&mut next, slot, Answer::Lost);
        }
        Action::Refuse { slot } => {
            next.losses -= 1;
            mutant.tell(&mut next, slot, Answer::Failed(Trouble::Again { counted: false }));
        }
        Action::CrashBefore { slot } => {
            next.crashes -= 1;
            next.crash(slot);
        }
        Action::CrashAfter { slot } => {
            next.crashes -= 1;
            carry_out(&mut next, slot, bounds, mutant, false);
            next.crash(slot);
        }
        Action::CrashDuring { slot } => {
            next.crashes -= 1;
            delay(&mut next, slot);
            next.crash(slot);
        }
        Action::LoseLease { slot } => {
            next.lease_losses -= 1;
            next.again += 1;
            if let Some(worker) = next.workers[slot].as_mut() {
                worker.stale = true;
            }
        }
        Action::Notice { slot } => mutant.tell(&mut next, slot, Answer::Failed(Trouble::LeaseLost)),
        Action::Land { index, complete_wins } => {
            let late = next.late.remove(index);
            next.land(&late, bounds, complete_wins);
        }
        Action::Drop { index } => {
            next.late.remove(index);
        }
        Action::ChangeSource => {
            next.source += 1;
            next.fresh += 1;
        }
        Action::Duplicate => {
            next.duplicates -= 1;
            next.fresh += 1;
        }
        Action::Unhold => {
            next.held -= 1;
            next.again += 1;
        }
        Action::Ripen { index } => {
            if let Some(record) = next.record.as_mut() {
                record.writers[index].past_hold = true;
            }
        }
        Action::Reap => {
            next.reaps -= 1;
            next.record = None;
        }
    }
    next.forget_ended_uploads();
    if next.record.as_ref().is_some_and(|record| record.writers.len() > MOST_WRITERS) {
        return Err("the record grows with every attempt".to_string());
    }
    match &next.destination {
        Some(object) if object.content == MIXED => Err("a mixture of two versions was published".to_string()),
        Some(object) if object.identity != object.content && object.identity < 90 => {
            Err(format!("an object names version {} and holds {}", object.identity, object.content))
        }
        _ => Ok(next),
    }
}

fn worker_effect(world: &World, slot: usize) -> Effect {
    world.workers[slot].as_ref().expect("a worker that runs").effect.clone()
}

fn carry_out(world: &mut World, slot: usize, bounds: &Bounds, mutant: Mutant, wins: bool) -> Option<Answer> {
    let effect = mutant.effect(world, slot, worker_effect(world, slot));
    if let Some(answer) = mutant.skips(world, slot, &effect) {
        return Some(answer);
    }
    let write = world.workers[slot].as_ref().and_then(|worker| World::as_late(worker, &effect));
    match write {
        Some(write) => Some(world.land(&write, bounds, wins)),
        None => world.carry_out(slot, &effect, bounds),
    }
}

fn delay(world: &mut World, slot: usize) {
    let write = world.workers[slot].as_ref().and_then(|worker| World::as_late(worker, &worker.effect));
    world.late.extend(write);
}

/// With no more faults and no more changes, everything comes to rest, and right.
fn comes_to_rest(world: &World, bounds: &Bounds, mutant: Mutant, known: &mut HashSet<u128>) -> Result<(), String> {
    let mut world = world.clone();
    let mut passed = Vec::new();
    for _ in 0..600 {
        if !known.is_empty() && known.contains(&fingerprint(&world)) {
            break;
        }
        if world.is_quiet() {
            break;
        }
        passed.push(fingerprint(&world));
        let busy = world.workers.iter().position(Option::is_some);
        let ripe = actions(&world, bounds, mutant).into_iter().find(|action| matches!(action, Action::Ripen { .. }));
        let action = match (world.late.is_empty(), busy, ripe) {
            (false, _, _) => Action::Drop { index: 0 },
            (_, Some(slot), _) => Action::Step { slot, complete_wins: false },
            (_, _, Some(ripe)) => ripe,
            _ if world.held > 0 => Action::Unhold,
            _ => Action::Receive { slot: 0, again: world.again > 0 },
        };
        world = apply(&world, &action, bounds, mutant)?;
    }
    if !world.is_quiet() && !known.contains(&fingerprint(&world)) {
        return Err("without further faults it does not come to rest".to_string());
    }
    known.extend(passed);
    Ok(())
}

/// Visits every state; stops at the first broken promise.
pub fn explore(bounds: &Bounds, mutant: Mutant) -> Report {
    let mut visited = HashSet::new();
    let mut resting = HashSet::new();
    let mut report = Report { states: 0, quiet: 0, fault: None };
    let start = World::new(bounds);
    let first = actions(&start, bounds, mutant);
    visited.insert(fingerprint(&start));
    let mut path: Vec<(World, Vec<Action>, Option<Action>)> = vec![(start, first, None)];
    while let Some((world, left, _)) = path.last_mut() {
        let Some(action) = left.pop() else {
            path.pop();
            continue;
        };
        let outcome = apply(world, &action, bounds, mutant);
        let fault = match outcome {
            Err(fault) => Some(fault),
            Ok(next) => {
                let print = fingerprint(&next);
                if !visited.insert(print) {
                    continue;
                }
                report.states += 1;
                let fault = match next.is_quiet() {
                    true => {
                        report.quiet += 1;
                        next.fault_at_rest(bounds)
                    }
                    false if print % 8 == 0 => comes_to_rest(&next, bounds, mutant, &mut resting).err(),
                    false => None,
                };
                if fault.is_none() {
                    let actions = actions(&next, bounds, mutant);
                    path.push((next, actions, Some(action)));
                    continue;
                }
                fault
            }
        };
        if let Some(fault) = fault {
            let mut trace: Vec<Action> = path.iter().filter_map(|(_, _, taken)| taken.clone()).collect();
            trace.push(action);
            report.fault = Some((fault, trace));
            return report;
        }
    }
    report
}

/// A counterexample, one line an action, with what the worker was about to do.
pub fn tell_story(bounds: &Bounds, mutant: Mutant, trace: &[Action]) -> String {
    let mut world = World::new(bounds);
    let mut story = String::new();
    for action in trace {
        let slot = match *action {
            Action::Step { slot, .. }
            | Action::LoseAnswer { slot }
            | Action::Delay { slot }
            | Action::Refuse { slot }
            | Action::CrashBefore { slot }
            | Action::CrashAfter { slot }
            | Action::CrashDuring { slot }
            | Action::Notice { slot } => Some(slot),
            _ => None,
        };
        let effect = slot.map(|slot| format!("{:?}", worker_effect(&world, slot))).unwrap_or_default();
        story.push_str(&format!("  {action:?} {effect}\n"));
        match apply(&world, action, bounds, mutant) {
            Ok(next) => world = next,
            Err(fault) => {
                story.push_str(&format!("  → {fault}\n"));
                return story;
            }
        }
    }
    story.push_str(&format!(
        "  → source {} destination {:?} uploads {:?}\n",
        world.source, world.destination, world.uploads
    ));
    story
}

/// Whether an ending settles: mutants ask.
pub fn settles(ending: &Ending) -> bool {
    matches!(ending, Ending::Settled { .. })
}
