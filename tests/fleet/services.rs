//! Queue and ledger as an agent sees them.

use std::time::Duration;

use async_trait::async_trait;
use skyferry_core::event::{self, ParsedMessage, ParsedRecord};
use skyferry_core::ledger::{
    BeginResult, FinishResult, Ledger, LedgerError, LedgerRecord, Leftover, Subject, UploadRecord, WriterEnd,
};
use skyferry_core::model::{UploadId, Writer};
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};

use crate::clock::now;
use crate::faults::Op;
use crate::port::{Port, PortError};
use crate::queue::Dead;
use crate::world::World;

/// The keys that a message speaks of.
pub fn keys(body: &str) -> Vec<String> {
    let ParsedMessage::Records(entries) = event::parse(body.as_bytes()) else { return Vec::new() };
    let records = entries.into_iter().filter_map(|entry| match entry {
        ParsedRecord::Record(record) => Some(record),
        ParsedRecord::Malformed(_) => None,
    });
    records.map(|record| record.source.key.to_string()).collect()
}

fn weather(op: Op, trouble: PortError) -> QueueError {
    QueueError::Unavailable { queue: "q".into(), operation: op.name(), answer: trouble.kind.as_str().into() }
}

#[async_trait]
impl Queue for Port {
    fn name(&self) -> &str {
        "q"
    }

    fn traits(&self) -> QueueTraits {
        self.world.lock().queue.traits.clone()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let until = now() + wait;
        loop {
            let polling = now();
            let pause = {
                let mut world = self.world.lock();
                let visible = world.next_visible().is_some_and(|at| at <= polling);
                let pause = world.dice.millis(300, 4_000);
                if visible || polling >= until { Duration::ZERO } else { pause.min(until - polling) }
            };
            if pause.is_zero() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let take = move |world: &mut World| {
            let World { queue, dice, .. } = world;
            queue.receive(max, now(), dice)
        };
        self.call(Op::Receive, "", take).await.map_err(|trouble| weather(Op::Receive, trouble))
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let mine = receipt.clone();
        let change = move |world: &mut World| world.queue.change(&mine, visibility, now());
        self.call(Op::Extend, "", change).await.map_err(|trouble| weather(Op::Extend, trouble))?
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        let mine = receipt.clone();
        // A delivery that has ended is no error.
        let change = move |world: &mut World| drop(world.queue.change(&mine, delay, now()));
        self.call(Op::Release, "", change).await.map_err(|trouble| weather(Op::Release, trouble))
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        let (mine, body) = (message.receipt.clone(), body.to_owned());
        let renew = move |world: &mut World| {
            world.queue.send(&body, delay, 0, now());
            let World { queue, dice, .. } = world;
            if !dice.chance(20) {
                queue.delete(&mine, dice);
            }
        };
        self.call(Op::Renew, "", renew).await.map_err(|trouble| weather(Op::Renew, trouble))
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        let dead = Dead { body: body.into(), reason: Some(reason.to_owned()) };
        let agent = self.agent;
        let park = move |world: &mut World| {
            let reason = dead.reason.clone().unwrap_or_default();
            for key in keys(&dead.body) {
                world.note(agent, "parked", &key, &reason);
            }
            world.queue.dead.push(dead);
        };
        self.call(Op::Park, "", park).await.map_err(|trouble| weather(Op::Park, trouble))
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let mine = receipt.clone();
        let delete = move |world: &mut World| {
            let World { queue, dice, .. } = world;
            let Some(held) = queue.delete(&mine, dice) else { return };
            for key in keys(&held.body) {
                let name = format!("{}/{key}", crate::source::BUCKET);
                let outcome = world.ledger.items.get(&name).and_then(|item| item.outcome);
                if outcome.is_none() && !key.starts_with("elsewhere") {
                    world.broken(1, format!("a message of {key} was deleted, and the ledger has no outcome"));
                }
            }
        };
        self.call(Op::Delete, "", delete).await.map_err(|trouble| weather(Op::Delete, trouble))
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        let bodies = bodies.to_vec();
        // Of a batch some may be refused.
        let send = move |world: &mut World| {
            for body in &bodies {
                if world.dice.chance(5) {
                    return false;
                }
                world.queue.send(body, Duration::ZERO, 0, now());
            }
            true
        };
        let partial = PortError { kind: skyferry_core::error::ErrorKind::Unavailable, wait: None };
        match self.call(Op::Send, "", send).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(weather(Op::Send, partial)),
            Err(trouble) => Err(weather(Op::Send, trouble)),
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let look = |world: &mut World| {
            let World { queue, dice, .. } = world;
            queue.depth(now(), dice)
        };
        self.call(Op::Depth, "", look).await.map_err(|trouble| weather(Op::Depth, trouble))
    }
}

fn away(op: Op, trouble: PortError) -> LedgerError {
    LedgerError::Unavailable { ledger: "table".into(), operation: op.name(), answer: trouble.kind.as_str().into() }
}

#[async_trait]
impl Ledger for Port {
    fn name(&self) -> &str {
        "table"
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        let (op, of) = (Op::Begin, subject.clone());
        let agent = self.agent;
        let begin = move |world: &mut World| world.ledger.begin(agent, &of, writer, now());
        self.call(op, &subject.source.key.to_string(), begin).await.map_err(|trouble| away(op, trouble))?
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let (op, of, upload) = (Op::Checkpoint, subject.clone(), upload.cloned());
        let save = move |world: &mut World| world.ledger.checkpoint(&of, writer, upload.as_ref());
        self.call(op, &subject.source.key.to_string(), save).await.map_err(|trouble| away(op, trouble))?
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let (op, of, ending, closed) = (Op::Finish, subject.clone(), ending.clone(), closed.to_vec());
        let agent = self.agent;
        let finish = move |world: &mut World| {
            let how = format!("{ending:?} {left:?}");
            world.note(agent, "finish", &of.source.key.to_string(), how.split(" {").next().unwrap_or_default());
            world.ledger.finish(&of, writer, &ending, left, &closed)
        };
        self.call(op, &subject.source.key.to_string(), finish).await.map_err(|trouble| away(op, trouble))?
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        let (op, of) = (Op::Lookup, subject.clone());
        let look = move |world: &mut World| world.ledger.lookup(&of);
        self.call(op, &subject.source.key.to_string(), look).await.map_err(|trouble| away(op, trouble))
    }

    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError> {
        let bucket = destination_bucket.to_owned();
        let look = move |world: &mut World| world.ledger.open_uploads(&bucket);
        self.call(Op::OpenUploads, "", look).await.map_err(|trouble| away(Op::OpenUploads, trouble))
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let name = name.to_owned();
        let look = move |world: &mut World| world.ledger.notes.get(&name).cloned();
        self.call(Op::Note, "", look).await.map_err(|trouble| away(Op::Note, trouble))
    }

    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        let (name, old, new) = (name.to_owned(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        let set = move |world: &mut World| {
            let there = world.ledger.notes.get(&name).cloned();
            if there != old {
                return there == new;
            }
            match new {
                Some(new) => drop(world.ledger.notes.insert(name, new)),
                None => drop(world.ledger.notes.remove(&name)),
            }
            true
        };
        self.call(Op::SetNote, "", set).await.map_err(|trouble| away(Op::SetNote, trouble))
    }
}
