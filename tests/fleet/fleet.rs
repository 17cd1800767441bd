//! A day of a fleet: times of trouble, each followed by a time without until everything rests, and what is checked then.

use std::sync::Arc;
use std::time::Duration;

use skyferry_agent::janitor::SweepScope;
use skyferry_core::ambient;
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::agent::{Agent, Settings, janitor};
use crate::clock::{self, Time};
use crate::port::Port;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::world::{Event, Seen, Shared, minutes};
use crate::{check, scenario};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// By when a backlog is gone, once nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// How a day went.
pub struct Report {
    pub seed: u64,
    pub violations: Vec<String>,
    pub seen: Seen,
    pub trace: u64,
    pub scenario: String,
    pub largest: (usize, usize),
}

pub struct Fleet {
    pub world: Shared,
    pub settings: Settings,
    agents: Vec<Agent>,
    born: u32,
    now: Time,
    /// What the fleet itself does by chance.
    dice: Rng,
}

/// Lives through one day of the fleet that this seed describes.
pub fn live(seed: u64, verbose: bool) -> Report {
    let _guard = ambient::replace(seed, || clock::wall(clock::now()));
    clock::set(Duration::ZERO);
    let mut dice = Rng::new(seed);
    let Scenario { world, settings, text } = scenario::draw(&mut dice, verbose);
    let (world, born) = (Shared::new(world), 0);
    let mut fleet = Fleet { world, settings, agents: Vec::new(), born, now: Duration::ZERO, dice };
    fleet.start();
    while fleet.now < DAY && fleet.fine() {
        let length = minutes(fleet.dice.between(20, 90));
        scenario::trouble(&mut fleet.world.lock(), fleet.now, length, &fleet.settings);
        fleet.run(fleet.now + length);
        if fleet.rest() {
            check::dead_letters(&mut fleet.world.lock());
        }
        if fleet.fine() {
            check::at_rest(&mut fleet.world.lock());
            fleet.nothing_moves_again();
        }
        let pause = minutes(fleet.dice.between(30, 300));
        fleet.run(fleet.now + pause);
    }
    fleet.janitors_day();
    fleet.agents.clear();
    let world = fleet.world.lock();
    let (violations, seen) = (world.violations.clone(), world.seen.clone());
    Report { seed, violations, seen, trace: world.trace, scenario: text, largest: world.ledger.largest }
}

impl Fleet {
    fn fine(&self) -> bool {
        self.world.lock().violations.is_empty()
    }

    fn start(&mut self) {
        while self.agents.len() < self.settings.agents {
            self.born += 1;
            self.agents.push(Agent::start(self.born, &self.world, &self.settings, self.now));
        }
    }

    /// Lives until then: whoever is furthest behind takes the next turn.
    fn run(&mut self, end: Time) {
        while self.fine() {
            let (next, idle) = {
                let world = self.world.lock();
                (world.next().unwrap_or(Time::MAX), world.queue.messages.is_empty())
            };
            let awake = self.agents.iter().enumerate().filter(|(_, agent)| !agent.frozen);
            let last = awake.min_by_key(|(_, agent)| agent.local).map(|(at, agent)| (at, agent.local));
            let reached = last.map_or(Time::MAX, |(_, local)| local);
            if next <= reached && next <= end {
                self.now = self.now.max(next);
                self.happen(next);
                continue;
            }
            let Some((at, local)) = last.filter(|(_, local)| *local < end) else { break };
            self.now = self.now.max(local);
            let idle = idle && self.agents.iter().all(|agent| agent.frozen || !agent.is_busy());
            let until = self.turn(at, local, idle).min(end).min(next.max(local + Duration::from_millis(1)));
            self.agents[at].drive(until, false);
            self.after_turn(at);
        }
        self.now = self.now.max(end);
        clock::set(self.now);
    }

    /// Short where something happens, long where nothing can.
    fn turn(&mut self, at: usize, local: Time, idle: bool) -> Time {
        let visible = self.world.lock().next_visible();
        let quiet =
            idle || (visible.is_some_and(|v| v > local + minutes(1)) && !self.agents.iter().any(Agent::is_busy));
        match (self.agents[at].is_busy(), quiet) {
            (true, _) => local + self.dice.millis(20, 250),
            (false, true) => (local + Duration::from_secs(20)).min(visible.unwrap_or(Time::MAX)),
            (false, false) => local + self.dice.millis(200, 1_000),
        }
    }

    fn after_turn(&mut self, at: usize) {
        let agent = &self.agents[at];
        let mut world = self.world.lock();
        if agent.over_budget() {
            world.broken(12, format!("agent {} holds more bytes than its budget", agent.id));
        }
        if let Some(asked) = agent.asked {
            let late = agent.local.saturating_sub(asked) > Duration::from_secs(27);
            if late && !agent.has_ended() {
                world.broken(8, format!("agent {} is not out 27 s after SIGTERM", agent.id));
            }
            drop(world);
            if late || self.agents[at].has_ended() {
                let gone = self.agents.remove(at);
                drop(gone);
            }
        }
    }

    fn happen(&mut self, at: Time) {
        clock::set(at);
        let event = self.world.lock().agenda.pop_first();
        let Some((_, event)) = event else { return };
        match event {
            Event::Lands(effect) => effect(&mut self.world.lock()),
            Event::Change(key) => scenario::change(&mut self.world.lock(), key, at),
            Event::Notice(body) => {
                let mut world = self.world.lock();
                world.seen.messages += 1;
                world.note(0, "message", "", "");
                world.queue.send(&body, Duration::ZERO, 0, at);
            }
            Event::Kill => self.kill(at),
            Event::Freeze => self.freeze(at),
            Event::Thaw(id) => {
                if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == id && agent.frozen) {
                    agent.frozen = false;
                    let until = at.max(agent.local + Duration::from_millis(1));
                    agent.drive(until, true);
                }
            }
            Event::Terminate => {
                let at = self.dice.below(self.agents.len());
                let agent = self.agents.get_mut(at).filter(|agent| !agent.frozen && agent.asked.is_none());
                if let Some(agent) = agent {
                    let mut world = self.world.lock();
                    world.seen.terminations += 1;
                    world.note(agent.id, "SIGTERM", "", "");
                    drop(world);
                    agent.terminate();
                }
            }
            Event::Start => self.start(),
        }
    }

    fn kill(&mut self, at: Time) {
        if self.agents.is_empty() {
            return;
        }
        let agent = self.agents.swap_remove(self.dice.below(self.agents.len()));
        let mut world = self.world.lock();
        world.seen.kills += 1;
        world.note(agent.id, "SIGKILL", "", "");
        let back = at + world.dice.seconds(0, 300);
        world.plan(back, Event::Start);
        drop(world);
        drop(agent);
    }

    fn freeze(&mut self, at: Time) {
        let index = self.dice.below(self.agents.len());
        let Some(agent) = self.agents.get_mut(index).filter(|agent| !agent.frozen) else { return };
        agent.frozen = true;
        let mut world = self.world.lock();
        world.seen.freezes += 1;
        let hold = self.settings.hold.as_millis() as u64;
        // What wakes after the hold is beyond promise 4, and no sink without preconditions can stop it.
        let longest = if world.bucket.capabilities().conditional_put { hold * 3 } else { hold / 2 };
        let length = world.dice.millis(500, longest);
        world.overslept |= length > self.settings.hold;
        world.note(agent.id, "frozen", "", "");
        world.plan(at.max(agent.local) + length, Event::Thaw(agent.id));
    }

    /// Nothing fails any more, and all that was sent is worked off. `false`: it is not, which breaks a promise.
    fn rest(&mut self) -> bool {
        let end = self.now + PATIENCE;
        self.world.lock().faults = Default::default();
        self.world.lock().note(0, "calm", "", "");
        while self.fine() {
            self.run(self.now + Duration::from_secs(20));
            if self.agents.len() < self.settings.agents && self.world.lock().next().is_none() {
                self.start();
            }
            let quiet = self.world.lock().is_quiet() && !self.agents.iter().any(Agent::is_busy);
            if quiet {
                let mut world = self.world.lock();
                world.seen.rests += 1;
                world.overslept = false;
                return true;
            }
            if self.now > end {
                let mut world = self.world.lock();
                let left = world.queue.messages.values().next().cloned();
                let text = format!(
                    "{} messages are left after six hours without a fault: {left:?}",
                    world.queue.messages.len()
                );
                world.broken(9, text);
            }
        }
        false
    }

    /// What has been done is not done again: deliveries of finished messages move no bytes.
    fn nothing_moves_again(&mut self) {
        let before = {
            let mut world = self.world.lock();
            check::deliver_again(&mut world)
        };
        if self.rest() {
            check::nothing_moved(&mut self.world.lock(), &before);
        }
    }

    /// A day later no upload of ours is open.
    fn janitors_day(&mut self) {
        if !self.fine() {
            return;
        }
        self.agents.clear();
        self.now += DAY;
        clock::set(self.now);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let port = Arc::new(Port { world: self.world.clone(), agent: 0, sweeps: false });
        let now = self.now;
        let swept = runtime.block_on(async {
            clock::follow(Instant::now(), now);
            janitor(&port).sweep(SweepScope::OlderThan(skyferry_agent::janitor::AGE)).await
        });
        clock::set(now);
        let mut world = self.world.lock();
        if let Err(error) = swept {
            world.broken(10, format!("the sweep failed: {error}"));
        }
        check::no_orphans(&mut world);
    }
}
