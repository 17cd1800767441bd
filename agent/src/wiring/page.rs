//! What the status page is made from, and what may be changed from it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Agent, WiringError};
use crate::event_listener::EventListenerError;
use crate::shutdown::Shutdown;
use crate::status::{Actions, History, LetterSource, StatusView};
use crate::token::Token;
use skyferry_core::ledger::Ledger;
use skyferry_sqlite::queue::SqliteDeadLetters;

impl Agent {
    /// What the page may change, where a token is set.
    pub(super) fn actions(&self) -> Result<Option<Actions>, WiringError> {
        let (Some(path), Some(ledger)) = (&self.token_file, self.notes()) else { return Ok(None) };
        let token = Token::read(path, "[status] token_file").map_err(EventListenerError::from)?;
        Ok(Some(Actions { token: Arc::new(token), ledger, letters: self.letters(), rest: self.rest.clone() }))
    }

    /// The ledger, where it keeps notes.
    fn notes(&self) -> Option<Arc<dyn Ledger>> {
        self.keeps_notes.then(|| self.ledger().clone())
    }

    /// Of the embedded queue: a look takes none away.
    fn letters(&self) -> Option<LetterSource> {
        let queue = self.embedded.clone()?;
        Some(Arc::new(move || Box::new(SqliteDeadLetters::new(queue.clone()))))
    }

    pub(super) fn view(&self, shutdown: &Shutdown, started: Instant, actions: bool) -> StatusView {
        StatusView {
            metrics: self.shared().metrics.clone(),
            breaker: self.shared().breaker.clone(),
            fuse: self.shared().fuse.clone(),
            rest: self.rest.clone(),
            shutdown: shutdown.clone(),
            recent: self.recent.clone(),
            limiter: self.shared().limiter.clone(),
            history: History::default(),
            routes: self.shared().routes.clone(),
            queue: self.names(),
            ends: self.ends.clone(),
            started,
            ledger: self.notes(),
            letters: self.letters(),
            actions,
        }
    }
}
