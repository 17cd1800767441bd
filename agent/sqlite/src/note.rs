//! Notes of the file: of a listing that feeds the queue, and of the ledger. Their names tell them apart.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::{Db, OpenError, open_error};

const READ: &str = "SELECT value FROM notes WHERE name = ?1";
const WRITE: &str = "INSERT INTO notes (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
const ERASE: &str = "DELETE FROM notes WHERE name = ?1";

/// A note of the ledger's.
pub(crate) fn name(name: &str) -> String {
    format!("ledger/{name}")
}

pub(crate) fn read(db: &mut Db<'_>, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    Ok(db.rows(READ, (name,), |row| row.get(0))?.pop())
}

pub(crate) fn write(db: &mut Db<'_>, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    db.execute(WRITE, (name, value)).map(|_| ())
}

/// Requests run one after the other in the file's own thread: nothing comes between the look and the change.
pub(crate) fn set(db: &mut Db<'_>, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> rusqlite::Result<bool> {
    if read(db, name)?.as_deref() != old {
        return Ok(false);
    }
    replace(db, name, new)?;
    Ok(true)
}

/// Without a value it is erased.
pub(crate) fn replace(db: &mut Db<'_>, name: &str, value: Option<&[u8]>) -> rusqlite::Result<()> {
    match value {
        Some(value) => write(db, name, value),
        None => db.execute(ERASE, (name,)).map(drop),
    }
}

/// A note of a file that no process has open. Nothing is written, and no lock is left.
pub fn read_closed(path: &Path, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let read = || {
        let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        file.query_row(READ, (name,), |row| row.get(0)).optional()
    };
    read().map_err(|error| open_error(path, &error))
}
