//! What kind of fleet a seed describes, and what happens to it.

use std::time::Duration;

use skyferry_core::error::{ErrorKind, Side};
use skyferry_core::model::Key;
use skyferry_core::plan::PartSettings;
use skyferry_core::queue::QueueTraits;

use crate::agent::Settings;
use crate::clock::Time;
use crate::faults::{Faults, Rates, Window};
use crate::queue::Sqs;
use crate::rng::Rng;
use crate::source::{self, Entry, Origin};
use crate::store::{self, Bucket, Law};
use crate::world::{Event, World};

pub struct Scenario {
    pub world: World,
    pub settings: Settings,
    pub text: String,
}

pub fn draw(dice: &mut Rng, verbose: bool) -> Scenario {
    let law = dice.one_of(&[Law::S3, Law::S3, Law::S3, Law::Gcs, Law::Gcs, Law::Gcs, Law::Plain]);
    let versioned = dice.chance(400);
    let visibility = Duration::from_secs(dice.one_of(&[30, 60, 120, 600]));
    let large = dice.chance(100);
    let settings = Settings {
        agents: 1 + dice.below(20).min(dice.below(20)),
        cut: match large {
            true => PartSettings { multipart_threshold: 2 << 20, part_size: 256 << 10 },
            false => {
                PartSettings { multipart_threshold: dice.between(4, 40) << 10, part_size: dice.between(1, 6) << 10 }
            }
        },
        deletes: dice.chance(500),
        exact: versioned && dice.chance(250),
        hold: visibility.max(Duration::from_secs(60)),
        budget: dice.one_of(&[4u64, 16, 64]) << 20,
    };
    let traits = QueueTraits {
        visibility,
        retention: Duration::from_secs(dice.one_of(&[8 * 3600, 24 * 3600, 4 * 86_400])),
        max_receives: dice.one_of(&[None, Some(30), Some(60), Some(100)]),
        dead_letters: Some("dead".into()),
    };
    let entries = (0..dice.between(4, 40)).map(|n| entry(n, dice.chance(15))).collect();
    let origin = Origin { versioned, bare: dice.chance(200), entries, ..Origin::default() };
    let text =
        format!("{law:?} versioned={versioned} large={large} {settings:?} {traits:?} keys={}", origin.entries.len());
    let mut bucket = Bucket::new(law);
    // Somebody else's upload, which nobody may end.
    bucket.begin(&Key::from("in/somebody-else"), None, Duration::ZERO);
    let sqs = Sqs::new(traits);
    let world = World::new(Rng::new(dice.next()), sqs, origin, bucket, &settings, large, verbose);
    Scenario { world, settings, text }
}

fn entry(n: u64, poison: bool) -> Entry {
    let key = match n % 4 {
        0 => format!("a/{n}.jpg"),
        1 => format!("b c/{n}+x.txt"),
        2 => format!("ü/{n}%2F.bin"),
        _ => format!("d/../{n}/"),
    };
    Entry { key, states: Vec::new(), poison }
}

/// Changes, faults and deaths for so long.
pub fn trouble(world: &mut World, from: Time, length: Duration, settings: &Settings) {
    let end = from + length;
    let at = |world: &mut World| from + world.dice.millis(0, length.as_millis() as u64);
    let keys = world.origin.entries.len();
    for _ in 0..world.dice.between(10, 120) {
        let (when, first, second) = (at(world), world.dice.below(keys), world.dice.below(keys));
        world.plan(when, Event::Change(first.min(second)));
        // Often more than one change at once.
        if world.dice.chance(250) {
            let soon = when + world.dice.millis(0, 3_000);
            world.plan(soon, Event::Change(first.min(second)));
        }
    }
    let windows = windows(world, from, end);
    world.faults = Faults { windows, rates: rates(&mut world.dice) };
    let several = |world: &mut World, most: u64| if world.dice.chance(600) { world.dice.between(0, most) } else { 0 };
    let agents = settings.agents as u64;
    for _ in 0..several(world, 6 + agents) {
        let when = at(world);
        world.plan(when, Event::Kill);
    }
    for _ in 0..several(world, 6 + agents) {
        let when = at(world);
        world.plan(when, Event::Freeze);
    }
    for _ in 0..several(world, 4) {
        let when = at(world);
        world.plan(when, Event::Terminate);
        let back = when + world.dice.seconds(10, 300);
        world.plan(back, Event::Start);
    }
}

fn rates(dice: &mut Rng) -> Rates {
    if dice.chance(200) {
        return Rates::default();
    }
    let mut up_to = |most: u64| dice.between(0, most) as u32;
    Rates {
        refused: up_to(20),
        lost: up_to(30),
        slow: up_to(20),
        broken: up_to(10),
        trickle: up_to(30),
        garbled: up_to(2),
        conflict: up_to(20),
        lingering: up_to(200),
    }
}

fn windows(world: &mut World, from: Time, end: Time) -> Vec<Window> {
    let dice = &mut world.dice;
    let mut windows = Vec::new();
    for _ in 0..dice.between(0, 4) {
        let start = dice.millis(from.as_millis() as u64, end.as_millis() as u64);
        let to = (start + dice.seconds(5, 1_500)).min(end);
        let side = dice.one_of(&[Side::Source, Side::Destination, Side::Destination, Side::Queue, Side::Ledger]);
        let kind = dice.one_of(&[
            None,
            Some(ErrorKind::Unavailable),
            Some(ErrorKind::Unavailable),
            Some(ErrorKind::Throttled),
            Some(ErrorKind::Denied),
            Some(ErrorKind::Credentials),
            Some(ErrorKind::InvalidAnswer),
            Some(ErrorKind::Stalled),
        ]);
        let writes = if dice.chance(150) { Some(dice.chance(700)) } else { None };
        windows.push(Window { from: start, to, side, writes, kind });
    }
    windows
}

/// A key of the source gets a new state, and S3 says so: mostly soon, at least once, in no order.
pub fn change(world: &mut World, index: usize, now: Time) {
    world.seen.changes += 1;
    let exists = world.origin.entries[index].newest().is_some();
    let kind = world.dice.below(10);
    let removed = exists && kind == 0;
    if removed {
        world.origin.delete(index, now);
    } else {
        let size = size(&mut world.dice, world.large);
        world.origin.put(index, size, exists && kind == 1, now);
    }
    let key = world.origin.entries[index].key.clone();
    let number = world.origin.entries[index].states.len() - 1;
    world.note(0, "changed", &key, &format!("state {number}"));
    let body = notice(world, index, removed);
    let copies = if world.dice.chance(60) { 2 } else { 1 };
    for _ in 0..copies {
        let most = if world.dice.chance(100) { 90_000 } else { 3_000 };
        let at = now + world.dice.millis(50, most);
        world.plan(at, Event::Notice(body.clone()));
    }
}

fn size(dice: &mut Rng, large: bool) -> usize {
    match dice.below(20) {
        0 => 0,
        1..=10 => dice.between(1, 4_000) as usize,
        11..=18 => dice.between(4_000, 60_000) as usize,
        _ if large => dice.between(1, 3 << 20) as usize,
        _ => dice.between(60_000, 160_000) as usize,
    }
}

/// As S3 writes it; sometimes with the news of another key in the same message.
pub fn notice(world: &mut World, index: usize, removed: bool) -> String {
    let mut records = vec![record(world, index, removed)];
    if world.dice.chance(50) {
        let other = world.dice.below(world.origin.entries.len());
        if !world.origin.entries[other].states.is_empty() {
            let gone = world.origin.entries[other].newest().is_none();
            records.push(record(world, other, gone));
        }
    }
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// The newest of one key alone.
pub fn alone(world: &World, index: usize) -> String {
    format!(r#"{{"Records":[{}]}}"#, record(world, index, false))
}

fn record(world: &World, index: usize, removed: bool) -> String {
    let entry = &world.origin.entries[index];
    let encoded: String = entry.key.bytes().map(encode).collect();
    let Some(state) = entry.states.last() else { return String::new() };
    let version =
        state.identity.version.as_ref().map_or(String::new(), |version| format!(r#","versionId":"{version}""#));
    let (name, facts) = match removed {
        true if state.identity.version.is_some() => ("ObjectRemoved:DeleteMarkerCreated", String::new()),
        true => ("ObjectRemoved:Delete", String::new()),
        false => {
            let (size, etag) = (state.identity.size, &state.identity.etag);
            ("ObjectCreated:Put", format!(r#","size":{size},"eTag":"{etag}""#))
        }
    };
    let bucket = source::BUCKET;
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"{name}","s3":{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{encoded}"{facts}{version}}}}}}}"#
    )
}

fn encode(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    }
}

/// Where a source key goes.
pub fn destination(key: &str) -> Key {
    Key::from(format!("{}{key}", store::PREFIX).as_str())
}
