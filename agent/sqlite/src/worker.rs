//! The thread that owns the file: requests, their groups, and what a request sees of the database.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Params, Row, Statement};
use tokio::sync::oneshot;

use super::DatabaseError;
use skyferry_core::ambient::epoch_ms;

/// Requests in one transaction at most: bounds how long the first of them waits for its answer.
const GROUP: usize = 1024;

/// When several came together, others are about to: what is gathered meanwhile goes in one transaction, and wakes this thread
/// once.
const GATHERING: Duration = Duration::from_micros(200);

/// One waiting request, of whatever answer.
pub(super) trait PendingRequest: Send {
    /// Somebody still waits for the answer.
    fn is_awaited(&self) -> bool;
    /// Its answer promises that a power cut does not undo it.
    fn durable(&self) -> bool;
    /// `false`: not yet.
    fn run(&mut self, db: &mut Db<'_>) -> rusqlite::Result<bool>;
    fn answer(self: Box<Self>, failed: Option<&DatabaseError>);
}

pub(super) struct PendingCall<T, F> {
    work: F,
    done: Option<T>,
    durable: bool,
    reply: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T, F> PendingCall<T, F> {
    pub(super) fn new(work: F, durable: bool, reply: oneshot::Sender<Result<T, DatabaseError>>) -> Self {
        PendingCall { work, done: None, durable, reply }
    }
}

impl<T, F> PendingRequest for PendingCall<T, F>
where
    T: Send,
    F: FnMut(&mut Db<'_>) -> rusqlite::Result<Option<T>> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }
    fn durable(&self) -> bool {
        self.durable
    }
    fn run(&mut self, db: &mut Db<'_>) -> rusqlite::Result<bool> {
        self.done = (self.work)(db)?;
        Ok(self.done.is_some())
    }
    fn answer(self: Box<Self>, failed: Option<&DatabaseError>) {
        let _ = self.reply.send(match (failed, self.done) {
            (None, Some(done)) => Ok(done),
            (Some(failure), _) => Err(failure.clone()),
            (None, None) => Err(DatabaseError::stopped()),
        });
    }
}

pub(super) struct PendingPost<F>(pub(super) F);

impl<F: FnMut(&mut Db<'_>) -> rusqlite::Result<()> + Send> PendingRequest for PendingPost<F> {
    fn is_awaited(&self) -> bool {
        true
    }
    fn durable(&self) -> bool {
        false
    }
    fn run(&mut self, db: &mut Db<'_>) -> rusqlite::Result<bool> {
        (self.0)(db).map(|()| true)
    }
    fn answer(self: Box<Self>, _failed: Option<&DatabaseError>) {}
}

/// What a request sees: the connection with its prepared statements, and the time.
pub(crate) struct Db<'c> {
    connection: &'c Connection,
    /// By the addresses of their texts; there are a few dozen.
    statements: Vec<(usize, Statement<'c>)>,
    opened: (Instant, i64),
    /// Milliseconds since the epoch, one value for the whole group. Counted on from the opening by the monotonic
    /// clock: a stepped clock neither ends a lease nor prolongs one.
    pub now: i64,
    next_id: i64,
    woken: bool,
    retry_at: Option<i64>,
}

impl<'c> Db<'c> {
    fn new(connection: &'c Connection) -> Self {
        let opened = (Instant::now(), epoch_ms());
        let newest =
            "SELECT max(ifnull((SELECT max(id) FROM messages), 0), ifnull((SELECT max(begun) FROM writers), 0))";
        // A failure here shows again, and is reported, with the first request that inserts.
        let next_id = connection.query_row(newest, (), |row| row.get::<_, i64>(0)).unwrap_or(0) + 1;
        Db { connection, statements: Vec::new(), opened, now: opened.1, next_id, woken: false, retry_at: None }
    }

    /// Prepared once. The text's address is its name: every caller passes a constant.
    pub fn statement(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        let name = sql.as_ptr() as usize;
        let known = self.statements.iter().position(|(known, _)| *known == name);
        let at = match known {
            Some(at) => at,
            None => {
                self.statements.push((name, self.connection.prepare(sql)?));
                self.statements.len() - 1
            }
        };
        Ok(&mut self.statements[at].1)
    }

    pub fn execute(&mut self, sql: &'static str, params: impl Params) -> rusqlite::Result<usize> {
        self.statement(sql)?.execute(params)
    }

    pub fn rows<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.statement(sql)?.query_map(params, read)?.collect()
    }

    /// Never used twice in a process, whatever is deleted meanwhile: an old receipt cannot name a newer message.
    pub fn next_id(&mut self) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A message becomes visible at `at`: requests that wait are tried again then.
    pub fn visible_from(&mut self, at: i64) {
        if at <= self.now {
            self.woken = true;
        } else {
            self.retry_at(at);
        }
    }

    pub fn retry_at(&mut self, at: i64) {
        self.retry_at = Some(self.retry_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn tick(&mut self) {
        self.now = self.opened.1 + self.opened.0.elapsed().as_millis() as i64;
    }

    fn until_retry(&mut self) -> Duration {
        self.tick();
        match self.retry_at {
            Some(at) => Duration::from_millis((at - self.now).max(0) as u64),
            None => Duration::from_secs(3600),
        }
    }
}

/// The thread: takes all that wait, runs them in one transaction, answers after the commit.
pub(super) fn serve(connection: &Connection, requests: &Receiver<Box<dyn PendingRequest>>) {
    let mut db = Db::new(connection);
    let mut waiting: Vec<Box<dyn PendingRequest>> = Vec::new();
    let mut busy = false;
    loop {
        let first = if waiting.is_empty() {
            requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            requests.recv_timeout(db.until_retry())
        };
        if busy && first.is_ok() {
            std::thread::sleep(GATHERING);
        }
        let mut group: Vec<Box<dyn PendingRequest>> = match first {
            Ok(request) => std::iter::once(request).chain(requests.try_iter().take(GROUP - 1)).collect(),
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        busy = group.len() > 1;
        db.tick();
        waiting.retain(|request| request.is_awaited());
        group.retain(|request| request.is_awaited());
        let mut ready = Vec::with_capacity(group.len());
        let result = if group.iter().any(|request| request.durable()) {
            synced(&mut db, |db| transaction(db, &mut group, &mut waiting, &mut ready))
        } else {
            transaction(&mut db, &mut group, &mut waiting, &mut ready)
        };
        // After a failure those that wait are told too: when to try again is the caller's to say.
        let failed = result.err().map(DatabaseError::from);
        if failed.is_some() {
            ready.append(&mut group);
            ready.append(&mut waiting);
        }
        for request in ready {
            request.answer(failed.as_ref());
        }
    }
}

/// Runs `commit` so that its end is on the disk, and with it every commit before: the log is one file, and it is synced.
fn synced<'c>(db: &mut Db<'c>, commit: impl FnOnce(&mut Db<'c>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    db.connection.pragma_update(None, "synchronous", "FULL")?;
    let outcome = commit(db);
    db.connection.pragma_update(None, "synchronous", "NORMAL")?;
    outcome
}

/// Runs the group, then those that waited, if something became visible or their time has come. Requests that are
/// done move to `ready`, the others to `waiting`.
fn transaction(
    db: &mut Db<'_>,
    group: &mut Vec<Box<dyn PendingRequest>>,
    waiting: &mut Vec<Box<dyn PendingRequest>>,
    ready: &mut Vec<Box<dyn PendingRequest>>,
) -> rusqlite::Result<()> {
    db.execute("BEGIN", ())?;
    let outcome = (|| {
        let mut newly_waiting = run_all(db, group, ready)?;
        if db.woken || db.retry_at.is_some_and(|at| at <= db.now) {
            (db.woken, db.retry_at) = (false, None);
            let mut again = std::mem::take(waiting);
            again.append(&mut newly_waiting);
            let outcome = run_all(db, &mut again, ready);
            waiting.append(&mut again);
            waiting.append(&mut outcome?);
        } else {
            waiting.append(&mut newly_waiting);
        }
        db.execute("COMMIT", ())
    })();
    if outcome.is_err() && !db.connection.is_autocommit() {
        let _ = db.execute("ROLLBACK", ());
    }
    outcome.map(|_| ())
}

/// Runs requests in order; one that fails goes to `ready` too, to be reported. Back come those that must wait.
fn run_all(
    db: &mut Db<'_>,
    group: &mut Vec<Box<dyn PendingRequest>>,
    ready: &mut Vec<Box<dyn PendingRequest>>,
) -> rusqlite::Result<Vec<Box<dyn PendingRequest>>> {
    let mut later = Vec::new();
    let mut failed = Ok(());
    let mut rest = std::mem::take(group).into_iter();
    for mut request in rest.by_ref() {
        match request.run(db) {
            Ok(false) => later.push(request),
            Ok(true) => ready.push(request),
            Err(error) => {
                ready.push(request);
                failed = Err(error);
                break;
            }
        }
    }
    if let Err(error) = failed {
        group.extend(later.into_iter().chain(rest));
        return Err(error);
    }
    Ok(later)
}
