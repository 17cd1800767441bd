//! On a simulated line, in simulated time: jobs that take a round trip and the time that one server takes for them, which is
//! the line, the service or the machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const START: usize = 64;
const MOST: usize = 1024;

/// What objects meet: a round trip, and how many a second pass at most.
#[derive(Clone, Copy, Debug)]
struct Line {
    trip: f64,
    rate: f64,
    /// Objects differ by up to this share.
    noise: f64,
    /// The share of those that meet a lost packet: they take three trips.
    loss: f64,
}

impl Line {
    fn new(trip: f64, rate: f64) -> Line {
        Line { trip, rate, noise: 0.3, loss: 0.0 }
    }

    /// How many fill it.
    fn full(&self) -> f64 {
        self.trip * (1.0 + 2.0 * self.loss) * self.rate
    }
}

/// Some agents on one line, each with objects without end.
struct World {
    line: Line,
    agents: Vec<(ObjectLimit, usize)>,
    /// When the line is free again.
    free: f64,
    now: f64,
    began: Instant,
    /// By the time of their end: whose, and when they began.
    objects: BinaryHeap<Reverse<(u64, usize, u64)>>,
    ended: Vec<usize>,
    dice: StdRng,
}

const NANOS: f64 = 1e9;

impl World {
    fn new(line: Line, seed: u64) -> World {
        let dice = StdRng::seed_from_u64(seed);
        let (agents, objects, ended) = (Vec::new(), BinaryHeap::new(), Vec::new());
        World { line, agents, free: 0.0, now: 0.0, began: Instant::now(), objects, ended, dice }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    fn join(&mut self) {
        self.agents.push((ObjectLimit::new(START, MOST, self.at(self.now)), 0));
        self.ended.push(0);
        self.fill(self.agents.len() - 1);
    }

    fn fill(&mut self, agent: usize) {
        while self.agents[agent].1 < self.agents[agent].0.get() {
            let (now, Line { trip, rate, noise, loss }) = (self.now, self.line);
            let trips = if self.dice.random_bool(loss) { 3.0 } else { 1.0 };
            let trip = trip * trips * (1.0 + noise * self.dice.random_range(-1.0..=1.0));
            self.free = self.free.max(now) + 1.0 / rate;
            let end = self.free + trip;
            let at = self.at(now);
            self.agents[agent].0.on_started(at);
            self.agents[agent].1 += 1;
            self.objects.push(Reverse(((end * NANOS) as u64, agent, (now * NANOS) as u64)));
        }
    }

    /// Goes on until `end`; how many objects each agent has ended meanwhile, and its lowest and highest level.
    fn run(&mut self, end: f64) -> Vec<(usize, usize, usize)> {
        let mut seen: Vec<_> = self.agents.iter().map(|(level, _)| (0, level.get(), level.get())).collect();
        while let Some(Reverse((at, agent, began))) = self.objects.pop() {
            self.now = at as f64 / NANOS;
            let (began, now) = (self.at(began as f64 / NANOS), self.at(self.now));
            let (level, in_flight) = &mut self.agents[agent];
            *in_flight -= 1;
            level.on_finished(began, true, true, now);
            let (ended, least, most) = seen[agent];
            seen[agent] = (ended + 1, least.min(level.get()), most.max(level.get()));
            self.fill(agent);
            if self.now >= end {
                break;
            }
        }
        seen
    }

    fn level(&self, agent: usize) -> usize {
        self.agents[agent].0.get()
    }
}

/// Of one agent that is alone.
fn alone(line: Line) -> World {
    let mut world = World::new(line, 7);
    world.join();
    world
}

#[test]
fn within_twenty_round_trips_a_far_line_is_full() {
    for (trip, rate) in [(0.2, 3_000.0), (0.2, 5_000.0), (0.3, 1_000.0), (0.4, 1_500.0), (0.25, 100_000.0)] {
        let line = Line::new(trip, rate);
        let mut world = alone(line);
        world.run(20.0 * trip.max(0.2));
        let (ended, ..) = world.run(world.now + 40.0 * trip)[0];
        let could = rate.min(MOST as f64 / trip) * 40.0 * trip;
        assert!(ended as f64 > 0.9 * could, "{line:?}: {ended} of {could}, level {}", world.level(0));
    }
}

#[test]
fn where_more_bring_no_more_there_are_no_more() {
    // A machine that is busy with fewer, a slow line, and one whose objects take long.
    for line in [Line::new(0.001, 8_000.0), Line::new(0.05, 50.0), Line::new(1.0, 20.0)] {
        let mut world = alone(line);
        world.run(30.0 * (START as f64 / line.rate).max(0.2));
        let (_, _, most) = world.run(world.now + 600.0)[0];
        assert!(most <= START * 2 && world.level(0) <= START * 5 / 4, "{line:?}: {most}, {}", world.level(0));
    }
}

#[test]
fn a_level_that_was_found_stays_within_a_fifth() {
    for (trip, rate) in [(0.2, 1_000.0), (0.2, 3_000.0), (0.3, 2_000.0)] {
        let mut world = alone(Line::new(trip, rate));
        world.run(30.0);
        let mut ended = 0;
        let mut levels: Vec<usize> = Vec::new();
        for second in 0..300 {
            ended += world.run(f64::from(31 + second))[0].0;
            levels.push(world.level(0));
        }
        levels.sort_unstable();
        // Nineteen of twenty.
        let [least, found, most] = [8, 150, 292].map(|at| levels[at] as f64);
        assert!(least >= 0.8 * found && most <= 1.2 * found, "{trip} {rate}: {least} to {most}, most often {found}");
        assert!(ended as f64 > 0.95 * rate * 300.0, "{ended}");
    }
}

#[test]
fn a_line_that_changes_is_followed() {
    let mut world = alone(Line::new(0.2, 4_000.0));
    world.run(20.0);
    assert!(world.level(0) >= 700, "{}", world.level(0));
    world.line = Line::new(0.02, 1_000.0);
    world.run(60.0);
    assert!(world.level(0) <= 2 * START, "{}", world.level(0));
    world.line = Line::new(0.3, 3_000.0);
    world.run(100.0);
    assert!(world.level(0) >= 700, "{}", world.level(0));
}

#[test]
fn two_agents_share_a_line_also_when_one_comes_later() {
    for late in [0.0, 30.0] {
        let mut world = alone(Line::new(0.2, 2_000.0));
        world.run(late);
        world.join();
        world.run(world.now + 30.0);
        let seen = world.run(world.now + 120.0);
        let [first, second] = [seen[0].0 as f64, seen[1].0 as f64];
        let fair = (first + second).powi(2) / (2.0 * (first.powi(2) + second.powi(2)));
        assert!(fair > 0.9, "{late}: {first} and {second}, levels {} and {}", world.level(0), world.level(1));
        assert!(first + second > 0.95 * 2_000.0 * 120.0, "{late}: {first} and {second}");
    }
}

#[test]
fn what_fails_fast_is_no_reason_to_grow_and_what_stands_still_is_one_to_shrink() {
    let now = Instant::now();
    let mut level = ObjectLimit::new(START, MOST, now);
    let mut at = now;
    for _ in 0..10_000 {
        level.on_started(at);
        at += Duration::from_millis(1);
        level.on_finished(at - Duration::from_millis(1), false, true, at);
    }
    assert_eq!((level.get(), level.reason()), (START, LimitReason::Start));
    level.stalled(at);
    level.stalled(at);
    assert_eq!((level.get(), level.reason()), (START / 2, LimitReason::Stalled));
}

proptest! {
    // Always the same lines: what is measured here has no sharp bound.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(32) })]
    /// Whatever the line is like, it is used, and nothing is held that brings nothing.
    #[test]
    fn any_line_is_used(
        trip in 0.001f64..1.0, rate in 20.0f64..10_000.0, noise in 0.0f64..0.6, loss in 0.0f64..0.05, seed: u64,
    ) {
        let line = Line { trip, rate, noise, loss };
        let mut world = World::new(line, seed);
        world.join();
        let trip = (trip * (1.0 + 2.0 * loss)).max(0.2).max(START as f64 / rate);
        world.run(30.0 * trip);
        let (ended, ..) = world.run(world.now + 100.0 * trip)[0];
        let could = rate.min(MOST as f64 / (line.full() / rate)) * 100.0 * trip;
        prop_assert!(ended as f64 > 0.85 * could, "{ended} of {could}, level {}", world.level(0));
        let enough = (line.full() * 2.5).max(2.0 * START as f64);
        prop_assert!((world.level(0) as f64) <= enough, "{} of {enough}", world.level(0));
    }
}
