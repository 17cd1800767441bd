//! One SQLite file that stands in for SQS and DynamoDB on a single machine: `queue` and `ledger`
//! are its two faces, this is the file, its schema and the one thread that owns it.
//!
//! **Why that is safe.** Queue and ledger share the file, so their changes have one order: the commit that deletes a
//! message comes after the commit that recorded its outcome. With WAL and `synchronous=NORMAL` a commit is not
//! synced, so a power cut can lose the last commits, but only the last ones: what is left is a prefix. A deleted
//! message therefore always has its recorded outcome (promise 1), and a message that comes back finds its work done.
//! A killed process loses nothing: the pages are the system's by then. New messages are synced before they are acknowledged
//! (`call_synced`): who sent them may have nothing to send them again from.
//!
//! **Why it is cheap.** Requests wait in a channel; the thread takes all that wait, runs them in one transaction with
//! prepared statements and answers after the commit. The busier the agent, the larger the group.
//!
//! The process is alone: the file is locked for as long as it is open, and others ask it over a socket (`remote`). So whatever
//! an earlier process had in progress is ended at open: its deliveries are visible again at once and its writers are `stopped`.

pub mod ledger;
pub mod note;
pub mod queue;
pub mod remote;
pub mod shared;
mod worker;

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use skyferry_core::ambient::epoch_ms;

pub(crate) use worker::Db;
use worker::{PendingCall, PendingPost, PendingRequest, serve};

/// Marks the file as ours (`Skyf`), so that another program's database is not taken for an empty one.
const APPLICATION: i32 = 0x536b_7966;
const SCHEMA_VERSION: i32 = 1;
const SCHEMA: &str = "
CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- leased: 1 while a delivery is in somebody's hands, until visible_at (ms since the epoch).
CREATE TABLE messages (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, visible_at INTEGER NOT NULL,
    leased INTEGER NOT NULL, received INTEGER NOT NULL, sent INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX messages_due ON messages (queue, visible_at, leased);
CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, parked INTEGER NOT NULL,
    reason TEXT NOT NULL, body TEXT NOT NULL);
-- source and destination: `bucket/key`. ended: when it last settled or was parked (ms since the epoch); negative where the
-- record is to be kept: somebody is writing, or will be, or it was parked.
CREATE TABLE records (source BLOB NOT NULL, destination BLOB NOT NULL, outcome TEXT, reason TEXT,
    etag TEXT, size INTEGER, modified INTEGER, version TEXT, revision TEXT, digests BLOB, grade TEXT,
    failures INTEGER NOT NULL DEFAULT 0, ended INTEGER, PRIMARY KEY (source, destination)) WITHOUT ROWID;
-- begun: the order of their coming. fenced: when the next one began (ms), NULL for the last. stopped: 1: it has ended, by
-- itself or with its process; 2: its object was parked meanwhile, so that nobody comes for its upload; 3: both.
CREATE TABLE writers (source BLOB NOT NULL, destination BLOB NOT NULL, begun INTEGER NOT NULL, writer BLOB NOT NULL,
    fenced INTEGER, stopped INTEGER NOT NULL DEFAULT 0, upload TEXT, state BLOB,
    PRIMARY KEY (source, destination, begun)) WITHOUT ROWID;
-- What a listing that feeds the queue has to remember.
CREATE TABLE notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";
/// What a new process ends on behalf of the one before it. A delay of more than SQS's longest comes from a clock that
/// was stepped back.
const RECOVER: &str = "
UPDATE messages SET leased = 0, visible_at = 0 WHERE leased = 1;
UPDATE writers SET stopped = stopped | 1 WHERE stopped & 1 = 0;
";
const LONGEST_DELAY: Duration = Duration::from_secs(12 * 3600);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} is in use by another process; stop that one, or give this one a file of its own")]
    InUse { path: String },
    #[error(
        "{path} is in use by another process that takes no requests ({answer}); wait until that one has ended, or stop it"
    )]
    Silent { path: String, answer: String },
    #[error(
        "{path} was written by a newer Skyferry (schema {found}, this one knows {SCHEMA_VERSION}); upgrade this one"
    )]
    Newer { path: String, found: i32 },
    #[error("{path} is not a Skyferry file; choose another path")]
    NotOurs { path: String },
    #[error("{path} is damaged ({answer}); move it away: `scan` finds again what is missing")]
    Damaged { path: String, answer: String },
    #[error("cannot open {path}: {answer}; check the directory, its permissions and the disk's space")]
    Unavailable { path: String, answer: String },
}

/// Why a request was not carried out. None of its group was.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseError {
    /// The file itself is damaged: waiting does not help.
    pub damaged: bool,
    pub answer: String,
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let damaged = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        DatabaseError { damaged, answer: error.to_string() }
    }
}

impl DatabaseError {
    pub(crate) fn stopped() -> Self {
        DatabaseError { damaged: false, answer: "the thread that owns the file has ended".into() }
    }
}

/// The opened file. Cheap to clone; the last clone (queues and ledgers hold one each) closes it.
#[derive(Clone)]
pub struct SqliteFile {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    sender: Option<Sender<Box<dyn PendingRequest>>>,
    thread: Option<JoinHandle<()>>,
}

/// Waits until the last commit is on its way to the disk and the lock is gone, so that the file can be opened again.
impl Drop for Inner {
    fn drop(&mut self) {
        self.sender = None;
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl SqliteFile {
    /// Opens or creates the file, locks it, and ends what an earlier process left in progress.
    ///
    /// ```
    /// use std::time::Duration;
    /// use skyferry_core::queue::{Queue, QueueTraits};
    /// use skyferry_sqlite::SqliteFile;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let folder = tempfile::tempdir()?;
    /// let file = SqliteFile::open(&folder.path().join("skyferry.db"))?;
    /// let minute = Duration::from_secs(60);
    /// let traits = QueueTraits { visibility: minute, retention: minute, max_receives: None, dead_letters: None };
    /// let queue = file.queue("events", traits).await?;
    /// queue.send(&["a job".into()]).await?;
    /// assert_eq!(&*queue.receive(10, Duration::ZERO).await?[0].body, "a job");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path) -> Result<SqliteFile, OpenError> {
        let name = path.display().to_string();
        let connection = connect(path, &name)?;
        let (sender, requests) = channel();
        let thread = std::thread::Builder::new()
            .name("skyferry-embedded".into())
            .spawn(move || serve(&connection, &requests))
            .map_err(|error| OpenError::Unavailable { path: name.clone(), answer: error.to_string() })?;
        Ok(SqliteFile { inner: Arc::new(Inner { name, sender: Some(sender), thread: Some(thread) }) })
    }

    /// The file's path, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Runs `work` in the next transaction and answers after its commit. `None` from `work` means: not yet; it is
    /// run again when a message becomes visible or at the time that it gave to `Db::retry_at`. A caller that has gone
    /// away is not served.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnMut(&mut Db<'_>) -> rusqlite::Result<Option<T>> + Send + 'static,
    {
        self.request(work, false).await
    }

    /// As `call`; the answer comes when the change is on the disk, so that a power cut does not undo it.
    pub(crate) async fn call_synced<T, F>(&self, work: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnMut(&mut Db<'_>) -> rusqlite::Result<Option<T>> + Send + 'static,
    {
        self.request(work, true).await
    }

    async fn request<T, F>(&self, work: F, durable: bool) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnMut(&mut Db<'_>) -> rusqlite::Result<Option<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(PendingCall::new(work, durable, reply)));
        answer.await.unwrap_or_else(|_| Err(DatabaseError::stopped()))
    }

    /// As `call`, with nobody waiting for the answer.
    pub(crate) fn post(&self, mut work: impl FnMut(&mut Db<'_>) -> rusqlite::Result<()> + Send + 'static) {
        self.send(Box::new(PendingPost(move |db: &mut Db<'_>| work(db))));
    }

    pub(crate) fn downgrade(&self) -> WeakSqliteFile {
        WeakSqliteFile(Arc::downgrade(&self.inner))
    }

    /// If the thread has ended the request is dropped, and with it the reply's sender: the caller gets an error.
    fn send(&self, request: Box<dyn PendingRequest>) {
        if let Some(sender) = &self.inner.sender {
            let _ = sender.send(request);
        }
    }
}

/// For values that pass through the thread and may need it once more: they must not keep it alive.
#[derive(Clone)]
pub(crate) struct WeakSqliteFile(Weak<Inner>);

impl WeakSqliteFile {
    pub(crate) fn upgrade(&self) -> Option<SqliteFile> {
        self.0.upgrade().map(|inner| SqliteFile { inner })
    }
}

/// What SQLite's error about this file means.
fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, answer) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::NotADatabase) => OpenError::NotOurs { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, answer },
        _ => OpenError::Unavailable { path, answer },
    }
}

/// Whether another process has this file open.
pub fn is_in_use(path: &Path) -> bool {
    let exclusive = Connection::open(path).and_then(|file| {
        file.busy_timeout(Duration::ZERO)?;
        file.execute_batch("BEGIN EXCLUSIVE")
    });
    exclusive.is_err_and(|error| matches!(open_error(path, &error), OpenError::InUse { .. }))
}

/// Opens, locks, checks and brings up to date.
fn connect(path: &Path, name: &str) -> Result<Connection, OpenError> {
    let open_error = |error: rusqlite::Error| open_error(path, &error);
    let connection = Connection::open(path).map_err(open_error)?;
    connection.busy_timeout(Duration::ZERO).map_err(open_error)?;
    // Exclusive before WAL: then its index lives in this process's memory, and a second opener is refused.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(open_error)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(open_error)?;
    for (pragma, value) in [("synchronous", 1), ("cache_size", -8_192), ("wal_autocheckpoint", 4_000)] {
        connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(no_rows).map_err(open_error)?;
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(open_error)?;
    check_schema(&connection, name, &open_error)?;
    connection.execute_batch(RECOVER).map_err(open_error)?;
    let now = epoch_ms();
    let latest = now + LONGEST_DELAY.as_millis() as i64;
    connection
        .execute("UPDATE messages SET visible_at = ?1 WHERE visible_at > ?2", (now, latest))
        .map_err(open_error)?;
    connection.execute_batch("COMMIT").map_err(open_error)?;
    Ok(connection)
}

fn no_rows(error: rusqlite::Error) -> rusqlite::Result<()> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(()) } else { Err(error) }
}

/// An empty file gets the schema; anything else must be ours and not newer.
fn check_schema(
    connection: &Connection,
    name: &str,
    open_error: &impl Fn(rusqlite::Error) -> OpenError,
) -> Result<(), OpenError> {
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i32>(0)).map_err(open_error);
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let path = name.to_string();
    if application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        connection.execute_batch(SCHEMA).map_err(open_error)?;
        connection.pragma_update(None, "application_id", APPLICATION).map_err(open_error)?;
        return connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(open_error);
    }
    match version {
        _ if application != APPLICATION => Err(OpenError::NotOurs { path }),
        SCHEMA_VERSION => Ok(()),
        found if found > SCHEMA_VERSION => Err(OpenError::Newer { path, found }),
        found => Err(OpenError::Damaged { path, answer: format!("schema {found} was never written") }),
    }
}

#[cfg(test)]
mod tests;
