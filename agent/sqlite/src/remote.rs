//! A file that another process has open, asked over that process's socket: what lets operators look at a running agent,
//! scan beside it and pause it. `server` is the agent's end, `wire` what passes between, `socket` where they meet; here are
//! queue, dead letters and ledger of such a file.

mod server;
mod socket;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use crate::queue::{DeadLetterTable, ParkedMessage};
use skyferry_core::ledger::{BeginResult, FinishResult, Ledger, LedgerError, LedgerRecord, Leftover, Subject};
use skyferry_core::ledger::{UploadRecord, WriterEnd};
use skyferry_core::model::{UploadId, Writer};
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};

use crate::ledger::{RecordPlace, StoredRecord};
pub use server::SocketServer;
use wire::{Failure, LedgerCall, QueueCall, Request};

/// Requests at once: each has a connection of its own, and fewer than the server takes leave room for others.
const AT_ONCE: usize = 16;

/// The way to the process that has the file open. Cheap to clone.
#[derive(Clone)]
pub struct RemoteFile {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    socket: PathBuf,
    places: Semaphore,
}

impl RemoteFile {
    /// If somebody answers there. `path`: the file's.
    pub async fn connect(path: &Path) -> Result<RemoteFile, String> {
        let (name, socket) = (path.display().to_string(), socket::beside(path));
        let file = RemoteFile { inner: Arc::new(Inner { name, socket, places: Semaphore::new(AT_ONCE) }) };
        file.ask::<()>(&Request::Hello).await.map_err(Failure::into_text)?;
        Ok(file)
    }

    pub fn queue(&self, name: &str, traits: QueueTraits) -> RemoteQueue {
        RemoteQueue { file: self.clone(), name: name.to_owned(), traits }
    }

    pub fn ledger(&self) -> RemoteLedger {
        RemoteLedger { file: self.clone() }
    }

    /// One connection, one request. A caller that goes away closes it, and what it was sent is taken back.
    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        let Ok(_place) = self.inner.places.acquire().await else { return Err(Failure::Unavailable("closed".into())) };
        let away = |error: std::io::Error| {
            let socket = self.inner.socket.display();
            Failure::Unavailable(format!("the process that has the file open does not answer at {socket}: {error}"))
        };
        let mut stream = socket::connect(&self.inner.socket).await.map_err(away)?;
        wire::write(&mut stream, request).await.map_err(away)?;
        let answer: Result<T, Failure> = wire::read(&mut stream).await.map_err(away)?;
        // What it does not hear of it takes back, so a failure here is nobody's.
        let _ = stream.write_all(&[wire::RECEIVED]).await;
        answer
    }
}

/// A queue of such a file.
pub struct RemoteQueue {
    file: RemoteFile,
    name: String,
    traits: QueueTraits,
}

impl RemoteQueue {
    async fn ask<T: DeserializeOwned>(&self, operation: &'static str, call: QueueCall) -> Result<T, QueueError> {
        let request = Request::Queue { name: self.name.clone(), traits: self.traits.clone(), call };
        self.file.ask(&request).await.map_err(|failure| failure.of_queue(&self.name, operation))
    }
}

#[async_trait]
impl Queue for RemoteQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn traits(&self) -> QueueTraits {
        self.traits.clone()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        self.ask("ReceiveMessage", QueueCall::Receive { max, wait }).await
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        self.ask("ChangeMessageVisibility", QueueCall::Extend { receipt: receipt.clone(), visibility }).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.ask("ChangeMessageVisibility", QueueCall::Release { receipt: receipt.clone(), delay }).await
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        let call = QueueCall::Renew { message: Box::new(message.clone()), body: body.to_owned(), delay };
        self.ask("SendMessage", call).await
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        self.ask("SendMessage", QueueCall::Park { body: body.to_owned(), reason: reason.to_owned() }).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.ask("DeleteMessage", QueueCall::Delete { receipt: receipt.clone() }).await
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.ask("SendMessage", QueueCall::Send { bodies: bodies.to_vec() }).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.ask("GetQueueAttributes", QueueCall::Depth).await
    }

    async fn dead_letters_waiting(&self) -> Result<Option<u64>, QueueError> {
        self.count_letters().await.map(Some)
    }
}

#[async_trait]
impl DeadLetterTable for RemoteQueue {
    async fn dead_letters(&self, after: i64, max: usize) -> Result<Vec<ParkedMessage>, QueueError> {
        self.ask("ListDeadLetters", QueueCall::DeadLetters { after, max }).await
    }

    async fn redrive(&self, dead_letter: i64) -> Result<bool, QueueError> {
        self.ask("Redrive", QueueCall::Redrive { dead_letter }).await
    }

    async fn drop_letters(&self, dead_letters: Vec<i64>) -> Result<(), QueueError> {
        self.ask("DeleteMessage", QueueCall::DropLetters { dead_letters }).await
    }

    async fn count_letters(&self) -> Result<u64, QueueError> {
        self.ask("GetQueueAttributes", QueueCall::CountLetters).await
    }
}

/// The ledger of such a file.
pub struct RemoteLedger {
    file: RemoteFile,
}

impl RemoteLedger {
    async fn ask<T: DeserializeOwned>(&self, operation: &'static str, call: LedgerCall) -> Result<T, LedgerError> {
        let answer = self.file.ask(&Request::Ledger(call)).await;
        answer.map_err(|failure| failure.of_ledger(self.name(), operation))
    }

    /// As [`crate::ledger::SqliteLedger::records`].
    pub async fn records(&self, after: Option<&RecordPlace>, max: usize) -> Result<Vec<StoredRecord>, LedgerError> {
        self.ask("Scan", LedgerCall::Records { after: after.cloned(), max }).await
    }
}

#[async_trait]
impl Ledger for RemoteLedger {
    fn name(&self) -> &str {
        &self.file.inner.name
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        self.ask("Begin", LedgerCall::Begin { subject: subject.clone(), writer }).await
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        let call = LedgerCall::Checkpoint { subject: subject.clone(), writer, upload: upload.cloned() };
        self.ask("Checkpoint", call).await
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        let (subject, ending, closed) = (subject.clone(), ending.clone(), closed.to_vec());
        self.ask("Finish", LedgerCall::Finish { subject, writer, ending, left, closed }).await
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        Ok(self.lookup_all(std::slice::from_ref(subject)).await?.pop().flatten())
    }

    async fn lookup_all(&self, subjects: &[Subject]) -> Result<Vec<Option<LedgerRecord>>, LedgerError> {
        self.ask("Lookup", LedgerCall::Lookup { subjects: subjects.to_vec() }).await
    }

    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError> {
        self.ask("OpenUploads", LedgerCall::OpenUploads { bucket: destination_bucket.to_owned() }).await
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.ask("ReadNote", LedgerCall::Note { name: name.to_owned() }).await
    }

    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        let (name, old, new) = (name.to_owned(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        self.ask("SetNote", LedgerCall::SetNote { name, old, new }).await
    }
}

#[cfg(test)]
mod tests;
