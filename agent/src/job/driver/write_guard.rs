//! Whether this writer may still write. A successor may close it one hold after fencing it, on the ground that nothing of
//! it is in progress any more; so a write that shows begins only when the ledger has confirmed this writer lately, continues
//! while the ledger keeps confirming it, and is dropped in time when it does not.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::ledger::{Ledger, LedgerError, Subject, UploadRecord};
use skyferry_core::model::Writer;

pub(super) struct WriteGuard<'a> {
    ledger: &'a dyn Ledger,
    subject: &'a Subject,
    writer: Writer,
    hold: Duration,
    /// When the ledger was last asked and said that nobody has fenced this writer.
    confirmed: Instant,
    fenced: bool,
}

impl<'a> WriteGuard<'a> {
    /// Of a writer that begins now.
    pub fn new(ledger: &'a dyn Ledger, subject: &'a Subject, writer: Writer, hold: Duration) -> Self {
        WriteGuard { ledger, subject, writer, hold, confirmed: Instant::now(), fenced: false }
    }

    /// The ledger, asked at `asked`, took something of this writer.
    pub fn confirmed(&mut self, asked: Instant) {
        self.confirmed = asked;
    }

    /// Carries out a write; `None`: this writer is fenced, and the write was never begun. When it is fenced meanwhile, or
    /// cannot know any longer that it is not, the write is dropped: `LostAnswer`, and what may still land of it has the
    /// last sixth of the hold for it. `upload`: the writer's own, which the ledger is told again with every question.
    pub async fn write<T>(
        &mut self,
        upload: Option<&UploadRecord>,
        mut write: Pin<&mut impl Future<Output = Result<T, CopyError>>>,
    ) -> Result<Option<T>, CopyError> {
        if !self.fenced && Instant::now() >= self.confirmed + self.fresh() {
            self.ask(upload).await.map_err(|error| self.unknown(&error))?;
        }
        if self.fenced {
            return Ok(None);
        }
        let mut ask = self.confirmed + self.fresh();
        loop {
            tokio::select! {
                biased;
                done = &mut write => return done.map(Some),
                () = sleep_until(ask) => {}
            }
            let last = self.confirmed + self.hold / 6 * 5;
            tokio::select! {
                biased;
                done = &mut write => return done.map(Some),
                answer = timeout_at(last, self.ask(upload)) => if let Ok(Err(error)) = answer {
                    warn!(object = %self.subject.source, %error, "a long write could not be confirmed; retrying");
                }
            }
            if self.fenced || Instant::now() >= self.confirmed + self.hold / 6 * 5 {
                return Err(self.lost_error());
            }
            // After a failure sooner, so that there is more than one more try.
            ask = (self.confirmed + self.fresh()).max(Instant::now() + self.hold / 12);
        }
    }

    async fn ask(&mut self, upload: Option<&UploadRecord>) -> Result<(), LedgerError> {
        let asked = Instant::now();
        match self.ledger.checkpoint(self.subject, self.writer, upload).await {
            Ok(()) => self.confirmed(asked),
            Err(LedgerError::Fenced) => self.fenced = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// For how long the ledger's word is taken without asking again.
    fn fresh(&self) -> Duration {
        self.hold / 3
    }

    fn unknown(&self, error: &LedgerError) -> CopyError {
        CopyError::new(Side::Ledger, ErrorKind::Unavailable, "checkpoint", &self.subject.source, error.to_string())
    }

    fn lost_error(&self) -> CopyError {
        let why = if self.fenced { "another writer has started on this key" } else { "the ledger does not answer" };
        CopyError::new(Side::Destination, ErrorKind::LostAnswer, "write", &self.subject.destination, why)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;
    use skyferry_core::model::Location;
    use skyferry_sqlite::SqliteFile;
    use skyferry_sqlite::ledger::SqliteLedger;

    const HOLD: Duration = Duration::from_millis(300);

    struct Rig {
        _dir: tempfile::TempDir,
        ledger: SqliteLedger,
        subject: Subject,
        writer: Writer,
    }

    /// A writer that has begun.
    async fn rig() -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = SqliteFile::open(&dir.path().join("state.db")).expect("a file").ledger();
        let subject = Subject { source: Location::new("a", "k"), destination: Location::new("b", "k"), primary: true };
        let writer = Writer::random();
        ledger.begin(&subject, writer).await.expect("begun");
        Rig { _dir: dir, ledger, subject, writer }
    }

    impl Rig {
        fn guard(&self) -> WriteGuard<'_> {
            WriteGuard::new(&self.ledger, &self.subject, self.writer, HOLD)
        }
        async fn another_begins(&self) {
            self.ledger.begin(&self.subject, Writer::random()).await.expect("begun");
        }
    }

    #[tokio::test]
    async fn a_long_write_goes_on_while_the_ledger_confirms_its_writer() {
        let rig = rig().await;
        let write = async {
            tokio::time::sleep(HOLD * 4).await;
            Ok(7)
        };
        assert_eq!(rig.guard().write(None, pin!(write)).await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn a_write_is_dropped_within_the_hold_when_another_writer_begins() {
        let rig = rig().await;
        let mut guard = rig.guard();
        rig.another_begins().await;
        let fenced = Instant::now();
        let error = guard.write(None, pin!(pending::<Result<(), CopyError>>())).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::LostAnswer, "{error}");
        assert!(fenced.elapsed() < HOLD);
        assert_eq!(guard.write(None, pin!(async { Ok(()) })).await.unwrap(), None, "and it begins no other");
    }

    #[tokio::test]
    async fn a_fenced_writer_that_slept_begins_no_write() {
        let rig = rig().await;
        let mut guard = rig.guard();
        rig.another_begins().await;
        tokio::time::sleep(HOLD / 2).await;
        assert_eq!(guard.write(None, pin!(async { Ok(()) })).await.unwrap(), None);
    }
}
