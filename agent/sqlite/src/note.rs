//! Notes beside those of a listing that feeds the queue: the name tells them apart.

use crate::Db;

const READ: &str = "SELECT value FROM notes WHERE name = ?1";
const WRITE: &str = "INSERT INTO notes (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
const ERASE: &str = "DELETE FROM notes WHERE name = ?1";

pub(super) fn name(name: &str) -> String {
    format!("ledger/{name}")
}

pub(super) fn read(db: &mut Db<'_>, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    Ok(db.rows(READ, (name,), |row| row.get(0))?.pop())
}

pub(super) fn write(db: &mut Db<'_>, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    db.execute(WRITE, (name, value)).map(|_| ())
}

/// Requests run one after the other in the file's own thread: nothing comes between the look and the change.
pub(super) fn set(db: &mut Db<'_>, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> rusqlite::Result<bool> {
    if read(db, name)?.as_deref() != old {
        return Ok(false);
    }
    match new {
        Some(new) => db.execute(WRITE, (name, new))?,
        None => db.execute(ERASE, (name,))?,
    };
    Ok(true)
}
