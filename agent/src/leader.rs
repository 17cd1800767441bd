//! One of the fleet at a time: the agent whose name stands in a note of the ledger, until the note expires. It renews it, and
//! whoever finds it expired takes its place.
//!
//! For what is only untidy when two do it: clocks differ a little, and a machine that was frozen believes for a moment that
//! it still leads. No write to an object may depend on this.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use skyferry_core::ambient;
use skyferry_core::ledger::{Ledger, LedgerError};

/// The note's value.
#[derive(Serialize, Deserialize)]
struct Held {
    holder: String,
    /// Milliseconds since the epoch.
    until: u64,
}

/// A candidate.
pub struct Leader {
    ledger: Arc<dyn Ledger>,
    note: &'static str,
    holder: String,
    term: Duration,
}

impl Leader {
    /// A name of its own for every process, so that none takes another's note for its own.
    pub fn new(ledger: Arc<dyn Ledger>, note: &'static str, term: Duration) -> Leader {
        Leader { ledger, note, holder: format!("{:032x}", ambient::random::<u128>()), term }
    }

    /// Whether this agent leads for another term: it renews its note, or takes one that nobody holds any more.
    pub async fn try_lead(&self) -> Result<bool, LedgerError> {
        let old = self.ledger.note(self.note).await?;
        let now = ambient::since_epoch();
        // What cannot be read holds nothing.
        let held: Option<Held> = old.as_deref().and_then(|text| serde_json::from_slice(text).ok());
        if held.is_some_and(|held| held.holder != self.holder && Duration::from_millis(held.until) > now) {
            return Ok(false);
        }
        let until = u64::try_from((now + self.term).as_millis()).unwrap_or(u64::MAX);
        let new = serde_json::json!(Held { holder: self.holder.clone(), until }).to_string();
        self.ledger.set_note(self.note, old.as_deref(), Some(new.as_bytes())).await
    }

    /// Gives the place up, so that the next one need not wait for the end of the term.
    pub async fn resign(&self) -> Result<(), LedgerError> {
        let old = self.ledger.note(self.note).await?;
        let held: Option<Held> = old.as_deref().and_then(|text| serde_json::from_slice(text).ok());
        if held.is_some_and(|held| held.holder == self.holder) {
            self.ledger.set_note(self.note, old.as_deref(), None).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_sqlite::SqliteFile;

    fn candidates(term: Duration) -> (tempfile::TempDir, [Leader; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(&folder.path().join("ledger.db")).unwrap();
        let candidate = || Leader::new(Arc::new(file.ledger()), "leader", term);
        (folder, [candidate(), candidate()])
    }

    #[tokio::test]
    async fn one_leads_until_it_resigns() {
        let (_folder, [first, second]) = candidates(Duration::from_secs(60));
        assert!(first.try_lead().await.unwrap() && first.try_lead().await.unwrap());
        assert!(!second.try_lead().await.unwrap());
        second.resign().await.unwrap();
        assert!(!second.try_lead().await.unwrap(), "only the holder gives it up");
        first.resign().await.unwrap();
        assert!(second.try_lead().await.unwrap());
        assert!(!first.try_lead().await.unwrap());
    }

    #[tokio::test]
    async fn an_expired_note_and_one_that_means_nothing_are_taken_over() {
        let (_folder, [first, second]) = candidates(Duration::ZERO);
        assert!(first.try_lead().await.unwrap());
        assert!(second.try_lead().await.unwrap(), "its term has ended");
        let (_folder, [first, _]) = candidates(Duration::from_secs(60));
        assert!(first.ledger.set_note("leader", None, Some(b"nonsense")).await.unwrap());
        assert!(first.try_lead().await.unwrap());
    }

    #[tokio::test]
    async fn of_two_that_find_it_free_one_leads() {
        let (_folder, [first, second]) = candidates(Duration::from_secs(60));
        let (first, second) = tokio::join!(first.try_lead(), second.try_lead());
        assert_eq!(usize::from(first.unwrap()) + usize::from(second.unwrap()), 1);
    }
}
