//! What an operator tells a whole fleet: a note in the ledger that every agent reads a few times a minute, and that ends by
//! itself where it says so.

use serde::Serialize;
use serde::de::DeserializeOwned;

use skyferry_core::ledger::{Ledger, LedgerError};

/// How often a change is tried against others who change it too.
const ATTEMPTS: usize = 5;

/// One kind of note.
pub trait FleetNote: Serialize + DeserializeOwned {
    const NAME: &'static str;
    /// What takes away one that cannot be read.
    const REMEDY: &'static str;

    /// It has not ended by itself.
    fn is_active(&self) -> bool;
}

#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("ledger {ledger}: the note `{note}` cannot be read ({problem}); `{remedy}` takes it away")]
    Unreadable { ledger: String, note: &'static str, problem: String, remedy: &'static str },
    #[error("ledger {0} did not accept the note: others change it at the same time; try again")]
    NotTaken(String),
}

/// The one that stands.
pub async fn read<T: FleetNote>(ledger: &dyn Ledger) -> Result<Option<T>, NoteError> {
    let Some(text) = ledger.note(T::NAME).await? else { return Ok(None) };
    let note: T = serde_json::from_slice(&text).map_err(|error| NoteError::Unreadable {
        ledger: ledger.name().to_owned(),
        note: T::NAME,
        problem: error.to_string(),
        remedy: T::REMEDY,
    })?;
    Ok(Some(note).filter(T::is_active))
}

/// Puts it in the place of what is there, or takes that away; back comes what stood.
pub async fn write<T: FleetNote>(ledger: &dyn Ledger, note: Option<&T>) -> Result<Option<T>, NoteError> {
    // Numbers and a text: nothing in it can fail to serialise.
    let new = note.map(|note| serde_json::to_vec(note).unwrap_or_default());
    for _ in 0..ATTEMPTS {
        let old = ledger.note(T::NAME).await?;
        if ledger.set_note(T::NAME, old.as_deref(), new.as_deref()).await? {
            let stood: Option<T> = old.and_then(|old| serde_json::from_slice(&old).ok());
            return Ok(stood.filter(T::is_active));
        }
    }
    Err(NoteError::NotTaken(ledger.name().to_owned()))
}
