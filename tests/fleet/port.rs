//! One agent's way to the world: a request leaves, takes its time, takes effect or not, and its answer comes back or not. A
//! request whose sender was killed, or gave it up, may take effect all the same.

use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::Location;
use std::time::Duration;

use crate::clock;
use crate::faults::{Fate, LATE, Op};
use crate::world::{Event, Shared, World};

#[derive(Clone)]
pub struct Port {
    pub world: Shared,
    pub agent: u32,
    /// It is the janitor's: what it looks up is no job's look.
    pub sweeps: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug)]
pub struct PortError {
    pub kind: ErrorKind,
    pub wait: Option<Duration>,
}

impl PortError {
    pub fn at(self, op: Op, at: &Location) -> CopyError {
        let error = CopyError::new(op.side(), self.kind, op.name(), at, "simulated");
        CopyError { retry_after: self.wait, ..error }
    }
}

/// A request on its way.
struct Flight<T, F: FnOnce(&mut World) -> T + Send + 'static> {
    port: Port,
    op: Op,
    effect: Option<F>,
    /// When it takes effect if its sender gives it up. Drawn as it leaves: a process that is killed drops its requests in no
    /// order that a seed decides.
    abandoned: Option<Duration>,
}

impl<T, F: FnOnce(&mut World) -> T + Send + 'static> Drop for Flight<T, F> {
    fn drop(&mut self) {
        let Some(effect) = self.effect.take().filter(|_| self.op.writes()) else { return };
        if let Some(after) = self.abandoned {
            plan_late(&mut self.port.world.lock(), clock::now() + after, self.op, effect);
        }
    }
}

fn plan_late<T>(world: &mut World, at: Duration, op: Op, effect: impl FnOnce(&mut World) -> T + Send + 'static) {
    let lands = move |world: &mut World| {
        world.seen.landed_late += 1;
        world.note(0, "lands", op.name(), "");
        effect(world);
    };
    world.plan(at, Event::Lands(Box::new(lands)));
}

impl Port {
    pub async fn call<T, F>(&self, op: Op, key: &str, effect: F) -> Result<T, PortError>
    where
        F: FnOnce(&mut World) -> T + Send + 'static,
    {
        let (course, abandoned) = {
            let mut world = self.world.lock();
            world.count(self.agent, op, key, self.sweeps);
            let World { faults, dice, .. } = &mut *world;
            let course = faults.course(op, clock::now(), dice);
            (course, dice.chance(500).then(|| dice.millis(0, LATE)))
        };
        let mut flight = Flight { port: self.clone(), op, effect: Some(effect), abandoned };
        tokio::time::sleep(course.before).await;
        let answer = {
            let mut world = self.world.lock();
            let lost = PortError {
                kind: if op.writes() { ErrorKind::LostAnswer } else { ErrorKind::Unavailable },
                wait: None,
            };
            world.note(self.agent, op.name(), key, &fate(course.fate));
            match (course.fate, flight.effect.take()) {
                (Fate::Fine, Some(effect)) => Ok(effect(&mut world)),
                (Fate::Refused(kind, wait), _) => Err(PortError { kind, wait }),
                (Fate::LostAfter, Some(effect)) => {
                    effect(&mut world);
                    Err(lost)
                }
                (Fate::LostLate(after), Some(effect)) => {
                    plan_late(&mut world, clock::now() + after, op, effect);
                    Err(lost)
                }
                _ => Err(lost),
            }
        };
        if let Err(trouble) = &answer {
            *self.world.lock().seen.faults.entry(format!("{} {:?}", op.side(), trouble.kind)).or_default() += 1;
        }
        tokio::time::sleep(course.after).await;
        answer
    }
}

fn fate(fate: Fate) -> String {
    if fate == Fate::Fine { String::new() } else { format!("{fate:?}") }
}
