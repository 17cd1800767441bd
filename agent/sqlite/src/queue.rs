//! The queue on one machine: SQS's words over the embedded file, for `copy`, `demo` and tests.
//!
//! A receipt is `<message>.<delivery>`: it ends with its visibility, its release or the message. What differs from
//! SQS: nothing expires (a message is kept until somebody ends it), delays are exact to the millisecond, `renew` is
//! one step, and the dead letters are a table of the same file.

mod dead_letters;
mod feed;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{DatabaseError, Db, SqliteFile, WeakSqliteFile};
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};

/// As good as never, and still safe to add to any date.
const KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const INSERT: &str = "INSERT INTO messages (id, queue, visible_at, leased, received, sent, body) \
     VALUES (?1, ?2, ?3, 0, ?6, ?4, ?5)";
/// In the order of the index, so that it reads as many rows as it returns, however many wait.
const VISIBLE: &str = "SELECT id, received, sent, body FROM messages WHERE queue = ?1 AND visible_at <= ?2 \
     ORDER BY visible_at, leased, id LIMIT ?3";
const NEXT_VISIBLE: &str = "SELECT min(visible_at) FROM messages WHERE queue = ?1";
const LEASE: &str = "UPDATE messages SET leased = 1, received = received + 1, visible_at = ?2 WHERE id = ?1";
const UNRECEIVE: &str = "UPDATE messages SET leased = 0, received = received - 1, visible_at = ?3 \
     WHERE id = ?1 AND received = ?2 AND leased = 1";
const EXTEND: &str = "UPDATE messages SET visible_at = ?4 \
     WHERE id = ?1 AND received = ?2 AND leased = 1 AND visible_at > ?3";
const RELEASE: &str = "UPDATE messages SET leased = 0, visible_at = ?4 \
     WHERE id = ?1 AND received = ?2 AND leased = 1 AND visible_at > ?3";
const DELETE: &str = "DELETE FROM messages WHERE id = ?1 AND received = ?2";
const EXISTS: &str = "SELECT id FROM messages WHERE id = ?1";
const DEPTH: &str = "SELECT count(*), ifnull(sum(visible_at > ?2 AND leased = 1), 0), \
     ifnull(sum(visible_at > ?2 AND leased = 0), 0) FROM messages WHERE queue = ?1";
const BURY: &str = "INSERT INTO dead_letters (queue, parked, reason, body) VALUES (?1, ?2, ?3, ?4)";
const DEAD: &str =
    "SELECT id, parked, reason, body FROM dead_letters WHERE queue = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
const EXHUME: &str = "DELETE FROM dead_letters WHERE queue = ?1 AND id = ?2 RETURNING body";

pub use dead_letters::{DeadLetterTable, SqliteDeadLetters};
pub use feed::{ListedMessage, NoteUpdate};

/// One named queue of an embedded file.
pub struct SqliteQueue {
    file: SqliteFile,
    id: i64,
    name: String,
    traits: QueueTraits,
}

/// A message that was given up, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedMessage {
    pub id: i64,
    pub parked: SystemTime,
    pub reason: String,
    pub body: String,
}

impl SqliteFile {
    /// The queue of this name, made if it is new. `retention` is not enforced: nothing expires here.
    pub async fn queue(&self, name: &str, traits: QueueTraits) -> Result<SqliteQueue, QueueError> {
        let traits = QueueTraits { retention: KEPT, ..traits };
        let wanted = name.to_string();
        let id = self
            .call(move |db| {
                db.execute("INSERT OR IGNORE INTO queues (name) VALUES (?1)", (&wanted,))?;
                Ok(db.rows("SELECT id FROM queues WHERE name = ?1", (&wanted,), |row| row.get(0))?.pop())
            })
            .await
            .map_err(|failure| classify(name, "CreateQueue", failure))?;
        Ok(SqliteQueue { file: self.clone(), id, name: name.to_string(), traits })
    }
}

impl SqliteQueue {
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        mut work: impl FnMut(&mut Db<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let done = self.file.call(move |db| work(db).map(Some)).await;
        done.map_err(|failure| classify(&self.name, operation, failure))
    }

    /// As `receive`; what nobody keeps is taken back.
    pub(crate) async fn take(&self, max: usize, wait: Duration) -> Result<Delivered, QueueError> {
        let (queue, visibility) = (self.id, self.traits.visibility);
        // Beyond this many deliveries a message is dead, but only where there is a place for the dead.
        let limit = self.traits.dead_letters.as_ref().and(self.traits.max_receives).unwrap_or(u32::MAX);
        let max = max.clamp(1, 10);
        let file = self.file.downgrade();
        let mut until = None;
        let delivered = self.file.call(move |db| {
            let until = *until.get_or_insert_with(|| add_duration(db.now, wait));
            let messages = deliver(db, queue, max, add_duration(db.now, visibility), limit)?;
            if !messages.is_empty() || db.now >= until {
                return Ok(Some(Delivered { messages, file: WeakSqliteFile::clone(&file) }));
            }
            let next = db.rows(NEXT_VISIBLE, (queue,), |row| row.get::<_, Option<i64>>(0))?.pop().flatten();
            db.retry_at(next.map_or(until, |next| next.min(until)));
            Ok(None)
        });
        delivered.await.map_err(|failure| classify(&self.name, "ReceiveMessage", failure))
    }

    /// Runs `sql` for one delivery; whether it was still in progress.
    async fn change(
        &self,
        operation: &'static str,
        sql: &'static str,
        receipt: &Receipt,
        visible_after: Duration,
    ) -> Result<bool, QueueError> {
        let Some((id, received)) = parse(receipt) else { return Ok(false) };
        self.run(operation, move |db| {
            let at = add_duration(db.now, visible_after);
            let changed = db.execute(sql, (id, received, db.now, at))?;
            db.visible_from(at);
            Ok(changed > 0)
        })
        .await
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn traits(&self) -> QueueTraits {
        self.traits.clone()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        self.take(max, wait).await.map(Delivered::keep)
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let held = self.change("ChangeMessageVisibility", EXTEND, receipt, visibility).await?;
        if held { Ok(()) } else { Err(QueueError::LeaseLost) }
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.change("ChangeMessageVisibility", RELEASE, receipt, delay).await.map(|_| ())
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        let (id, received) = parse(&message.receipt).ok_or(QueueError::LeaseLost)?;
        let (queue, body) = (self.id, body.to_string());
        let held = self.run("SendMessage", move |db| {
            let held = db.execute(DELETE, (id, received))? > 0;
            if held {
                insert(db, queue, &body, delay, 0)?;
            }
            Ok(held)
        });
        if held.await? { Ok(()) } else { Err(QueueError::LeaseLost) }
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        if self.traits.dead_letters.is_none() {
            return Ok(());
        }
        let (queue, body, reason) = (self.id, body.to_string(), reason.to_string());
        self.run("SendMessage", move |db| db.execute(BURY, (queue, db.now, &reason, &body)).map(|_| ())).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (id, received) = parse(receipt).ok_or(QueueError::LeaseLost)?;
        let gone = self.run("DeleteMessage", move |db| {
            Ok(db.execute(DELETE, (id, received))? > 0 || db.rows(EXISTS, (id,), |_| Ok(()))?.is_empty())
        });
        if gone.await? { Ok(()) } else { Err(QueueError::LeaseLost) }
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        let (queue, bodies) = (self.id, bodies.to_vec());
        let sent = self.file.call_synced(move |db| {
            bodies.iter().try_for_each(|body| insert(db, queue, body, Duration::ZERO, 0)).map(Some)
        });
        sent.await.map_err(|failure| classify(&self.name, "SendMessage", failure))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let queue = self.id;
        let rows = self.run("GetQueueAttributes", move |db| {
            db.rows(DEPTH, (queue, db.now), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })
        });
        let (all, in_flight, delayed) = rows.await?.pop().unwrap_or_default();
        Ok(Depth {
            visible: (all - in_flight - delayed).max(0) as u64,
            in_flight: in_flight as u64,
            delayed: delayed as u64,
        })
    }

    async fn dead_letters_waiting(&self) -> Result<Option<u64>, QueueError> {
        self.count_letters().await.map(Some)
    }
}

/// Deliveries on their way to the caller of `receive`. If that caller has gone away, before or after the answer was
/// sent, they are taken back at once and uncounted: a cancelled receive hides nothing.
pub(crate) struct Delivered {
    pub(crate) messages: Vec<Message>,
    file: WeakSqliteFile,
}

impl Delivered {
    /// They have reached who asked for them.
    pub(crate) fn keep(mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        let lost = std::mem::take(&mut self.messages);
        if lost.is_empty() {
            return;
        }
        if let Some(file) = self.file.upgrade() {
            file.post(move |db| {
                for (id, received) in lost.iter().filter_map(|message| parse(&message.receipt)) {
                    db.execute(UNRECEIVE, (id, received, db.now))?;
                }
                db.visible_from(db.now);
                Ok(())
            });
        }
    }
}

/// Leases up to `max` visible messages; those that have been received `limit` times become dead letters on the way.
fn deliver(db: &mut Db<'_>, queue: i64, max: usize, until: i64, limit: u32) -> rusqlite::Result<Vec<Message>> {
    let mut messages = Vec::new();
    while messages.len() < max {
        let wanted = max - messages.len();
        let rows = db.rows(VISIBLE, (queue, db.now, wanted as i64), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?, row.get::<_, Arc<str>>(3)?))
        })?;
        let found = rows.len();
        for (id, received, sent, body) in rows {
            if received >= limit {
                db.execute(BURY, (queue, db.now, format!("received {received} times"), &*body))?;
                db.execute(DELETE, (id, received))?;
                continue;
            }
            let received = received + 1;
            db.execute(LEASE, (id, until))?;
            messages.push(Message {
                id: id.to_string().into(),
                receipt: Receipt(format!("{id}.{received}").into()),
                body,
                received,
                sent: time(sent),
            });
        }
        if found < wanted {
            break;
        }
    }
    Ok(messages)
}

/// `received`: 0, or what it is to look like.
fn insert(db: &mut Db<'_>, queue: i64, body: &str, delay: Duration, received: u32) -> rusqlite::Result<()> {
    let (id, at) = (db.next_id(), add_duration(db.now, delay));
    db.execute(INSERT, (id, queue, at, db.now, body, received))?;
    db.visible_from(at);
    Ok(())
}

fn parse(receipt: &Receipt) -> Option<(i64, u32)> {
    let (id, received) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, received.parse().ok()?))
}

fn add_duration(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn time(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64)
}

fn classify(queue: &str, operation: &'static str, failure: DatabaseError) -> QueueError {
    let queue = queue.to_string();
    if failure.damaged {
        let advice = "move the file away: `scan` finds again what is missing".to_string();
        let problem = format!("the file is damaged ({})", failure.answer);
        return QueueError::Unusable { queue, problem, advice, denied: false };
    }
    QueueError::Unavailable { queue, operation, answer: failure.answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receive_reads_no_more_rows_than_it_returns() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = SqliteFile::open(&folder.path().join("state")).expect("opened");
        let plan: &'static str = format!("EXPLAIN QUERY PLAN {VISIBLE}").leak();
        let steps = file.call(move |db| db.rows(plan, (1, 2, 3), |row| row.get::<_, String>(3)).map(Some)).await;
        let steps = steps.expect("explained");
        assert_eq!(steps, ["SEARCH messages USING INDEX messages_due (queue=? AND visible_at<?)"], "nothing is sorted");
    }
}
