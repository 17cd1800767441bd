//! An embedded file for whoever has questions: opened here where nobody has it, else asked over the socket of who has. An
//! agent does not use this: it is the one that has it open.

use std::path::Path;
use std::sync::Arc;

use crate::ledger::{RecordPlace, StoredRecord};
use crate::queue::DeadLetterTable;
use crate::remote::RemoteFile;
use crate::{OpenError, SqliteFile};
use skyferry_core::ledger::{Ledger, LedgerError};
use skyferry_core::queue::{QueueError, QueueTraits};

#[derive(Clone)]
pub enum SharedFile {
    Here(SqliteFile),
    /// In another process of this machine.
    Elsewhere(RemoteFile),
}

impl SharedFile {
    /// Needs a runtime.
    pub async fn open(path: &Path) -> Result<SharedFile, OpenError> {
        match SqliteFile::open(path) {
            Ok(file) => Ok(SharedFile::Here(file)),
            Err(OpenError::InUse { path: name }) => match RemoteFile::connect(path).await {
                Ok(file) => Ok(SharedFile::Elsewhere(file)),
                Err(answer) => Err(OpenError::Silent { path: name, answer }),
            },
            Err(error) => Err(error),
        }
    }

    pub async fn queue(&self, name: &str, traits: QueueTraits) -> Result<Arc<dyn DeadLetterTable>, QueueError> {
        Ok(match self {
            SharedFile::Here(file) => Arc::new(file.queue(name, traits).await?),
            SharedFile::Elsewhere(file) => Arc::new(file.queue(name, traits)),
        })
    }

    pub fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            SharedFile::Here(file) => Arc::new(file.ledger()),
            SharedFile::Elsewhere(file) => Arc::new(file.ledger()),
        }
    }

    /// The ledger's records after this place, in the order of their sources.
    pub async fn records(&self, after: Option<&RecordPlace>, max: usize) -> Result<Vec<StoredRecord>, LedgerError> {
        match self {
            SharedFile::Here(file) => file.ledger().records(after, max).await,
            SharedFile::Elsewhere(file) => file.ledger().records(after, max).await,
        }
    }
}
