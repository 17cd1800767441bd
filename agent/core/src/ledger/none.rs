//! A ledger that remembers next to nothing, for `kind = "none"`: the destination alone tells what is done. Nobody is
//! fenced, no upload is found again, and what is parked is in the dead letters alone.
//!
//! Every key counts as known, so that the destination is always looked at first: where a sink takes no preconditions that
//! look is all that keeps an older state from replacing a newer one. Failures are counted for as long as the process lives,
//! or an object that can never be copied would be tried for ever.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{BeginResult, FinishResult, Ledger, LedgerError, LedgerRecord, Leftover, Subject, UploadRecord, WriterEnd};
use crate::model::{Location, UploadId, Writer};

/// More keys than this do not fail at one time by their own fault; if they do, counting starts over.
const COUNTED: usize = 10_000;

/// Remembers nothing: every key looks new.
#[derive(Default)]
pub struct NoLedger {
    failures: Mutex<HashMap<Location, u32>>,
}

#[async_trait]
impl Ledger for NoLedger {
    fn name(&self) -> &str {
        "none"
    }

    async fn begin(&self, subject: &Subject, _: Writer) -> Result<BeginResult, LedgerError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.get(&subject.source).copied().unwrap_or(0);
        Ok(BeginResult { known: true, failures, ..BeginResult::default() })
    }

    async fn checkpoint(&self, _: &Subject, _: Writer, _: Option<&UploadRecord>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn finish(
        &self,
        subject: &Subject,
        _: Writer,
        ending: &WriterEnd,
        _: Leftover,
        _: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match ending {
            WriterEnd::Settled { .. } | WriterEnd::Parked { .. } => drop(failures.remove(&subject.source)),
            WriterEnd::Released { counted: false } => {}
            WriterEnd::Released { counted: true } => {
                if failures.len() >= COUNTED {
                    failures.clear();
                }
                *failures.entry(subject.source.clone()).or_default() += 1;
            }
        }
        Ok(FinishResult { others_open: false })
    }

    async fn lookup(&self, _: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        Ok(None)
    }

    async fn open_uploads(&self, _: &str) -> Result<Vec<UploadId>, LedgerError> {
        Ok(Vec::new())
    }

    async fn note(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }

    /// Nothing is kept, and nobody is told that it was.
    async fn set_note(&self, _: &str, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failures_are_counted_until_something_settles_and_nothing_else_is_known() {
        let at = |bucket: &str| Location::new(bucket, "k");
        let subject = Subject { source: at("from"), destination: at("to"), primary: true };
        let (ledger, writer) = (NoLedger::default(), Writer::random());
        let finish = async |ending: WriterEnd| {
            ledger.finish(&subject, writer, &ending, Leftover::Nothing, &[]).await.unwrap();
        };
        for counted in [true, false, true] {
            finish(WriterEnd::Released { counted }).await;
        }
        let known = BeginResult { known: true, failures: 2, ..BeginResult::default() };
        assert_eq!(ledger.begin(&subject, writer).await.unwrap(), known);
        finish(WriterEnd::Parked { reason: "at last".into() }).await;
        assert_eq!(ledger.begin(&subject, writer).await.unwrap().failures, 0);
        assert_eq!(ledger.lookup(&subject).await.unwrap(), None);
        assert!(!ledger.set_note("pause", None, Some(b"now")).await.unwrap(), "not kept");
        assert_eq!(ledger.note("pause").await.unwrap(), None);
    }
}
