//! The promises of the design, asked of a fleet at rest. (What must never be, at rest or not, is asked where it would
//! happen: in `world.rs`, `services.rs` and `ends.rs`.)

use std::time::Duration;

use skyferry_core::metrics::Outcome;

use crate::clock;
use crate::faults::Op;
use crate::services::keys;
use crate::source::Entry;
use crate::world::World;
use crate::{scenario, source};

pub fn at_rest(world: &mut World) {
    let entries: Vec<Entry> = world.origin.entries.clone();
    for entry in entries.iter().filter(|entry| !entry.states.is_empty()) {
        match entry.poison {
            true => poisoned(world, entry),
            false => reconciled(world, entry),
        }
    }
    if !world.queue.expired.is_empty() {
        let text = format!("{} messages expired", world.queue.expired.len());
        world.broken(9, text);
    }
}

/// 9: nothing is there but what the destination refused for good.
pub fn dead_letters(world: &mut World) {
    for dead in std::mem::take(&mut world.queue.dead) {
        let keys = keys(&dead.body);
        let poisoned = keys.iter().any(|key| world.origin.find(key).is_some_and(|entry| entry.poison));
        if dead.reason.is_none() || !poisoned {
            let why = dead.reason.as_deref().unwrap_or("received too often");
            world.broken(9, format!("{keys:?} is in the dead letters: {why}"));
        }
    }
}

/// 1: it ended as parked, with a reason.
fn poisoned(world: &mut World, entry: &Entry) {
    if entry.newest().is_none() {
        return;
    }
    let item = world.ledger.items.get(&format!("{}/{}", source::BUCKET, entry.key));
    let parked = item.is_some_and(|item| item.outcome == Some(Outcome::Parked) && item.reason.is_some());
    if !parked {
        let says = item.map(|item| item.outcome);
        world.broken(1, format!("{} cannot be held, and its record says {says:?}", entry.key));
    }
}

/// 1, 3, 4: the destination holds the newest state, byte for byte, and the ledger says so.
fn reconciled(world: &mut World, entry: &Entry) {
    let copy = world.bucket.objects.get(&scenario::destination(&entry.key)).cloned();
    let item = world.ledger.items.get(&format!("{}/{}", source::BUCKET, entry.key)).cloned();
    let last = entry.states.len() - 1;
    let Some(item) = item else {
        return world.broken(1, format!("{} has no record", entry.key));
    };
    let Some(newest) = entry.newest() else {
        if let Some(copy) = copy.filter(|_| world.deletes) {
            if world.exact {
                return world.known("B6");
            }
            let text = format!("{} was deleted (state {last}), and {:?} is still there", entry.key, copy.provenance);
            world.broken(4, text);
        }
        return;
    };
    let Some(copy) = copy else {
        return world.broken(4, format!("{} is at state {last}, and nothing is at the destination", entry.key));
    };
    let holds = copy.provenance.as_ref().and_then(|provenance| entry.by_identity(&provenance.identity));
    if Some(&copy.bytes) != newest.bytes.as_ref() {
        let holds = holds.map(|(number, _)| number);
        return world.broken(4, format!("{} is at state {last}, and the destination holds {holds:?}", entry.key));
    }
    if copy.metadata.content_type.as_deref() != Some(&*newest.content_type) {
        let text =
            format!("{} has {:?}, and its copy {:?}", entry.key, newest.content_type, copy.metadata.content_type);
        return headers(world, entry, text);
    }
    let settled = matches!(item.outcome, Some(Outcome::Copied | Outcome::Unchanged));
    let published = item.published.as_ref().is_some_and(|p| p.revision == copy.revision);
    if !settled || !published {
        let text =
            format!("{}: the copy is right, and the record says {:?}, {:?}", entry.key, item.outcome, item.published);
        world.broken(1, text);
    }
}

/// B8: the same bytes within the same second cannot be distinguished by identity.
fn headers(world: &mut World, entry: &Entry, text: String) {
    let states: Vec<_> = entry.states.iter().rev().take(3).collect();
    let alike = |pair: &[&crate::source::State]| {
        pair[0].identity.etag == pair[1].identity.etag
            && pair[0].identity.last_modified == pair[1].identity.last_modified
    };
    match states.windows(2).any(alike) {
        true => world.known("B8"),
        false => world.broken(4, text),
    }
}

/// What had moved before.
pub struct Before {
    read: u64,
    sent: u64,
    looks: u64,
    messages: u64,
}

fn looks(world: &World) -> u64 {
    let of = [Op::HeadSource, Op::HeadObject, Op::Lookup];
    of.iter().filter_map(|op| world.seen.requests.get(op)).sum()
}

/// 5: finished messages come again.
pub fn deliver_again(world: &mut World) -> Before {
    let (mut messages, entries) = (0, world.origin.entries.len());
    for index in 0..entries {
        let entry = &world.origin.entries[index];
        let name = format!("{}/{}", source::BUCKET, entry.key);
        // A begin that landed when all was over leaves a writer open: the next look closes it.
        let ended = world.ledger.items.get(&name).is_some_and(|item| item.ended && item.writers.is_empty());
        if entry.poison || entry.newest().is_none() || !ended || !world.dice.chance(400) {
            continue;
        }
        let body = scenario::alone(world, index);
        world.queue.send(&body, Duration::ZERO, 1, clock::now());
        messages += 1;
    }
    Before { read: world.seen.read, sent: world.seen.sent, looks: looks(world), messages }
}

pub fn nothing_moved(world: &mut World, before: &Before) {
    let (read, sent) = (world.seen.read - before.read, world.seen.sent - before.sent);
    if read + sent > 0 {
        world.broken(5, format!("{read} bytes were read and {sent} sent for messages that had ended"));
    }
    let asked = looks(world) - before.looks;
    if asked > 3 * before.messages {
        world.broken(5, format!("{asked} looks for {} messages that had ended", before.messages));
    }
}

/// 10: after a day nobody's upload is left but somebody else's. One that was aborted is not left, even where it is listed yet.
pub fn no_orphans(world: &mut World) {
    let open: Vec<String> = world
        .bucket
        .uploads
        .iter()
        .filter(|(_, u)| u.with.is_some() && u.lingers.is_none())
        .map(|(id, u)| format!("{id} at {}", u.key))
        .collect();
    if !open.is_empty() {
        world.broken(10, format!("a day later there are still open uploads: {open:?}"));
    }
    if !world.bucket.uploads.values().any(|upload| upload.with.is_none()) {
        world.broken(10, "somebody else's upload is gone".to_owned());
    }
}
