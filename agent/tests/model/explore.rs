//! Depth-first through every state that the bounds allow, each visited once.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::actions::{Action, actions, apply};
use crate::bounds::Bounds;
use crate::mutants::Mutant;
use crate::names::{Fingerprint, Newest};
use crate::world::World;

pub struct Report {
    pub states: usize,
    pub quiet: usize,
    pub fault: Option<(String, Vec<Action>)>,
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are kept")
    }
    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}

type Prints = HashSet<u128, BuildHasherDefault<Itself>>;

/// A state, but for names, and the worker that comes first in it: the order of workers, of uploads and of requests
/// in progress has no meaning, so it has none here.
fn fingerprint(world: &World, bounds: &Bounds) -> (u128, usize) {
    let newest = bounds.newest(world);
    let mut print = Fingerprint::new(newest);
    let faults = &world.faults;
    let numbers = [world.source as u8, u8::from(world.started), world.refused, faults.crashes];
    let more = [faults.losses, faults.lease_losses, faults.reaps, faults.garbles, faults.intrusions, faults.lingers];
    let numbers = numbers.into_iter().chain(more).chain([faults.refusals]);
    print.write_u64(numbers.fold(0, |sum, n| sum << 5 | n as u64));
    world.messages.hash(&mut print);
    (&world.record, &world.destination).hash(&mut print);
    if bounds.destinations > 1 {
        world.elsewhere.hash(&mut print);
    }
    let shapes = world.workers.each_ref().map(|worker| Fingerprint::shape(newest, worker));
    let first = usize::from(shapes[1] > shapes[0]);
    (&world.workers[first], &world.workers[1 - first]).hash(&mut print);
    in_order(newest, &world.uploads, &mut print);
    in_order(newest, &world.late, &mut print);
    (print.print(), first)
}

fn in_order<T: Hash>(newest: Newest, things: &[T], print: &mut Fingerprint) {
    print.write_usize(things.len());
    if let [one] = things {
        return one.hash(print);
    }
    let mut ordered: Vec<&T> = things.iter().collect();
    ordered.sort_by_cached_key(|thing| Fingerprint::shape(newest, *thing));
    ordered.into_iter().for_each(|thing| thing.hash(print));
}

/// With no more faults and no more changes, everything comes to rest, and right. Two workers that are busy take turns,
/// so that neither gets out of the other's way by chance.
fn comes_to_rest(world: &World, bounds: &Bounds, mutant: Mutant, known: &mut Prints) -> Result<(), String> {
    let mut world = world.clone();
    let mut passed = Vec::new();
    let mut turn = 0;
    world.late.clear();
    for _ in 0..600 {
        let (print, first) = fingerprint(&world, bounds);
        let print = print ^ u128::from(first == turn);
        if world.is_quiet() || known.contains(&print) {
            known.extend(passed);
            return world.is_quiet().then(|| world.fault_at_rest(bounds)).flatten().map_or(Ok(()), Err);
        }
        passed.push(print);
        let others_first = world.workers[1 - turn].as_ref().is_some_and(|other| other.new);
        let slot = if world.workers[turn].is_none() || others_first { 1 - turn } else { turn };
        turn = 1 - slot;
        // The longest of the holds has passed, if one is asked for.
        let next = |action: &Action| match *action {
            Action::Receive { .. } => world.workers.iter().all(Option::is_none),
            Action::Step { slot: whose, turn } => whose == slot && patience(&world, bounds, mutant, slot) == turn,
            _ => false,
        };
        let action = actions(&world, bounds, mutant).into_iter().find(next);
        world = apply(&world, &action.expect("somebody can go on"), bounds, mutant)?;
    }
    Err("without further faults it does not come to rest".to_string())
}

/// The turn in which whoever begins has waited for all that there is to wait for.
fn patience(world: &World, bounds: &Bounds, mutant: Mutant, slot: usize) -> u8 {
    match world.worker(slot).effect {
        skyferry_core::protocol::Effect::Begin if bounds.hold => world.ripe(slot, mutant.shares_records()),
        _ => 0,
    }
}

/// Visits every state; stops at the first broken promise.
pub fn explore(bounds: &Bounds, mutant: Mutant) -> Report {
    let (mut visited, mut resting) = (Prints::default(), Prints::default());
    let mut report = Report { states: 0, quiet: 0, fault: None };
    let start = World::new(bounds);
    let first = actions(&start, bounds, mutant);
    let mut path: Vec<(World, Vec<Action>, Option<Action>)> = vec![(start, first, None)];
    while let Some((world, left, _)) = path.last_mut() {
        let Some(action) = left.pop() else {
            path.pop();
            continue;
        };
        let fault = match apply(world, &action, bounds, mutant) {
            Err(fault) => fault,
            Ok(next) => {
                let (print, _) = fingerprint(&next, bounds);
                if !visited.insert(print) {
                    continue;
                }
                report.states += 1;
                report.quiet += usize::from(next.is_quiet());
                match fault_in(&next, print, bounds, mutant, &mut resting) {
                    Some(fault) => fault,
                    None => {
                        let actions = actions(&next, bounds, mutant);
                        path.push((next, actions, Some(action)));
                        continue;
                    }
                }
            }
        };
        let taken = path.into_iter().filter_map(|(_, _, taken)| taken);
        report.fault = Some((fault, taken.chain([action]).collect()));
        return report;
    }
    report
}

/// Every sixteenth state is followed to where it comes to rest.
fn fault_in(world: &World, print: u128, bounds: &Bounds, mutant: Mutant, resting: &mut Prints) -> Option<String> {
    if world.is_quiet() {
        return world.fault_at_rest(bounds);
    }
    if !print.is_multiple_of(16) {
        return None;
    }
    comes_to_rest(world, bounds, mutant, resting).err()
}

/// A counterexample, one line an action, with what the worker was about to do.
pub fn tell_story(bounds: &Bounds, mutant: Mutant, trace: &[Action]) -> String {
    let mut world = World::new(bounds);
    let mut story = String::new();
    for action in trace {
        let slot = action.slot();
        let effect = slot.map(|slot| format!("{:?}", world.worker(slot).effect)).unwrap_or_default();
        story.push_str(&format!("  {action:?} {effect}"));
        match apply(&world, action, bounds, mutant) {
            Ok(next) => world = next,
            Err(fault) => {
                story.push_str(&format!("\n  → {fault}\n"));
                return story;
            }
        }
        let ended = slot.is_some_and(|slot| world.workers[slot].is_none());
        story.push_str(if ended { " – and ends\n" } else { "\n" });
    }
    story.push_str(&format!("  → source {} destination {:?}\n", world.source, world.destination));
    story.push_str(&format!("  → uploads {:?} record {:?}\n", world.uploads, world.record));
    story
}
