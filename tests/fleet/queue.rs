//! A queue with SQS's laws: at least once, unordered, a message hidden while somebody works on it, moved to the dead letters
//! after too many receives, dropped after its retention, and never hidden for longer than twelve hours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skyferry_core::queue::{Depth, Message, QueueError, QueueTraits, Receipt};

use crate::clock::{Time, wall};
use crate::rng::Rng;

const LONGEST: Duration = Duration::from_secs(12 * 3600);

#[derive(Clone, Debug)]
pub struct Held {
    pub body: Arc<str>,
    pub received: u32,
    pub sent: Time,
    pub visible: Time,
    /// The newest delivery, and when it was made.
    delivery: u64,
    delivered: Time,
    in_flight: bool,
}

/// What went to the dead letters.
#[derive(Clone, Debug)]
pub struct Dead {
    pub body: Arc<str>,
    /// `None`: the queue itself gave the message up.
    pub reason: Option<String>,
}

pub struct Sqs {
    pub traits: QueueTraits,
    pub messages: BTreeMap<u64, Held>,
    pub dead: Vec<Dead>,
    /// Dropped for their age.
    pub expired: Vec<Held>,
    next: u64,
}

impl Sqs {
    pub fn new(traits: QueueTraits) -> Sqs {
        Sqs { traits, messages: BTreeMap::new(), dead: Vec::new(), expired: Vec::new(), next: 0 }
    }

    /// `received`: how often it was delivered before, for a message that comes again although it was deleted.
    pub fn send(&mut self, body: &str, delay: Duration, received: u32, now: Time) {
        self.next += 1;
        let held = Held {
            body: body.into(),
            received,
            sent: now,
            visible: now + delay,
            delivery: 0,
            delivered: now,
            in_flight: false,
        };
        self.messages.insert(self.next, held);
    }

    /// In no order.
    pub fn receive(&mut self, most: usize, now: Time, dice: &mut Rng) -> Vec<Message> {
        self.expire(now);
        let mut found: Vec<u64> =
            self.messages.iter().filter(|(_, held)| held.visible <= now).map(|(id, _)| *id).collect();
        let mut messages = Vec::new();
        while messages.len() < most && !found.is_empty() {
            let id = found.swap_remove(dice.below(found.len()));
            let Some(held) = self.messages.get_mut(&id) else { continue };
            held.received += 1;
            if self.traits.max_receives.is_some_and(|most| held.received > most) {
                let body = held.body.clone();
                self.messages.remove(&id);
                self.dead.push(Dead { body, reason: None });
                continue;
            }
            self.next += 1;
            (held.delivery, held.delivered, held.in_flight) = (self.next, now, true);
            held.visible = now + self.traits.visibility;
            messages.push(Message {
                id: id.to_string().into(),
                receipt: Receipt(format!("{id}:{}", self.next).into()),
                body: held.body.clone(),
                received: held.received,
                sent: wall(held.sent),
            });
        }
        messages
    }

    fn expire(&mut self, now: Time) {
        let retention = self.traits.retention;
        let old: Vec<u64> =
            self.messages.iter().filter(|(_, held)| held.sent + retention < now).map(|(id, _)| *id).collect();
        self.expired.extend(old.iter().filter_map(|id| self.messages.remove(id)));
    }

    /// The message of a receipt, if that is its newest delivery.
    fn of(&mut self, receipt: &Receipt) -> (u64, Option<&mut Held>, bool) {
        let mut parts = receipt.0.split(':').map(|part| part.parse::<u64>().unwrap_or_default());
        let (id, delivery) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let held = self.messages.get_mut(&id);
        let newest = held.as_ref().is_some_and(|held| held.delivery == delivery);
        (id, held, newest)
    }

    pub fn change(&mut self, receipt: &Receipt, visibility: Duration, now: Time) -> Result<(), QueueError> {
        match self.of(receipt) {
            (_, Some(held), true) if held.visible > now && now + visibility <= held.delivered + LONGEST => {
                held.visible = now + visibility;
                held.in_flight = !visibility.is_zero();
                Ok(())
            }
            _ => Err(QueueError::LeaseLost),
        }
    }

    /// An older delivery's receipt may delete the message all the same.
    pub fn delete(&mut self, receipt: &Receipt, dice: &mut Rng) -> Option<Held> {
        let (id, _, newest) = self.of(receipt);
        let done = newest || dice.chance(500);
        done.then(|| self.messages.remove(&id)).flatten()
    }

    /// About so many.
    pub fn depth(&self, now: Time, dice: &mut Rng) -> Depth {
        let mut depth = Depth::default();
        for held in self.messages.values() {
            let count = match (held.visible <= now, held.in_flight) {
                (true, _) => &mut depth.visible,
                (false, true) => &mut depth.in_flight,
                (false, false) => &mut depth.delayed,
            };
            *count += u64::from(!dice.chance(50));
        }
        depth
    }
}
