//! What is known of each channel and verb, and of the objects that fail there.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{Blame, CHANNELS, Channel, ObjectHash, Outage, RequestVerb};
use skyferry_core::error::CopyError;

/// So many failures in a row, over all jobs, open the breaker.
const IN_A_ROW: u32 = 5;
/// Failing objects that are remembered, the last ones. More than these is an outage, which needs no memory of them.
const REMEMBERED: usize = 1_000;

#[derive(Default)]
pub(super) struct BreakerState {
    channels: [Row; CHANNELS.len()],
    verbs: HashMap<RequestVerb, Tried>,
    failing: HashMap<ObjectHash, FailingObject>,
}

/// A channel's failures since its last success.
#[derive(Default)]
struct Row {
    length: u32,
    /// The first few objects.
    objects: Vec<ObjectHash>,
    began: Option<Instant>,
    cause: &'static str,
    /// The last error, where it is known.
    last: Option<CopyError>,
}

impl Row {
    /// One object that is tried again and again is no outage.
    fn is_open(&self) -> bool {
        self.length >= IN_A_ROW && self.objects.len() > 1
    }
}

/// A verb's last successes, and who has failed since.
#[derive(Default)]
struct Tried {
    failing: Vec<ObjectHash>,
    passed: Option<(ObjectHash, Instant)>,
    /// The last one of another object than that.
    passed_other: Option<Instant>,
}

impl Tried {
    fn object_succeeded(&mut self, object: ObjectHash, now: Instant) {
        if let Some((_, before)) = self.passed.filter(|(last, _)| *last != object) {
            self.passed_other = Some(before);
        }
        self.passed = Some((object, now));
        self.failing.clear();
    }

    /// When others than this one passed: its own success proves nothing about it.
    fn passed_by_others(&self, object: ObjectHash) -> Option<Instant> {
        self.passed.filter(|(last, _)| *last != object).map_or(self.passed_other, |(_, at)| Some(at))
    }
}

pub(super) struct FailingObject {
    /// The verbs that it fails at, and since when.
    since: Vec<(RequestVerb, Instant)>,
    last: CopyError,
    at: Instant,
}

/// The first few objects of a row.
fn note(objects: &mut Vec<ObjectHash>, object: ObjectHash) {
    if objects.len() < IN_A_ROW as usize && !objects.contains(&object) {
        objects.push(object);
    }
}

impl BreakerState {
    fn row(&mut self, channel: Channel) -> &mut Row {
        &mut self.channels[channel as usize]
    }

    pub fn consecutive_failures(&self, channel: Channel) -> u32 {
        self.channels[channel as usize].length
    }

    /// Whether that closed the breaker.
    pub fn succeeded(&mut self, channel: Channel) -> bool {
        let row = std::mem::take(self.row(channel));
        let open = row.is_open();
        if open {
            // What failed in an outage starts with a clean sheet.
            self.clear_failures(|verb| verb.channel == channel);
        }
        open
    }

    pub fn object_succeeded(&mut self, verb: RequestVerb, object: ObjectHash, now: Instant) -> bool {
        self.verbs.entry(verb).or_default().object_succeeded(object, now);
        verb.proves_its_channel() && self.succeeded(verb.channel)
    }

    fn clear_failures(&mut self, verbs: impl Fn(RequestVerb) -> bool) {
        self.failing.values_mut().for_each(|failing| failing.since.retain(|(verb, _)| !verbs(*verb)));
    }

    pub fn failed(&mut self, channel: Channel, object: ObjectHash, cause: &'static str, now: Instant) {
        let row = self.row(channel);
        row.began.get_or_insert(now);
        (row.length, row.cause) = (row.length.saturating_add(1), cause);
        note(&mut row.objects, object);
    }

    pub fn object_failed(
        &mut self,
        verb: RequestVerb,
        object: ObjectHash,
        error: &CopyError,
        cause: &'static str,
        now: Instant,
    ) -> Blame {
        self.failed(verb.channel, object, cause, now);
        self.row(verb.channel).last = Some(error.clone());
        note(&mut self.verbs.entry(verb).or_default().failing, object);
        let failing = self.note_error(object, error, now);
        let since = match failing.since.iter().find(|(failed, _)| *failed == verb) {
            Some((_, since)) => *since,
            None => {
                failing.since.push((verb, now));
                now
            }
        };
        self.blame(verb, object, since)
    }

    /// The object's last error.
    pub fn note_error(&mut self, object: ObjectHash, error: &CopyError, now: Instant) -> &mut FailingObject {
        if self.failing.len() >= REMEMBERED && !self.failing.contains_key(&object) {
            let oldest = self.failing.iter().min_by_key(|(_, failing)| failing.at).map(|(object, _)| *object);
            oldest.and_then(|oldest| self.failing.remove(&oldest));
        }
        let failing = self.failing.entry(object).or_insert_with(|| FailingObject {
            since: Vec::new(),
            last: error.clone(),
            at: now,
        });
        (failing.last, failing.at) = (error.clone(), now);
        failing
    }

    /// An object is to blame when others have passed since it first failed: others of the same verb, or where it is the only
    /// one to ask for that, others of the channel.
    fn blame(&self, verb: RequestVerb, object: ObjectHash, since: Instant) -> Blame {
        let row = &self.channels[verb.channel as usize];
        let others = |of: &dyn Fn(RequestVerb) -> bool| {
            let tried = self.verbs.iter().filter(|(verb, _)| of(**verb));
            tried.filter_map(|(_, tried)| tried.passed_by_others(object)).any(|at| at > since)
        };
        let alone = self.verbs.get(&verb).is_none_or(|tried| tried.failing.len() < 2);
        match () {
            () if row.is_open() => Blame::Outage,
            () if others(&|tried| tried == verb) => Blame::Object,
            () if !alone => Blame::Outage,
            () if others(&|tried| tried.channel == verb.channel && tried.proves_its_channel()) => Blame::Object,
            () if row.objects.len() > 1 => Blame::Outage,
            () => Blame::Unknown,
        }
    }

    pub fn forget(&mut self, object: ObjectHash) {
        self.failing.remove(&object);
        for row in self.channels.iter_mut().filter(|row| row.objects.contains(&object)) {
            row.objects.retain(|failed| *failed != object);
            // It was the only one: nobody is in trouble any more.
            if row.objects.is_empty() {
                *row = Row::default();
            }
        }
    }

    pub fn object_ended(&mut self, object: ObjectHash, at: Instant) {
        match self.failing.get_mut(&object) {
            Some(failing) if failing.at > at => failing.since.retain(|(_, since)| *since > at),
            Some(_) => drop(self.failing.remove(&object)),
            None => {}
        }
    }

    pub fn unsettled_errors(&self) -> Vec<CopyError> {
        let mut failing: Vec<_> = self.failing.values().collect();
        failing.sort_by_key(|failing| failing.at);
        failing.into_iter().map(|failing| failing.last.clone()).collect()
    }

    pub fn last_error(&self) -> Option<(CopyError, Instant)> {
        let rows = self.channels.iter().filter_map(|row| Some((row.last.clone()?, row.began?)));
        rows.min_by_key(|(_, began)| *began)
    }

    pub fn outage(&self) -> Option<Outage> {
        CHANNELS.into_iter().find_map(|channel| self.outage_of(channel))
    }

    pub fn outages(&self) -> Vec<(Outage, Option<CopyError>)> {
        let last = |outage: Outage| (outage, self.channels[outage.channel as usize].last.clone());
        CHANNELS.into_iter().filter_map(|channel| self.outage_of(channel).map(last)).collect()
    }

    fn outage_of(&self, channel: Channel) -> Option<Outage> {
        let row = &self.channels[channel as usize];
        let since = row.began.filter(|_| row.is_open())?;
        Some(Outage { channel, cause: row.cause, since, failures: row.length })
    }
}
