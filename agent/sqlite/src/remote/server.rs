//! The end of the process that has the file open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::socket;
use super::wire::{self, Failure, LedgerCall, QueueCall, RECEIVED, Request};
use crate::SqliteFile;
use crate::queue::{DeadLetterTable as _, Delivered};
use skyferry_core::ledger::Ledger as _;
use skyferry_core::queue::{Queue as _, QueueTraits};

/// At once; more wait until one is done.
const CONNECTIONS: usize = 64;
/// For a request to come, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted: there are no descriptors, and trying at once finds none either.
const REFUSED: Duration = Duration::from_millis(100);

/// A socket beside the file, which others may ask.
pub struct SocketServer {
    file: SqliteFile,
    path: PathBuf,
    listener: UnixListener,
}

impl SqliteFile {
    /// Takes the socket beside `path`, this file's. Needs a runtime.
    pub fn listen(&self, path: &Path) -> std::io::Result<SocketServer> {
        let path = socket::beside(path);
        let listener = socket::listen(&path)?;
        Ok(SocketServer { file: self.clone(), path, listener })
    }
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl SocketServer {
    /// Until it is dropped, which ends what is under way.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut served = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) if socket::may_ask(&stream, &self.path) => {
                    let file = self.file.clone();
                    served.spawn(async move {
                        if let Err(error) = connection(&file, stream).await {
                            tracing::debug!(%error, "a request to the embedded file ended early");
                        }
                        drop(place);
                    });
                }
                Ok(_) => tracing::warn!("another user asked for the embedded file and was refused"),
                Err(error) => {
                    tracing::debug!(%error, "a connection to the embedded file was not accepted");
                    tokio::time::sleep(REFUSED).await;
                }
            }
            while served.try_join_next().is_some() {}
        }
    }
}

/// What an answer is, before it is written.
enum Answer {
    Value(Result<serde_json::Value, Failure>),
    /// They count as delivered when their receiver has confirmed them.
    Messages(Delivered),
}

async fn connection(file: &SqliteFile, mut stream: UnixStream) -> std::io::Result<()> {
    let request = match timeout(PATIENCE, wire::read::<Request>(&mut stream)).await? {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let version = skyferry_core::version::long();
            let problem = format!("the process that has the file open does not know this request ({error})");
            let advice = format!("it is version {version}: use the same one");
            let refused: Result<(), Failure> = Err(Failure::Unusable { problem, advice });
            return timeout(PATIENCE, wire::write(&mut stream, &refused)).await?;
        }
        read => read?,
    };
    let (mut from, mut to) = stream.split();
    let answer = tokio::select! {
        answer = answer(file, request) => answer,
        () = hung_up(&mut from) => return Ok(()),
    };
    match answer {
        Answer::Value(value) => timeout(PATIENCE, wire::write(&mut to, &value)).await?,
        Answer::Messages(delivered) => {
            let messages = Ok::<_, Failure>(&delivered.messages);
            timeout(PATIENCE, wire::write(&mut to, &messages)).await??;
            if timeout(PATIENCE, from.read_u8()).await?? == RECEIVED {
                delivered.keep();
            }
            Ok(())
        }
    }
}

/// Nothing comes while an answer is waited for, unless the asker has gone.
async fn hung_up(from: &mut (impl AsyncRead + Unpin)) {
    let _ = from.read_u8().await;
}

fn value<T: Serialize, E: Into<Failure>>(done: Result<T, E>) -> Answer {
    Answer::Value(done.map_err(Into::into).and_then(|done| {
        serde_json::to_value(done).map_err(|error| Failure::Unavailable(format!("the answer has no form: {error}")))
    }))
}

async fn answer(file: &SqliteFile, request: Request) -> Answer {
    match request {
        Request::Hello => value::<_, Failure>(Ok(())),
        Request::Queue { name, traits, call } => queue(file, &name, traits, call).await,
        Request::Ledger(call) => ledger(file, call).await,
    }
}

async fn queue(file: &SqliteFile, name: &str, traits: QueueTraits, call: QueueCall) -> Answer {
    let queue = match file.queue(name, traits).await {
        Ok(queue) => queue,
        Err(error) => return value::<(), _>(Err(error)),
    };
    match call {
        QueueCall::Receive { max, wait } => match queue.take(max, wait).await {
            Ok(delivered) => Answer::Messages(delivered),
            Err(error) => value::<(), _>(Err(error)),
        },
        QueueCall::Extend { receipt, visibility } => value(queue.extend(&receipt, visibility).await),
        QueueCall::Release { receipt, delay } => value(queue.release(&receipt, delay).await),
        QueueCall::Renew { message, body, delay } => value(queue.renew(&message, &body, delay).await),
        QueueCall::Park { body, reason } => value(queue.park(&body, &reason).await),
        QueueCall::Delete { receipt } => value(queue.delete(&receipt).await),
        QueueCall::Send { bodies } => value(queue.send(&bodies).await),
        QueueCall::Depth => value(queue.depth().await),
        QueueCall::DeadLetters { after, max } => value(queue.dead_letters(after, max).await),
        QueueCall::Redrive { dead_letter } => value(queue.redrive(dead_letter).await),
        QueueCall::DropLetters { dead_letters } => value(queue.drop_letters(dead_letters).await),
        QueueCall::CountLetters => value(queue.count_letters().await),
    }
}

async fn ledger(file: &SqliteFile, call: LedgerCall) -> Answer {
    let ledger = file.ledger();
    match call {
        LedgerCall::Begin { subject, writer } => value(ledger.begin(&subject, writer).await),
        LedgerCall::Checkpoint { subject, writer, upload } => {
            value(ledger.checkpoint(&subject, writer, upload.as_ref()).await)
        }
        LedgerCall::Finish { subject, writer, ending, left, closed } => {
            value(ledger.finish(&subject, writer, &ending, left, &closed).await)
        }
        LedgerCall::Lookup { subjects } => value(ledger.lookup_all(&subjects).await),
        LedgerCall::OpenUploads { bucket } => value(ledger.open_uploads(&bucket).await),
        LedgerCall::Note { name } => value(ledger.note(&name).await),
        LedgerCall::SetNote { name, old, new } => value(ledger.set_note(&name, old.as_deref(), new.as_deref()).await),
        LedgerCall::Records { after, max } => value(ledger.records(after.as_ref(), max).await),
    }
}
